// SPDX-License-Identifier: AGPL-3.0-or-later

package worldtime

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// The wire between a stepped world and participants in other processes: one TCP
// connection a participant, a JSON line each way. A connection that ends has left.
type (
	request struct {
		Join  string          `json:"join,omitempty"`
		Until *energy.Instant `json:"until,omitempty"`
	}
	answer struct {
		Now   energy.Instant `json:"now"`
		Speed float64        `json:"speed"`
	}
)

// maxLine bounds a line on the wire.
const maxLine = 1 << 10

// Serve lets participants in other processes join the clock through l, until
// ctx ends. It is for demos and tests on one computer: l listens on loopback.
func Serve(ctx context.Context, clock Clock, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("world clock: accepting a participant: %w", err)
		}
		work.Go(func() { serveParticipant(ctx, clock, conn) })
	}
}

func serveParticipant(ctx context.Context, clock Clock, conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	requests := make(chan request)
	go func() { // reading goes on during a wait, so that a killed process is noticed
		defer cancel()
		lines := bufio.NewScanner(conn)
		lines.Buffer(make([]byte, 0, maxLine), maxLine)
		for lines.Scan() {
			var r request
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	var part Participant
	defer func() {
		if part != nil {
			part.Leave()
		}
	}()
	out := json.NewEncoder(conn)
	for {
		var r request
		select {
		case r = <-requests:
		case <-ctx.Done():
			return
		}
		now := clock.Now()
		switch {
		case r.Join != "" && part == nil:
			part = clock.Join(r.Join)
		case r.Until != nil && part != nil:
			var err error
			if now, err = part.WaitUntil(ctx, *r.Until); err != nil {
				return
			}
		}
		if out.Encode(answer{now, clock.Speed()}) != nil {
			return
		}
	}
}

// Remote is a stepped world that another process keeps.
type Remote struct {
	addr  string
	now   atomic.Int64  // the newest that was told
	speed atomic.Uint64 // millionths

	mu   sync.Mutex // for questions of Now
	conn net.Conn   // nil once the world is gone
	in   *bufio.Reader
}

// ErrWorldGone is wrapped when the process that keeps the world has ended.
var ErrWorldGone = errors.New("the world clock is gone")

// Dial reaches a world that is kept by [Serve] at addr.
func Dial(ctx context.Context, addr string) (*Remote, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("world clock at %s: %w", addr, err)
	}
	r := &Remote{addr: addr, conn: conn, in: bufio.NewReaderSize(conn, maxLine)}
	if _, err := r.exchange(conn, r.in, request{}); err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// Now asks the world: another process may have been woken to a new instant
// before this one, and what it asks of us must be answered in its present. Once
// the world is gone, Now is the newest instant that was told.
func (r *Remote) Now() energy.Instant {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		if _, err := r.exchange(r.conn, r.in, request{}); err != nil {
			r.conn.Close()
			r.conn = nil
		}
	}
	return r.told()
}

// Close ends the questions; participants leave by themselves.
func (r *Remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil {
		return nil
	}
	err := r.conn.Close()
	r.conn = nil
	return err
}

func (r *Remote) told() energy.Instant { return energy.Instant(r.now.Load()) }

// Speed is what the world reported last.
func (r *Remote) Speed() float64 { return float64(r.speed.Load()) / 1e6 }

// joinWithin bounds the dialling of a participant, in wall time.
const joinWithin = 10 * time.Second

// Join takes part. A world that cannot be reached shows at the first wait.
func (r *Remote) Join(name string) Participant {
	p := &remoteParticipant{clock: r}
	// There is no context to give up by: the world is on this computer.
	p.conn, p.err = (&net.Dialer{Timeout: joinWithin}).DialContext(context.Background(), "tcp", r.addr)
	if p.err == nil {
		p.in = bufio.NewReaderSize(p.conn, maxLine)
		_, p.err = r.exchange(p.conn, p.in, request{Join: name})
	}
	return p
}

func (r *Remote) exchange(w io.Writer, in *bufio.Reader, q request) (energy.Instant, error) {
	line, err := json.Marshal(q)
	if err != nil {
		return 0, fmt.Errorf("world clock: %w", err)
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrWorldGone, err)
	}
	reply, err := in.ReadSlice('\n')
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrWorldGone, err)
	}
	var a answer
	if err := json.Unmarshal(reply, &a); err != nil {
		return 0, fmt.Errorf("world clock: unreadable answer: %w", err)
	}
	for {
		latest := r.now.Load()
		if int64(a.Now) <= latest || r.now.CompareAndSwap(latest, int64(a.Now)) {
			break
		}
	}
	r.speed.Store(uint64(max(a.Speed, 0) * 1e6))
	return a.Now, nil
}

type remoteParticipant struct {
	clock *Remote
	conn  net.Conn
	in    *bufio.Reader
	err   error
}

func (p *remoteParticipant) WaitUntil(ctx context.Context, at energy.Instant) (energy.Instant, error) {
	if p.err != nil {
		return p.clock.told(), p.err
	}
	stop := context.AfterFunc(ctx, func() { p.conn.Close() })
	defer stop()
	now, err := p.clock.exchange(p.conn, p.in, request{Until: &at})
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		p.err = err
		return p.clock.told(), err
	}
	return now, ctx.Err()
}

func (p *remoteParticipant) Leave() {
	if p.conn != nil {
		p.conn.Close()
	}
}
