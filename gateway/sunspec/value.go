// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// mostScale bounds scale factors, as the SunSpec specification does.
const mostScale = 10

// Value is one decoded point: Raw · 10^Scale, or Text for strings.
type Value struct {
	Point
	Raw         int64
	Scale       int
	Text        string
	Implemented bool // false: the device does not have it, or it can't be scaled
}

// Block is what one read brought of a model. Regs[0] is the model's id.
type Block struct {
	Model *Model
	Regs  []uint16
}

// Value decodes a point by name. A point that the block does not hold in full,
// or whose scale factor it does not hold, is not implemented.
func (b Block) Value(name string) Value {
	p, ok := b.Model.Point(name)
	if !ok {
		return Value{Point: Point{Name: name}}
	}
	return b.decode(p, 0)
}

// Values decodes all points that the block holds, groups included; those of
// group i are named by the group's number, such as "DCW.2".
func (b Block) Values() []Value {
	values := make([]Value, 0, len(b.Model.Points))
	for _, p := range b.Model.Points {
		if p.Type != Pad && b.holds(p, 0) {
			values = append(values, b.decode(p, 0))
		}
	}
	size := int(b.Model.GroupSize())
	if size == 0 {
		return values
	}
	count := b.Value(b.Model.Count)
	if !count.Implemented {
		return values
	}
	for i := range int(count.Raw) { // ends with the block, whatever the device claims
		base := int(b.Model.Size()) + i*size
		if base+size > len(b.Regs) {
			break
		}
		for _, p := range b.Model.Group {
			v := b.decode(p, base)
			v.Name += "." + strconv.Itoa(i+1)
			values = append(values, v)
		}
	}
	return values
}

func (b Block) holds(p Point, base int) bool {
	return base+int(p.Offset)+int(p.Size) <= len(b.Regs)
}

func (b Block) decode(p Point, base int) Value {
	v := Value{Point: p}
	if !b.holds(p, base) || p.Type == Pad {
		return v
	}
	from := base + int(p.Offset)
	regs := b.Regs[from : from+int(p.Size)]
	if p.Type == String {
		v.Text = text(regs)
		v.Implemented = v.Text != ""
		return v
	}
	v.Raw, v.Implemented = number(p, regs)
	if p.SF == "" || !v.Implemented {
		return v
	}
	factor, ok := b.Model.Point(p.SF)
	if !ok || !b.holds(factor, 0) {
		v.Implemented = false
		return v
	}
	scale := int16(b.Regs[factor.Offset])
	if scale < -mostScale || scale > mostScale { // also its sentinel
		v.Implemented = false
		return v
	}
	v.Scale = int(scale)
	return v
}

// number decodes an integer and says whether it is one; p.Size registers.
func number(p Point, regs []uint16) (int64, bool) {
	var u uint64
	for _, r := range regs {
		u = u<<16 | uint64(r)
	}
	switch p.Type {
	case Int16, ScaleFactor:
		return int64(int16(u)), u != 0x8000
	case Acc32:
		return int64(u), u != 0 || p.Mandatory()
	case Uint16, Enum16, Bitfield16:
		return int64(u), u != math.MaxUint16
	case Uint32, Bitfield32:
		return int64(u), u != math.MaxUint32
	case Uint64:
		return int64(u), u <= math.MaxInt64 // the sentinel, and what we can't hold
	default: // strings and padding are no numbers
		return 0, false
	}
}

// text decodes a string: up to the first zero byte, blanks cut, and only what
// can be printed, because it ends up in logs and on pages.
func text(regs []uint16) string {
	raw := make([]byte, 0, 2*len(regs))
	for _, r := range regs {
		raw = append(raw, byte(r>>8), byte(r))
	}
	s, _, _ := strings.Cut(string(raw), "\x00")
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// In is the value in units of 10^exp of the point's unit (-3: thousandths),
// rounded toward zero. It is false where there is no value or it doesn't fit.
func (v Value) In(exp int) (int64, bool) {
	if !v.Implemented || v.Type == String {
		return 0, false
	}
	n := v.Raw
	for shift := v.Scale - exp; shift > 0; shift-- {
		if n > math.MaxInt64/10 || n < math.MinInt64/10 {
			return 0, false
		}
		n *= 10
	}
	for shift := v.Scale - exp; shift < 0 && n != 0; shift++ {
		n /= 10
	}
	return n, true
}

// String prints the value as a decimal with its unit, for people.
func (v Value) String() string {
	switch {
	case !v.Implemented:
		return "not implemented"
	case v.Type == String:
		return strconv.Quote(v.Text)
	case v.Type == Bitfield16 || v.Type == Bitfield32:
		return "0x" + strconv.FormatInt(v.Raw, 16)
	}
	s := decimal(v.Raw, v.Scale)
	if v.Units != "" {
		s += " " + v.Units
	}
	return s
}

// neutral is the value as other packages know it; e is the model it is of.
func (v Value) neutral(e Entry) device.Value {
	n := device.Value{Name: v.Name, Model: e.ID, Address: e.Address + v.Offset, Unit: v.Units, Quality: energy.Good}
	switch {
	case !v.Implemented:
		n.Quality, n.Reason = energy.NotImplemented, "the device shows its mark for not implemented"
	case v.Type == String:
		n.Text = v.Text
	default:
		n.Raw, n.Scale, n.Decimal = v.Raw, v.Scale, decimal(v.Raw, v.Scale)
	}
	return n
}

// decimal prints raw · 10^scale with all its digits.
func decimal(raw int64, scale int) string {
	sign, digits := "", strconv.FormatInt(raw, 10)
	if raw < 0 {
		sign, digits = "-", digits[1:]
	}
	switch {
	case scale > 0 && raw != 0:
		digits += strings.Repeat("0", scale)
	case scale < 0:
		if missing := 1 - scale - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		cut := len(digits) + scale
		digits = digits[:cut] + "." + digits[cut:]
	}
	return sign + digits
}
