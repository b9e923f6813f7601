// SPDX-License-Identifier: AGPL-3.0-or-later

package energy

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Currency is an ISO 4217 code in capitals, such as "EUR".
type Currency string

// minorDecimals says how many decimals a currency's minor unit has. Only
// currencies listed here are accepted: a wrong guess would be off by a factor.
var minorDecimals = map[Currency]int{
	"EUR": 2, "USD": 2, "CHF": 2, "GBP": 2, "CZK": 2, "PLN": 2, "SEK": 2,
	"DKK": 2, "NOK": 2, "HUF": 2, "RON": 2, "BGN": 2, "JPY": 0,
}

// minorName is how people call the minor unit in a price.
var minorName = map[Currency]string{
	"EUR": "ct", "USD": "ct", "CHF": "Rp", "GBP": "p", "CZK": "h", "PLN": "gr",
	"SEK": "öre", "DKK": "øre", "NOK": "øre", "HUF": "f", "RON": "ban", "BGN": "st", "JPY": "yen",
}

// Money is an amount in minor units (cents) of one currency.
type Money struct {
	Minor    int64
	Currency Currency
}

// ErrCurrency is wrapped by every refusal of a currency.
var ErrCurrency = errors.New("unknown or differing currency")

// Add is m + n; amounts of different currencies don't add.
func (m Money) Add(n Money) (Money, error) {
	if m.Currency != n.Currency {
		return Money{}, fmt.Errorf("adding %s to %s: %w", n.Currency, m.Currency, ErrCurrency)
	}
	return Money{m.Minor + n.Minor, m.Currency}, nil
}

// String prints m with its decimals and currency, such as "12.34 EUR".
func (m Money) String() string {
	d := minorDecimals[m.Currency]
	if d == 0 {
		return fmt.Sprintf("%d %s", m.Minor, m.Currency)
	}
	return formatDecimal(m.Minor, d) + " " + string(m.Currency)
}

// Price is a price of energy in millionths of a minor unit per kWh, so that
// 12.345 ct/kWh is exact.
type Price struct {
	Micro    int64
	Currency Currency
}

const priceDecimals = 6

// ParsePrice reads a price such as "12.345 ct/kWh EUR" or "0.12345 EUR/kWh".
// The minor unit's short name (ct, Rp, p, …) needs the currency behind it.
func ParsePrice(s string) (Price, error) {
	fields := strings.Fields(s)
	fail := func(err error) (Price, error) {
		return Price{}, fmt.Errorf("price %q: %w (write it as \"12.345 ct/kWh EUR\" or \"0.12345 EUR/kWh\")", clip(s), err)
	}
	if len(fields) == 1 {
		return fail(errors.New("its unit is missing"))
	}
	if len(fields) != 2 && len(fields) != 3 {
		return fail(ErrDecimal)
	}
	unit, ok := strings.CutSuffix(fields[1], "/kWh")
	if !ok {
		return fail(errors.New("the unit is not per kWh"))
	}
	currency, decimals := Currency(unit), priceDecimals
	if len(fields) == 3 {
		currency = Currency(fields[2])
		if minorName[currency] != unit {
			return fail(fmt.Errorf("%w: %q is not the minor unit of %q", ErrCurrency, unit, clip(fields[2])))
		}
	} else {
		d, known := minorDecimals[currency]
		if !known {
			return fail(fmt.Errorf("%w: %q", ErrCurrency, clip(unit)))
		}
		decimals += d
	}
	v, err := parseDecimal(fields[0], decimals)
	if err != nil {
		return fail(err)
	}
	return Price{v, currency}, nil
}

// String prints p in minor units, such as "12.345 ct/kWh EUR"; [ParsePrice] reads it back.
func (p Price) String() string {
	return trimZeros(formatDecimal(p.Micro, priceDecimals)) + " " + minorName[p.Currency] + "/kWh " + string(p.Currency)
}

// Major prints p in major units, such as "0.12345 EUR/kWh"; [ParsePrice] reads it back.
func (p Price) Major() string {
	return trimZeros(formatDecimal(p.Micro, priceDecimals+minorDecimals[p.Currency])) + " " + string(p.Currency) + "/kWh"
}

// MarshalText writes p as [Price.String] does.
func (p Price) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Price) UnmarshalText(b []byte) error {
	v, err := ParsePrice(string(b))
	if err != nil {
		return err
	}
	*p = v
	return nil
}

// Of is the value of e at price p in minor units, rounded half away from zero.
// Round once per statement line, not once per interval: a quarter-hour is worth
// less than a cent.
func (p Price) Of(e Energy) Money {
	const perMinor = 1_000_000 // Micro per minor unit; also mWh per kWh
	neg := (p.Micro < 0) != (e < 0)
	// micro·mWh / (10^6 micro per minor · 10^6 mWh per kWh), in 128 bits.
	const divisor = perMinor * int64(KilowattHour)
	q, rem := MulDivRem(magnitude(p.Micro), magnitude(int64(e)), divisor)
	if q < math.MaxInt64 && rem >= divisor/2 {
		q++
	}
	if neg {
		q = -q
	}
	return Money{q, p.Currency}
}
