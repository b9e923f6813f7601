// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/meters"
)

// Every point of every model is read whole, within the limit, and with its scale
// factor in the same read or with factors that are read before and after.
func TestPlansKeepPointsAndFactorsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, _ := Lookup(rapid.SampledFrom(Known()).Draw(t, "model"))
		groups := rapid.IntRange(0, 9).Draw(t, "groups")
		limit := rapid.IntRange(leastRegisters, mostRegisters).Draw(t, "limit")
		count := func(string) int { return groups }
		n, _ := m.Length(count)
		items := itemsOf(m, n+headerLen+rapid.IntRange(0, 50).Draw(t, "more"), count)
		segments, factors := plan(items, limit)
		all := slices.Concat(segments, factors)
		for _, s := range all {
			if s.to-s.from > limit || s.to <= s.from {
				t.Fatalf("a read of %+v within %d", s, limit)
			}
		}
		inOne := func(spans []span, at, size int) bool {
			return slices.ContainsFunc(spans, func(s span) bool { return s.from <= at && at+size <= s.to })
		}
		for _, i := range items {
			if i.size <= limit && !inOne(all, i.at, i.size) {
				t.Fatalf("%+v is cut, or not read: %+v", i, all)
			}
			if i.factor < 0 || inOne(factors, i.factor, 1) {
				continue
			}
			if !slices.ContainsFunc(segments, func(s span) bool {
				return inOne([]span{s}, i.at, i.size) && inOne([]span{s}, i.factor, 1)
			}) {
				t.Fatalf("%+v comes without its factor: %+v", i, all)
			}
		}
		if len(factors) > 0 && len(pack(items, limit)) == 1 {
			t.Fatal("one read would have done")
		}
	})
}

// drifting is a device of model 701 that gives 64 registers at once and moves
// its scale factor after each request, as often as times says; its power is
// 3,200 W all the time.
func drifting(t *testing.T, times int) *board {
	b := newBoard(t, 40000, Common, MeasureAC)
	b.most = 64
	b.set(t, MeasureAC, map[string]int64{"W": 3200, "W_SF": 0, "TotWhInj": 7, "TotWh_SF": 0, "InvSt": 3})
	forms := [][2]int64{{32000, -1}, {320, 1}, {3200, 0}}
	b.between = func(b *board) {
		if last := b.asked[len(b.asked)-1]; last[0] < 40070 || last[1] <= headerLen {
			return
		}
		if times > 0 {
			times--
			form := forms[times%len(forms)]
			b.set(t, MeasureAC, map[string]int64{"W": form[0], "W_SF": form[1]})
		}
	}
	return b
}

// A device that gives its values and their factors in different reads, and moves
// the factors between them, gives the right value or none.
func TestFactorsThatMoveBetweenReads(t *testing.T) {
	for times := range 12 {
		b := drifting(t, times)
		d, err := OpenWith(t.Context(), b, 1, Options{MaxRegisters: 64})
		if err != nil {
			t.Fatal(err)
		}
		b.asked = nil
		s, err := d.Read(t.Context())
		if err != nil || s.Quality == energy.Good && s.Power != 3200*energy.Watt {
			t.Errorf("%d moves: %+v, %v", times, s, err)
		}
		if times == 0 && (len(b.asked) != 3 || s.Quality != energy.Good) {
			t.Errorf("without a move it took %v: %+v", b.asked, s)
		}
		if times > 9 && (s.Quality != energy.NotImplemented || !strings.Contains(s.Reason, reasonMoving)) {
			t.Errorf("%d moves: %+v", times, s)
		}
		for _, a := range b.asked {
			if a[1] > 64 {
				t.Errorf("asked for %d registers", a[1])
			}
		}
	}
	b := drifting(t, 1<<30)
	points, err := openBoard(t, b).Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		if p.Name == "W" && (p.Quality != energy.NotImplemented || p.Decimal != "") {
			t.Errorf("a value whose factor never stood still: %+v", p)
		}
	}
}

// A device that refuses long reads is asked for less, and not for more again.
func TestRefusedReadsAreTriedSmaller(t *testing.T) {
	for _, most := range []uint16{124, 64, 63, 20} {
		b := newBoard(t, 40000, Common, MeasureAC)
		b.most = most
		b.set(t, MeasureAC, map[string]int64{"W": 12, "W_SF": 0, "TotWhInj": 7, "TotWh_SF": 0, "InvSt": 3})
		d := openBoard(t, b)
		for pass := range 2 {
			b.asked = nil
			s, err := d.Read(t.Context())
			if err != nil || s.Power != 12*energy.Watt || s.Registers[meters.Production] != 7*energy.WattHour {
				t.Errorf("%d at once: %+v, %v", most, s, err)
			}
			if pass == 1 && slices.ContainsFunc(b.asked, func(a [2]uint16) bool { return a[1] > most }) {
				t.Errorf("%d at once, asked again for %v", most, b.asked)
			}
		}
		if points, err := d.Points(t.Context()); err != nil || len(points) < 75 {
			t.Errorf("%d at once: %d points, %v", most, len(points), err)
		}
	}
}

