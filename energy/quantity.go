// SPDX-License-Identifier: AGPL-3.0-or-later

package energy

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Power is electric power in milliwatts. The sign's meaning belongs to whoever
// holds the value and is named there (import, export, charge, discharge).
type Power int64

// Energy is electric energy in milliwatt-hours.
type Energy int64

// Units of power and energy.
const (
	Milliwatt Power = 1
	Watt      Power = 1_000
	Kilowatt  Power = 1_000_000

	MilliwattHour Energy = 1
	WattHour      Energy = 1_000
	KilowattHour  Energy = 1_000_000
)

// decimals of a kilowatt-hour in milliwatt-hours, and of a watt in milliwatts.
const (
	kwhDecimals = 6
	wDecimals   = 3
)

// ErrDecimal is wrapped by every refusal of a decimal quantity.
var ErrDecimal = errors.New("not a decimal quantity")

// ParseKWh reads a plain decimal number of kilowatt-hours, such as "12",
// "-0.5" or "1.234567", exactly. It refuses exponents, signs other than a
// leading minus, more than six decimals (finer than a milliwatt-hour) and
// values that don't fit.
func ParseKWh(s string) (Energy, error) {
	v, err := parseDecimal(s, kwhDecimals)
	if err != nil {
		return 0, fmt.Errorf("energy %q in kWh: %w", clip(s), err)
	}
	return Energy(v), nil
}

// KWh prints e as kilowatt-hours with exactly six decimals, such as
// "1.234567". It is the inverse of [ParseKWh].
func (e Energy) KWh() string { return formatDecimal(int64(e), kwhDecimals) }

// String prints e with its unit, for people.
func (e Energy) String() string { return trimZeros(e.KWh()) + " kWh" }

// MarshalText writes e as a decimal number of kWh; JSON carries it as a string,
// so that no reader rounds it through a float.
func (e Energy) MarshalText() ([]byte, error) { return []byte(e.KWh()), nil }

// UnmarshalText is the inverse of MarshalText.
func (e *Energy) UnmarshalText(b []byte) error {
	v, err := ParseKWh(string(b))
	if err != nil {
		return fmt.Errorf("%w; write a plain number of kWh, such as 1.5", err)
	}
	*e = v
	return nil
}

// WattHours is e in whole watt-hours, rounded half away from zero.
func (e Energy) WattHours() int64 { return roundDiv(int64(e), int64(WattHour)) }

// ParseWatts reads a plain decimal number of watts with at most three decimals.
func ParseWatts(s string) (Power, error) {
	v, err := parseDecimal(s, wDecimals)
	if err != nil {
		return 0, fmt.Errorf("power %q in W: %w", clip(s), err)
	}
	return Power(v), nil
}

// Watts prints p as watts with exactly three decimals, the inverse of [ParseWatts].
func (p Power) Watts() string { return formatDecimal(int64(p), wDecimals) }

// String prints p with its unit, for people.
func (p Power) String() string { return trimZeros(p.Watts()) + " W" }

// MarshalText writes p as a decimal number of watts.
func (p Power) MarshalText() ([]byte, error) { return []byte(p.Watts()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Power) UnmarshalText(b []byte) error {
	v, err := ParseWatts(string(b))
	if err != nil {
		return fmt.Errorf("%w; write a plain number of watts, such as 5000", err)
	}
	*p = v
	return nil
}

// Over is the energy of constant power p during d, rounded toward zero.
func (p Power) Over(d Span) Energy {
	const msPerHour = 3_600_000
	neg := p < 0
	e := MulDiv(magnitude(int64(p)), int64(d), msPerHour)
	if neg {
		return -Energy(e)
	}
	return Energy(e)
}

// MeanPower is the constant power that yields e during d, rounded toward zero.
// It is zero for a span that is not positive.
func (e Energy) MeanPower(d Span) Power {
	const msPerHour = 3_600_000
	if d <= 0 {
		return 0
	}
	neg := e < 0
	p := MulDiv(magnitude(int64(e)), msPerHour, int64(d))
	if neg {
		return -Power(p)
	}
	return Power(p)
}

// MulDiv is floor(a·b/c) with the product in 128 bits, for a, b ≥ 0 and c > 0.
// A quotient over 63 bits saturates at the largest int64.
func MulDiv(a, b, c int64) int64 {
	q, _ := MulDivRem(a, b, c)
	return q
}

// MulDivRem is floor(a·b/c) and the remainder a·b − q·c, with the product in
// 128 bits, for a, b ≥ 0 and c > 0. A quotient over 63 bits saturates at the
// largest int64 with remainder 0. Arguments outside the range are a
// programmer's error and panic.
func MulDivRem(a, b, c int64) (q, rem int64) {
	if a < 0 || b < 0 || c <= 0 {
		panic("energy.MulDivRem: a negative factor or a divisor that is not positive")
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return math.MaxInt64, 0
	}
	uq, ur := bits.Div64(hi, lo, uint64(c))
	if uq > math.MaxInt64 {
		return math.MaxInt64, 0
	}
	return int64(uq), int64(ur)
}

func magnitude(v int64) int64 {
	if v == math.MinInt64 {
		return math.MaxInt64
	}
	if v < 0 {
		return -v
	}
	return v
}

func roundDiv(v, by int64) int64 {
	if v < 0 {
		return (v - by/2) / by
	}
	return (v + by/2) / by
}

// parseDecimal reads [-]digits[.digits] with at most `decimals` places and
// returns the value scaled by 10^decimals.
func parseDecimal(s string, decimals int) (int64, error) {
	digits, neg := strings.CutPrefix(s, "-")
	whole, frac, dotted := strings.Cut(digits, ".")
	switch {
	case whole == "" || (dotted && frac == ""):
		return 0, fmt.Errorf("%w: digits are missing", ErrDecimal)
	case len(frac) > decimals:
		return 0, fmt.Errorf("%w: more than %d decimals", ErrDecimal, decimals)
	}
	var v uint64
	limit := uint64(math.MaxInt64)
	if neg {
		limit++
	}
	push := func(c byte) error {
		if c < '0' || c > '9' {
			return fmt.Errorf("%w: unexpected character %q", ErrDecimal, c)
		}
		if v > (limit-uint64(c-'0'))/10 {
			return fmt.Errorf("%w: too large", ErrDecimal)
		}
		v = v*10 + uint64(c-'0')
		return nil
	}
	for i := range len(whole) {
		if err := push(whole[i]); err != nil {
			return 0, err
		}
	}
	for i := range decimals {
		c := byte('0')
		if i < len(frac) {
			c = frac[i]
		}
		if err := push(c); err != nil {
			return 0, err
		}
	}
	if neg {
		return int64(-v), nil // two's complement: also right for the least int64
	}
	return int64(v), nil
}

// formatDecimal prints v/10^decimals with all its decimals.
func formatDecimal(v int64, decimals int) string {
	sign, u := "", uint64(v)
	if v < 0 {
		sign, u = "-", -u
	}
	s := fmt.Sprintf("%0*d", decimals+1, u)
	cut := len(s) - decimals
	return sign + s[:cut] + "." + s[cut:]
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// clip bounds what an error message repeats of its input.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
