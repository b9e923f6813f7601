// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
)

// ErrNoReversion says that the device does not take or keep a reversion time: a
// command would stay in force if this gateway died, so none is sent, unless it
// is asked for without one.
var ErrNoReversion = errors.New("the device has no working reversion timer")

// means is one way to command a device: some points of one model.
type means interface {
	// model is the model that the points are of.
	model() uint16
	// controls says what can be told by b, the model as it was read.
	controls(b Block) []device.Control
	// apply writes a command that controls offers.
	apply(ctx context.Context, d *Device, at place, c device.Command) error
	// applied says what is in force; q is what was commanded last, if anything.
	applied(b Block, q device.Quantity) device.Applied
	// release gives up the command.
	release(ctx context.Context, d *Device, at place) error
}

// way is a means that the device has, with what it offers.
type way struct {
	means
	offers []device.Control
}

// place is a model that was read a moment ago, and where it is.
type place struct {
	Block
	entry Entry
}

// addr is the address of a point.
func (p place) addr(name string) uint16 {
	point, ok := p.Model.Point(name)
	if !ok {
		return p.entry.Address // the id, which no device lets be written
	}
	return p.entry.Address + point.Offset
}

// commanded is what this device was told since it was opened.
type commanded struct {
	last    device.Quantity // empty: nothing, or it was released
	way     means           // that last was told by
	tried   []means         // every one that a command was tried by, and not released since
	noTimer map[uint16]bool // models whose timer did not keep its time
	single  map[uint16]bool // addresses that are written with function 6
	beats   bool            // the device wants heartbeats
	beat    uint16          // the last of them
	beatErr error           // of the last one
}

// findWays says how the device can be told something, after what its models
// show now. Of two models that do the same the first with a timer is taken.
func (d *Device) findWays(ctx context.Context) error {
	d.state.noTimer, d.state.single = map[uint16]bool{}, map[uint16]bool{}
	var candidates []means
	switch d.kind {
	case roll.Battery:
		candidates = []means{storage{}, setpoint{}}
	case roll.Inverter:
		rating, err := d.rating(ctx)
		if err != nil {
			return err
		}
		candidates = []means{limit{by: immediate(), rating: rating}, limit{by: derLimit(), rating: rating}}
	default:
		return nil
	}
	for _, m := range candidates {
		at, err := d.place(ctx, m.model())
		if errors.Is(err, device.ErrNoControl) {
			continue
		}
		if err != nil {
			return err
		}
		if offers := m.controls(at.Block); len(offers) > 0 {
			d.ways = append(d.ways, way{m, offers})
		}
	}
	slices.SortStableFunc(d.ways, func(a, b way) int { return timers(b) - timers(a) })
	return nil
}

// timers is 1 for a way with a reversion timer, else 0.
func timers(w way) int {
	if w.offers[0].Reversion == device.RevertsByTimer {
		return 1
	}
	return 0
}

// rating is the power that percentages of an inverter are of, in milliwatts; 0
// where the device does not say it.
func (d *Device) rating(ctx context.Context) (int64, error) {
	for _, source := range []struct {
		model uint16
		point string
	}{{Settings, "WMax"}, {Nameplate, "WRtg"}, {Capacity, "WMax"}, {Capacity, "WMaxRtg"}} {
		b, err := d.block(ctx, []string{source.point}, source.model)
		if errors.Is(err, errAbsent) || errors.Is(err, errRefused) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if mw, ok := b.Value(source.point).In(milli); ok && mw > 0 {
			return mw, nil
		}
	}
	return 0, nil
}

// Controls says which commands the device takes. It may say less after a
// command has shown that the timer does not work.
func (d *Device) Controls() []device.Control {
	var out []device.Control
	for _, w := range d.ways {
		for _, c := range w.offers {
			if slices.ContainsFunc(out, func(o device.Control) bool { return o.Quantity == c.Quantity }) {
				continue
			}
			if d.state.noTimer[w.model()] {
				c.Reversion, c.LeastReversion, c.MostReversion = device.NeverReverts, 0, 0
			}
			out = append(out, c)
		}
	}
	return out
}

