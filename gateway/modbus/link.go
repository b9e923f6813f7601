// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"time"

	wire "github.com/simonvetter/modbus"
)

// Pauses between attempts that failed, in wall time.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 10 * time.Second
	// patience is how many exchanges in a row may fail on fresh connections
	// before the bus pauses: the first failure must not delay the next request.
	patience = 3
)

// link is the connection, used by the bus's owner goroutine alone.
type link struct {
	cfg      Config
	client   *wire.ModbusClient // nil: not connected
	used     bool               // the connection has carried an exchange
	dialing  chan dialed        // a dial that outlasted its request; nil: none
	last     time.Time          // end of the last exchange
	failures int                // in a row
	resume   time.Time          // no attempt before
	cause    error              // why there is a pause
}

type dialed struct {
	client *wire.ModbusClient
	err    error
}

func newLink(cfg Config) *link { return &link{cfg: cfg} }

// do runs one exchange, connecting first where needed.
func (l *link) do(ctx context.Context, req *request) reply {
	for {
		if err := l.connect(ctx); err != nil {
			return reply{err: err}
		}
		if err := pause(ctx, time.Until(l.last.Add(l.cfg.RequestGap))); err != nil {
			return reply{err: ErrClosed}
		}
		reused := l.used
		got := l.exchange(req)
		raw, err := got.err, classify(got.err)
		got.err = err
		if !broken(err) {
			l.failures = 0
			return got
		}
		l.close()
		// A device may drop an idle connection; that is found out only by
		// using it. Both reading and writing absolute values may be done
		// twice, so the request is tried once more on a fresh connection.
		if reused && connectionGone(raw) {
			continue
		}
		l.failed(err)
		return reply{err: err}
	}
}

func (l *link) exchange(req *request) (got reply) {
	defer func() { l.used, l.last = true, time.Now() }()
	if got.err = l.client.SetUnitId(req.unit); got.err != nil {
		return got
	}
	if got.err = l.client.SetEncoding(wire.BIG_ENDIAN, wire.HIGH_WORD_FIRST); got.err != nil {
		return got
	}
	switch req.function {
	case readHolding:
		got.values, got.err = l.client.ReadRegisters(req.addr, req.count, wire.HOLDING_REGISTER)
	case readInput:
		got.values, got.err = l.client.ReadRegisters(req.addr, req.count, wire.INPUT_REGISTER)
	case readCoils:
		got.bits, got.err = l.client.ReadCoils(req.addr, req.count)
	case readDiscrete:
		got.bits, got.err = l.client.ReadDiscreteInputs(req.addr, req.count)
	case writeCoil:
		got.err = l.client.WriteCoil(req.addr, req.bits[0])
	case writeCoils:
		got.err = l.client.WriteCoils(req.addr, req.bits)
	case writeRegister:
		got.err = l.client.WriteRegister(req.addr, req.values[0])
	case writeRegisters:
		got.err = l.client.WriteRegisters(req.addr, req.values)
	default:
		got.err = ErrRequest
	}
	return got
}

// connect makes sure that there is a connection, or says why there is none.
func (l *link) connect(ctx context.Context) error {
	if l.client != nil {
		return nil
	}
	if wait := time.Until(l.resume); wait > 0 {
		return fmt.Errorf("%w: next attempt in %s, after: %w", ErrUnavailable, wait.Round(time.Millisecond), l.cause)
	}
	if l.dialing == nil {
		l.dialing = dial(l.cfg)
	}
	timeout := time.NewTimer(l.cfg.Timeout)
	defer timeout.Stop()
	select {
	case d := <-l.dialing:
		l.dialing = nil
		if d.err != nil {
			err := fmt.Errorf("%w: %w", ErrUnavailable, d.err)
			l.failures = max(l.failures, patience-1) // a refused connection is no glitch
			l.failed(err)
			return err
		}
		l.client, l.used, l.last = d.client, false, time.Now()
	case <-timeout.C:
		return fmt.Errorf("%w: connecting", ErrTimeout)
	case <-ctx.Done():
		return ErrClosed
	}
	if pause(ctx, l.cfg.ConnectDelay) != nil {
		return ErrClosed
	}
	return nil
}

// dial opens a connection without holding up the owner: the library's own limit
// of 5 s is longer than a request may take.
func dial(cfg Config) chan dialed {
	result := make(chan dialed, 1)
	go func() {
		client, err := wire.NewClient(&wire.ClientConfiguration{
			URL: cfg.URL, Timeout: cfg.Timeout, Logger: log.New(io.Discard, "", 0),
		})
		if err == nil {
			err = client.Open()
		}
		result <- dialed{client, err}
	}()
	return result
}

// failed notes a failure; after too many in a row it sets the pause.
func (l *link) failed(err error) {
	l.failures++
	if d := longestPause(l.failures); d > 0 {
		l.cause = err
		l.resume = time.Now().Add(d/2 + rand.N(d/2)) // jitter: gateways must not knock in step
	}
}

// longestPause is the pause after so many failures in a row, before its jitter.
func longestPause(failures int) time.Duration {
	n := failures - patience
	switch {
	case n < 0:
		return 0
	case n > 6: // 100 ms · 2⁷ is past the most
		return mostPause
	}
	return firstPause << n
}

func (l *link) close() {
	if l.client != nil {
		_ = l.client.Close() // what could go wrong no longer matters
		l.client = nil
	}
}

// end closes everything, also a connection that is still being made.
func (l *link) end() {
	l.close()
	if pending := l.dialing; pending != nil {
		go func() { // ends with the library's dial limit, 5 s at most
			if d := <-pending; d.err == nil {
				_ = d.client.Close()
			}
		}()
	}
}

// pause waits for d, or returns ctx's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
