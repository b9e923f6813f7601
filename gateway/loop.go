// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
)

// mailbox holds the setpoints of one bus that were not yet looked at: the
// newest of each quantity of each asset.
type mailbox struct {
	mu      sync.Mutex
	waiting map[address]guard.Setpoint
	epoch   uint64
	wake    chan struct{} // one place
}

// address is what setpoints take each other's place by.
type address struct {
	asset    roll.AssetID
	quantity device.Quantity
	from     guard.Authority
}

func newMailbox() *mailbox {
	return &mailbox{waiting: map[address]guard.Setpoint{}, wake: make(chan struct{}, 1)}
}

// mostWaiting bounds the map: quantities come from the wire.
const mostWaiting = 10 * maxDevices

// post is called with assets of this bus only.
func (m *mailbox) post(sp guard.Setpoint) {
	m.mu.Lock()
	at := address{sp.Asset, sp.Quantity, sp.From}
	old, there := m.waiting[at]
	if !there && len(m.waiting) < mostWaiting || there && (sp.Epoch > old.Epoch || sp.Epoch == old.Epoch && sp.Sequence > old.Sequence) {
		m.waiting[at] = sp
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) fence(epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch = max(m.epoch, epoch)
}

// take empties the mailbox: what came by asset, in the order in which it was sent.
func (m *mailbox) take() (epoch uint64, setpoints map[roll.AssetID][]guard.Setpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sp := range m.waiting {
		if setpoints == nil {
			setpoints = map[roll.AssetID][]guard.Setpoint{}
		}
		setpoints[sp.Asset] = append(setpoints[sp.Asset], sp)
	}
	for _, of := range setpoints {
		slices.SortFunc(of, func(a, b guard.Setpoint) int {
			return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Sequence, b.Sequence))
		})
	}
	clear(m.waiting)
	return m.epoch, setpoints
}

// loop polls the devices behind one bus, writes before reads.
type loop struct {
	name    string
	env     *environment
	clock   worldtime.Clock
	stepped bool
	part    worldtime.Participant // in clock; see join
	pollers []*poller
	mail    *mailbox
	// keep and show take what a round found: the metering and the live lane.
	keep func([]meters.Sample)
	show func(guard.Stamp, []meters.Reading)
	// settle is called after each round of a stepped world, before it may move on.
	settle func(context.Context)

	previous energy.Instant // of the round before
	begun    bool
	passed   atomic.Int64 // wall time of the latest round, in Unix nanoseconds
}

// join takes part in the world. It comes before anybody hears of this gateway, so
// that a world which waits for the gateway does not move on without its first round.
func (l *loop) join() { l.part = l.clock.Join(l.name) }

// run polls until ctx ends; it returns an error only if the world itself ends.
func (l *loop) run(ctx context.Context) error {
	defer l.part.Leave()
	// Stopping takes a few last requests, each with a deadline of its own.
	defer l.end(context.WithoutCancel(ctx))
	poll := l.env.cfg.Poll
	now := l.clock.Now()
	for {
		l.late()
		begun := time.Now()
		l.round(ctx, now)
		l.env.measures.round(time.Since(begun))
		l.passed.Store(time.Now().UnixNano())
		next := alignUp(l.clock.Now(), poll)
		var err error
		if now, err = l.wait(ctx, next); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("bus %s: waiting for world time: %w", l.name, err)
		}
	}
}

// alignUp is the first multiple of the period after t.
func alignUp(t energy.Instant, period energy.Span) energy.Instant {
	r := energy.Span(t) % period
	if r < 0 {
		r += period
	}
	return t.Add(period - r)
}

// wait blocks until the next round and carries out commands meanwhile. In a
// stepped world commands wait for the round, so that a run can be repeated.
func (l *loop) wait(ctx context.Context, next energy.Instant) (energy.Instant, error) {
	if l.stepped {
		return l.part.WaitUntil(ctx, next)
	}
	// Cut into pieces, because the computer may sleep or its clock be set.
	const piece = 2 * time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := l.clock.Now()
		if now >= next {
			return now, ctx.Err()
		}
		timer.Reset(min(next.Sub(now).Duration(), piece))
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-l.mail.wake:
			l.commands(ctx)
		case <-timer.C:
		}
	}
}

// commands hands out what came and lets every guard act.
func (l *loop) commands(ctx context.Context) {
	epoch, setpoints := l.mail.take()
	for _, p := range l.pollers {
		if p.guard != nil {
			p.guard.Fence(epoch)
		}
		for _, sp := range setpoints[p.cfg.Asset] {
			p.offer(sp)
		}
		p.act(ctx)
	}
}

func (l *loop) round(ctx context.Context, now energy.Instant) {
	l.commands(ctx)
	interval := l.env.cfg.Interval
	boundary := !l.begun || boundaries(l.previous, now, interval) > 0
	l.previous, l.begun = now, true
	var samples []meters.Sample
	var readings []meters.Reading
	for i, p := range l.pollers {
		if i > 0 && !l.stepped {
			l.commands(ctx) // a device that is slow to answer delays one command, not a round of them
		}
		s, r, ok := p.read(ctx, boundary)
		samples = append(samples, s...)
		if ok {
			readings = append(readings, r)
		}
	}
	// Registers of one device come in no order; sequences shall not depend on it.
	slices.SortStableFunc(samples, compareSamples)
	l.keep(samples)
	l.show(l.env.stamp(), readings)
	if l.stepped {
		l.settle(ctx)
	}
}

func compareSamples(a, b meters.Sample) int {
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Asset, b.Asset), cmp.Compare(a.Register, b.Register))
}

// end gives batteries back and keeps the last samples.
func (l *loop) end(ctx context.Context) {
	var samples []meters.Sample
	for _, p := range l.pollers {
		samples = append(samples, p.end(ctx)...)
	}
	slices.SortStableFunc(samples, compareSamples)
	l.keep(samples)
}