// Apply puts a command in force until the next one or until its reversion has
// passed, whichever is first; the device counts reversion itself, so it also
// holds when this program dies. A reversion of 0 is for devices that never
// revert, and for nothing else: whoever asks for it knows that the command stays.
func (d *Device) Apply(ctx context.Context, c device.Command) error {
	err := d.following(ctx, func() error { return d.apply(ctx, c) })
	if err != nil {
		return fmt.Errorf("%s: setting %s: %w", d, c.Quantity, err)
	}
	return nil
}

func (d *Device) apply(ctx context.Context, c device.Command) error {
	for _, w := range d.ways {
		i := slices.IndexFunc(w.offers, func(o device.Control) bool { return o.Quantity == c.Quantity })
		if i < 0 {
			continue
		}
		if err := d.checkReversion(w, w.offers[i], c.Reversion); err != nil {
			return err
		}
		if err := d.ready(ctx); err != nil {
			return err
		}
		at, err := d.place(ctx, w.model())
		if err != nil {
			return err
		}
		if !slices.Contains(d.state.tried, w.means) { // a write that fails may have arrived
			d.state.tried = append(d.state.tried, w.means)
		}
		err = w.apply(ctx, d, at, c)
		if errors.Is(err, device.ErrReadBack) {
			// What the device does not show must not stay in force.
			err = errors.Join(err, w.release(ctx, d, at))
		}
		if err == nil {
			d.state.last, d.state.way = c.Quantity, w.means
		}
		return err
	}
	return device.ErrNoControl
}

// checkReversion refuses a command whose end is not what the device can do.
func (d *Device) checkReversion(w way, c device.Control, reversion time.Duration) error {
	never := c.Reversion == device.NeverReverts || d.state.noTimer[w.model()]
	switch {
	case never && reversion != 0:
		return ErrNoReversion
	case !never && (reversion <= 0 || reversion > c.MostReversion):
		return fmt.Errorf("reversion of %s: must be above 0 and at most %s", reversion, c.MostReversion)
	}
	return nil
}

// place reads the model that a device is commanded by, without its groups.
func (d *Device) place(ctx context.Context, model uint16) (place, error) {
	e, ok := d.chain.Find(model)
	m, known := Lookup(model)
	if !ok || !known {
		return place{}, device.ErrNoControl
	}
	n := min(int(e.Length)+headerLen, m.Size())
	b, err := d.fetch(ctx, e, m, n, itemsOf(m, n, func(string) int { return 0 }))
	if errors.Is(err, errRefused) {
		return place{}, fmt.Errorf("%w: %w", device.ErrNoControl, err)
	}
	return place{b, e}, err
}

// Release gives the device back to itself: what was commanded since it was
// opened, or may have been; if nothing was, whatever may have been left in force from before.
func (d *Device) Release(ctx context.Context) error {
	err := d.following(ctx, func() error { return d.release(ctx) })
	if err != nil {
		return fmt.Errorf("%s: releasing it: %w", d, err)
	}
	return nil
}

