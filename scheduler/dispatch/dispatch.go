// SPDX-License-Identifier: AGPL-3.0-or-later

// Package dispatch decides what the community's batteries do now: they charge
// from what the members leave of the sun and discharge into what the members
// still need, within power, state-of-charge and reserve limits. They never
// charge from the grid and never discharge into it.
package dispatch

import (
	"github.com/allmende-energy/allmende/energy"
)

// Battery is what dispatch needs to know of one battery.
type Battery struct {
	Capacity     energy.Energy
	MaxCharge    energy.Power
	MaxDischarge energy.Power
	Floor        energy.Energy // stock that is not gone below: the higher of minimum and owner's reserve
	Ceiling      energy.Energy // stock that is not gone above
	Stock        energy.Energy // as measured
	ChargeEff    int64         // millionths
	DischargeEff int64         // millionths
}

const million = 1_000_000

// ChargeLimit is the most it may take, so that a full horizon at this power
// does not pass the ceiling.
func (b Battery) ChargeLimit(horizon energy.Span) energy.Power {
	room := b.Ceiling - b.Stock
	if room <= 0 {
		return 0
	}
	return min(b.MaxCharge, scaled(room, million, b.ChargeEff).MeanPower(horizon))
}

// DischargeLimit is the most it may give, so that a full horizon at this power
// does not pass the floor.
func (b Battery) DischargeLimit(horizon energy.Span) energy.Power {
	left := b.Stock - b.Floor
	if left <= 0 {
		return 0
	}
	return min(b.MaxDischarge, scaled(left, b.DischargeEff, million).MeanPower(horizon))
}

func scaled(e energy.Energy, num, den int64) energy.Energy {
	if den <= 0 {
		return 0
	}
	return energy.Energy(energy.MulDiv(int64(e), num, den))
}

// Charge is the most that all of them may take.
func Charge(batteries []Battery, horizon energy.Span) energy.Power {
	var sum energy.Power
	for _, b := range batteries {
		sum += b.ChargeLimit(horizon)
	}
	return sum
}

// Discharge is the most that all of them may give.
func Discharge(batteries []Battery, horizon energy.Span) energy.Power {
	var sum energy.Power
	for _, b := range batteries {
		sum += b.DischargeLimit(horizon)
	}
	return sum
}

// Decide fills out with the power of each battery, discharge positive: charging
// adds up to min(surplus, what they may take), discharging to min(deficit, what
// they may give). Each takes part in proportion to its limit, so that none is
// worn out for the others. At most one of surplus and deficit should be
// positive; if both are, the batteries rest.
//
// The horizon is how long the powers may stand: the setpoints' time-to-live, or
// the whole interval where recorded data are replayed. out has the length of
// batteries.
func Decide(out []energy.Power, batteries []Battery, surplus, deficit energy.Power, horizon energy.Span) {
	clear(out)
	switch {
	case surplus > 0 && deficit > 0:
		return
	case surplus > 0:
		spread(out, batteries, surplus, func(b Battery) energy.Power { return b.ChargeLimit(horizon) })
		for i := range out {
			out[i] = -out[i]
		}
	case deficit > 0:
		spread(out, batteries, deficit, func(b Battery) energy.Power { return b.DischargeLimit(horizon) })
	}
}

// spread divides want over the batteries in proportion to their limits. What
// rounding leaves, a few milliwatts, goes to the first that have room: no
// booking depends on a setpoint.
func spread(out []energy.Power, batteries []Battery, want energy.Power, limit func(Battery) energy.Power) {
	var sum energy.Power
	for _, b := range batteries {
		sum += limit(b)
	}
	if sum <= 0 {
		return
	}
	want = min(want, sum)
	rest := want
	for i, b := range batteries {
		out[i] = energy.Power(energy.MulDiv(int64(want), int64(limit(b)), int64(sum)))
		rest -= out[i]
	}
	for i, b := range batteries {
		more := min(rest, limit(b)-out[i])
		out[i] += more
		rest -= more
	}
}
