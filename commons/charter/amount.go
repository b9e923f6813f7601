// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"errors"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// Whole is 100 % in millionths, and a weight of one.
const Whole = 1_000_000

// Percent is a part of a whole in millionths: 100 % is 1,000,000. It is written
// as percent with at most four decimals, such as 33.3333, with a point.
type Percent int64

// ParsePercent reads percent, exactly. It refuses what is below 0 or above 100.
func ParsePercent(s string) (Percent, error) {
	v, err := energy.ParseKWh(s) // plain decimals with six places
	switch {
	case err != nil || v < 0 || v > 100*Whole || v%100 != 0:
		return 0, errors.New("write percent as a plain number from 0 to 100 with at most 4 decimals, such as 33.3333")
	}
	return Percent(v / 100), nil
}

// String prints p without its sign, such as "33.3333"; [ParsePercent] reads it back.
func (p Percent) String() string { return plain(int64(p) * 100) }

// MarshalText writes p as [Percent.String] does.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Percent) UnmarshalText(b []byte) error {
	v, err := ParsePercent(string(b))
	if err == nil {
		*p = v
	}
	return err
}

// Of is the part of amount, which is not negative, cut to the unit below. Its
// product has 128 bits.
func (p Percent) Of(amount int64) int64 { return energy.MulDiv(amount, int64(p), Whole) }

// Weight is how much somebody counts, in millionths: a weight of one is
// 1,000,000. It is written as a plain number with at most six decimals, such as 1.5.
type Weight int64

// MaxWeight bounds a weight (a million), so that a million of
// them add up within 63 bits.
const MaxWeight Weight = 1_000_000 * Whole

// ParseWeight reads a weight, exactly. It refuses what is below 0 or above a million.
func ParseWeight(s string) (Weight, error) {
	v, err := energy.ParseKWh(s) // plain decimals with six places
	if err != nil || v < 0 || int64(v) > int64(MaxWeight) {
		return 0, errors.New("write a weight as a plain number from 0 to 1000000 with at most 6 decimals, such as 1.5")
	}
	return Weight(v), nil
}

// String prints w, such as "1.5"; [ParseWeight] reads it back.
func (w Weight) String() string { return plain(int64(w)) }

// MarshalText writes w as [Weight.String] does.
func (w Weight) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (w *Weight) UnmarshalText(b []byte) error {
	v, err := ParseWeight(string(b))
	if err == nil {
		*w = v
	}
	return err
}

// plain prints millionths as a decimal number.
func plain(millionths int64) string {
	s := energy.Energy(millionths).KWh()
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
