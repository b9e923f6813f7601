// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// Config says how to reach a bus. The zero value of each duration takes the default.
type Config struct {
	// URL is tcp://host:port.
	URL string
	// Timeout bounds one exchange, and the wait for a connection; default 1 s.
	Timeout time.Duration
	// ConnectDelay is the quiet that the device needs after connecting
	// (Huawei: 1.5 s); default none.
	ConnectDelay time.Duration
	// RequestGap is the quiet that the device needs between requests; default none.
	RequestGap time.Duration
	// Observe is told of each exchange, in the bus's own goroutine; nil: nobody is.
	Observe func(write bool, took time.Duration, err error)
}

const defaultTimeout = time.Second

// Validate says what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	rest, ok := strings.CutPrefix(c.URL, "tcp://")
	if !ok {
		return fmt.Errorf("modbus url %q: write it as tcp://host:port", c.URL)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("modbus url %q: write it as tcp://host:port, such as tcp://192.168.1.20:502", c.URL)
	}
	const most = time.Minute
	for name, d := range map[string]time.Duration{
		"timeout": c.Timeout, "connect delay": c.ConnectDelay, "request gap": c.RequestGap,
	} {
		if d < 0 || d > most {
			return fmt.Errorf("modbus %s of %s: must be between 0 and %s", name, d, most)
		}
	}
	return nil
}

// Bus is one Modbus connection and the units behind it. Its methods may be
// called from any goroutine; they wait for [Bus.Run] to do the work.
type Bus struct {
	cfg     Config
	reads   chan *request
	writes  chan *request
	done    chan struct{} // closed when Run has ended
	started atomic.Bool
}

// NewBus makes a bus; it connects when [Bus.Run] gets the first request.
func NewBus(cfg Config) *Bus {
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	return &Bus{
		cfg:    cfg,
		reads:  make(chan *request),
		writes: make(chan *request),
		done:   make(chan struct{}),
	}
}

// URL is where the bus connects to.
func (b *Bus) URL() string { return b.cfg.URL }

// Run does the exchanges until ctx ends; it then finishes the one in flight
// (at most [Config.Timeout]), closes the connection and returns nil. It returns
// an error at once if the configuration is invalid or Run was called before.
func (b *Bus) Run(ctx context.Context) error {
	if !b.started.CompareAndSwap(false, true) {
		return fmt.Errorf("bus %s: it runs already; make a new one", b.cfg.URL)
	}
	defer close(b.done)
	if err := b.cfg.Validate(); err != nil {
		return err
	}
	l := newLink(b.cfg)
	defer l.end()
	for {
		req := b.next(ctx)
		if req == nil {
			return nil
		}
		if err := req.ctx.Err(); err != nil {
			req.reply <- reply{err: err}
			continue
		}
		begun := time.Now()
		got := l.do(ctx, req)
		if b.cfg.Observe != nil {
			b.cfg.Observe(req.writes(), time.Since(begun), got.err)
		}
		req.reply <- got
	}
}

// next is the request to do now, writes first; nil when ctx has ended.
func (b *Bus) next(ctx context.Context) *request {
	if ctx.Err() != nil {
		return nil
	}
	select {
	case req := <-b.writes:
		return req
	default:
	}
	select {
	case req := <-b.writes:
		return req
	case req := <-b.reads:
		return req
	case <-ctx.Done():
		return nil
	}
}

// broken says whether err leaves a connection that must not be used again.
func broken(err error) bool {
	var refused ErrException
	return err != nil && !errors.As(err, &refused)
}
