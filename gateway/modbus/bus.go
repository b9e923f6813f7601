// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Bus is one Modbus connection and the units behind it. Its methods may be
// called from any goroutine; they wait for [Bus.Run] to do the work.
type Bus struct {
	cfg     Config
	reads   chan *request
	writes  chan *request
	done    chan struct{} // closed when Run has ended
	started atomic.Bool
	spare   sync.Pool // of requests
}

// NewBus makes a bus; it connects when [Bus.Run] gets the first request.
func NewBus(cfg Config) *Bus {
	return &Bus{
		cfg:    cfg.withDefaults(),
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
	where, err := b.cfg.target()
	if err != nil {
		return err
	}
	l := newLink(b.cfg, where)
	defer l.end()
	var idle *time.Timer // nil: the connection is kept
	var expired <-chan time.Time
	if b.cfg.IdleClose > 0 {
		idle = time.NewTimer(b.cfg.IdleClose)
		defer idle.Stop()
		expired = idle.C
	}
	for {
		req, ok := b.next(ctx, expired)
		switch {
		case !ok:
			return nil
		case req == nil:
			l.close()
			continue
		}
		b.serve(ctx, l, req)
		if idle != nil {
			idle.Reset(b.cfg.IdleClose)
		}
	}
}

// serve does one request.
func (b *Bus) serve(ctx context.Context, l *link, req *request) {
	if err := req.ctx.Err(); err != nil {
		req.reply <- reply{err: err}
		return
	}
	begun := time.Now()
	got := l.do(ctx, req)
	if b.cfg.Observe != nil {
		b.cfg.Observe(req.writes(), time.Since(begun), got.err)
	}
	req.reply <- got
}

// next is the request to do now, writes first. It is nil when the connection
// has been idle for long enough, and not ok when ctx has ended.
func (b *Bus) next(ctx context.Context, idle <-chan time.Time) (req *request, ok bool) {
	if ctx.Err() != nil {
		return nil, false
	}
	select {
	case req = <-b.writes:
		return req, true
	default:
	}
	select {
	case req = <-b.writes:
		return req, true
	case req = <-b.reads:
		return req, true
	case <-idle:
		return nil, true
	case <-ctx.Done():
		return nil, false
	}
}