func (d *Device) release(ctx context.Context) error {
	ways := d.state.tried
	if len(ways) == 0 {
		if len(d.ways) == 0 {
			return device.ErrNoControl
		}
		for _, w := range d.ways {
			ways = append(ways, w.means)
		}
	}
	var failed []error
	for _, w := range ways {
		at, err := d.place(ctx, w.model())
		if err == nil {
			err = w.release(ctx, d, at)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	d.state.last, d.state.way, d.state.tried = "", nil, nil
	return nil
}

// Applied reads what is in force.
func (d *Device) Applied(ctx context.Context) (device.Applied, error) {
	if len(d.ways) == 0 {
		return device.Applied{}, fmt.Errorf("%s: %w", d, device.ErrNotReadable)
	}
	w := d.state.way
	if w == nil {
		w = d.ways[0].means
	}
	var a device.Applied
	err := d.following(ctx, func() error {
		at, err := d.place(ctx, w.model())
		if err == nil {
			a = w.applied(at.Block, d.state.last)
		}
		return err
	})
	if err != nil {
		return device.Applied{}, fmt.Errorf("%s: reading what is in force: %w", d, err)
	}
	return a, nil
}

// arm makes the device keep the reversion time, and is sure of it. A time that
// it keeps already is not written again, because parameter writes may wear out
// its memory.
func (d *Device) arm(ctx context.Context, at place, timer string, reversion time.Duration) error {
	if reversion == 0 {
		return nil
	}
	seconds := int64((reversion + time.Second - 1) / time.Second)
	now := at.Value(timer)
	if now.Implemented && now.Raw == seconds {
		return nil // it was read a moment ago: that is the reading back
	}
	if !now.Implemented {
		return fmt.Errorf("%w: %s is not implemented", ErrNoReversion, timer)
	}
	if err := d.write(ctx, at.addr(timer), registers(now.Point, seconds)); err != nil {
		if _, ok := exception(err); ok {
			err = fmt.Errorf("%w: %w", ErrNoReversion, err)
		}
		return err
	}
	regs, err := readExactly(ctx, d.rw, d.unit, at.addr(timer), now.Size)
	if err != nil {
		return err
	}
	if kept := decode(now.Point, regs, true); !kept.Implemented || kept.Raw != seconds {
		d.state.noTimer[at.Model.ID] = true
		return fmt.Errorf("%w: wrote %d s to %s, the device keeps %d", ErrNoReversion, seconds, timer, kept.Raw)
	}
	return nil
}

// registers are a number as the point holds it.
func registers(p *Point, raw int64) []uint16 {
	out := make([]uint16, p.Size)
	for i := range out {
		out[i] = uint16(raw >> (16 * (int(p.Size) - 1 - i)))
	}
	return out
}

// write writes one point: with function 16, or with function 6 where the device
// refuses 16 and the point is one register (Kostal).
func (d *Device) write(ctx context.Context, addr uint16, values []uint16) error {
	if len(values) == 1 && d.state.single[addr] {
		return d.rw.WriteRegister(ctx, d.unit, addr, values[0])
	}
	err := d.rw.WriteRegisters(ctx, d.unit, addr, values)
	if code, ok := exception(err); !ok || code > illegalValue || len(values) != 1 {
		return err
	}
	if second := d.rw.WriteRegister(ctx, d.unit, addr, values[0]); second != nil {
		return errors.Join(err, second)
	}
	d.state.single[addr] = true
	return nil
}

// set writes a point by its name.
func (d *Device) set(ctx context.Context, at place, name string, raw int64) error {
	p, ok := at.Model.Point(name)
	if !ok {
		return fmt.Errorf("model %d has no point %s", at.Model.ID, name)
	}
	return d.write(ctx, at.addr(name), registers(p, raw))
}

// shows reads points back. Each must show what was written, or what is within
// slack of it: a device may count in coarser steps than its scale factor says.
func (d *Device) shows(ctx context.Context, at place, factor string, slack int64, want map[string]int64) error {
	names := []string{factor}
	for name := range want {
		names = append(names, name)
	}
	slices.Sort(names)
	b, err := d.named(ctx, at.entry, at.Model, names)
	if err != nil {
		return err
	}
	if was, is := at.Value(factor), b.Value(factor); was.Raw != is.Raw {
		return fmt.Errorf("%w: its scale factor %s moved from %d to %d meanwhile", device.ErrReadBack, factor, was.Raw, is.Raw)
	}
	for _, name := range names {
		raw, asked := want[name]
		is := b.Value(name)
		off := max(is.Raw-raw, raw-is.Raw)
		exact := is.SF == ""
		if asked && (!is.Implemented || off > slack || exact && off != 0) {
			return fmt.Errorf("%w: wrote %d to %s, it shows %s", device.ErrReadBack, raw, name, is.neutral(at.Model.ID, 0))
		}
	}
	return nil
}

// hundred is 100 percent in steps of 10^scale percent.
func hundred(factor Value) (int64, error) {
	if !factor.Implemented {
		return 0, errors.New("the scale factor of its percentages has no value")
	}
	if factor.Raw < -2 || factor.Raw > 1 { // finer than 0.01 % does not fit 16 bits
		return 0, fmt.Errorf("scale factor %d can't express 100 percent", factor.Raw)
	}
	full := int64(1000)
	for s := factor.Raw; s < 1; s++ {
		full *= 10
	}
	return full / 100, nil
}
