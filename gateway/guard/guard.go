// SPDX-License-Identifier: AGPL-3.0-or-later

// Package guard protects a device from its commands: it is the part of the
// house that is there when the network is not.
//
// A setpoint is in force until its stamp plus its time-to-live on the
// gateway's own monotonic clock, whatever the network did in between; then the
// device is released to itself, or rests where its configuration says so.
// Commands of an earlier owner (a lower epoch), out of order (a lower
// sequence) or stamped by another clock are refused. What remains passes the
// limits of the equipment, of the grid operator and of the charter, in this
// order; the state of charge, ramps and the least run and pause times of loads
// have their say; and the device's own reversion timer is armed for the time
// that is left, so that a dead gateway leaves nothing behind.
//
// A [Guard] decides and writes nothing: its owner carries out what
// [Guard.Decide] says and tells [Guard.Done] what became of it. It has no
// clock either: time comes in as a [Stamp].
package guard

import (
	"errors"
	"slices"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// Stamp is a reading of the gateway's monotonic clock in milliseconds. It has
// no meaning outside the process that made it.
type Stamp int64

// Config is what a guard knows about its device.
type Config struct {
	Controls []device.Control // what the device takes
	Limits   Limits
	Poll     energy.Span // how often Decide is asked at least
	Fallback Fallback
	// Waived: an operator has signed for a device that never reverts by itself.
	Waived bool
	// Born is the first stamp of this process. What is stamped before was
	// stamped by a clock that is gone.
	Born Stamp
}

// Fallback is what a battery does while no setpoint is in force.
type Fallback string

// Fallbacks.
const (
	// ReleaseIt leaves the battery to itself: most then serve their own house.
	ReleaseIt Fallback = "release"
	// Rest holds it at 0 W. This, and never the last setpoint, is what "hold" means.
	Rest Fallback = "zero"
)

// Kind is what an [Action] asks for.
type Kind uint8

// Kinds of action.
const (
	Nothing Kind = iota
	Set          // apply Command
	Release      // give the device back to itself
)

// Action is what is to be done with the device now.
type Action struct {
	Kind    Kind
	Command device.Command // of Set
	// Adds: it lets more happen than is in force, or for longer. Everything else
	// takes away, or holds a limit, and is not to wait for anything.
	Adds bool

	shortens bool // it ends what is in force sooner
	slot     place
	behind   backing
}

// backing is what stands behind a value: a setpoint until it ends, or, standing,
// a limit that holds until it is lifted.
type backing struct {
	until    Stamp
	standing bool
}

// Input is what a decision needs to know beside the time.
type Input struct {
	SoC   int64          // permille, -1 where it is not known
	SoCAt Stamp          // when it was read
	Grid  GridLimit      // what the grid operator allows at this moment, see [Contact]
	At    energy.Instant // world time, for the flash-write budgets
	// Withhold says why nothing may be added at the moment, and is empty where
	// it may: what is in force may still be taken away, and limits are held.
	Withhold string
}

// place is one thing that can be commanded.
type place uint8

const (
	battery   place = iota // the power of a battery
	charge                 // the most it may charge with
	discharge              // the most it may discharge with
	feed                   // the most that an inverter may feed in
	load                   // the most that a load may take
	places
)

// order is the latest accepted setpoint of one authority for one place.
type order struct {
	held     bool
	setpoint Setpoint
	value    int64 // in the unit of the place's control
	expires  Stamp
	epoch    uint64 // of the latest accepted one
	sequence uint64
}

// slot is a place that the device has a control for, and what was written there.
type slot struct {
	control device.Control
	budget  Budget

	// commanded: the device may hold a command of ours. known: it holds
	// `written`, armed at armedAt until revertsAt.
	commanded bool
	known     bool
	written   device.Command
	armedAt   Stamp
	revertsAt Stamp
	// behind is what stood behind the latest value that the device is known to
	// have taken, or behind the first try if none is: while later ones fail, that
	// value may still be in force.
	behind  backing
	grownAt Stamp    // when the value last grew
	may     interval // what the device may hold, from what was tried; rest is always among it
	past    interval // what it may have held since the state of charge was read
	readAt  Stamp

	note string // why what was asked for is not what is commanded
}

// Guard watches over one device. Not for concurrent use.
type Guard struct {
	cfg    Config
	slots  [places]*slot // nil: the device has no such control
	orders [places][authorities]order
	epoch  uint64

	note        string // of the device as a whole
	failedUntil Stamp  // the device did not take a command: it is not asked again before
	failures    int
	// leftover: a process before this one may have left a command behind. It is
	// released before the first write, which might start its timer anew; where
	// the device never reverts, at once.
	leftover, clearing bool
	// releases failed in a row; from releaseFrom on the next is tried, where a
	// limit that must hold waits.
	releases    int
	releaseFrom Stamp

	soc   socGuard
	cycle cycle
	rival rival
}

// New watches over a device that is decided on once in every poll.
func New(cfg Config) *Guard {
	cfg.Limits = cfg.Limits.bounded()
	g := &Guard{cfg: cfg, leftover: true, cycle: cycle{since: cfg.Born}}
	for _, c := range cfg.Controls {
		at, ok := placeOf(c.Quantity)
		if !ok {
			continue
		}
		if c.Quantity == device.ActivePower && g.cfg.Limits.Rated == 0 {
			g.cfg.Limits.Rated = energy.Power(c.Most) // its most is its rating
		}
		if g.slots[at] != nil && c.Quantity == device.ActivePowerPct {
			continue // watts are finer
		}
		g.slots[at] = &slot{control: c, budget: Budget{Most: c.Flash}}
	}
	return g
}

func placeOf(q device.Quantity) (place, bool) {
	switch q {
	case device.BatteryPower, "":
		return battery, true
	case device.ChargeLimit:
		return charge, true
	case device.DischargeLimit:
		return discharge, true
	case device.ActivePower, device.ActivePowerPct:
		return feed, true
	case device.LoadPower:
		return load, true
	}
	return 0, false
}

// Fence refuses every epoch below this one from now on.
func (g *Guard) Fence(epoch uint64) { g.epoch = max(g.epoch, epoch) }

// full is the whole of a rating in permille.
const full = 1000

// Decide says what is to be done with the device now. Ask again after carrying
// it out, until it says Nothing: one device may need more than one write.
func (g *Guard) Decide(now Stamp, in Input) Action {
	g.expire(now)
	var wants [places]want
	for at := range places {
		if g.commandable(at) {
			wants[at] = g.want(at, now, in)
		}
	}
	release := g.leftover && (g.clearing || g.mustClear(wants[:]))
	g.clearing = release // begun is begun: it is tried until it arrives
	resting := now < g.failedUntil || g.rival.yields(now)
	hard := false // a limit that must hold waits to be written
	for at, s := range g.slots {
		if s == nil {
			continue
		}
		release = release || s.commanded && (!wants[at].on || resting && !wants[at].must || s.outlived(now))
		hard = hard || wants[at].on && wants[at].must && !s.known
	}
	// A device that refuses to be released must not keep a limit from being
	// written that protects the house: then the two take turns.
	if release && (!hard || now >= g.releaseFrom) {
		return Action{Kind: Release}
	}
	for _, at := range writeOrder() {
		s, w := g.slots[at], wants[at]
		if s == nil || !w.on {
			continue
		}
		if release && !w.must || resting && (!w.must || !g.rival.mayInsist(now)) {
			continue
		}
		if a := s.write(at, w, now, in, rhythm{g.cfg.Poll, g.cfg.Limits.Ramp}); a.Kind != Nothing {
			return a
		}
	}
	return Action{}
}

// mustClear says that what an earlier process may have left is to go now.
func (g *Guard) mustClear(wants []want) bool {
	for at, w := range wants {
		if w.on || g.commandable(place(at)) && !g.slots[at].reverts() {
			return true
		}
	}
	return false
}

// writeOrder begins with what only takes away.
func writeOrder() []place { return []place{feed, load, charge, discharge, battery} }

func (g *Guard) expire(now Stamp) {
	for at := range g.orders {
		for from := range g.orders[at] {
			o := &g.orders[at][from]
			if o.held && now >= o.expires {
				o.held, g.note = false, "expired"
			}
		}
	}
}

// Done says what became of an action that was carried out at now. A write that
// failed may have reached the device all the same: it is written again, and
// released in the end.
func (g *Guard) Done(a Action, now Stamp, in Input, err error) {
	switch a.Kind {
	case Set:
		g.set(a, now, in, err)
	case Release:
		if err != nil {
			for _, s := range g.slots {
				if s != nil {
					s.known = false
				}
			}
			g.note = "the release could not be written: " + err.Error()
			if g.releases++; g.releases >= patience {
				g.releaseFrom = now + Stamp(min(10*energy.Second<<min(g.releases-patience, 5), 5*energy.Minute))
			}
			return
		}
		g.leftover, g.clearing, g.releases, g.releaseFrom = false, false, 0, 0
		for at, s := range g.slots {
			if s == nil {
				continue
			}
			if s.commanded {
				s.budget.Spend(in.At)
			}
			s.commanded, s.known, s.may, s.behind = false, false, interval{}, backing{}
			if place(at) == load {
				g.cycle.run(now)
			}
		}
	case Nothing:
	}
}

func (g *Guard) set(a Action, now Stamp, in Input, err error) {
	s := g.slots[a.slot]
	s.budget.Spend(in.At)
	g.rival.wrote(now)
	s.commanded = true
	s.past = s.past.with(a.Command.Value)
	if err != nil {
		s.known, s.may = false, s.may.with(a.Command.Value)
		if s.behind == (backing{}) {
			s.behind = a.behind
		}
		g.note = "could not be written: " + err.Error()
		if refused(err) {
			// It answered, and will answer the same again: asking on would only wear it out.
			g.failures++
			g.failedUntil = now + Stamp(min(energy.Minute<<min(g.failures-1, 6), energy.Hour))
		}
		return
	}
	if !s.known || s.grows(a.slot, a.Command.Value) {
		s.grownAt = now
	}
	g.failures = 0
	g.rival.shown[a.slot].known = false // what the device makes of it is to be seen
	s.behind = a.behind
	s.known, s.written, s.may = true, a.Command, interval{}.with(a.Command.Value)
	s.armedAt, s.revertsAt = now, now+Stamp(energy.SpanOf(a.Command.Reversion))
	if a.slot == load {
		if a.Command.Value == 0 {
			g.cycle.pause(now)
		} else {
			g.cycle.run(now)
		}
	}
}

// patience is how many releases may fail in a row before a limit that must hold
// is written all the same.
const patience = 3

// refused says that a device took the question and not the command.
func refused(err error) bool {
	return errors.Is(err, device.ErrReadBack) || errors.Is(err, device.ErrRange) || errors.Is(err, device.ErrNoControl)
}

// Drop ends every command; the next Decide releases the device.
func (g *Guard) Drop(why string) {
	for at := range g.orders {
		for from := range g.orders[at] {
			if o := &g.orders[at][from]; o.held {
				o.held, g.note = false, why
			}
		}
	}
	g.cfg.Fallback = ReleaseIt
	g.cfg.Limits.MaxFeedIn, g.cfg.Limits.MaxLoad = NoLimit, NoLimit
	g.cfg.Limits.OfflineFeedIn, g.cfg.Limits.OfflineLoad = NoLimit, NoLimit
}

// Clear releases the device before anything else: a guard before this one had
// commanded it.
func (g *Guard) Clear() { g.leftover, g.clearing = true, true }

// Forget says that the device may have been restarted: what it was told has to
// be told again.
func (g *Guard) Forget() {
	for _, s := range g.slots {
		if s != nil {
			s.known = false
		}
	}
}

// Commands says whether the device may hold a command of ours.
func (g *Guard) Commands() bool {
	return slices.ContainsFunc(g.slots[:], func(s *slot) bool { return s != nil && s.commanded })
}

func magnitude(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}
