// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// mostScale bounds scale factors, as the SunSpec specification does.
const mostScale = 10

// Why a point has no value.
const (
	reasonSentinel = "the device shows its mark for not implemented"
	reasonUnread   = "the device refuses to have it read"
	reasonMoving   = "its scale factor moved while it was read"
)

// Value is one decoded point: Raw · 10^Scale, or Text for what is no number.
type Value struct {
	*Point
	Path        string // the name with its groups
	Raw         int64
	Scale       int
	Text        string // of what is no number, and the name of an enumerated value
	Implemented bool   // false: the device does not have it, or it can't be scaled
	Reason      string // where it is not implemented, or what is odd about it
	wide        bool   // Raw holds the bits of an unsigned number beyond the largest int64
}

// decode decodes regs, the registers of p; its scale factor comes later.
func decode(p *Point, regs []uint16, mandatory bool) Value {
	v := Value{Point: p, Reason: reasonSentinel}
	var u uint64
	for _, r := range regs {
		u = u<<16 | uint64(r)
	}
	switch p.Type {
	case String:
		v.Text = text(regs)
		v.Implemented = v.Text != ""
	case IPAddr:
		v.Text = netip.AddrFrom4([4]byte{byte(u >> 24), byte(u >> 16), byte(u >> 8), byte(u)}).String()
		v.Implemented = u != 0
	case IPv6Addr:
		v.Text, v.Implemented = ipv6(regs)
	case EUI48:
		v.Text = fmt.Sprintf("%02X:%02X:%02X:%02X:%02X:%02X", byte(u>>40), byte(u>>32), byte(u>>24), byte(u>>16), byte(u>>8), byte(u))
		v.Implemented = u != math.MaxUint64
	case Float32:
		v.float(float64(math.Float32frombits(uint32(u))), 32)
	case Float64:
		v.float(math.Float64frombits(u), 64)
	case Pad:
	default:
		v.Raw, v.Implemented = integer(p, u, mandatory)
		v.wide = v.Raw < 0 && !signed(p.Type)
	}
	if v.Implemented {
		v.Reason = ""
	}
	switch p.Type {
	case Enum16, Enum32:
		v.Text = lookup(p.Symbols, u)
	case Bitfield16, Bitfield32, Bitfield64:
		if p.Symbols != "" { // without, the number says as much
			v.Text = bits(p.Symbols, u)
		}
	default:
	}
	if !v.Implemented {
		v.Text = ""
	}
	return v
}

func signed(t Type) bool {
	return t == Int16 || t == Int32 || t == Int64 || t == ScaleFactor
}

// integer is a whole number's value, and whether it is one.
func integer(p *Point, u uint64, mandatory bool) (int64, bool) {
	bits := 16 * uint(p.Size)
	most := uint64(math.MaxUint64) >> (64 - bits)
	switch {
	case signed(p.Type):
		shift := 64 - bits
		return int64(u<<shift) >> shift, u != most/2+1
	case p.Type == Acc16 || p.Type == Acc32 || p.Type == Acc64:
		return int64(u), u != 0 || mandatory
	}
	return int64(u), u != most
}

// float takes a number of 32 or 64 bits as the shortest decimal that is read
// back as the same number. A number so large that it has no fraction any more is
// taken exactly, because the shortest decimal may end in zeros that the counter
// does not have.
func (v *Value) float(f float64, bits int) {
	if math.IsNaN(f) {
		return
	}
	if math.IsInf(f, 0) {
		v.Reason = "it is infinite"
		return
	}
	v.Implemented = true
	size := math.Abs(f)
	if size >= 1<<24 && size < 1<<63 && size == math.Trunc(size) {
		v.Raw = int64(f)
		return
	}
	mantissa, exp, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, bits), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	// At most 17 digits and three: neither can fail.
	v.Raw, _ = strconv.ParseInt(whole+fraction, 10, 64)
	v.Scale, _ = strconv.Atoi(exp)
	v.Scale -= len(fraction)
	if v.Raw == 0 {
		v.Scale = 0
	}
}

// step is the size of a counter's smallest step, in units of 10^exp, if that is
// more than one; 0 where the point is finer or has no value.
func (v Value) step(exp int) int64 {
	if !v.Implemented {
		return 0
	}
	one := Value{Implemented: true, Point: &Point{}, Raw: 1, Scale: v.Scale}
	if v.Type == Float32 {
		_, e := math.Frexp(math.Abs(float64(v.Raw))) // raw in [2^(e-1), 2^e): 24 digits of it are there
		if v.Scale != 0 || e <= 24 {
			return 0
		}
		one.Raw = 1 << (e - 24)
	}
	n, ok := one.In(exp)
	if !ok || n <= 1 {
		return 0
	}
	return n
}

// scale gives v the factor that was read with it.
func (v *Value) scale(factor Value) {
	switch {
	case !v.Implemented:
	case !factor.Implemented:
		v.Implemented, v.Text, v.Reason = false, "", fmt.Sprintf("its scale factor %s has no value: %s", v.SF, factor.Reason)
	case factor.Raw < -mostScale || factor.Raw > mostScale:
		v.Implemented, v.Text, v.Reason = false, "", fmt.Sprintf("its scale factor %s is %d, beyond %d", v.SF, factor.Raw, mostScale)
	default:
		v.Scale = int(factor.Raw)
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

func ipv6(regs []uint16) (string, bool) {
	var b [16]byte
	for i, r := range regs[:min(len(regs), 8)] {
		b[2*i], b[2*i+1] = byte(r>>8), byte(r)
	}
	return netip.AddrFrom16(b).String(), b != [16]byte{}
}

// In is the value in units of 10^exp of the point's unit (-3: thousandths),
// rounded toward zero. It is false where there is no value or it doesn't fit.
func (v Value) In(exp int) (int64, bool) {
	if !v.Implemented || v.wide || v.textual() {
		return 0, false
	}
	n := v.Raw
	for shift := v.Scale - exp; shift > 0 && n != 0; shift-- {
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

// textual says that the point is no number.
func (v Value) textual() bool {
	switch v.Type {
	case String, IPAddr, IPv6Addr, EUI48, Pad:
		return true
	default:
		return false
	}
}

// neutral is the value as other packages know it; at is where it lies.
func (v Value) neutral(model, at uint16) device.Value {
	n := device.Value{
		Name: v.Path, Model: model, Address: at, Unit: v.Units, Quality: energy.Good, Reason: v.Reason, Text: v.Text,
	}
	switch {
	case !v.Implemented:
		n.Quality = energy.NotImplemented
	case v.wide:
		n.Scale, n.Decimal = v.Scale, scaled(strconv.FormatUint(uint64(v.Raw), 10), v.Scale)
	case !v.textual():
		n.Raw, n.Scale, n.Decimal = v.Raw, v.Scale, decimal(v.Raw, v.Scale)
	}
	if step := v.step(0); step > 1 && v.Type == Float32 {
		n.Reason = fmt.Sprintf("in single precision it counts in steps of %d", step)
	}
	return n
}

// decimal prints raw · 10^scale with all its digits.
func decimal(raw int64, scale int) string {
	digits := strconv.FormatInt(raw, 10)
	if raw < 0 {
		return "-" + scaled(digits[1:], scale)
	}
	return scaled(digits, scale)
}

// scaled moves the point in digits.
func scaled(digits string, scale int) string {
	switch {
	case scale > 0 && digits != "0":
		digits += strings.Repeat("0", scale)
	case scale < 0:
		if missing := 1 - scale - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		cut := len(digits) + scale
		digits = digits[:cut] + "." + digits[cut:]
	}
	return digits
}
