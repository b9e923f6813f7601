// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// claim makes a model say another length than it has.
func (b *board) claim(model, length uint16) {
	for i, e := range b.img.chain.Models {
		if e.ID == model {
			b.img.regs[e.Address-b.img.base+1] = length
			b.img.chain.Models[i].Length = length
		}
	}
}

// cut takes registers out of the device: what stood behind them moves up.
func (b *board) cut(at, n uint16) {
	from := int(at - b.img.base)
	b.img.regs = slices.Delete(b.img.regs, from, from+int(n))
}

// A wrong length costs nothing but a remark, as long as the next model can be
// found for sure.
func TestLengthsThatAreWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		length uint16
	}{
		{"one too many", 51}, {"one too few", 49}, {"it counts its own header", 52}, {"none at all", 0}, {"far beyond", 25536},
		{"past the last address", 0xFFFF},
	} {
		b := newBoard(t, 40000, Common, InverterThree, MeasureAC)
		b.set(t, InverterThree, map[string]int64{"W": 50, "W_SF": 1, "St": 4})
		b.claim(InverterThree, c.length)
		d := openBoard(t, b)
		if ids := ids(d.Chain()); ids != "models 1 103 701" || d.Chain().Broken != "" {
			t.Errorf("%s: %s, broken: %q", c.name, ids, d.Chain().Broken)
		}
		remarks := strings.Join(d.Layout().Remarks, "; ")
		if !strings.Contains(remarks, fmt.Sprintf("model 103 at 40070 says that it has %d registers", c.length)) {
			t.Errorf("%s: remarks %q", c.name, remarks)
		}
		s, err := d.Read(t.Context())
		if c.length == 0 { // it says that it has nothing, and so it is asked for nothing
			if err != nil || s.Quality != energy.NotImplemented {
				t.Errorf("%s: %+v, %v", c.name, s, err)
			}
			continue
		}
		if err != nil || s.Power != 500*energy.Watt {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
}

// A length that leads into the model's own values, where an enumeration looks
// like the number of a model, is seen through as well.
func TestALengthThatLeadsToAValue(t *testing.T) {
	b := newBoard(t, 40000, Common, InverterThree, MeasureAC)
	st, _ := inverterPoint("St")
	b.set(t, InverterThree, map[string]int64{"St": 4, "StVnd": 10})
	b.claim(InverterThree, st.Offset-headerLen)
	if got := ids(openBoard(t, b).Chain()); got != "models 1 103 701" {
		t.Error(got)
	}
}

// Model 1 had 65 registers once, and a model may have more of them than its
// definition, or fewer: what fits is used.
func TestModelsOfAnotherLength(t *testing.T) {
	b := newBoard(t, 40000, Common, InverterThree)
	b.cut(40069, 1)
	b.claim(Common, 65)
	if err := b.img.SetText(Common, "SN", "0815"); err != nil {
		t.Fatal(err)
	}
	d := openBoard(t, b)
	if l := d.Layout(); len(l.Remarks) > 0 || l.Models[1].Address != 40069 || d.Identity().Serial != "0815" {
		t.Errorf("without padding: %+v, %+v", l, d.Identity())
	}

	b = newBoard(t, 40000, Common, InverterThree)
	b.set(t, InverterThree, map[string]int64{"W": 50, "W_SF": 1, "WH": 9, "WH_SF": 0, "St": 4})
	wh, _ := inverterPoint("WH_SF")
	b.cut(40070+wh.Offset, 52-wh.Offset) // it ends before the factor of its energy
	b.claim(InverterThree, wh.Offset-headerLen)
	s, err := openBoard(t, b).Read(t.Context())
	if err != nil || s.Power != 500*energy.Watt || len(s.Registers) != 0 || s.State != "" {
		t.Errorf("a model that ends early: %+v, %v", s, err)
	}
}

func inverterPoint(name string) (*Point, bool) {
	m, _ := Lookup(InverterThree)
	return m.Point(name)
}

// Kostal ends its chain in one register with 0, and refuses to read two there.
func TestAChainThatEndsInOneRegister(t *testing.T) {
	b := newBoard(t, 40000, Common, InverterThree)
	n := len(b.img.regs)
	b.img.regs = b.img.regs[:n-1]
	b.img.regs[n-2] = 0
	d := openBoard(t, b)
	if c := d.Chain(); len(c.Models) != 2 || !strings.Contains(c.Broken, "id 0") {
		t.Errorf("%+v", c)
	}
	b.img.regs[n-2] = endOfChain
	if c := openBoard(t, b).Chain(); len(c.Models) != 2 || c.Broken != "" {
		t.Errorf("%+v", c)
	}
}

// Repeated and unknown models, and one without registers, are no obstacle; each
// of the repeated ones is read where it is.
func TestRepeatedAndUnknownModels(t *testing.T) {
	b := newBoard(t, 40000, Common, MPPT, MPPT, InverterThree)
	second := b.img.chain.Models[2]
	b.img.regs[second.Address-40000+10+9] = 1234 // DCA of its module
	b.img.regs[second.Address-40000+2] = 0       // DCA_SF
	d := openBoard(t, b)
	points, err := d.Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range points {
		if p.Name == "module.1.DCA" {
			found = append(found, fmt.Sprintf("%d %s", p.Address, p))
		}
	}
	if want := []string{fmt.Sprintf("%d not implemented", second.Address-30+19), fmt.Sprintf("%d 1234 A", second.Address+19)}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	at := b.img.chain.Models[1].Address - 40000
	b.img.regs[at] = 64999 // a vendor's own
	b.img.regs[second.Address-40000] = 0x1234
	if got := ids(openBoard(t, b).Chain()); got != "models 1 64999 4660 103" {
		t.Error(got)
	}
}

// Groups that a model counts and its length disagree: what is there is read.
func TestGroupsThatAreNotAllThere(t *testing.T) {
	b := newBoard(t, 40000, Common, MeasureAC, MeasureDC)
	b.set(t, MeasureDC, map[string]int64{"NPrt": 3, "DCW_SF": 0, "Prt.1.DCW": 70})
	d := openBoard(t, b)
	p, err := device.Probe(t.Context(), 1, d)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Remarks) != 1 || !strings.Contains(p.Remarks[0], "43 registers, the groups it counts take 93") {
		t.Errorf("remarks %q", p.Remarks)
	}
	found := map[string]string{}
	for _, v := range p.Points {
		found[v.Name] = v.Value
	}
	if _, ok := found["Prt.2.DCW"]; ok || found["Prt.1.DCW"] != "70" {
		t.Errorf("port 1 is %q, port 2 is there: %v", found["Prt.1.DCW"], ok)
	}
}

