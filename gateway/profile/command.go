// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/gateway/device"
)

// Reading back: a device may need a moment to show what it was told.
const (
	readBackTries = 4
	readBackPause = 150 * time.Millisecond
)

// controls are the confirmed ones of the device's kind and firmware.
func (d *Device) controls() []*Control {
	var all []*Control
	for i := range d.profile.Controls {
		k := &d.profile.Controls[i]
		is, known := suits(d.identity.Version, k.Since, k.Before)
		if k.Confirmed && is && known && slices.Contains(quantities(d.kind), k.Quantity) {
			all = append(all, k)
		}
	}
	return all
}

// Controls says what the device can be told. What only one source knows is not
// among it.
func (d *Device) Controls() []device.Control {
	var all []device.Control
	for _, k := range d.controls() {
		c := device.Control{
			Quantity: k.Quantity, Reversion: k.Reversion.By,
			LeastReversion: time.Duration(k.Reversion.LeastSeconds) * time.Second,
			MostReversion:  time.Duration(k.Reversion.MostSeconds) * time.Second,
			Refresh:        time.Duration(k.RefreshSeconds) * time.Second,
			Flash:          k.WritesPerDay,
			Switch:         k.Switch,
			Source:         d.profile.sourceURLs(k.From),
		}
		if k.Reversion.By == device.RevertsByWatchdog {
			c.LeastReversion = time.Duration(k.Reversion.Seconds) * time.Second
			c.MostReversion = c.LeastReversion
		}
		c.Least, _ = k.Least.In(exponent(k.Quantity))
		if !k.Switch {
			c.Most, _ = k.Most.In(exponent(k.Quantity))
		}
		all = append(all, c)
	}
	return all
}

// exponent of a command's value: milliwatts of W, permille of %.
func exponent(q device.Quantity) int {
	if q == device.ActivePowerPct {
		return -1
	}
	return milli
}

func (p *Profile) sourceURLs(ids []string) string {
	urls := ""
	for _, s := range p.Sources {
		if len(ids) == 0 || slices.Contains(ids, s.ID) {
			if urls != "" {
				urls += " "
			}
			urls += s.URL
		}
	}
	return urls
}

// orderedWrite is one telegram with all numbers put in: a step and those that join it.
type orderedWrite struct {
	*Write
	regs []uint16
}

// Apply puts a command in force. Everything is computed before anything is
// written, so that a value out of range leaves the device as it was.
func (d *Device) Apply(ctx context.Context, c device.Command) error {
	if err := d.apply(ctx, c); err != nil {
		return fmt.Errorf("%s on unit %d: setting %s to %d: %w", d.kind, d.unit, c.Quantity, c.Value, err)
	}
	return nil
}

func (d *Device) apply(ctx context.Context, c device.Command) error {
	i := slices.IndexFunc(d.controls(), func(k *Control) bool { return k.Quantity == c.Quantity })
	if i < 0 {
		return fmt.Errorf("%w: profile %s has no confirmed control of %s", device.ErrNoControl, d.profile.Name, c.Quantity)
	}
	k := d.controls()[i]
	seconds := int64(c.Reversion / time.Second) // rounded down: never in force longer than asked
	if k.Reversion.By == device.RevertsByTimer && (seconds < int64(k.Reversion.LeastSeconds) || seconds > int64(k.Reversion.MostSeconds)) {
		return fmt.Errorf("%w: a reversion of %s, the device takes %d to %d s", device.ErrRange, c.Reversion, k.Reversion.LeastSeconds, k.Reversion.MostSeconds)
	}
	asked := Decimal{c.Value, exponent(c.Quantity)}
	steps := k.Set
	pause := c.Quantity == device.LoadPower && asked.Cmp(*k.Least) < 0
	switch {
	case c.Stop || pause:
		if len(k.Stop) == 0 {
			return fmt.Errorf("%w: profile %s has no way to stop it", device.ErrNoControl, d.profile.Name)
		}
		steps, asked = k.Stop, Decimal{}
	case k.Switch:
		steps = k.Release // it may draw as much as it can
	case asked.Cmp(*k.Least) < 0 || asked.Cmp(*k.Most) > 0:
		return fmt.Errorf("%w: %s, it takes %s to %s", device.ErrRange, asked, k.Least, k.Most)
	}
	ordered, err := d.prepare(ctx, steps, asked, seconds)
	if err != nil {
		return err
	}
	return d.write(ctx, ordered, k.Reversion.By == device.NeverReverts)
}

// Release gives the device back to itself, by every control of its kind.
func (d *Device) Release(ctx context.Context) error {
	var failed []error
	for _, k := range d.controls() {
		ordered, err := d.prepare(ctx, k.Release, Decimal{}, 0)
		for i := range ordered { // each gives something back, also where the one before it was refused
			err = errors.Join(err, d.write(ctx, ordered[i:i+1], true))
		}
		if err != nil { // the others are released all the same
			failed = append(failed, fmt.Errorf("%s on unit %d: releasing its %s: %w", d.kind, d.unit, k.Quantity, err))
		}
	}
	return errors.Join(failed...)
}

