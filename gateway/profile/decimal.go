// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Decimal is Raw · 10^Exp, exactly.
type Decimal struct {
	Raw int64
	Exp int
}

// mostExp bounds exponents: nothing in a cellar is larger or smaller.
const mostExp = 40

// ParseDecimal reads a decimal such as -0.25.
func ParseDecimal(s string) (Decimal, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, dot := strings.Cut(digits, ".")
	fail := fmt.Errorf("%.40q is no decimal; write it as 12 or -0.25", s)
	if whole == "" || dot && fraction == "" || len(whole)+len(fraction) > 18 {
		return Decimal{}, fail
	}
	n := int64(0)
	for _, c := range whole + fraction {
		if c < '0' || c > '9' {
			return Decimal{}, fail
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return Decimal{n, -len(fraction)}, nil
}

// UnmarshalText reads what [ParseDecimal] reads.
func (d *Decimal) UnmarshalText(b []byte) error {
	v, err := ParseDecimal(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// String prints all digits.
func (d Decimal) String() string {
	sign, digits := "", strconv.FormatInt(d.Raw, 10)
	if d.Raw < 0 {
		sign, digits = "-", digits[1:]
	}
	switch {
	case d.Exp > 0 && d.Raw != 0:
		digits += strings.Repeat("0", min(d.Exp, mostExp))
	case d.Exp < 0:
		after := min(-d.Exp, mostExp)
		if missing := 1 + after - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		digits = digits[:len(digits)-after] + "." + digits[len(digits)-after:]
	}
	return sign + digits
}

// MarshalText is [Decimal.String].
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// In is d in units of 10^exp, rounded toward zero; false where it does not fit.
func (d Decimal) In(exp int) (int64, bool) {
	n := d.Raw
	for shift := d.Exp - exp; shift > 0 && n != 0; shift-- {
		if n > math.MaxInt64/10 || n < math.MinInt64/10 {
			return 0, false
		}
		n *= 10
	}
	for shift := d.Exp - exp; shift < 0 && n != 0; shift++ {
		n /= 10
	}
	return n, true
}

// Times is the product, false where it does not fit.
func (d Decimal) Times(e Decimal) (Decimal, bool) {
	n, ok := product(d.Raw, e.Raw)
	exp := d.Exp + e.Exp
	return Decimal{n, exp}, ok && exp >= -mostExp && exp <= mostExp
}

// Plus is the sum, false where it does not fit.
func (d Decimal) Plus(e Decimal) (Decimal, bool) {
	exp := min(d.Exp, e.Exp)
	a, okA := d.In(exp)
	b, okB := e.In(exp)
	n := a + b
	overflow := (a > 0) == (b > 0) && a != 0 && b != 0 && (n > 0) != (a > 0)
	return Decimal{n, exp}, okA && okB && !overflow
}

// Neg is -d.
func (d Decimal) Neg() Decimal { return Decimal{-d.Raw, d.Exp} }

// Over is the whole number of times that e fits into d, rounded toward zero:
// what is asked for in the counts of a register. It is false where e is zero
// or the result does not fit.
func (d Decimal) Over(e Decimal) (int64, bool) {
	if e.Raw == 0 {
		return 0, false
	}
	negative := (d.Raw < 0) != (e.Raw < 0)
	a, b := magnitude(d.Raw), magnitude(e.Raw)
	hi := uint64(0)
	for shift := d.Exp - e.Exp; shift > 0 && (a != 0 || hi != 0); shift-- {
		top, low := bits.Mul64(a, 10)
		over, next := bits.Mul64(hi, 10)
		sum, carry := bits.Add64(next, top, 0)
		if over != 0 || carry != 0 {
			return 0, false
		}
		hi, a = sum, low
	}
	for shift := d.Exp - e.Exp; shift < 0; shift++ {
		if b > math.MaxUint64/10 {
			return 0, true // what is divided fits into 64 bits, so nothing is left
		}
		b *= 10
	}
	if hi >= b {
		return 0, false
	}
	q, _ := bits.Div64(hi, a, b)
	if q > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(q), true
	}
	return int64(q), true
}

// Cmp compares: -1, 0 or 1.
func (d Decimal) Cmp(e Decimal) int {
	diff, ok := d.Plus(e.Neg())
	if !ok { // far apart in size: the larger exponent decides by its sign
		switch {
		case d.Exp > e.Exp && d.Raw != 0:
			return sign(d.Raw)
		case e.Raw != 0:
			return -sign(e.Raw)
		}
		return sign(d.Raw)
	}
	return sign(diff.Raw)
}

func sign(n int64) int {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return 0
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func product(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), true
	}
	return int64(lo), true
}

// shortest is the shortest decimal that a float of the device stands for: what
// its maker most likely counted. It is false for what is no number.
func shortest(f float64, size int) (Decimal, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Decimal{}, false
	}
	text := strconv.FormatFloat(f, 'e', -1, size)
	mantissa, exponent, _ := strings.Cut(text, "e")
	d, err := ParseDecimal(mantissa)
	exp, err2 := strconv.Atoi(exponent)
	if err != nil || err2 != nil || d.Exp+exp < -mostExp || d.Exp+exp > mostExp {
		return Decimal{}, f == 0
	}
	d.Exp += exp
	return d, true
}
