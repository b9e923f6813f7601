// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"maps"
	"math"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// SunSpec models that an inverter is told with, and those that say what 100 % is.
const (
	settings  uint16 = 121
	curtail   uint16 = 123
	capacity  uint16 = 702
	controlAC uint16 = 704
)

// control123 is the curtailment of model 123, in hundredths of a percent of the rating.
type control123 struct {
	timer
	rated     energy.Power
	percent   uint16
	reversion uint16
	enabled   bool
	limits    bool // of this request
}

func newControl123(rated energy.Power, q Quirks) *control123 {
	return &control123{timer: newTimer(q), rated: rated, percent: fullRate}
}

func (*control123) model() uint16 { return curtail }

func (c *control123) copy() sunControl {
	own := *c
	own.limits = false
	return &own
}

func (c *control123) set(name string, raw int64) error {
	switch name {
	case "WMaxLimPct":
		if raw > fullRate {
			return wire.IllegalDataValue
		}
		c.percent, c.limits = uint16(raw), true
	case "WMaxLimPct_RvrtTms":
		if raw == math.MaxUint16 {
			return wire.IllegalDataValue
		}
		c.reversion = uint16(raw)
	case "WMaxLim_Ena":
		if raw > 1 {
			return wire.IllegalDataValue
		}
		c.enabled, c.limits = raw == 1, true
	case "WMaxLimPct_WinTms", "WMaxLimPct_RmpTms": // taken, and without effect
	default:
		return wire.IllegalDataAddress
	}
	return nil
}

func (c *control123) written(now energy.Instant) {
	switch {
	case !c.limits:
	case !c.enabled:
		c.deadline = noDeadline
	default:
		c.arm(now, int64(c.reversion))
	}
}

func (c *control123) bounds() (low, high energy.Power) {
	if !c.enabled {
		return -unbounded, unbounded
	}
	return -unbounded, c.rated * energy.Power(c.percent) / fullRate
}

func (c *control123) revert(now energy.Instant) {
	if c.over(now) {
		c.enabled, c.percent = false, fullRate
	}
}

func (c *control123) command(p energy.Power, now energy.Instant) {
	p = min(max(p, 0), c.rated)
	c.percent = uint16(energy.MulDiv(int64(p), fullRate, int64(c.rated)))
	c.enabled, c.limits = true, true
	c.written(now)
}

