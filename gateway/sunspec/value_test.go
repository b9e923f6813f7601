// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// Each type's sentinel means that there is no value, and its neighbours are values.
func TestSentinels(t *testing.T) {
	for _, c := range []struct {
		model uint16
		point string
		raw   int64
		there bool
	}{
		{MeasureAC, "W", -0x8000, false},
		{MeasureAC, "W", -0x7FFF, true},
		{MeasureAC, "W", 0, true},
		{StorageCapacity, "SoC", 0xFFFF, false},
		{StorageCapacity, "SoC", 0x8000, true},
		{MeasureAC, "Hz", math.MaxUint32, false},
		{MeasureAC, "Hz", math.MaxUint32 - 1, true},
		{MeasureAC, "TotWhInj", -1, false},
		{MeasureAC, "TotWhInj", math.MinInt64, true}, // more than an int64 holds
		{MeasureAC, "TotWhInj", math.MaxInt64, true},
		{MeasureAC, "TotWhInj", 0, true},
		{MeasureAC, "InvSt", 0xFFFF, false},
		{MeasureAC, "Alrm", math.MaxUint32, false},
		{InverterThree, "WH", 0, true},             // mandatory: a new inverter
		{MeterThree, "TotWhExpPhA", 0, false},      // optional: not counted
		{MeterThree, "TotWhExp", 0xFFFFFFFF, true}, // a counter about to begin anew
	} {
		img, err := NewImage(0, 0, c.model)
		if err != nil {
			t.Fatal(err)
		}
		m, _ := Lookup(c.model)
		for _, p := range m.Points {
			if p.Type == ScaleFactor {
				if err := img.Set(c.model, p.Name, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := img.Set(c.model, c.point, c.raw); err != nil {
			t.Fatal(err)
		}
		if v := img.Get(c.model, c.point); v.Implemented != c.there {
			t.Errorf("model %d %s at %d: %+v", c.model, c.point, c.raw, v)
		}
	}
}

func TestAValueWithoutItsFactorIsNone(t *testing.T) {
	m, _ := Lookup(InverterThree)
	regs := make([]uint16, m.Size())
	w, _ := m.Point("W")
	sf, _ := m.Point("W_SF")
	regs[w.Offset] = 1234
	for scale, there := range map[int16]bool{0: true, -3: true, 10: true, -10: true, 11: false, -11: false, math.MinInt16: false} {
		regs[sf.Offset] = uint16(scale)
		if v := (Block{Model: m, Regs: regs}).Value("W"); v.Implemented != there {
			t.Errorf("with a factor of %d: %+v", scale, v)
		}
	}
	if v := (Block{Model: m, Regs: regs[:sf.Offset]}).Value("W"); v.Implemented {
		t.Errorf("the factor was not read, but: %+v", v)
	}
	if v := (Block{Model: m, Regs: regs}).Value("nonsense"); v.Implemented {
		t.Errorf("a point that is not there: %+v", v)
	}
}

// In agrees with arithmetic that has no bounds.
func TestInAgreesWithBigNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Value{Point: &Point{}, Implemented: true, Raw: rapid.Int64().Draw(t, "raw"), Scale: rapid.IntRange(-mostScale, mostScale).Draw(t, "scale")}
		exp := rapid.IntRange(-6, 6).Draw(t, "exp")
		want := big.NewInt(v.Raw)
		ten := func(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
		if v.Scale >= exp {
			want.Mul(want, ten(v.Scale-exp))
		} else {
			want.Quo(want, ten(exp-v.Scale))
		}
		got, ok := v.In(exp)
		if ok != want.IsInt64() || ok && got != want.Int64() {
			t.Fatalf("%d·10^%d in 10^%d is %d, %v; want %s", v.Raw, v.Scale, exp, got, ok, want)
		}
	})
}

func TestDecimal(t *testing.T) {
	for _, c := range []struct {
		raw   int64
		scale int
		want  string
	}{
		{0, 0, "0"}, {0, 3, "0"}, {0, -2, "0.00"}, {-5, -1, "-0.5"}, {12345, -3, "12.345"}, {7, 2, "700"},
		{-1, -3, "-0.001"}, {math.MinInt64, 0, "-9223372036854775808"}, {math.MinInt64, -10, "-922337203.6854775808"},
	} {
		if got := decimal(c.raw, c.scale); got != c.want {
			t.Errorf("%d·10^%d is %q, want %q", c.raw, c.scale, got, c.want)
		}
	}
}

func TestTextIsPrintable(t *testing.T) {
	for want, regs := range map[string][]uint16{
		"AB":  {0x4142, 0, 0x4343},
		"A?B": {0x411b, 0x4220, 0x2000},
		"":    {0, 0},
		"é":   {0xc3a9},
		"?":   {0xff00},
	} {
		if got := text(regs); got != want {
			t.Errorf("%x is %q, want %q", regs, got, want)
		}
	}
}
