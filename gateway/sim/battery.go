// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
)

// noDeadline is later than any time.
const noDeadline = energy.Instant(math.MaxInt64)

// storage is a battery's content and counters. It is a value: a copy can be
// brought forward to look at a moment without living through it.
type storage struct {
	Stock      microjoules
	Charged    microjoules // at the terminals
	Discharged microjoules
}

// battery is a battery of a house.
type battery struct {
	spec   Battery
	steer  steering
	follow follower
	store  storage
	power  energy.Power // discharge +, since the world's last decision
	// house is where it is; one that nobody commands may cover its need.
	house *house
}

func newBattery(spec Battery, q Quirks) *battery {
	b := &battery{spec: spec, steer: free{}, follow: follower{dead: q.DeadTime, constant: q.TimeConstant}}
	b.store.Stock = b.level(spec.StartSoC)
	return b
}

// baseOf is the larger of the two limits, rounded to what WChaMax can show.
func baseOf(spec Battery) energy.Power {
	raw, scale := fit(int64(max(spec.MaxCharge, spec.MaxDischarge)), math.MaxUint16-1)
	return energy.Power(raw * pow10(scale+3))
}

// level is the stock at a state of charge.
func (b *battery) level(permille int64) microjoules {
	return microjoules(energy.MulDiv(int64(microjoulesOf(b.spec.Capacity)), permille, 1000))
}

// wanted is the power that its steering leaves: nearest to what it does by
// itself between the limits in force, then within what the battery can do. Limits
// that contradict each other mean rest.
func (b *battery) wanted() energy.Power {
	low, high := b.steer.bounds()
	if low > high {
		return 0
	}
	p := min(max(b.idle(), low), high)
	return min(max(p, -b.spec.MaxCharge), b.spec.MaxDischarge)
}

// idle is what it does where nobody tells it: rest, or cover its house.
func (b *battery) idle() energy.Power {
	if !b.spec.SelfConsumption || b.house == nil {
		return 0
	}
	return b.house.load - b.house.pv
}

// decide sets the power so that it can be kept for d without leaving the
// limits of the state of charge.
func (b *battery) decide(now energy.Instant, d energy.Span) {
	p := b.follow.follow(b.wanted(), now)
	switch {
	case p > 0:
		stock := max(b.store.Stock-b.level(b.spec.MinSoC), 0)
		out := energy.MulDiv(int64(stock), b.spec.DischargeEff, million)
		p = min(p, energy.Power(out/int64(d)))
	case p < 0:
		room := max(b.level(b.spec.MaxSoC)-b.store.Stock, 0)
		in := energy.MulDiv(int64(room), million, b.spec.ChargeEff)
		p = max(p, -energy.Power(in/int64(d)))
	}
	b.power = p
}

const million = 1_000_000

// after is the storage after d at power p. What is lost is rounded up.
func (b *battery) after(d energy.Span) storage {
	s, e := b.store, during(b.power, d)
	if e > 0 {
		taken, rest := energy.MulDivRem(int64(e), million, b.spec.DischargeEff)
		if rest > 0 {
			taken++
		}
		s.Discharged += e
		// Rounding up must not take the last microjoule below the limit.
		s.Stock = max(s.Stock-microjoules(taken), min(s.Stock, b.level(b.spec.MinSoC)))
	} else if e < 0 {
		s.Charged -= e
		s.Stock += microjoules(energy.MulDiv(int64(-e), b.spec.ChargeEff, million))
	}
	return s
}

// permille is the state of charge, rounded down.
func (b *battery) permille(s storage) int64 {
	return energy.MulDiv(int64(s.Stock), 1000, int64(microjoulesOf(b.spec.Capacity)))
}
