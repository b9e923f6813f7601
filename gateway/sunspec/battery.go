// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// ErrNoReversion says that the device does not take or keep a reversion time: a
// setpoint would stay in force if this gateway died, so none is sent.
var ErrNoReversion = errors.New("the device has no working reversion timer (InOutWRte_RvrtTms)")

// Bits of StorCtl_Mod: which of the two limits is in force.
const (
	limitCharge    uint16 = 1 << 0 // InWRte
	limitDischarge uint16 = 1 << 1 // OutWRte
)

// mostReversion is what a uint16 of seconds holds below its sentinel.
const mostReversion = 65534 * time.Second

// findControls says what the device can be told, after what its models show now.
func (d *Device) findControls(ctx context.Context) ([]device.Control, error) {
	b, _, err := d.control(ctx)
	if errors.Is(err, device.ErrNoControl) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := device.Control{
		Quantity: device.BatteryPower, Reversion: device.NeverReverts,
		Source: "SunSpec model 124 (StorCtl_Mod, OutWRte, InWRte)",
	}
	if b.Value("InOutWRte_RvrtTms").Implemented {
		c.Reversion, c.LeastReversion, c.MostReversion = device.RevertsByTimer, time.Second, mostReversion
	}
	if most, ok := b.Value("WChaMax").In(milli); ok && most > 0 {
		c.Least, c.Most = -most, most
	}
	return []device.Control{c}, nil
}

// Controls says which commands the device takes.
func (d *Device) Controls() []device.Control { return slices.Clone(d.controls) }

// Apply puts a command in force until the next one or until its reversion has
// passed, whichever is first; the device counts reversion itself, so it also
// holds when this program dies.
func (d *Device) Apply(ctx context.Context, c device.Command) error {
	err := device.ErrNoControl
	if c.Quantity == device.BatteryPower {
		err = d.setBattery(ctx, energy.Power(c.Value), c.Reversion)
	}
	if err != nil {
		return fmt.Errorf("%s on unit %d: setting %s: %w", d.kind, d.unit, c.Quantity, err)
	}
	return nil
}

// Release gives the device back to its own control: no limit is in force.
func (d *Device) Release(ctx context.Context) error {
	b, at, err := d.control(ctx)
	if err == nil {
		mode, _ := b.Model.Point("StorCtl_Mod")
		err = d.rw.WriteRegisters(ctx, d.unit, at+mode.Offset, []uint16{0})
	}
	if err != nil {
		return fmt.Errorf("%s on unit %d: releasing it: %w", d.kind, d.unit, err)
	}
	return nil
}

// Applied reads what is in force.
func (d *Device) Applied(ctx context.Context) (device.Applied, error) {
	b, _, err := d.control(ctx)
	if errors.Is(err, device.ErrNoControl) {
		err = device.ErrNotReadable
	}
	if err != nil {
		return device.Applied{}, fmt.Errorf("%s on unit %d: reading what is in force: %w", d.kind, d.unit, err)
	}
	a := device.Applied{Quantity: device.BatteryPower}
	out, in := b.Value("OutWRte"), b.Value("InWRte")
	most, known := b.Value("WChaMax").In(milli)
	if b.Value("StorCtl_Mod").Raw != int64(limitCharge|limitDischarge) || !known || !out.Implemented || out.Raw != -in.Raw {
		return a, nil
	}
	if hundredth, ok := out.In(-2); ok { // percent in hundredths
		a.Active, a.Value = true, energy.MulDiv(max(hundredth, -hundredth), most, 10000)
		if hundredth < 0 {
			a.Value = -a.Value
		}
	}
	return a, nil
}

