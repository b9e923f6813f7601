// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
)

// Bits of StorCtl_Mod.
const (
	limitCharge    = 1 << 0
	limitDischarge = 1 << 1
)

// fullRate is 100 % in OutWRte and InWRte, whose scale factor here is −2.
const fullRate = 10_000

// noDeadline is later than any time.
const noDeadline = energy.Instant(math.MaxInt64)

// control is what model 124 was told last.
type control struct {
	mode      uint16
	out, in   int16  // hundredths of a percent of the battery's base
	reversion uint16 // seconds of world time; 0: a setpoint stays
	deadline  energy.Instant
}

func releasedControl() control {
	return control{out: fullRate, in: fullRate, deadline: noDeadline}
}

// arm starts the reversion timer, at a write of a limit or of the mode.
func (c *control) arm(now energy.Instant) {
	c.deadline = noDeadline
	if c.reversion > 0 && c.mode != 0 {
		c.deadline = now.Add(energy.Span(c.reversion) * energy.Second)
	}
}

// revert ends a setpoint whose time is over.
func (c *control) revert(now energy.Instant) {
	if now >= c.deadline {
		keep := c.reversion
		*c = releasedControl()
		c.reversion = keep
	}
}

// storage is a battery's content and counters. It is a value: a copy can be
// brought forward to look at a moment without living through it.
type storage struct {
	Stock      microjoules
	Charged    microjoules // at the terminals
	Discharged microjoules
}

// battery is a battery of a house.
type battery struct {
	spec  Battery
	base  energy.Power // what 100 % means: WChaMax as the register shows it
	ctl   control
	store storage
	power energy.Power // discharge +, since the world's last decision
}

func newBattery(spec Battery) *battery {
	b := &battery{spec: spec, base: baseOf(spec), ctl: releasedControl()}
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

// wanted is the power that model 124 leaves: nearest to rest between the
// limits in force, then within what the battery can do. Limits that contradict
// each other mean rest.
func (b *battery) wanted() energy.Power {
	low, high := energy.Power(math.MinInt64/2), energy.Power(math.MaxInt64/2)
	if b.ctl.mode&limitCharge != 0 {
		low = -b.base * energy.Power(b.ctl.in) / fullRate
	}
	if b.ctl.mode&limitDischarge != 0 {
		high = b.base * energy.Power(b.ctl.out) / fullRate
	}
	if low > high {
		return 0
	}
	p := min(max(0, low), high)
	return min(max(p, -b.spec.MaxCharge), b.spec.MaxDischarge)
}

// decide sets the power so that it can be kept for d without leaving the
// limits of the state of charge.
func (b *battery) decide(d energy.Span) {
	p := b.wanted()
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
