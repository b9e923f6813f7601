// SPDX-License-Identifier: AGPL-3.0-or-later

package energy_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
)

func TestParseKWh(t *testing.T) {
	for in, want := range map[string]energy.Energy{
		"0": 0, "12": 12_000_000, "-0.5": -500_000, "1.234567": 1_234_567, "0.000001": 1, "007.10": 7_100_000,
		"9223372036854.775807": math.MaxInt64, "-9223372036854.775808": math.MinInt64,
	} {
		if got, err := energy.ParseKWh(in); err != nil || got != want {
			t.Errorf("ParseKWh(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "1.", ".5", "-", "--1", "+1", "1e3", "1,5", " 1", "1.2345678", "9223372036854.775808", "99999999999999", "NaN", "٣"} {
		if got, err := energy.ParseKWh(in); !errors.Is(err, energy.ErrDecimal) {
			t.Errorf("ParseKWh(%q) = %d, %v; want a refusal", in, got, err)
		}
	}
}

func TestPrices(t *testing.T) {
	for in, want := range map[string]energy.Price{
		"12.345 ct/kWh EUR": {12_345_000, "EUR"}, "0.12345 EUR/kWh": {12_345_000, "EUR"}, "22 Rp/kWh CHF": {22_000_000, "CHF"}, "31 JPY/kWh": {31_000_000, "JPY"},
	} {
		got, err := energy.ParsePrice(in)
		if err != nil || got != want {
			t.Errorf("ParsePrice(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if again, err := energy.ParsePrice(got.String()); err != nil || again != got {
			t.Errorf("%q does not read back: %+v, %v", got.String(), again, err)
		}
		if again, err := energy.ParsePrice(got.Major()); err != nil || again != got {
			t.Errorf("%s reads back as %+v, %v", got.Major(), again, err)
		}
	}
	for _, in := range []string{"", "12", "12 ct/kWh", "12 ct EUR", "12 Rp/kWh EUR", "1 XYZ/kWh", "1.23456789 ct/kWh EUR", "x EUR/kWh"} {
		if got, err := energy.ParsePrice(in); err == nil || !strings.Contains(err.Error(), "write it as") {
			t.Errorf("ParsePrice(%q) = %+v, %v; want a refusal with the remedy", in, got, err)
		}
	}
	p, _ := energy.ParsePrice("12.345 ct/kWh EUR")
	if got := p.Of(100 * energy.KilowattHour); got.String() != "12.35 EUR" { // 1234.5 ct, half away from zero
		t.Errorf("100 kWh cost %v", got)
	}
	if got := p.Of(-100 * energy.KilowattHour); got.String() != "-12.35 EUR" {
		t.Errorf("-100 kWh cost %v", got)
	}
	if _, err := (energy.Money{Minor: 1, Currency: "EUR"}).Add(energy.Money{Minor: 1, Currency: "CHF"}); !errors.Is(err, energy.ErrCurrency) {
		t.Errorf("euros and francs add: %v", err)
	}
}

func TestPriceOfAgreesWithBigNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micro := rapid.Int64Range(-1e12, 1e12).Draw(t, "price")
		e := rapid.Int64Range(-1e15, 1e15).Draw(t, "energy")
		got := energy.Price{Micro: micro, Currency: "EUR"}.Of(energy.Energy(e)).Minor

		exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(micro), big.NewInt(e)), big.NewInt(1_000_000_000_000))
		half := big.NewRat(1, 2)
		if exact.Sign() < 0 {
			half.Neg(half)
		}
		exact.Add(exact, half)
		want := new(big.Int).Quo(exact.Num(), exact.Denom()).Int64()
		if got != want {
			t.Fatalf("%d · %d = %d, want %d", micro, e, got, want)
		}
	})
}

func TestMulDivAgreesWithBigNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Range(0, math.MaxInt64).Draw(t, "a"), rapid.Int64Range(0, math.MaxInt64).Draw(t, "b")
		c := rapid.Int64Range(1, math.MaxInt64).Draw(t, "c")
		q, rem := energy.MulDivRem(a, b, c)
		wantQ, wantRem := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(a), big.NewInt(b)), big.NewInt(c), new(big.Int))
		if !wantQ.IsInt64() {
			if q != math.MaxInt64 || rem != 0 {
				t.Fatalf("an overflow gave %d, %d", q, rem)
			}
			return
		}
		if q != wantQ.Int64() || rem != wantRem.Int64() {
			t.Fatalf("%d·%d/%d = %d rest %d, want %v rest %v", a, b, c, q, rem, wantQ, wantRem)
		}
	})
}

func TestTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type all struct {
			E energy.Energy
			P energy.Power
			I energy.Instant
			S energy.Span
			Q energy.Quality
		}
		in := all{
			energy.Energy(rapid.Int64().Draw(t, "energy")), energy.Power(rapid.Int64().Draw(t, "power")),
			energy.Instant(rapid.Int64Range(-6e13, 2.5e14).Draw(t, "instant")), energy.Span(rapid.Int64Range(-9e12, 9e12).Draw(t, "span")),
			energy.Quality(rapid.IntRange(0, 6).Draw(t, "quality")),
		}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out all
		if err := json.Unmarshal(b, &out); err != nil || out != in {
			t.Fatalf("%s reads back as %+v, %v; was %+v", b, out, err, in)
		}
	})
}

func TestIntervalsTileTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := energy.Instant(rapid.Int64Range(-1e13, 1e13).Draw(t, "at"))
		length := rapid.SampledFrom([]energy.Span{energy.QuarterHour, energy.Hour, energy.Minute}).Draw(t, "length")
		i := energy.IntervalAt(at, length)
		if !i.Contains(at) || i.Contains(i.End()) || int64(i.Start)%int64(length) != 0 || i.Next().Start != i.End() {
			t.Fatalf("%v at %v", i, at)
		}
		if energy.IntervalAt(i.End(), length) != i.Next() {
			t.Fatalf("a gap after %v", i)
		}
	})
}

func TestPowerOverTime(t *testing.T) {
	if e := (2 * energy.Kilowatt).Over(energy.QuarterHour); e != 500*energy.WattHour {
		t.Errorf("2 kW for a quarter-hour is %v", e)
	}
	if e := (-1 * energy.Watt).Over(energy.Second); e != 0 {
		t.Errorf("a negative power rounds toward zero, got %d", e)
	}
	if p := energy.KilowattHour.MeanPower(energy.QuarterHour); p != 4*energy.Kilowatt {
		t.Errorf("1 kWh in a quarter-hour is %v", p)
	}
	if p := energy.KilowattHour.MeanPower(0); p != 0 {
		t.Errorf("no time, yet %v", p)
	}
}

// FuzzParseKWh: whatever the text, it is refused or read exactly and printed back.
func FuzzParseKWh(f *testing.F) {
	for _, s := range []string{"0", "-1.5", "1.234567", "9223372036854.775807", "1e5", "٣", "0x1p-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := energy.ParseKWh(s)
		if err != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%q was read as %v, but is no number", s, e)
		}
		if got := big.NewRat(int64(e), 1_000_000); got.Cmp(exact) != 0 {
			t.Fatalf("%q was read as %v", s, e)
		}
		if again, err := energy.ParseKWh(e.KWh()); err != nil || again != e {
			t.Fatalf("%v does not read back: %v, %v", e, again, err)
		}
	})
}