// setBattery makes a battery discharge with p (negative: charge; zero: rest).
//
// Model 124 knows no setpoint, only two limits in percent of WChaMax: OutWRte
// for discharging and InWRte for charging. A negative limit demands the other
// direction, so that InWRte = −OutWRte leaves one value. That is how Fronius
// documents it and how the common integrations use it. The percentage is
// rounded toward zero: never more than asked for. p beyond WChaMax is cut to it.
//
// The order is: reversion time written and read back, then both limits in one
// write, then the mode. A reversion time that the device already keeps is not
// written again, because parameter writes may wear out its memory.
func (d *Device) setBattery(ctx context.Context, p energy.Power, reversion time.Duration) error {
	seconds := (reversion + time.Second - 1) / time.Second
	if reversion <= 0 || reversion > mostReversion {
		return fmt.Errorf("reversion of %s: must be above 0 and at most %s", reversion, mostReversion)
	}
	b, at, err := d.control(ctx)
	if err != nil {
		return err
	}
	limit, err := rate(b, p)
	if err != nil {
		return err
	}
	if err := d.armReversion(ctx, b, at, uint16(seconds)); err != nil {
		return err
	}
	out, _ := b.Model.Point("OutWRte") // InWRte follows it
	if err := d.rw.WriteRegisters(ctx, d.unit, at+out.Offset, []uint16{uint16(limit), uint16(-limit)}); err != nil {
		return err
	}
	mode, _ := b.Model.Point("StorCtl_Mod")
	if b.Regs[mode.Offset] == limitCharge|limitDischarge {
		return nil
	}
	return d.rw.WriteRegisters(ctx, d.unit, at+mode.Offset, []uint16{limitCharge | limitDischarge})
}

// rate is p in the units of OutWRte.
func rate(b Block, p energy.Power) (int16, error) {
	most, ok := b.Value("WChaMax").In(milli)
	if !ok || most <= 0 {
		return 0, errors.New("the device does not say its maximum (WChaMax), the base of every limit")
	}
	// Only the scale counts here: the value itself may be a sentinel now.
	factor, _ := b.Model.Point("InOutWRte_SF")
	if int(factor.Offset) >= len(b.Regs) {
		return 0, errors.New("model 124 is too short: no InOutWRte_SF")
	}
	scale := int16(b.Regs[factor.Offset])
	if scale < -2 || scale > 1 { // finer than 0.01 % does not fit an int16 at 100 %
		return 0, fmt.Errorf("scale factor %d of InOutWRte can't express 100 percent", scale)
	}
	full := int64(100)
	for ; scale < 0; scale++ {
		full *= 10
	}
	for ; scale > 0; scale-- {
		full /= 10
	}
	size, negative := int64(p), p < 0
	if negative {
		size = -size
	}
	size = min(max(size, 0), most) // max: -size of the smallest int64 is negative
	n := energy.MulDiv(size, full, most)
	if negative {
		n = -n
	}
	return int16(n), nil
}

// armReversion makes the device keep the reversion time, and is sure of it.
func (d *Device) armReversion(ctx context.Context, b Block, at, seconds uint16) error {
	now := b.Value("InOutWRte_RvrtTms")
	if now.Implemented && now.Raw == int64(seconds) {
		return nil // b was read a moment ago: that is the reading back
	}
	if !now.Implemented {
		return ErrNoReversion
	}
	if err := d.rw.WriteRegisters(ctx, d.unit, at+now.Offset, []uint16{seconds}); err != nil {
		return fmt.Errorf("%w: %w", ErrNoReversion, err)
	}
	kept, err := readExactly(ctx, d.rw, d.unit, at+now.Offset, 1)
	if err != nil {
		return err
	}
	if kept[0] != seconds {
		return fmt.Errorf("%w: wrote %d s, the device keeps %d", ErrNoReversion, seconds, kept[0])
	}
	return nil
}

// control reads model 124 and says where it is, walking the chain again if it
// has moved: writing to an address of yesterday would hit something else.
func (d *Device) control(ctx context.Context) (Block, uint16, error) {
	b, err := d.block(ctx, whole, StorageControl)
	if errors.Is(err, errHeader) {
		if err = d.rediscover(ctx); err == nil {
			b, err = d.block(ctx, whole, StorageControl)
		}
		if errors.Is(err, errHeader) {
			err = fmt.Errorf("%w: %w", ErrMoved, err)
		}
	}
	if errors.Is(err, errAbsent) {
		return Block{}, 0, device.ErrNoControl
	}
	if err != nil {
		return Block{}, 0, err
	}
	if len(b.Regs) < int(b.Model.Size()) {
		return Block{}, 0, fmt.Errorf("%w: its model 124 ends after %d registers", device.ErrNoControl, len(b.Regs))
	}
	entry, _ := d.chain.Load().Find(StorageControl)
	return b, entry.Address, nil
}
