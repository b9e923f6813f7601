// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/gateway/device"
)

// Applied reads what is in force. Where a device has several controls, it is
// the first that is active.
func (d *Device) Applied(ctx context.Context) (device.Applied, error) {
	known, first := device.Applied{}, true
	for _, k := range d.controls() {
		m := &Image{}
		if err := d.fetch.into(ctx, m, k.spans()); err != nil {
			return device.Applied{}, fmt.Errorf("%s on unit %d: reading what is in force: %w", d.kind, d.unit, err)
		}
		a, err := k.Commanded(m)
		if errors.Is(err, device.ErrNotReadable) {
			continue
		}
		if err != nil {
			return device.Applied{}, fmt.Errorf("%s on unit %d: %w", d.kind, d.unit, err)
		}
		if a.Active {
			return a, nil
		}
		if first {
			known, first = a, false
		}
	}
	if first {
		return device.Applied{}, fmt.Errorf("%s on unit %d: %w", d.kind, d.unit, device.ErrNotReadable)
	}
	return known, nil
}

// spans are the registers that a control can be read back from.
func (k *Control) spans() []Span {
	var spans []Span
	for _, w := range slices.Concat(k.Set, k.Stop, k.Release) {
		if w.Read == "" {
			spans = append(spans, Span{w.Table, w.Address, uint16(w.Type.size())})
		}
		if w.Factor != nil {
			spans = append(spans, Span{w.Table, *w.Factor, 1})
		}
	}
	return spans
}

// Commanded is the inverse of a control: what its registers in an image ask of
// the device. A simulator obeys it. Its error wraps [device.ErrNotReadable]
// where the registers do not tell.
func (k *Control) Commanded(m *Image) (device.Applied, error) {
	if k.Switch {
		return k.toggled(m)
	}
	off := device.Applied{Quantity: k.Quantity}
	if holds, any := matches(k.Release, m, 0); any && holds {
		return off, nil
	}
	for _, way := range []int64{1, -1, 0} {
		if way > 0 && k.Most != nil && k.Most.Raw <= 0 || way < 0 && k.Least != nil && k.Least.Raw >= 0 {
			continue // it is never told such a value
		}
		steps := slices.DeleteFunc(slices.Clone(k.Set), func(w Write) bool { return !w.suits(Decimal{Raw: way}) })
		holds, any := matches(steps, m, way)
		if !holds {
			continue
		}
		value, told, err := k.asked(steps, m, way)
		if err != nil {
			return off, err
		}
		if !told && !any {
			return off, fmt.Errorf("%s: %w", k.Quantity, device.ErrNotReadable)
		}
		if !told && way != 0 || told && sign(value) != int(way) && directed(k.Set) {
			continue
		}
		return device.Applied{Quantity: k.Quantity, Value: value, Active: true}, nil
	}
	if holds, any := matches(k.Stop, m, 0); any && holds {
		return device.Applied{Quantity: k.Quantity, Active: true}, nil
	}
	return off, nil
}

// toggled reads back a switch: it is blocked, or nothing is in force.
func (k *Control) toggled(m *Image) (device.Applied, error) {
	blocked, tells := matches(k.Stop, m, 0)
	if !tells {
		return device.Applied{Quantity: k.Quantity}, fmt.Errorf("%s: %w", k.Quantity, device.ErrNotReadable)
	}
	return device.Applied{Quantity: k.Quantity, Active: blocked}, nil
}

// directed says whether the sequence depends on the sign.
func directed(steps []Write) bool {
	return slices.ContainsFunc(steps, func(w Write) bool { return len(w.When) > 0 })
}

// matches says whether the readable constants are as written, and whether there are any.
func matches(steps []Write, m *Image, way int64) (holds, any bool) {
	for i := range steps {
		w := &steps[i]
		if w.Takes != "constant" || w.Read != "" || !w.suits(Decimal{Raw: way}) {
			continue
		}
		any = true
		want, _ := w.registers(m, Decimal{}, 0)
		if got, err := m.Get(w.Table, w.Address, uint16(len(want))); err != nil || !slices.Equal(got, want) {
			return false, true
		}
	}
	return true, any
}

// asked decodes the value step; told is false where no step tells it.
func (k *Control) asked(steps []Write, m *Image, way int64) (value int64, told bool, err error) {
	for i := range steps {
		w := &steps[i]
		if w.Takes != "value" && w.Takes != "magnitude" {
			continue
		}
		if w.Read != "" {
			return 0, false, fmt.Errorf("%s: %w", k.Quantity, device.ErrNotReadable)
		}
		p := Point{
			Table: w.Table, Address: &w.Address, Type: w.Type, Words: w.Words, Bytes: w.Bytes,
			Offset: w.Offset, Scale: w.Scale, Factor: w.Factor, Sign: w.Sign,
		}
		r := p.decode(m)
		n, ok := r.Number.In(exponent(k.Quantity))
		if r.Reason != "" || !ok {
			return 0, false, fmt.Errorf("%s: %w: %s", k.Quantity, device.ErrNotReadable, r.Reason)
		}
		if w.Takes == "magnitude" && way < 0 {
			n = -n
		}
		return n, true, nil
	}
	return 0, false, nil
}
