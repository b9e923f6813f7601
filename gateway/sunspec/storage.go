// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// Bits of StorCtl_Mod: which of the two limits is in force.
const (
	limitCharge    int64 = 1 << 0 // InWRte
	limitDischarge int64 = 1 << 1 // OutWRte
)

// mostShort is what a uint16 of seconds holds below its sentinel.
const mostShort = 65534 * time.Second

// storage commands a battery by model 124.
//
// The model knows no setpoint, only two limits in percent of WChaMax: OutWRte
// for discharging and InWRte for charging. A negative limit demands the other
// direction, so that InWRte = −OutWRte leaves one value. That is how Fronius
// documents it and how the common integrations use it. The percentage is
// rounded toward zero: never more than asked for. What is beyond WChaMax is cut
// to it.
//
// The order is: reversion time written and read back, then both limits in one
// write, then the mode, then all read back.
type storage struct{}

func (storage) model() uint16 { return StorageControl }

func (storage) controls(b Block) []device.Control {
	if len(b.Regs) < b.Model.Size() {
		return nil // its scale factor is missing, at least
	}
	c := device.Control{Reversion: device.NeverReverts, Source: "SunSpec model 124 (StorCtl_Mod, OutWRte, InWRte)"}
	if b.Value("InOutWRte_RvrtTms").Implemented {
		c.Reversion, c.LeastReversion, c.MostReversion = device.RevertsByTimer, time.Second, mostShort
	}
	most, ok := b.Value("WChaMax").In(milli)
	if !ok || most < 0 {
		most = 0
	}
	power, charge, discharge := c, c, c
	power.Quantity, power.Least, power.Most = device.BatteryPower, -most, most
	charge.Quantity, charge.Most = device.ChargeLimit, most
	discharge.Quantity, discharge.Most = device.DischargeLimit, most
	return []device.Control{power, charge, discharge}
}

func (s storage) apply(ctx context.Context, d *Device, at place, c device.Command) error {
	rate, step, err := s.rate(at.Block, c.Value)
	if err != nil {
		return err
	}
	demands := func(name string) bool {
		v := at.Value(name)
		return v.Implemented && v.Raw < 0
	}
	mode := at.Value("StorCtl_Mod").Raw & (limitCharge | limitDischarge)
	if d.state.last == device.BatteryPower || demands("OutWRte") || demands("InWRte") {
		mode = 0 // a setpoint was in force: none of its halves is a limit
	}
	want := map[string]int64{}
	switch c.Quantity {
	case device.BatteryPower:
		mode = limitCharge | limitDischarge
		want["OutWRte"], want["InWRte"] = rate, -rate
	case device.ChargeLimit:
		mode |= limitCharge
		want["InWRte"] = max(rate, 0)
	default:
		mode |= limitDischarge
		want["OutWRte"] = max(rate, 0)
	}
	if err := d.arm(ctx, at, "InOutWRte_RvrtTms", c.Reversion); err != nil {
		return err
	}
	if err := s.write(ctx, d, at, want); err != nil {
		return err
	}
	if at.Value("StorCtl_Mod").Raw != mode {
		if err := d.set(ctx, at, "StorCtl_Mod", mode); err != nil {
			return err
		}
	}
	want["StorCtl_Mod"] = mode
	return d.shows(ctx, at, "InOutWRte_SF", step, want)
}

// write writes the limits: both at once, because one without the other demands
// something else. A device that takes only one register at a time gets the
// looser limit first: for a moment it has more freedom, and never two demands
// that exclude each other.
func (s storage) write(ctx context.Context, d *Device, at place, want map[string]int64) error {
	out, isOut := want["OutWRte"]
	in, isIn := want["InWRte"]
	if !isOut || !isIn {
		for name, raw := range want {
			return d.set(ctx, at, name, raw)
		}
	}
	addr := at.addr("OutWRte") // InWRte follows it
	if !d.state.single[addr] {
		err := d.rw.WriteRegisters(ctx, d.unit, addr, []uint16{uint16(out), uint16(in)})
		if code, ok := exception(err); !ok || code > illegalValue {
			return err
		}
	}
	first, second := "OutWRte", "InWRte"
	if in > out {
		first, second = second, first
	}
	if err := d.set(ctx, at, first, want[first]); err != nil {
		return err
	}
	return d.set(ctx, at, second, want[second])
}

// rate is a power in the units of OutWRte, and how many of them are a percent.
func (storage) rate(b Block, mw int64) (rate, percent int64, err error) {
	most, ok := b.Value("WChaMax").In(milli)
	if !ok || most <= 0 {
		return 0, 0, errors.New("the device does not say its maximum (WChaMax), the base of every limit")
	}
	full, err := hundred(b.Value("InOutWRte_SF"))
	if err != nil {
		return 0, 0, err
	}
	mw = min(max(mw, -most), most)
	return energy.MulDiv(max(mw, -mw), full, most) * sign(mw), full / 100, nil
}

func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}

func (storage) applied(b Block, last device.Quantity) device.Applied {
	out, in := b.Value("OutWRte"), b.Value("InWRte")
	mode := b.Value("StorCtl_Mod").Raw & (limitCharge | limitDischarge)
	most, _ := b.Value("WChaMax").In(milli)
	of := func(v Value) int64 { // in milliwatts
		hundredths, _ := v.In(-2)
		return energy.MulDiv(max(hundredths, -hundredths), most, 100*100) * sign(hundredths)
	}
	switch {
	case mode == limitCharge|limitDischarge && (out.Raw == -in.Raw || last == device.BatteryPower):
		return device.Applied{Quantity: device.BatteryPower, Value: of(out), Active: true}
	case mode&limitCharge != 0 && (last == device.ChargeLimit || mode == limitCharge):
		return device.Applied{Quantity: device.ChargeLimit, Value: of(in), Active: true}
	case mode&limitDischarge != 0:
		return device.Applied{Quantity: device.DischargeLimit, Value: of(out), Active: true}
	case last != "":
		return device.Applied{Quantity: last}
	}
	return device.Applied{Quantity: device.BatteryPower}
}

func (storage) release(ctx context.Context, d *Device, at place) error {
	return d.set(ctx, at, "StorCtl_Mod", 0)
}