// An inverter that shows its meter behind itself (SolarEdge) is an inverter; its
// meter is read where it is asked for, with the meter's own name.
func TestAnInverterWithItsMeter(t *testing.T) {
	b := newBoard(t, 40000, Common, InverterThree, Common, MeterThree)
	b.set(t, InverterThree, map[string]int64{"W": 3000, "W_SF": 0, "St": 4})
	b.set(t, MeterThree, map[string]int64{"W": -2000, "W_SF": 0})
	if err := b.img.SetText(Common, "SN", "inverter"); err != nil {
		t.Fatal(err)
	}
	copy(b.img.regs[b.img.chain.Models[2].Address-40000+50:], []uint16{0x6d65, 0x7465, 0x7200}) // "meter"
	for _, c := range []struct {
		kind, want roll.AssetKind
		serial     string
		power      energy.Power
	}{
		{"", roll.Inverter, "inverter", 3000 * energy.Watt},
		{roll.Inverter, roll.Inverter, "inverter", 3000 * energy.Watt},
		{roll.Meter, roll.Meter, "meter", -2000 * energy.Watt},
	} {
		d, err := OpenWith(t.Context(), b, 1, Options{Kind: c.kind})
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Read(t.Context())
		if d.Kind() != c.want || d.Identity().Serial != c.serial || s.Power != c.power || err != nil {
			t.Errorf("as %q: %s %+v %s %v", c.kind, d.Kind(), d.Identity(), s.Power, err)
		}
	}
	if _, err := OpenWith(t.Context(), b, 1, Options{Kind: roll.Battery}); err == nil || !strings.Contains(err.Error(), "as a battery: it has models 1 103 1 203") {
		t.Errorf("as a battery: %v", err)
	}
}