// Some devices list a model and refuse to have part of it read (SMA, model 714).
func TestPartsThatAreRefused(t *testing.T) {
	b := newBoard(t, 40000, Common, MeasureAC, MeasureDC)
	b.set(t, MeasureDC, map[string]int64{"DCA": 5, "DCA_SF": 0, "Prt.1.DCA": 5})
	dc := b.img.chain.Models[2].Address
	b.silent = map[uint16]bool{dc + 40: true}
	d := openBoard(t, b)
	p, err := device.Probe(t.Context(), 1, d)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]device.Point{}
	for _, v := range p.Points {
		found[v.Name] = v
	}
	if v := found["DCA"]; v.Value != "5" {
		t.Errorf("beside the refused part: %+v", v)
	}
	if v := found["Prt.1.DCWhAbs"]; v.Quality != energy.NotImplemented || v.Reason != reasonUnread || v.Address != dc+20+17 {
		t.Errorf("in the refused part: %+v", v)
	}
	if !strings.Contains(strings.Join(p.Remarks, ";"), "model 714 at 40225 is read by 32 registers at most") {
		t.Errorf("remarks %q", p.Remarks)
	}
	for i := range uint16(45) {
		b.silent[dc+2+i] = true // only its header can be read
	}
	if points, err := openBoard(t, b).Points(t.Context()); err != nil || len(points) == 0 {
		t.Errorf("a model that can't be read at all: %d points, %v", len(points), err)
	}
}

// Single precision has 24 binary digits: above 16.8 MWh a watt-hour is lost.
func TestCoarseCounters(t *testing.T) {
	b := newBoard(t, 40000, Common, MeterThreeF)
	for name, v := range map[string]float64{"W": -1234.5, "TotWhImp": 33_554_433, "TotWhExp": 16_777_215} {
		if err := b.img.SetFloat(MeterThreeF, name, v); err != nil {
			t.Fatal(err)
		}
	}
	d := openBoard(t, b)
	s, err := d.Read(t.Context())
	if err != nil || s.Power != -1_234_500 || s.Quality != energy.Good {
		t.Errorf("%+v, %v", s, err)
	}
	if s.Registers[meters.Import] != 33_554_432*energy.WattHour || s.Registers[meters.Export] != 16_777_215*energy.WattHour {
		t.Errorf("registers %v", s.Registers)
	}
	if len(s.Coarse) != 1 || s.Coarse[meters.Import] != 4*energy.WattHour {
		t.Errorf("coarse %v", s.Coarse)
	}
	points, err := d.Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		if p.Name == "TotWhImp" && (p.Decimal != "33554432" || p.Quality != energy.Good || p.Reason != "in single precision it counts in steps of 4") {
			t.Errorf("%+v", p)
		}
		if p.Name == "TotWhExp" && (p.Decimal != "16777215" || p.Reason != "") {
			t.Errorf("%+v", p)
		}
		if p.Name == "W" && p.Decimal != "-1234.5" {
			t.Errorf("%+v", p)
		}
	}

	b = newBoard(t, 40000, Common, InverterThree)
	b.set(t, InverterThree, map[string]int64{"W": 1, "W_SF": 0, "WH": 1<<32 - 1, "WH_SF": 2, "St": 4})
	d = openBoard(t, b)
	if s, err = d.Read(t.Context()); err != nil || s.Coarse[meters.Production] != 100*energy.WattHour {
		t.Errorf("%+v, %v", s, err)
	}
	if s.Registers[meters.Production] != (1<<32-1)*100*energy.WattHour {
		t.Errorf("the last count before it begins anew: %v", s.Registers)
	}
	b.set(t, InverterThree, map[string]int64{"WH": 0}) // it wrapped
	if s, err = d.Read(t.Context()); err != nil || s.Registers[meters.Production] != 0 || len(s.Registers) != 1 {
		t.Errorf("after the wrap: %v, %v", s.Registers, err)
	}
}

// A hybrid inverter that shows its battery as inputs of model 160 (Fronius).
func TestBatteryBehindAHybrid(t *testing.T) {
	img, err := NewImage(40000, 4, Common, InverterThree, MPPT, StorageControl)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{img: img}
	b.set(t, MPPT, map[string]int64{
		"DCW_SF": -1, "DCWH_SF": 0,
		"module.1.DCW": 30000, "module.3.DCW": 15000, "module.4.DCW": 0, "module.3.DCWH": 500, "module.4.DCWH": 400,
	})
	b.set(t, StorageControl, map[string]int64{"ChaState": 5000, "ChaState_SF": -2})
	for name, s := range map[string]string{"1": "MPPT 1", "3": "StCha 3", "4": "StDisCha 4"} {
		if err := img.SetText(MPPT, "module."+name+".IDStr", s); err != nil {
			t.Fatal(err)
		}
	}
	d := openBoard(t, b)
	b.asked = nil
	s, err := d.Read(t.Context())
	if err != nil || s.Power != -1500*energy.Watt || s.SoC != 500 || s.Quality != energy.Good || s.Reason != "" {
		t.Errorf("%+v, %v", s, err)
	}
	if s.Registers[meters.Charged] != 500*energy.WattHour || s.Registers[meters.Discharged] != 400*energy.WattHour {
		t.Errorf("registers %v", s.Registers)
	}
	if len(b.asked) != 2 {
		t.Errorf("one snapshot took %v", b.asked)
	}
}
