// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// line is one open connection. Its errors are of the kinds of this package.
type line interface {
	// exchange sends one request and waits for its answer.
	exchange(req *request) reply
	// usable says whether the connection may carry another exchange after err.
	usable(err error) bool
	close()
}

// link is the connection with all that outlives it, used by the bus's owner
// goroutine alone.
type link struct {
	cfg      Config
	where    target
	line     line // nil: not connected
	used     bool // the connection has carried an exchange
	dialing  chan dialed
	debts    debts     // answers that may still come over a serial line
	last     time.Time // end of the last exchange
	lastUnit uint8
	units    breaker
	failures int       // to connect, in a row
	resume   time.Time // no attempt to connect before
	cause    error     // why there is a pause
}

type dialed struct {
	line line
	err  error
}

func newLink(cfg Config, where target) *link {
	return &link{cfg: cfg, where: where, units: breaker{}}
}

// do runs one exchange, connecting first where needed.
func (l *link) do(ctx context.Context, req *request) reply {
	if err := l.allowed(req); err != nil {
		return reply{err: err}
	}
	for {
		if err := l.connect(ctx); err != nil {
			return reply{err: err}
		}
		if err := pause(ctx, l.gap(req.unit)); err != nil {
			return reply{err: ErrClosed}
		}
		reused, begun := l.used, time.Now()
		got := l.line.exchange(req)
		l.used, l.last, l.lastUnit = true, time.Now(), req.unit
		if l.line.usable(got.err) {
			l.failures = 0
			l.units.note(req.unit, l.last, l.last.Sub(begun), got.err)
			return got
		}
		l.close()
		gone := errors.Is(got.err, ErrUnavailable)
		// A device may drop an idle connection; that is found out only by
		// using it. Both reading and writing absolute values may be done
		// twice, so the request is tried once more on a fresh connection.
		if reused && gone {
			continue
		}
		if gone {
			if l.where.scheme != schemeUDP {
				got.err = hangsUp(got.err)
			}
			l.failed(got.err)
		} else {
			l.units.note(req.unit, l.last, l.last.Sub(begun), got.err)
		}
		return got
	}
}

// allowed refuses what must not be sent, or not now.
func (l *link) allowed(req *request) error {
	if most := l.cfg.Units[req.unit].MaxRegisters; most > 0 && req.count > most && (req.function == readHolding || req.function == readInput) {
		return fmt.Errorf("%w: this unit gives at most %d registers a read", ErrRequest, most)
	}
	if l.where.rtu() && req.unit == 0 {
		return fmt.Errorf("%w: unit 0 of a serial line means all units, and none of them answers; name one from 1 to 247", ErrRequest)
	}
	return l.units.refusal(req.unit, time.Now())
}

// gap is how long to wait before a request to unit.
func (l *link) gap(unit uint8) time.Duration {
	gap := max(l.cfg.RequestGap, l.cfg.Units[unit].RequestGap)
	if unit != l.lastUnit {
		gap = max(gap, l.cfg.UnitGap)
	}
	if gap == 0 {
		return 0
	}
	return time.Until(l.last.Add(gap))
}

// connect makes sure that there is a connection, or says why there is none.
func (l *link) connect(ctx context.Context) error {
	if l.line != nil {
		return nil
	}
	if wait := time.Until(l.resume); wait > 0 {
		return fmt.Errorf("%w: next attempt in %s, after: %w", ErrUnavailable, wait.Round(time.Millisecond), l.cause)
	}
	if l.dialing == nil {
		l.dialing = l.dial(ctx)
	}
	// Opening a serial line includes listening until it is silent.
	timeout := time.NewTimer(l.cfg.Timeout + l.settle())
	defer timeout.Stop()
	select {
	case d := <-l.dialing:
		l.dialing = nil
		if d.err != nil {
			err := explainDial(d.err)
			l.failures = max(l.failures, patience-1) // a refused connection is no glitch
			l.failed(err)
			return err
		}
		l.line, l.used, l.last = d.line, false, time.Now()
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

// settle is how long opening the line may take beyond the connection itself.
func (l *link) settle() time.Duration {
	if l.where.rtu() {
		return drainRounds * l.cfg.Quiet
	}
	return 0
}

// dial opens a connection without holding up the owner: the library's own limit
// of 5 s is longer than a request may take.
func (l *link) dial(ctx context.Context) chan dialed {
	result := make(chan dialed, 1)
	cfg, where, owed := l.cfg, l.where, &l.debts
	go func() {
		var d dialed
		if where.rtu() {
			d.line, d.err = openRTU(ctx, cfg, where, owed)
		} else {
			d.line, d.err = openMBAP(cfg, where)
		}
		result <- d
	}()
	return result
}

// failed notes that there is no connection; after too many in a row it sets the pause.
func (l *link) failed(err error) {
	l.failures++
	if d := longestPause(l.failures); d > 0 {
		l.cause = err
		l.resume = time.Now().Add(jittered(d))
	}
}

func (l *link) close() {
	if l.line != nil {
		l.line.close()
		l.line = nil
	}
}

// end closes everything, also a connection that is still being made.
func (l *link) end() {
	l.close()
	if pending := l.dialing; pending != nil {
		go func() { // ends with the dial's own limit
			if d := <-pending; d.err == nil {
				d.line.close()
			}
		}()
	}
}

// explainDial says what to do where a connection was refused.
func explainDial(err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: %w: Modbus is switched off there, the port is another, or the one connection that the device takes is in use "+
			"(then share it through `allmende gateway proxy`)", ErrUnavailable, err)
	case errors.Is(err, syscall.ECONNRESET): // it is closed before it is open
		return hangsUp(fmt.Errorf("%w: %w", ErrUnavailable, err))
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("%w: another program has this port open; stop it: %w", ErrUnavailable, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: no right to open it; add the user to the group dialout: %w", ErrUnavailable, err)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w: no such port; is the adapter plugged in? Look into /dev/serial/by-id: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// hangsUp explains a connection that is taken and closed before it was of use.
func hangsUp(err error) error {
	return fmt.Errorf("%w: the device closed the connection at once; many take one client only (SolarEdge, Kostal, FEMS): "+
		"stop the other software, or share the device through `allmende gateway proxy`", err)
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
