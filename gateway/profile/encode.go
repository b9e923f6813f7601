// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Encode is the inverse of decoding, for simulators: it puts a point's value
// (after scaling, in the point's unit, with our sign; a text; or the name of an
// enumerated value) into an image. A value between two counts is rounded toward
// zero. A sum is put into its first term, the others are 0.
func (p *Profile) Encode(m *Image, name, value string) error {
	pt := p.point(name)
	if pt == nil {
		return fmt.Errorf("profile %s has no point %s", p.Name, name)
	}
	if pt.Sum != nil {
		return p.encodeSum(m, pt, value)
	}
	if pt.NegativeIf != nil {
		var negative bool
		value, negative = strings.CutPrefix(value, "-")
		if err := p.point(pt.NegativeIf.Point).direct(m, pt.NegativeIf, negative); err != nil {
			return err
		}
	}
	exponent := 0
	if pt.Factor != nil {
		exponent = pt.fit(value)
		m.Set(pt.Table, *pt.Factor, uint16(int16(exponent)))
	}
	regs, err := Encode(*pt, value, exponent)
	if err != nil {
		return fmt.Errorf("profile %s, point %s: %w", p.Name, name, err)
	}
	m.Set(pt.Table, *pt.Address, regs...)
	return nil
}

// point is the first of that name.
func (p *Profile) point(name string) *Point {
	for i := range p.Points {
		if p.Points[i].Name == name {
			return &p.Points[i]
		}
	}
	return nil
}

func (p *Profile) encodeSum(m *Image, pt *Point, value string) error {
	negative := strings.HasPrefix(value, "-")
	done := false
	for _, term := range pt.Sum {
		name, minus := strings.CutPrefix(term, "-")
		part := "0"
		if !done && (minus == negative || len(pt.Sum) == 1) {
			part, done = strings.TrimPrefix(value, "-"), true
		}
		if err := p.Encode(m, name, part); err != nil {
			return err
		}
	}
	if !done {
		first, _ := strings.CutPrefix(pt.Sum[0], "-")
		return p.Encode(m, first, value)
	}
	return nil
}

// direct makes the point that tells a direction tell it.
func (p *Point) direct(m *Image, d *Direction, negative bool) error {
	n := int64(0)
	switch {
	case negative && len(d.Is) > 0:
		n = d.Is[0]
	case negative:
		n = 1 << d.Bits[0]
	default:
		for d.holds(n) {
			n++
		}
	}
	regs, ok := rawRegisters(p.Type, n)
	if !ok {
		return fmt.Errorf("%d does not fit into a %s", n, p.Type)
	}
	m.Set(p.Table, *p.Address, regs...)
	return nil
}

// fit is the smallest exponent of ten at which the value fits a dynamic scale.
func (p *Point) fit(value string) int {
	d, err := ParseDecimal(value)
	if err != nil {
		return 0
	}
	for exp := d.Exp; exp < mostFactor; exp++ {
		if _, err := Encode(*p, value, exp); err == nil {
			return max(exp, -mostFactor)
		}
	}
	return 0
}

// Encode gives the registers of one value of a point; exponent is that of its
// dynamic scale factor, 0 where it has none.
func Encode(p Point, value string, exponent int) ([]uint16, error) {
	if p.Type == String {
		return encodeText(value, int(p.Count), p.Bytes), nil
	}
	for _, v := range p.Values {
		if v.Name == value && p.Type != Bitfield {
			value = strconv.FormatInt(v.Is, 10)
		}
	}
	d, err := ParseDecimal(value)
	if err != nil {
		return nil, err
	}
	if p.Sign == "opposite" {
		d = d.Neg()
	}
	d.Exp -= exponent
	return encodeNumber(d, p.Type, p.Scale, p.Offset, p.Words, p.Bytes)
}

func encodeNumber(d Decimal, t Type, scale *Decimal, offset int64, words, bytes Order) ([]uint16, error) {
	one := Decimal{Raw: 1}
	if scale == nil {
		scale = &one
	}
	if t == F32 || t == F64 {
		return order(floatRegisters(d, t, *scale), words, bytes), nil
	}
	raw, ok := d.Over(*scale)
	if ok && offset != 0 {
		sum, fits := Decimal{Raw: raw}.Plus(Decimal{Raw: offset})
		raw, ok = sum.Raw, fits
	}
	regs, fits := rawRegisters(t, raw)
	if !ok || !fits {
		return nil, fmt.Errorf("%s does not fit into a %s", d, t)
	}
	return order(regs, words, bytes), nil
}

// floatRegisters is the nearest float: it is for devices that take floats, and
// nothing is booked of it.
func floatRegisters(d Decimal, t Type, scale Decimal) []uint16 {
	f, _ := strconv.ParseFloat(fmt.Sprintf("%de%d", d.Raw, d.Exp-scale.Exp), 64)
	f /= float64(scale.Raw)
	if t == F32 {
		return split(uint64(math.Float32bits(float32(f))), 2)
	}
	return split(math.Float64bits(f), 4)
}

// rawRegisters splits an integer; false where the type cannot hold it.
func rawRegisters(t Type, n int64) ([]uint16, bool) {
	size := t.size()
	bits := 16 * size
	switch t {
	case S16, S32, S64:
		if bits < 64 && (n < -1<<(bits-1) || n > 1<<(bits-1)-1) {
			return nil, false
		}
	case F32, F64:
		return floatRegisters(Decimal{Raw: n}, t, Decimal{Raw: 1}), true
	case Bit:
		return []uint16{uint16(n)}, n == 0 || n == 1
	default:
		if n < 0 || bits < 64 && n > 1<<bits-1 {
			return nil, false
		}
	}
	return split(uint64(n), size), size > 0
}

func split(u uint64, size int) []uint16 {
	regs := make([]uint16, size)
	for i := range regs {
		regs[i] = uint16(u >> (16 * (size - 1 - i)))
	}
	return regs
}

// order turns registers that are big in both into what the device has.
func order(regs []uint16, words, bytes Order) []uint16 {
	out := make([]uint16, len(regs))
	for i, r := range regs {
		if bytes == Little {
			r = r<<8 | r>>8
		}
		if words == Little {
			out[len(regs)-1-i] = r
		} else {
			out[i] = r
		}
	}
	return out
}

func encodeText(s string, count int, bytes Order) []uint16 {
	raw := make([]byte, 2*count)
	copy(raw, s)
	regs := make([]uint16, count)
	for i := range regs {
		regs[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	return order(regs, Big, bytes)
}
