// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"errors"
	"slices"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/uplink"
)

const (
	// writesAtOnce bounds what one device is written in one go; a guard is never
	// done later than that unless its device refuses.
	writesAtOnce = 6
	// How often a device is asked what is in force: while something of ours
	// is, and otherwise.
	observeOurs   = 5 * energy.Second
	observeOthers = energy.Minute
)

// watchOver gives a device that takes commands its guard. A device that was
// replaced gets a new one: a waiver is for one device, and what was told to the
// one says nothing about the other.
func (p *poller) watchOver(dev device.Device) {
	controls := dev.Controls()
	if p.cfg.ReadOnly || p.guard != nil && slices.Equal(controls, p.controls) && p.guarded == p.identity {
		return
	}
	commanded := p.guard != nil && p.guard.Commands()
	p.guard, p.controls, p.guarded = nil, controls, p.identity
	if len(controls) == 0 {
		if commanded {
			p.log.Error("the device takes no commands any more, and may still follow the last one: see that it does not", "model", p.identity.Model, "firmware", p.identity.Version)
		}
		return
	}
	limits := guard.DeviceLimits()
	if p.cfg.Limits != nil {
		limits = *p.cfg.Limits
	}
	waived := p.waived()
	p.guard = guard.New(guard.Config{
		Controls: controls, Limits: limits, Poll: p.env.cfg.Poll, Fallback: p.cfg.Fallback, Waived: waived, Born: p.env.born,
	})
	p.guard.Restore(p.env.wear.of(p.cfg.Asset))
	if commanded { // the same device, perhaps, after an update: what it was told ends now
		p.guard.Clear()
	}
	for _, c := range controls {
		if c.Reversion == device.RevertsByWatchdog && 2*p.env.cfg.Poll.Duration() > c.LeastReversion {
			p.log.Warn("the device comes back to itself between two polls: shorten poll", "quantity", c.Quantity, "after", c.LeastReversion, "poll", p.env.cfg.Poll)
		}
		if c.Reversion == device.NeverReverts {
			p.log.Warn("the device never comes back to itself; it is commanded only with a waiver", "quantity", c.Quantity, "waiver", waived)
		}
	}
}

// waived says whether an operator has signed for this very device. The
// configuration has checked the signature.
func (p *poller) waived() bool {
	w := p.cfg.waiver
	if w == nil {
		return false
	}
	if w.Serial != "" && w.Serial != p.identity.Serial {
		p.log.Warn("the waiver was signed for another device", "signed for", w.Serial, "is", p.identity.Serial)
		return false
	}
	return true
}

// offer hands a setpoint to the guard.
func (p *poller) offer(sp guard.Setpoint) {
	if p.guard == nil {
		note := "refused: the device was not found yet"
		switch {
		case p.cfg.ReadOnly:
			note = "refused: read_only in gateway.yaml"
		case p.dev != nil:
			note = "refused: this device takes no commands"
		}
		p.mu.Lock()
		p.report.Setpoint = &uplink.SetpointState{Epoch: sp.Epoch, Sequence: sp.Sequence, Note: note}
		p.mu.Unlock()
		return
	}
	err := p.env.epochs.covers(sp.Epoch)
	if err == nil {
		err = p.guard.Offer(sp, p.env.stamp())
	} else {
		err = p.guard.OfferLess(sp, p.env.stamp(), err)
	}
	if err != nil {
		p.log.Debug("setpoint refused", "error", err)
	}
}

func (p *poller) input() guard.Input {
	in := guard.Input{SoC: p.soc, SoCAt: p.socAt, Grid: guard.FreeGrid(), At: p.env.now()}
	if !p.stopping {
		in.Grid = p.env.grid.allows(p.cfg.Asset, p.env.stamp())
	}
	return in
}

