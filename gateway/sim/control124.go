// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// sunControl is a SunSpec model that a device is told with.
type sunControl interface {
	steering
	model() uint16
	// copy is a second one like it, so that all of a request can be checked
	// before any of it acts.
	copy() sunControl
	// set writes a point. Its error is the exception to answer with.
	set(name string, raw int64) error
	// written is told after a request that wrote some points.
	written(now energy.Instant)
	show(u *unit)
}

// Bits of StorCtl_Mod.
const (
	limitCharge    = 1 << 0
	limitDischarge = 1 << 1
)

// fullRate is 100 % in OutWRte and InWRte, whose scale factor here is −2.
const fullRate = 10_000

// control124 is what model 124 was told last.
type control124 struct {
	timer
	base      energy.Power // what 100 % means: WChaMax as the register shows it
	mode      uint16
	out, in   int16 // hundredths of a percent of the base
	reversion uint16
	limits    bool // of this request
}

func newControl124(base energy.Power, q Quirks) *control124 {
	return &control124{timer: newTimer(q), base: base, out: fullRate, in: fullRate}
}

func (*control124) model() uint16 { return sunspec.StorageControl }

func (c *control124) copy() sunControl {
	own := *c
	own.limits = false
	return &own
}

func (c *control124) set(name string, raw int64) error {
	switch name {
	case "StorCtl_Mod":
		if raw > limitCharge|limitDischarge {
			return wire.IllegalDataValue
		}
		c.mode, c.limits = uint16(raw), true
	case "OutWRte", "InWRte":
		rate := int16(raw)
		if rate < -fullRate || rate > fullRate {
			return wire.IllegalDataValue
		}
		if c.limits = true; name == "OutWRte" {
			c.out = rate
		} else {
			c.in = rate
		}
	case "InOutWRte_RvrtTms":
		if raw == math.MaxUint16 {
			return wire.IllegalDataValue
		}
		c.reversion = uint16(raw) // counts from the next limit on
	default:
		return wire.IllegalDataAddress
	}
	return nil
}

// written starts the timer, at a write of a limit or of the mode.
func (c *control124) written(now energy.Instant) {
	switch {
	case !c.limits:
	case c.mode == 0:
		c.deadline = noDeadline
	default:
		c.arm(now, int64(c.reversion))
	}
}

func (c *control124) bounds() (low, high energy.Power) {
	low, high = -unbounded, unbounded
	if c.mode&limitCharge != 0 {
		low = -c.base * energy.Power(c.in) / fullRate
	}
	if c.mode&limitDischarge != 0 {
		high = c.base * energy.Power(c.out) / fullRate
	}
	return low, high
}

func (c *control124) revert(now energy.Instant) {
	if c.over(now) {
		c.mode, c.out, c.in = 0, fullRate, fullRate
	}
}

func (c *control124) command(p energy.Power, now energy.Instant) {
	rate := int16(energy.MulDiv(int64(max(p, -p)), fullRate, int64(c.base)))
	rate = min(rate, fullRate)
	if p < 0 {
		rate = -rate
	}
	c.mode, c.out, c.in, c.limits = limitCharge|limitDischarge, rate, -rate, true
	c.written(now)
}

func (c *control124) show(u *unit) {
	const m = sunspec.StorageControl
	b := u.battery
	s := u.stored
	raw, scale := fit(int64(c.base), math.MaxUint16-1)
	u.fixed(m, "WChaMax", "WChaMax_SF", raw, scale)
	u.fixed(m, "WChaGra", "WChaDisChaGra_SF", 100, 0)
	u.set(m, "WDisChaGra", 100)
	u.set(m, "StorCtl_Mod", int64(c.mode))
	u.fixed(m, "ChaState", "ChaState_SF", b.permille(s), -1)
	u.set(m, "ChaSt", b.chargeStatus(s))
	u.set(m, "OutWRte", int64(c.out))
	u.set(m, "InWRte", int64(c.in))
	u.set(m, "InOutWRte_SF", -2)
	u.set(m, "InOutWRte_RvrtTms", int64(c.reversion))
	u.set(m, "ChaGriSet", 1)
}
