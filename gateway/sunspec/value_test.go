// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
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

// Every type of SunSpec, those too that no model here has.
func TestTypes(t *testing.T) {
	for _, c := range []struct {
		kind Type
		regs []uint16
		want string // empty: not implemented
	}{
		{Uint16, []uint16{0xFFFE}, "65534"},
		{Uint16, []uint16{0xFFFF}, ""},
		{Int16, []uint16{0x8001}, "-32767"},
		{Int16, []uint16{0x8000}, ""},
		{Uint32, []uint16{0xFFFF, 0xFFFE}, "4294967294"},
		{Uint32, []uint16{0xFFFF, 0xFFFF}, ""},
		{Int32, []uint16{0x8000, 1}, "-2147483647"},
		{Int32, []uint16{0x8000, 0}, ""},
		{Int32, []uint16{0, 0x8000}, "32768"},
		{Uint64, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}, "18446744073709551614"},
		{Uint64, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, ""},
		{Int64, []uint16{0x8000, 0, 0, 1}, "-9223372036854775807"},
		{Int64, []uint16{0x8000, 0, 0, 0}, ""},
		{Acc16, []uint16{1}, "1"},
		{Acc16, []uint16{0}, ""},
		{Acc32, []uint16{0xFFFF, 0xFFFF}, "4294967295"},
		{Acc64, []uint16{0, 0, 0, 0}, ""},
		{Acc64, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, "18446744073709551615"},
		{Count, []uint16{0}, "0"},
		{Count, []uint16{0xFFFF}, ""},
		{Enum16, []uint16{2}, "2 (TWO)"},
		{Enum16, []uint16{9}, "9"},
		{Enum16, []uint16{0xFFFF}, ""},
		{Enum32, []uint16{0, 1}, "1 (ONE)"},
		{Enum32, []uint16{0xFFFF, 0xFFFF}, ""},
		{Bitfield16, []uint16{0}, "0"},
		{Bitfield16, []uint16{0xFFFF}, ""},
		{Bitfield32, []uint16{0x8000, 6}, "2147483654 (ONE|TWO|bit 31)"},
		{Bitfield64, []uint16{0x8000, 0, 0, 2}, "9223372036854775810 (ONE|bit 63)"},
		{Bitfield64, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, ""},
		{Float32, []uint16{0x3dcc, 0xcccd}, "0.1"},
		{Float32, []uint16{0x8000, 0}, "0"},
		{Float32, []uint16{0x0000, 1}, "0.000000000000000000000000000000000000000000001"},
		{Float32, []uint16{0x7f7f, 0xffff}, "340282350000000000000000000000000000000"},
		{Float32, []uint16{0x7fc0, 0}, ""},
		{Float32, []uint16{0xffff, 0xffff}, ""},
		{Float32, []uint16{0xff80, 0}, ""},
		{Float64, []uint16{0x3fb9, 0x9999, 0x9999, 0x999a}, "0.1"},
		{Float64, []uint16{0x7ff8, 0, 0, 0}, ""},
		{ScaleFactor, []uint16{0xFFFD}, "-3"},
		{ScaleFactor, []uint16{0x8000}, ""},
		{String, []uint16{0x4142, 0}, `"AB"`},
		{String, []uint16{0, 0}, ""},
		{IPAddr, []uint16{0xC0A8, 0x0114}, `"192.168.1.20"`},
		{IPAddr, []uint16{0, 0}, ""},
		{IPv6Addr, []uint16{0xfe80, 0, 0, 0, 0, 0, 0, 1}, `"fe80::1"`},
		{IPv6Addr, make([]uint16, 8), ""},
		{EUI48, []uint16{0, 0x0011, 0x22aa, 0xbbcc}, `"00:11:22:AA:BB:CC"`},
		{EUI48, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, ""},
		{Pad, []uint16{0x8000}, ""},
		{Pad, []uint16{1}, ""},
	} {
		p := &Point{Name: "X", Type: c.kind, Size: uint16(len(c.regs)), Symbols: "1 ONE, 2 TWO"}
		n := decode(p, c.regs, false).neutral(1, 2)
		if c.want == "" {
			c.want = "not implemented"
		}
		if n.String() != c.want || (n.Quality == energy.Good) != (n.Reason == "") {
			t.Errorf("type %d, %x is %s (%q), want %s", c.kind, c.regs, n, n.Reason, c.want)
		}
	}
}
