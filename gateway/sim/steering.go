// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
)

// steering is what a device was told, whatever its registers look like.
type steering interface {
	// bounds are what the commands in force leave of its power, which is
	// discharge of a battery, production of an inverter and consumption of a
	// load. Bounds that contradict each other have low above high.
	bounds() (low, high energy.Power)
	// until is when it comes back to itself, [noDeadline] if it will not.
	until() energy.Instant
	// revert ends what is over at now.
	revert(now energy.Instant)
	// command is what another master writes: this power and nothing else.
	command(p energy.Power, now energy.Instant)
}

// unbounded is far beyond any device, and far from overflowing.
const unbounded = energy.Power(math.MaxInt64 / 4)

// free is the steering of a device that cannot be told anything.
type free struct{}

func (free) bounds() (low, high energy.Power)     { return -unbounded, unbounded }
func (free) until() energy.Instant                { return noDeadline }
func (free) revert(energy.Instant)                {}
func (free) command(energy.Power, energy.Instant) {}

// timer ends a command that nobody renews.
type timer struct {
	ignored  bool // the device has the registers and does nothing about them
	deadline energy.Instant
}

func newTimer(q Quirks) timer { return timer{ignored: q.IgnoresReversion, deadline: noDeadline} }

// arm starts it; 0 s means that a command stays.
func (t *timer) arm(now energy.Instant, seconds int64) {
	t.deadline = noDeadline
	if seconds > 0 && !t.ignored {
		t.deadline = now.Add(energy.Span(seconds) * energy.Second)
	}
}

func (t *timer) until() energy.Instant { return t.deadline }

// over says whether it has run out, and stops it then.
func (t *timer) over(now energy.Instant) bool {
	if now < t.deadline {
		return false
	}
	t.deadline = noDeadline
	return true
}

// follower lets a power follow what it should be: after a dead time, and then
// by a first-order lag. Without either it is there at once.
type follower struct {
	dead, constant energy.Span
	value          energy.Power
	at             energy.Instant
	known          bool
	told           []target // oldest first; the first is in effect
}

type target struct {
	from  energy.Instant
	power energy.Power
}

// mostTold bounds the targets that wait for their dead time.
const mostTold = 4096

// follow brings the power to now and gives it.
func (f *follower) follow(to energy.Power, now energy.Instant) energy.Power {
	if f.dead == 0 && f.constant == 0 {
		f.value = to
		return to
	}
	if !f.known {
		f.value, f.at, f.known = to, now, true
	}
	f.pass(now)
	if n := len(f.told); n == 0 || f.told[n-1].power != to && n < mostTold {
		f.told = append(f.told, target{now.Add(f.dead), to})
		f.pass(now)
	}
	return f.value
}

// pass lives up to now with what was told.
func (f *follower) pass(now energy.Instant) {
	for len(f.told) > 0 && f.told[0].from <= now {
		goal, end := f.told[0], now
		next := len(f.told) > 1 && f.told[1].from <= now
		if next {
			end = f.told[1].from
		}
		f.value = approach(f.value, goal.power, end.Sub(max(f.at, goal.from)), f.constant)
		f.at = end
		if !next {
			break
		}
		f.told = f.told[1:]
	}
	f.at = now
}

// approach is where a first-order lag is after d.
func approach(from, to energy.Power, d, constant energy.Span) energy.Power {
	if constant == 0 {
		return to
	}
	p := to + energy.Power(math.Round(float64(from-to)*math.Exp(-float64(d)/float64(constant))))
	if off := p - to; off > -energy.Watt && off < energy.Watt {
		return to
	}
	return p
}