// prepare computes what the steps write.
func (d *Device) prepare(ctx context.Context, steps []Write, asked Decimal, seconds int64) ([]orderedWrite, error) {
	m := &Image{}
	var factors []Span
	for _, w := range steps {
		if w.Factor != nil {
			factors = append(factors, Span{w.Table, *w.Factor, 1})
		}
	}
	if err := d.fetch.into(ctx, m, factors); err != nil {
		return nil, err
	}
	var ordered []orderedWrite
	for i := range steps {
		w := &steps[i]
		if !w.suits(asked) {
			continue
		}
		regs, err := w.registers(m, asked, seconds)
		if err != nil {
			return nil, fmt.Errorf("%w: register %d: %w", device.ErrRange, w.Address, err)
		}
		if n := len(ordered); w.Joins && n > 0 {
			ordered[n-1].regs = append(ordered[n-1].regs, regs...)
			continue
		}
		ordered = append(ordered, orderedWrite{w, regs})
	}
	return ordered, nil
}

// suits says whether a step belongs to a value of this sign.
func (w *Write) suits(asked Decimal) bool {
	name := [...]string{"negative", "zero", "positive"}[sign(asked.Raw)+1]
	return len(w.When) == 0 || slices.Contains(w.When, name)
}

// registers are what a step writes.
func (w *Write) registers(m *Image, asked Decimal, seconds int64) ([]uint16, error) {
	d := asked
	switch w.Takes {
	case "constant":
		regs, ok := rawRegisters(w.Type, w.Value)
		if !ok {
			return nil, fmt.Errorf("%d does not fit into a %s", w.Value, w.Type)
		}
		return order(regs, w.Words, w.Bytes), nil
	case "magnitude":
		if d.Raw < 0 {
			d = d.Neg()
		}
	case "seconds":
		d = Decimal{Raw: seconds}
	}
	if w.Sign == "opposite" {
		d = d.Neg()
	}
	exp, err := w.exponent(m)
	if err != nil {
		return nil, err
	}
	d.Exp -= exp
	return encodeNumber(d, w.Type, w.Scale, w.Offset, w.Words, w.Bytes)
}

// exponent is that of the dynamic scale factor, 0 without one.
func (w *Write) exponent(m *Image) (int, error) {
	if w.Factor == nil {
		return 0, nil
	}
	regs, err := m.Get(w.Table, *w.Factor, 1)
	if err != nil {
		return 0, err
	}
	exp := int(int16(regs[0]))
	if exp < -mostFactor || exp > mostFactor {
		return 0, fmt.Errorf("its scale factor is %d, which is none", exp)
	}
	return exp, nil
}

// write sends the steps in their order, and reads each back before the next:
// a setpoint follows only a reversion that is in force. With spare, a register
// that already holds the value is not written again, for its memory's sake.
func (d *Device) write(ctx context.Context, steps []orderedWrite, spare bool) error {
	for _, s := range steps {
		if spare && s.Read == "" {
			if now, err := d.readBack(ctx, s); err == nil && slices.Equal(now, s.regs) {
				continue
			}
		}
		if err := d.send(ctx, s); err != nil {
			return err
		}
		if s.Read != "" {
			continue
		}
		if err := d.confirm(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) send(ctx context.Context, s orderedWrite) error {
	rw := d.fetch.rw
	switch s.Function {
	case 5:
		return rw.WriteCoil(ctx, d.unit, s.Address, s.regs[0] == 1)
	case 6:
		return rw.WriteRegister(ctx, d.unit, s.Address, s.regs[0])
	default:
		return rw.WriteRegisters(ctx, d.unit, s.Address, s.regs)
	}
}

func (d *Device) readBack(ctx context.Context, s orderedWrite) ([]uint16, error) {
	m := &Image{}
	n := uint16(len(s.regs))
	if err := d.fetch.into(ctx, m, []Span{{s.Table, s.Address, n}}); err != nil {
		return nil, err
	}
	return m.Get(s.Table, s.Address, n)
}

// confirm reads until the device shows what it was told, a few times.
func (d *Device) confirm(ctx context.Context, s orderedWrite) error {
	var now []uint16
	for try := range readBackTries {
		if try > 0 {
			wait := time.NewTimer(readBackPause)
			select {
			case <-ctx.Done():
				wait.Stop()
				return ctx.Err()
			case <-wait.C:
			}
		}
		var err error
		if now, err = d.readBack(ctx, s); err != nil {
			return err
		}
		if slices.Equal(now, s.regs) {
			return nil
		}
	}
	return fmt.Errorf("%w: wrote %v to %s %d, it shows %v", device.ErrReadBack, s.regs, s.Table, s.Address, now)
}
