// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/allmende-energy/allmende/gateway/device"
)

// setpoint commands a battery's power in watts by model 704: positive feeds in.
// The order is that of [storage].
type setpoint struct{}

// inWatts is WSetMod: WSet counts, not WSetPct.
const inWatts = 1

func (setpoint) model() uint16 { return ControlAC }

func (setpoint) controls(b Block) []device.Control {
	if !b.Value("WSetEna").Implemented || !b.Value("WSet").Implemented {
		return nil
	}
	c := device.Control{
		Quantity: device.BatteryPower, Reversion: device.NeverReverts, Source: "SunSpec model 704 (WSetEna, WSetMod, WSet)",
	}
	if b.Value("WSetRvrtTms").Implemented {
		c.Reversion, c.LeastReversion, c.MostReversion = device.RevertsByTimer, time.Second, mostLong
	}
	return []device.Control{c}
}

func (setpoint) apply(ctx context.Context, d *Device, at place, c device.Command) error {
	factor := at.Value("WSet_SF")
	if !factor.Implemented || factor.Raw < -mostScale || factor.Raw > mostScale {
		return errors.New("the scale factor of WSet has no value")
	}
	// Milliwatts in steps of 10^factor watts, toward zero.
	raw, ok := Value{Point: &Point{}, Implemented: true, Raw: c.Value, Scale: milli}.In(int(factor.Raw))
	if !ok || raw > math.MaxInt32 || raw <= math.MinInt32 {
		return fmt.Errorf("%w: %d mW", device.ErrRange, c.Value)
	}
	if c.Reversion > 0 {
		if err := d.after(ctx, at, "WSetRvrt", 0); err != nil {
			return err
		}
		if err := d.after(ctx, at, "WSetEnaRvrt", 0); err != nil {
			return err
		}
		if err := d.arm(ctx, at, "WSetRvrtTms", c.Reversion); err != nil {
			return err
		}
	}
	want := map[string]int64{"WSet": raw, "WSetEna": 1}
	if mode := at.Value("WSetMod"); mode.Implemented {
		if err := d.after(ctx, at, "WSetMod", inWatts); err != nil {
			return err
		}
		want["WSetMod"] = inWatts
	}
	if err := d.set(ctx, at, "WSet", raw); err != nil {
		return err
	}
	if err := d.set(ctx, at, "WSetEna", 1); err != nil {
		return err
	}
	return d.shows(ctx, at, "WSet_SF", max(raw, -raw)/100, want)
}

func (setpoint) applied(b Block, _ device.Quantity) device.Applied {
	a := device.Applied{Quantity: device.BatteryPower}
	mw, ok := b.Value("WSet").In(milli)
	mode := b.Value("WSetMod")
	if on := b.Value("WSetEna"); on.Implemented && on.Raw == 1 && ok && (!mode.Implemented || mode.Raw == inWatts) {
		a.Active, a.Value = true, mw
	}
	return a
}

func (setpoint) release(ctx context.Context, d *Device, at place) error {
	return d.set(ctx, at, "WSetEna", 0)
}