func (c *control123) show(u *unit) {
	const m = curtail
	raw, scale := fit(int64(c.rated), math.MaxUint16-1)
	u.fixed(settings, "WMax", "WMax_SF", raw, scale)
	u.set(m, "Conn", 1)
	u.fixed(m, "WMaxLimPct", "WMaxLimPct_SF", int64(c.percent), -2)
	u.set(m, "WMaxLimPct_RvrtTms", int64(c.reversion))
	u.set(m, "WMaxLim_Ena", flag(c.enabled))
	u.set(m, "OutPFSet_Ena", 0)
	u.set(m, "VArPct_Ena", 0)
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// control704 is model 704: a limit in percent of the rating, and a setpoint in
// watts or percent. Each has a value that it reverts to.
type control704 struct {
	timer
	rated energy.Power
	on    map[string]int64 // the writable points by their names
	limit bool             // of this request: the limit was written
	wset  bool             // … or the setpoint
	ends  [2]energy.Instant
}

// The points of model 704 that are kept here. Percentages are in tenths, the
// setpoint is in watts.
func newControl704(rated energy.Power, q Quirks) *control704 {
	return &control704{timer: newTimer(q), rated: rated, ends: [2]energy.Instant{noDeadline, noDeadline}, on: map[string]int64{
		"WMaxLimPctEna": 0, "WMaxLimPct": 1000, "WMaxLimPctRvrt": 1000, "WMaxLimPctEnaRvrt": 0, "WMaxLimPctRvrtTms": 0,
		"WSetEna": 0, "WSetMod": 1, "WSet": 0, "WSetRvrt": 0, "WSetPct": 0, "WSetPctRvrt": 0, "WSetEnaRvrt": 0, "WSetRvrtTms": 0,
	}}
}

func (*control704) model() uint16 { return controlAC }

func (c *control704) copy() sunControl {
	own := *c
	own.on = maps.Clone(c.on)
	own.limit, own.wset = false, false
	return &own
}

func (c *control704) set(name string, raw int64) error {
	if _, ok := c.on[name]; !ok {
		return wire.IllegalDataAddress
	}
	switch name {
	case "WSet", "WSetRvrt":
		raw = int64(int32(raw))
	case "WSetPct", "WSetPctRvrt":
		raw = int64(int16(raw))
		if raw < -1000 || raw > 1000 {
			return wire.IllegalDataValue
		}
	case "WMaxLimPct", "WMaxLimPctRvrt":
		if raw > 1000 {
			return wire.IllegalDataValue
		}
	case "WMaxLimPctRvrtTms", "WSetRvrtTms":
		if raw == math.MaxUint32 {
			return wire.IllegalDataValue
		}
	default: // switches and the mode
		if raw > 1 {
			return wire.IllegalDataValue
		}
	}
	c.on[name] = raw
	switch name {
	case "WMaxLimPct", "WMaxLimPctEna":
		c.limit = true
	case "WSet", "WSetPct", "WSetEna", "WSetMod":
		c.wset = true
	}
	return nil
}

func (c *control704) written(now energy.Instant) {
	if c.limit {
		c.ends[0] = c.end(now, "WMaxLimPctEna", "WMaxLimPctRvrtTms")
	}
	if c.wset {
		c.ends[1] = c.end(now, "WSetEna", "WSetRvrtTms")
	}
	c.deadline = min(c.ends[0], c.ends[1])
}

func (c *control704) end(now energy.Instant, ena, seconds string) energy.Instant {
	t := timer{ignored: c.ignored, deadline: noDeadline}
	if c.on[ena] == 1 {
		t.arm(now, c.on[seconds])
	}
	return t.deadline
}

func (c *control704) bounds() (low, high energy.Power) {
	low, high = -unbounded, unbounded
	if c.on["WSetEna"] == 1 {
		low = energy.Power(c.on["WSet"]) * energy.Watt
		if c.on["WSetMod"] == 0 {
			low = c.rated * energy.Power(c.on["WSetPct"]) / 1000
		}
		high = low
	}
	if c.on["WMaxLimPctEna"] == 1 {
		high = min(high, c.rated*energy.Power(c.on["WMaxLimPct"])/1000)
		low = min(low, high)
	}
	return low, high
}

func (c *control704) revert(now energy.Instant) {
	if now >= c.ends[0] {
		c.ends[0] = noDeadline
		c.on["WMaxLimPctEna"], c.on["WMaxLimPct"] = c.on["WMaxLimPctEnaRvrt"], c.on["WMaxLimPctRvrt"]
	}
	if now >= c.ends[1] {
		c.ends[1] = noDeadline
		c.on["WSetEna"], c.on["WSet"], c.on["WSetPct"] = c.on["WSetEnaRvrt"], c.on["WSetRvrt"], c.on["WSetPctRvrt"]
	}
	c.deadline = min(c.ends[0], c.ends[1])
}

func (c *control704) command(p energy.Power, now energy.Instant) {
	c.on["WSetMod"], c.on["WSet"], c.on["WSetEna"], c.wset = 1, int64(p/energy.Watt), 1, true
	c.written(now)
}

func (c *control704) show(u *unit) {
	const m = controlAC
	raw, scale := fit(int64(c.rated), math.MaxUint16-1)
	u.fixed(capacity, "WMaxRtg", "W_SF", raw, scale)
	u.set(capacity, "WMax", raw)
	for name, v := range c.on {
		u.set(m, name, v)
	}
	for name, end := range map[string]energy.Instant{"WMaxLimPctRvrtRem": c.ends[0], "WSetRvrtRem": c.ends[1]} {
		left := int64(0)
		if end != noDeadline {
			left = int64(max(end.Sub(u.world.now()), 0)) / int64(energy.Second)
		}
		u.set(m, name, left)
	}
	u.set(m, "WMaxLimPct_SF", -1)
	u.set(m, "WSet_SF", 0)
	u.set(m, "WSetPct_SF", -1)
}
