// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// limitPoints are the names of the points of a limit of an inverter's power.
type limitPoints struct {
	model                          uint16
	percent, enable, factor, timer string
	percentAfter, enableAfter      string // what holds when the timer has ended; empty: none
	most                           time.Duration
}

// immediate is the limit of model 123.
func immediate() limitPoints {
	return limitPoints{
		model: Controls, percent: "WMaxLimPct", enable: "WMaxLim_Ena", factor: "WMaxLimPct_SF", timer: "WMaxLimPct_RvrtTms",
		most: mostShort,
	}
}

// mostLong is the longest that a uint32 of seconds is asked for: long enough.
const mostLong = 30 * 24 * time.Hour

// derLimit is the limit of model 704.
func derLimit() limitPoints {
	return limitPoints{
		model: ControlAC, percent: "WMaxLimPct", enable: "WMaxLimPctEna", factor: "WMaxLimPct_SF", timer: "WMaxLimPctRvrtTms",
		percentAfter: "WMaxLimPctRvrt", enableAfter: "WMaxLimPctEnaRvrt", most: mostLong,
	}
}

// limit curtails an inverter in percent of its rating.
//
// A curtailment is rounded down, but never to 0: that is standby on some devices,
// and only who is allowed to ask for a stop gets it. The order is: reversion time
// written and read back, then the percentage, then its switch, each time, because
// some devices (Fronius) take a new percentage only with it.
type limit struct {
	by     limitPoints
	rating int64 // mW; 0: not known
}

func (l limit) model() uint16 { return l.by.model }

func (l limit) controls(b Block) []device.Control {
	if !b.Value(l.by.enable).Implemented || !b.Value(l.by.percent).Implemented {
		return nil
	}
	c := device.Control{
		Quantity: device.ActivePowerPct, Reversion: device.NeverReverts, Least: leastPermille, Most: 1000,
		Source: fmt.Sprintf("SunSpec model %d (%s, %s)", l.by.model, l.by.percent, l.by.enable),
	}
	if b.Value(l.by.timer).Implemented {
		c.Reversion, c.LeastReversion, c.MostReversion = device.RevertsByTimer, time.Second, l.by.most
	}
	if l.rating == 0 {
		return []device.Control{c}
	}
	power := c
	power.Quantity, power.Least, power.Most = device.ActivePower, l.rating/100, l.rating
	return []device.Control{c, power}
}

// leastPermille is the lowest curtailment that is no stop.
const leastPermille = 10

// raw is a command in the units of the percentage, and how many are a percent.
func (l limit) raw(b Block, c device.Command) (raw, percent int64, err error) {
	full, err := hundred(b.Value(l.by.factor))
	if err != nil {
		return 0, 0, err
	}
	if c.Stop {
		return 0, full / 100, nil
	}
	of, least := int64(1000), int64(leastPermille)
	if c.Quantity == device.ActivePower {
		of, least = l.rating, (l.rating+99)/100
	}
	raw = energy.MulDiv(min(max(c.Value, least), of), full, of)
	if raw == 0 {
		return 0, 0, fmt.Errorf("%w: it counts in steps of %d %%, and 0 would stop it", device.ErrRange, 100/full)
	}
	return raw, full / 100, nil
}

func (l limit) apply(ctx context.Context, d *Device, at place, c device.Command) error {
	raw, step, err := l.raw(at.Block, c)
	if err != nil {
		return err
	}
	if err := l.arm(ctx, d, at, c.Reversion); err != nil {
		return err
	}
	if err := d.set(ctx, at, l.by.percent, raw); err != nil {
		return err
	}
	err = d.set(ctx, at, l.by.enable, 1)
	if _, refused := exception(err); refused && at.Value(l.by.enable).Raw == 1 {
		err = nil // switched on for good (Kostal)
	}
	if err != nil {
		return err
	}
	return d.shows(ctx, at, l.by.factor, step, map[string]int64{l.by.percent: raw, l.by.enable: 1})
}

// arm says what shall hold after the timer, and then the timer.
func (l limit) arm(ctx context.Context, d *Device, at place, reversion time.Duration) error {
	if reversion == 0 {
		return nil
	}
	full, err := hundred(at.Value(l.by.factor))
	if err != nil {
		return err
	}
	if err := d.after(ctx, at, l.by.percentAfter, full); err != nil {
		return err
	}
	if err := d.after(ctx, at, l.by.enableAfter, 0); err != nil {
		return err
	}
	return d.arm(ctx, at, l.by.timer, reversion)
}

// after writes a point that holds when a timer has ended, where the device has
// it and does not hold the value already.
func (d *Device) after(ctx context.Context, at place, name string, raw int64) error {
	now := at.Value(name)
	if name == "" || now.Point == nil || !now.Implemented || now.Raw == raw {
		return nil
	}
	return d.set(ctx, at, name, raw)
}

func (l limit) applied(b Block, last device.Quantity) device.Applied {
	a := device.Applied{Quantity: device.ActivePowerPct}
	if last == device.ActivePower && l.rating > 0 {
		a.Quantity = last
	}
	on, percent := b.Value(l.by.enable), b.Value(l.by.percent)
	tenths, ok := percent.In(-1)
	if !on.Implemented || on.Raw != 1 || !ok || tenths >= 1000 {
		return a
	}
	a.Active, a.Value = true, tenths
	if a.Quantity == device.ActivePower {
		hundredths, _ := percent.In(-2)
		a.Value = energy.MulDiv(hundredths, l.rating, 100*100)
	}
	return a
}

// release sets 100 % first, because on some devices (Kostal) the switch is
// always on.
func (l limit) release(ctx context.Context, d *Device, at place) error {
	full, failed := hundred(at.Value(l.by.factor))
	if failed == nil {
		failed = d.set(ctx, at, l.by.percent, full)
	}
	err := d.set(ctx, at, l.by.enable, 0) // also where the percentage could not be written
	if _, refused := exception(err); refused {
		err = nil
	}
	return errors.Join(failed, err)
}
