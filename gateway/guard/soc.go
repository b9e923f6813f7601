// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"github.com/allmende-energy/allmende/energy"
)

// socGuard remembers that a guard of the state of charge has stopped the battery.
type socGuard struct{ empty, full bool }

// verdict is what the state of charge leaves of a power.
type verdict struct {
	power   energy.Power
	horizon energy.Span // how long it may be in force without a new decision
	// release: what the device may hold is too much even for the shortest time
	// that it could be armed with, so its timer is not to be started again.
	release bool
	note    string
}

// Notes of the state of charge.
const (
	noteUnknown = "state of charge unknown"
	noteMinimum = "state of charge at its minimum"
	noteMaximum = "state of charge at its maximum"
	noteNear    = "state of charge near its limit"
)

// worstEfficiency is what a battery gives at least of what it loses, in permille.
const worstEfficiency = 800

// look updates what has stopped the battery.
func (g *socGuard) look(l Limits, soc int64) {
	if soc < 0 {
		return
	}
	switch {
	case soc <= l.MinSoC:
		g.empty = true
	case soc >= l.MinSoC+max(l.Hysteresis, 1):
		g.empty = false
	}
	switch {
	case soc >= l.MaxSoC:
		g.full = true
	case soc <= l.MaxSoC-max(l.Hysteresis, 1):
		g.full = false
	}
}

// stops says why a battery that follows itself may not charge or discharge.
func (g *socGuard) stops(l Limits, soc int64, at place) string {
	g.look(l, soc)
	switch {
	case at == charge && g.full:
		return noteMaximum
	case at == discharge && g.empty:
		return noteMinimum
	}
	return ""
}

// rooms is what is stored above the minimum and what has room below the
// maximum, after what may have flowed since the state of charge was read.
func (l Limits) rooms(may, past interval, now Stamp, in Input, poll energy.Span, size energy.Power) (out, room energy.Energy) {
	capacity := l.Capacity
	if capacity == 0 {
		capacity = max(size, limitOf(l.MaxCharge), limitOf(l.MaxDischarge), energy.Power(may.high), energy.Power(-may.low)).Over(energy.Hour)
	}
	of := func(permille int64) energy.Energy {
		return energy.Energy(energy.MulDiv(int64(capacity), max(permille, 0), full))
	}
	// A permille was rounded away by whoever told the state of charge. Age is
	// counted in whole polls, as the answer would change with every question.
	age := (max(energy.Span(now-in.SoCAt), 0) + poll - 1) / poll * poll
	out = energy.Energy(energy.MulDiv(int64(of(in.SoC-l.MinSoC-1)), worstEfficiency, full)) - energy.Power(past.high).Over(age)
	room = of(l.MaxSoC-in.SoC-1) - energy.Power(-past.low).Over(age)
	return max(out, 0), max(room, 0)
}

// near is the power that may be commanded with what is left: twice the time
// that the device can be armed with at least, so that one write may go wrong.
// What is in force already is let be a little longer, or each tick would write.
func near(size, is energy.Power, left energy.Energy, known bool, shortest energy.Span) energy.Power {
	most := left.MeanPower(2 * shortest)
	if size <= most {
		return size
	}
	if known && is > 0 && is <= size && is >= most/2 && is <= left.MeanPower(shortest*3/2) {
		return is
	}
	return most
}

// judge narrows a power by the state of charge. The gateway may die at any
// moment, and what is in force then stays so until the device reverts; and a
// write may arm the device's timer and fail before the new value. So no more is
// commanded, and for no longer, than what is stored or has room, be it the new
// value or one that the device may hold.
func (g *socGuard) judge(l Limits, s *slot, p energy.Power, now Stamp, in Input, poll, shortest energy.Span) verdict {
	g.look(l, in.SoC)
	if in.SoC < 0 {
		note := noteUnknown
		if p == 0 {
			note = ""
		}
		return verdict{horizon: shortest, note: note, release: s.commanded && !s.known && s.may != interval{}}
	}
	if in.SoCAt != s.readAt {
		s.readAt, s.past = in.SoCAt, s.may
	}
	out, room := l.rooms(s.may, s.past, now, in, poll, energy.Power(magnitude(int64(p))))
	v := verdict{power: p}
	switch {
	case p > 0 && g.empty:
		v.power, v.note = 0, noteMinimum
	case p < 0 && g.full:
		v.power, v.note = 0, noteMaximum
	case p > 0:
		v.power = near(p, energy.Power(s.written.Value), out, s.known, shortest)
	case p < 0:
		v.power = -near(-p, energy.Power(-s.written.Value), room, s.known, shortest)
	}
	if v.power != p && v.note == "" {
		v.note = noteNear
	}
	v.horizon = MaxTTL
	for _, is := range []struct {
		power energy.Power
		left  energy.Energy
	}{{v.power, out}, {-v.power, room}, {energy.Power(s.may.high), out}, {energy.Power(-s.may.low), room}} {
		if is.power > 0 && is.power.Over(v.horizon) > is.left {
			v.horizon = energy.Span(energy.MulDiv(int64(is.left), int64(energy.Hour), int64(is.power)))
		}
	}
	v.release = v.horizon < shortest
	return v
}

// limitOf is a limit where there is one.
func limitOf(p energy.Power) energy.Power {
	if p == NoLimit {
		return 0
	}
	return p
}
