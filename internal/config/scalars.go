// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"

	"github.com/allmende-energy/allmende/energy"
)

// permille is a percentage with at most one decimal.
type permille int64

// UnmarshalText reads it.
func (p *permille) UnmarshalText(text []byte) error {
	v, err := percentage(string(text), 1)
	*p = permille(v)
	return err
}

// millionths is a percentage with at most four decimals.
type millionths int64

// UnmarshalText reads it.
func (m *millionths) UnmarshalText(text []byte) error {
	v, err := percentage(string(text), 4)
	*m = millionths(v)
	return err
}

// ParsePermille reads a percentage with at most one decimal.
func ParsePermille(text string) (int64, error) { return percentage(text, 1) }

// ParseMillionths reads a percentage with at most four decimals.
func ParseMillionths(text string) (int64, error) { return percentage(text, 4) }

// percentage reads a number with at most so many decimals, in units of its
// last decimal. The parser of kilowatt-hours has six.
func percentage(text string, decimals int) (int64, error) {
	v, err := energy.ParseKWh(text)
	unit := int64(1)
	for range 6 - decimals {
		unit *= 10
	}
	if err != nil || int64(v)%unit != 0 {
		return 0, fmt.Errorf("%.40q is no percentage with at most %d decimals: write it as 95", text, decimals)
	}
	return int64(v) / unit, nil
}

// degrees is kept as text: no position is ever booked, and none passes a float.
type degrees string

// UnmarshalText keeps it.
func (d *degrees) UnmarshalText(text []byte) error {
	*d = degrees(text)
	return nil
}
