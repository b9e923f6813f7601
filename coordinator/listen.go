// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/allmende-energy/allmende/internal/config"
)

// maxConnections bounds each listener: more callers wait until one has gone.
const maxConnections = 4_096

// listen binds one listener; its error says what to do.
func listen(ctx context.Context, what string, l config.Listener) (net.Listener, error) {
	inner, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Listen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, bindError(l, err))
	}
	return &limited{Listener: inner, places: make(chan struct{}, maxConnections), done: make(chan struct{})}, nil
}

func bindError(l config.Listener, err error) error {
	_, port, _ := net.SplitHostPort(l.Listen) // checked when the configuration was read
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken by another program: see which with `ss -ltnp 'sport = :%s'` (Linux) or `lsof -nP -iTCP:%s -sTCP:LISTEN` (macOS), stop it, or change the port (%s)", l.Listen, port, port, l.Key)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be opened by this user: ports below 1024 need rights, choose a higher one (%s)", l.Listen, l.Key)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this computer: list them with `ip addr`, then change it (%s)", l.Listen, l.Key)
	}
	return fmt.Errorf("cannot listen on %s: %w; change it if it is wrong (%s)", l.Listen, err, l.Key)
}

// limited is a listener with so many connections at a time.
type limited struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	done   chan struct{}
}

// Accept waits for a place, then for a caller.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close ends waiting, too.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type counted struct {
	net.Conn
	leave func()
}

// Close gives the place back.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// listeners are the doors of a coordinator; nil is one that is not there.
type listeners struct{ http, redirect, grpc, gateways, metrics net.Listener }

// bind opens the listeners. Callers wait in the kernel until there is an answer.
func (c *Coordinator) bind(ctx context.Context, undo *[]func()) (out listeners, err error) {
	for _, l := range []struct {
		name  string
		cfg   config.Listener
		into  *net.Listener
		bound *string
	}{
		{"http", c.cfg.HTTP, &out.http, &c.addresses.HTTP},
		{"http.redirect", config.Listener{Listen: c.cfg.Redirect, Key: "http.redirect"}, &out.redirect, &c.addresses.Redirect},
		{"grpc", c.cfg.GRPC, &out.grpc, &c.addresses.GRPC},
		{"gateways", c.cfg.Gateways, &out.gateways, &c.addresses.Gateways},
		{"metrics", config.Listener{Listen: c.cfg.Metrics.Listen, Key: "metrics.listen"}, &out.metrics, &c.addresses.Metrics},
	} {
		if l.cfg.Listen == "" {
			continue
		}
		if *l.into, err = listen(ctx, l.name, l.cfg); err != nil {
			return out, err
		}
		*undo = append(*undo, func() { (*l.into).Close() })
		*l.bound = (*l.into).Addr().String()
	}
	return out, nil
}
