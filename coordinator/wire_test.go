// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"net"
	"sync"
	"testing"
)

// wire is a TCP connection through the test, on which answers can get lost.
type wire struct {
	t        *testing.T
	listener net.Listener
	lose     func() bool // asked about each piece of an answer
	work     sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newWire(t *testing.T, to string, lose func() bool) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, listener: l, lose: lose}
	w.work.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			w.work.Go(func() { w.copy(far, near, false) })
			w.work.Go(func() { w.copy(near, far, true) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			c.Close()
		}
		w.mu.Unlock()
		w.work.Wait()
	})
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) copy(to, from net.Conn, answers bool) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if answers && w.lose() {
			continue // it goes nowhere
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
