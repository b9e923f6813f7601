// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// Reading is a decoded point: a number, or a text, or a reason why there is none.
type Reading struct {
	Number  Decimal
	Raw     int64 // before scaling, for enums and bits
	Text    string
	Quality energy.Quality // Good or NotImplemented
	Reason  string
	// Step is how far two neighbouring numbers lie apart where the device
	// counts in floats; its Raw is 0 elsewhere.
	Step Decimal
}

func absent(format string, args ...any) Reading {
	return Reading{Quality: energy.NotImplemented, Reason: fmt.Sprintf(format, args...)}
}

// most exponent of a dynamic scale factor, as SunSpec bounds it.
const mostFactor = 10

// decode gives a point's value as an image shows it, without its plausibility.
func (p *Point) decode(m *Image) Reading {
	regs, err := m.Get(p.Table, *p.Address, p.registers())
	if err != nil {
		return absent("%v", err)
	}
	switch p.Type {
	case String:
		if s := text(regs, p.Bytes); s != "" {
			return Reading{Text: s}
		}
		return absent("the device leaves it empty")
	case F32, F64:
		return p.decodeFloat(regs, m)
	default: // integers
	}
	u := unsigned(regs, p.Words, p.Bytes)
	for _, w := range p.Missing {
		if u == uint64(w) {
			return absent("the device says that it does not have it (0x%x)", u)
		}
	}
	raw, ok := integer(p.Type, u)
	if !ok {
		return absent("0x%x is more than we can hold", u)
	}
	switch p.Type {
	case Enum, Bit:
		return Reading{Raw: raw, Number: Decimal{Raw: raw}, Text: p.named(raw)}
	case Bitfield:
		return Reading{Raw: raw, Number: Decimal{Raw: raw}, Text: p.bits(raw)}
	default: // numbers
	}
	n, ok := Decimal{Raw: raw - p.Offset}, true
	if p.Scale != nil {
		n, ok = n.Times(*p.Scale)
	}
	if !ok {
		return absent("0x%x is more than we can hold", u)
	}
	return p.withFactor(Reading{Raw: raw, Number: n}, m)
}

func (p *Point) decodeFloat(regs []uint16, m *Image) Reading {
	u := unsigned(regs, p.Words, p.Bytes)
	for _, w := range p.Missing {
		if u == uint64(w) {
			return absent("the device says that it does not have it (0x%x)", u)
		}
	}
	var n, step Decimal
	var ok bool
	if p.Type == F32 {
		f := math.Float32frombits(uint32(u))
		n, ok = shortest(float64(f), 32)
		step = floatStep(u>>23&0xff, 127+23)
	} else {
		f := math.Float64frombits(u)
		n, ok = shortest(f, 64)
		step = floatStep(u>>52&0x7ff, 1023+52)
	}
	if !ok {
		return absent("the device shows no number (0x%x)", u)
	}
	if p.Scale != nil {
		var ok2 bool
		n, ok = n.Times(*p.Scale)
		step, ok2 = step.Times(*p.Scale)
		if !ok || !ok2 {
			return absent("0x%x is more than we can hold", u)
		}
	}
	return p.withFactor(Reading{Number: n, Step: step}, m)
}

// floatStep is the distance between neighbouring floats of a binary exponent,
// in decimal; 0 where it is far below anything we count.
func floatStep(exponent uint64, bias int) Decimal {
	e := int(exponent) - bias
	d := Decimal{Raw: 1}
	if e < -17 || e > 40 {
		return Decimal{}
	}
	for ; e > 0; e-- {
		d.Raw *= 2
	}
	for ; e < 0; e++ { // a half is five tenths
		d = Decimal{d.Raw * 5, d.Exp - 1}
	}
	return d
}

// withFactor scales by the register beside it, which must have come in the same
// read: an image holds one pass.
func (p *Point) withFactor(r Reading, m *Image) Reading {
	if p.Sign == "opposite" {
		r.Number = r.Number.Neg()
	}
	if p.Factor == nil {
		return r
	}
	regs, err := m.Get(p.Table, *p.Factor, 1)
	if err != nil {
		return absent("its scale factor is missing: %v", err)
	}
	exp := int(int16(regs[0]))
	if exp < -mostFactor || exp > mostFactor {
		return absent("its scale factor is %d, which is none", exp)
	}
	r.Number.Exp += exp
	if r.Step.Raw != 0 {
		r.Step.Exp += exp
	}
	return r
}

// plausible takes away a value that no such device can have.
func (p *Point) plausible(r Reading) Reading {
	if r.Quality != energy.Good || p.Type == String {
		return r
	}
	if p.Least != nil && r.Number.Cmp(*p.Least) < 0 || p.Most != nil && r.Number.Cmp(*p.Most) > 0 {
		least, most := "…", "…"
		if p.Least != nil {
			least = p.Least.String()
		}
		if p.Most != nil {
			most = p.Most.String()
		}
		return absent("%s %s is not plausible (%s to %s); is this the right profile and firmware?", r.Number, p.Unit, least, most)
	}
	return r
}

func (p *Point) named(raw int64) string {
	for _, v := range p.Values {
		if v.Is == raw {
			return v.Name
		}
	}
	return strconv.FormatInt(raw, 10)
}

func (p *Point) bits(raw int64) string {
	var names []string
	for bit := range 16 {
		if raw>>bit&1 == 0 {
			continue
		}
		name := fmt.Sprintf("bit %d", bit)
		for _, v := range p.Values {
			if v.Is == int64(bit) {
				name = v.Name
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// unsigned puts registers together.
func unsigned(regs []uint16, words, bytes Order) uint64 {
	var u uint64
	for i := range regs {
		r := regs[i]
		if words == Little {
			r = regs[len(regs)-1-i]
		}
		if bytes == Little {
			r = r<<8 | r>>8
		}
		u = u<<16 | uint64(r)
	}
	return u
}

// integer gives the raw bits their sign; false where an int64 cannot hold them.
func integer(t Type, u uint64) (int64, bool) {
	switch t {
	case S16:
		return int64(int16(u)), true
	case S32:
		return int64(int32(u)), true
	case S64:
		return int64(u), true
	default:
		return int64(u), u <= math.MaxInt64
	}
}

// text decodes a string: up to the first zero byte, blanks cut, and only what
// can be printed, because it ends up in logs and on pages.
func text(regs []uint16, bytes Order) string {
	raw := make([]byte, 0, 2*len(regs))
	for _, r := range regs {
		if bytes == Little {
			r = r<<8 | r>>8
		}
		raw = append(raw, byte(r>>8), byte(r))
	}
	s, _, _ := strings.Cut(string(raw), "\x00")
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	return strings.Trim(s, " ?")
}

// value is a reading as the neutral words have it.
func (p *Point) value(r Reading) device.Value {
	v := device.Value{Name: p.Name, Unit: p.Unit, Quality: r.Quality, Reason: r.Reason, Text: r.Text}
	if p.Address != nil {
		v.Address = *p.Address
	}
	if r.Quality == energy.Good && p.Type != String {
		v.Raw, v.Scale, v.Decimal = r.Number.Raw, r.Number.Exp, r.Number.String()
	}
	return v
}
