// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cut is a wire to a device that can be cut.
type cut struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]struct{}
	work  sync.WaitGroup
}

func newCut(t *testing.T, target string) *cut {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cut{listener: l, target: target, conns: map[net.Conn]struct{}{}}
	c.work.Go(c.accept)
	t.Cleanup(func() {
		l.Close()
		c.off()
		c.work.Wait()
	})
	return c
}

func (c *cut) addr() string { return c.listener.Addr().String() }

func (c *cut) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.target)
		if err != nil || !c.keep(in, out) {
			in.Close()
			if err == nil {
				out.Close()
			}
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			c.work.Go(func() {
				_, _ = io.Copy(pair[0], pair[1]) // ends when either side does
				in.Close()
				out.Close()
			})
		}
	}
}

func (c *cut) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		c.conns[conn] = struct{}{}
	}
	return !c.dead
}

func (c *cut) off() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for conn := range c.conns {
		conn.Close()
	}
	clear(c.conns)
}

func (c *cut) on() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = false
}