// act carries out what the guard decides.
func (p *poller) act(ctx context.Context) {
	if p.guard == nil {
		return
	}
	defer p.tellControls()
	in := p.input()
	defer func() { p.withheld = in.Withhold }()
	for range writesAtOnce {
		now := p.env.stamp()
		action := p.guard.Decide(now, in)
		if action.Kind == guard.Nothing {
			return
		}
		if action.Kind != guard.Release && (p.skips > 0 || p.night.asleep) {
			return // it does not answer; a release is tried all the same
		}
		if err := p.count(action); err != nil {
			in.Withhold = "writes that can't be counted are not made: " + err.Error()
			if p.withheld != in.Withhold {
				p.log.Warn("nothing is added to what the device does: writes to its flash memory can't be counted", "quantity", action.Command.Quantity, "error", err)
			}
			continue // what takes away, and limits that are to be held, are written all the same
		}
		err := p.command(ctx, action)
		p.guard.Done(action, now, in, err)
		if err != nil {
			if !p.night.asleep {
				p.log.Warn("the device can't be commanded", "quantity", action.Command.Quantity, "error", err)
			}
			return // with the next round, so that one device does not hold up its line
		}
	}
}

var errUnreachable = errors.New("the device is not reachable")

func (p *poller) command(ctx context.Context, a guard.Action) error {
	if p.dev == nil {
		return errUnreachable
	}
	ctx, cancel := p.deadline(ctx, exchangesOfCommand)
	defer cancel()
	if a.Kind == guard.Release {
		return p.dev.Release(ctx)
	}
	return p.dev.Apply(ctx, a.Command)
}

// count puts a write on the disk before it is made, if it adds. What takes away
// is counted afterwards, if need be: it does not wait for a disk.
func (p *poller) count(a guard.Action) error {
	if p.dev == nil {
		return nil // nothing is going to be written
	}
	if a.Adds {
		return p.env.wear.spend(p.cfg.Asset, p.guard.Budgets())
	}
	p.env.wear.note(p.cfg.Asset, p.guard.Budgets())
	return nil
}

// observe asks the device what is in force, to notice a second master.
func (p *poller) observe(ctx context.Context) {
	if p.guard == nil || p.blind {
		return
	}
	every := observeOthers
	if p.guard.Commands() {
		every = observeOurs
	}
	now := p.env.stamp()
	if now-p.observed < guard.Stamp(every) {
		return
	}
	p.observed = now
	ctx, cancel := p.deadline(ctx, exchangesOfRead)
	defer cancel()
	applied, err := p.dev.Applied(ctx)
	if err != nil {
		p.blind = errors.Is(err, device.ErrNotReadable)
		return // what keeps it from answering shows at the next reading
	}
	p.guard.Observe(applied, now)
	if told := p.guard.StateAt(now).Rival; told != p.rival {
		p.rival = told
		if told != "" {
			p.log.Warn("the device is commanded by somebody else as well", "what", told)
		}
	}
}

// tellControls puts into the report what is in force and why.
func (p *poller) tellControls() {
	now := p.env.stamp()
	s := p.guard.StateAt(now)
	expires := func(at guard.Stamp) energy.Instant { return p.env.now().Add(energy.Span(at - now)) }
	state := &uplink.SetpointState{
		Epoch: s.Setpoint.Epoch, Sequence: s.Setpoint.Sequence, Note: s.Note, Expires: expires(s.Expires),
	}
	if s.InForce {
		state.Power = s.Power
	}
	var controls []uplink.ControlState
	for _, c := range s.Controls {
		out := uplink.ControlState{
			Quantity: c.Quantity, InForce: c.InForce, Value: c.Value, Stopped: c.Stop, Why: c.Why,
			WritesSpent: c.Budget.Spent, WritesAllowed: int64(c.Budget.Most),
		}
		if c.Held {
			out.Expires = expires(c.Expires)
		}
		controls = append(controls, out)
	}
	if s.Watched {
		state.Note = "only watched: the device never comes back to itself, and no operator has signed a waiver"
	}
	rival := s.Rival
	if rival != "" && s.Yields {
		rival += "; it is left alone for a while"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Setpoint.Sequence > 0 || state.Note != "" {
		p.report.Setpoint = state
	}
	p.report.Controls, p.report.SecondMaster = controls, rival
}
