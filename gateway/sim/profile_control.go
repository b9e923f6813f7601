// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// profileControl is what a device was told through the registers of its profile.
type profileControl struct {
	face     *profiled
	unit     *unit
	rated    energy.Power
	controls []profile.Control
	timers   []timer
}

func newProfileControl(f *profiled, u *unit) *profileControl {
	c := &profileControl{face: f, unit: u}
	if u.inverter != nil {
		c.rated = u.inverter.rated
	}
	for _, k := range f.profile.Controls {
		if !k.Confirmed || !slices.Contains(quantitiesOf(u), k.Quantity) {
			continue
		}
		// A register that cannot be read back is known to the device all the same.
		k.Set, k.Stop, k.Release = readable(k.Set), readable(k.Stop), readable(k.Release)
		c.controls = append(c.controls, k)
		c.timers = append(c.timers, newTimer(u.spec.Quirks))
	}
	return c
}

func quantitiesOf(u *unit) []device.Quantity {
	switch {
	case u.battery != nil:
		return []device.Quantity{device.BatteryPower, device.ChargeLimit, device.DischargeLimit}
	case u.inverter != nil:
		return []device.Quantity{device.ActivePower, device.ActivePowerPct}
	case u.load != nil:
		return []device.Quantity{device.LoadPower}
	}
	return nil
}

func readable(steps []profile.Write) []profile.Write {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Read = ""
	}
	return steps
}

// bounds are all controls that are in force together.
func (c *profileControl) bounds() (low, high energy.Power) {
	low, high = -unbounded, unbounded
	for i := range c.controls {
		told, err := c.controls[i].Commanded(&c.face.img)
		if err != nil || !told.Active {
			continue
		}
		p := energy.Power(told.Value)
		switch told.Quantity {
		case device.BatteryPower:
			low, high = max(low, p), min(high, p)
		case device.ChargeLimit:
			low = max(low, -p)
		case device.ActivePowerPct:
			high = min(high, c.rated*p/1000)
		default:
			high = min(high, p)
		}
	}
	return low, high
}

func (c *profileControl) until() energy.Instant {
	end := noDeadline
	for i := range c.timers {
		end = min(end, c.timers[i].deadline)
	}
	return end
}

func (c *profileControl) revert(now energy.Instant) {
	for i := range c.timers {
		if c.timers[i].over(now) {
			c.do(c.controls[i].Release, "0", 0)
		}
	}
}

// blocked says whether a load may not run.
func (c *profileControl) blocked() bool {
	_, high := c.bounds()
	return high <= 0
}

// written starts the timers of controls that a request touched.
func (c *profileControl) written(t profile.Table, r wire.Request, now energy.Instant) {
	for i, k := range c.controls {
		touched := slices.ContainsFunc(commands(k), func(w profile.Write) bool {
			return w.Table == t && w.Address >= r.Addr && w.Address-r.Addr < r.Count
		})
		if !touched {
			continue
		}
		told, err := k.Commanded(&c.face.img)
		if err != nil || !told.Active {
			c.timers[i].deadline = noDeadline
			continue
		}
		switch k.Reversion.By {
		case device.RevertsByWatchdog:
			c.timers[i].arm(now, int64(k.Reversion.Seconds))
		case device.RevertsByTimer:
			c.timers[i].arm(now, c.seconds(k))
		case device.NeverReverts:
		}
	}
}

// commands are the steps that put a control in force.
func commands(k profile.Control) []profile.Write {
	if k.Switch {
		return k.Stop
	}
	return k.Set
}

// seconds is the reversion time that stands in the registers of a control.
func (c *profileControl) seconds(k profile.Control) int64 {
	for _, w := range k.Set {
		if w.Takes != "seconds" {
			continue
		}
		for s := int64(0); s <= int64(k.Reversion.MostSeconds); s++ {
			regs, err := stepRegisters(&c.face.img, w, "0", s)
			if err != nil {
				return 0
			}
			if now, err := c.face.img.Get(w.Table, w.Address, uint16(len(regs))); err == nil && slices.Equal(now, regs) {
				return s
			}
		}
	}
	return 0
}

// command is what another master writes.
func (c *profileControl) command(p energy.Power, now energy.Instant) {
	for i, k := range c.controls {
		if k.Quantity == device.ChargeLimit || k.Quantity == device.DischargeLimit {
			continue
		}
		asked := decimal(int64(p), -3)
		if k.Quantity == device.ActivePowerPct {
			asked = decimal(energy.MulDiv(int64(max(p, 0)), 1000, int64(max(c.rated, 1))), -1)
		}
		c.do(commands(k), asked, int64(k.Reversion.MostSeconds))
		c.timers[i].arm(now, int64(max(k.Reversion.Seconds, k.Reversion.MostSeconds)))
		return
	}
}

// do puts steps into the registers.
func (c *profileControl) do(steps []profile.Write, asked string, seconds int64) {
	way := "positive"
	switch {
	case strings.HasPrefix(asked, "-"):
		way = "negative"
	case strings.Trim(asked, "0.") == "":
		way = "zero"
	}
	for _, w := range steps {
		if len(w.When) > 0 && !slices.Contains(w.When, way) {
			continue
		}
		regs, err := stepRegisters(&c.face.img, w, asked, seconds)
		if err != nil {
			c.face.err = err
			return
		}
		c.face.img.Set(w.Table, w.Address, regs...)
	}
}

// stepRegisters are what a step writes.
func stepRegisters(m *profile.Image, w profile.Write, asked string, seconds int64) ([]uint16, error) {
	p := profile.Point{Type: w.Type, Words: w.Words, Bytes: w.Bytes}
	value := asked
	if w.Takes != "constant" {
		p.Scale, p.Offset, p.Sign = w.Scale, w.Offset, w.Sign
	}
	exponent := 0
	if w.Factor != nil {
		if regs, err := m.Get(w.Table, *w.Factor, 1); err == nil {
			exponent = int(int16(regs[0]))
		}
	}
	switch w.Takes {
	case "constant":
		value = strconv.FormatInt(w.Value, 10)
	case "magnitude":
		value = strings.TrimPrefix(value, "-")
	case "seconds":
		value = strconv.FormatInt(seconds, 10)
	}
	regs, err := profile.Encode(p, value, exponent)
	if err != nil {
		return nil, fmt.Errorf("register %d: %w", w.Address, err)
	}
	return regs, nil
}
