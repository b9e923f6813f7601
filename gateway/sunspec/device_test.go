// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/meters"
)

// board is a device made of an image. It keeps what was asked and may change
// between requests, as a device does.
type board struct {
	img     *Image
	asked   [][2]uint16 // address, count
	wrote   []write
	between func(b *board)           // before each read
	onWrite func(b *board, w *write) // may change what is kept
	silent  map[uint16]bool          // addresses without an answer
	singles int                      // writes with function 6
	six     bool                     // while it lasts
	most    uint16                   // registers in a read, 0: any
	only6   map[uint16]bool          // addresses that refuse function 16
	fixed   map[uint16]bool          // addresses that refuse to be written
}

type write struct {
	addr   uint16
	values []uint16
}

// exceptionError is a device's refusal.
type exceptionError uint8

func (e exceptionError) Error() string        { return fmt.Sprintf("exception %d", uint8(e)) }
func (e exceptionError) ExceptionCode() uint8 { return uint8(e) }

const errIllegal = exceptionError(illegalAddress)

func (b *board) ReadHolding(ctx context.Context, _ uint8, addr, n uint16) ([]uint16, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.asked = append(b.asked, [2]uint16{addr, n})
	if b.between != nil {
		b.between(b)
	}
	regs, ok := b.img.Read(addr, n)
	if b.most > 0 && n > b.most {
		return nil, exceptionError(illegalValue)
	}
	for i := range n {
		ok = ok && !b.silent[addr+i]
	}
	if !ok {
		return nil, errIllegal
	}
	return regs, nil
}

func (b *board) WriteRegisters(_ context.Context, _ uint8, addr uint16, values []uint16) error {
	if b.fixed[addr] || b.only6[addr] && !b.six {
		return errIllegal
	}
	w := write{addr, slices.Clone(values)}
	if b.onWrite != nil {
		b.onWrite(b, &w)
	}
	b.wrote = append(b.wrote, w)
	copy(b.img.regs[addr-b.img.base:], w.values)
	return nil
}

func (b *board) WriteRegister(ctx context.Context, unit uint8, addr, value uint16) error {
	b.singles++
	b.six = true
	defer func() { b.six = false }()
	return b.WriteRegisters(ctx, unit, addr, []uint16{value})
}

func newBoard(t testing.TB, base uint16, models ...uint16) *board {
	t.Helper()
	img, err := NewImage(base, 1, models...)
	if err != nil {
		t.Fatal(err)
	}
	return &board{img: img}
}

func (b *board) set(t testing.TB, model uint16, values map[string]int64) {
	t.Helper()
	for name, raw := range values {
		if err := b.img.Set(model, name, raw); err != nil {
			t.Fatal(err)
		}
	}
}

func openBoard(t testing.TB, b *board) *Device {
	t.Helper()
	d, err := Open(t.Context(), b, 1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestKindsAndBases(t *testing.T) {
	for _, base := range bases() {
		for _, c := range []struct {
			models []uint16
			want   roll.AssetKind
		}{
			{[]uint16{Common, InverterOne}, roll.Inverter},
			{[]uint16{Common, InverterSplit}, roll.Inverter},
			{[]uint16{Common, InverterThree}, roll.Inverter},
			{[]uint16{Common, MeasureAC}, roll.Inverter},
			{[]uint16{Common, MeterThree}, roll.Meter},
			{[]uint16{Common, MeasureAC, StorageCapacity}, roll.Battery},
			{[]uint16{Common, InverterThree, StorageControl}, roll.Battery},
			{[]uint16{BatteryBase}, roll.Battery},
		} {
			d := openBoard(t, newBoard(t, base, c.models...))
			if d.Kind() != c.want || d.Chain().Base != base || len(d.Chain().Models) != len(c.models) || d.Chain().Broken != "" {
				t.Errorf("base %d models %v: %s, %+v", base, c.models, d.Kind(), d.Chain())
			}
		}
	}
	named := openBoard(t, newBoard(t, 40000, Common))
	if _, err := named.Read(t.Context()); !errors.Is(err, ErrNoUse) || named.Kind() != "" || named.Controls() != nil {
		t.Errorf("a device with nothing but a name: %q, %v", named.Kind(), err)
	}
	if points, err := named.Points(t.Context()); err != nil || len(points) != 8 {
		t.Errorf("a device with nothing but a name: %d points, %v", len(points), err)
	}
	if _, err := Open(t.Context(), newBoard(t, 40000), 1); !errors.Is(err, ErrNoUse) {
		t.Errorf("a device with nothing: %v", err)
	}
	if _, err := Open(t.Context(), newBoard(t, 30000, Common, MeterThree), 1); !errors.Is(err, ErrNotSunSpec) {
		t.Errorf("a device without the marker: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, newBoard(t, 40000, Common, MeterThree), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	b := newBoard(t, 40000, Common, MeterThree)
	for point, s := range map[string]string{"Mn": "Maker", "Md": "Type \x1b[31mred", "Vr": "1.2", "SN": "0815"} {
		if err := b.img.SetText(Common, point, s); err != nil {
			t.Fatal(err)
		}
	}
	want := device.Identity{Manufacturer: "Maker", Model: "Type ?[31mred", Version: "1.2", Serial: "0815"}
	if got := openBoard(t, b).Identity(); got != want {
		t.Errorf("identity %+v, want %+v", got, want)
	}
}

func TestMeter(t *testing.T) {
	b := newBoard(t, 40000, Common, MeterThree)
	b.set(t, MeterThree, map[string]int64{"W": -2345, "W_SF": 0, "TotWhImp": 123456, "TotWhExp": 0, "TotWh_SF": -1})
	d := openBoard(t, b)
	b.asked = nil
	s, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Power != -2345*energy.Watt || s.Quality != energy.Good || s.SoC != -1 {
		t.Errorf("snapshot %+v", s)
	}
	// A mandatory counter at 0 is at 0; 12,345.6 Wh are 12,345,600 mWh.
	if s.Registers[meters.Import] != 12_345_600 || s.Registers[meters.Export] != 0 || len(s.Registers) != 2 {
		t.Errorf("registers %v", s.Registers)
	}
	if len(b.asked) != 1 {
		t.Errorf("one snapshot took %v", b.asked)
	}
}

// An inverter that has lost its meter goes on to show it: no power, and counters
// at 0, which are no counts.
func TestAMeterThatIsLost(t *testing.T) {
	b := newBoard(t, 40000, Common, MeterThree)
	b.set(t, MeterThree, map[string]int64{"TotWhImp": 0, "TotWhExp": 5, "TotWh_SF": 0})
	s, err := openBoard(t, b).Read(t.Context())
	if err != nil || s.Quality != energy.NotImplemented || len(s.Registers) != 1 || s.Registers[meters.Export] != 5*energy.WattHour {
		t.Errorf("%+v, %v", s, err)
	}
}

// The factor moves from request to request; because both come from one request,
// the power never does.
func TestFactorComesFromTheSameRead(t *testing.T) {
	b := newBoard(t, 40000, Common, InverterThree)
	b.set(t, InverterThree, map[string]int64{"St": 4, "WH": 5, "WH_SF": 0})
	fine := false
	b.between = func(b *board) {
		if fine = !fine; fine {
			b.set(t, InverterThree, map[string]int64{"W": 32000, "W_SF": -1})
		} else {
			b.set(t, InverterThree, map[string]int64{"W": 320, "W_SF": 1})
		}
	}
	d := openBoard(t, b)
	for range 10 {
		s, err := d.Read(t.Context())
		if err != nil || s.Power != 3200*energy.Watt {
			t.Fatalf("%+v, %v", s, err)
		}
	}
}

func TestInverterStates(t *testing.T) {
	for _, c := range []struct {
		name   string
		values map[string]int64
		want   device.Snapshot
	}{
		{"running", map[string]int64{"W": 500, "W_SF": 0, "St": 4}, device.Snapshot{Power: 500 * energy.Watt, Quality: energy.Good, State: "running"}},
		{"asleep, last power frozen", map[string]int64{"W": 500, "W_SF": 0, "St": 2}, device.Snapshot{Quality: energy.Sleeping, State: "sleeping"}},
		{"off, no power", map[string]int64{"St": 1}, device.Snapshot{Quality: energy.Sleeping, State: "off"}},
		{"no power", map[string]int64{"St": 4}, device.Snapshot{Quality: energy.NotImplemented, State: "running"}},
		{"no state", map[string]int64{"W": 1, "W_SF": -3}, device.Snapshot{Power: 1, Quality: energy.Good}},
		{"unknown state", map[string]int64{"W": 0, "W_SF": 0, "St": 99}, device.Snapshot{Quality: energy.Good}},
	} {
		b := newBoard(t, 40000, Common, InverterOne)
		b.set(t, InverterOne, c.values)
		s, err := openBoard(t, b).Read(t.Context())
		if err != nil || s.Power != c.want.Power || s.Quality != c.want.Quality || s.State != c.want.State {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
		if (s.Quality == energy.Good) != (s.Reason == "") {
			t.Errorf("%s: reason %q with quality %s", c.name, s.Reason, s.Quality)
		}
		if len(s.Registers) != 0 {
			t.Errorf("%s: registers %v without a factor", c.name, s.Registers)
		}
	}
}

func TestInverterOfTheNewModels(t *testing.T) {
	b := newBoard(t, 40000, Common, MeasureAC)
	b.set(t, MeasureAC, map[string]int64{"W": 98, "W_SF": 2, "TotWhInj": 150, "TotWhAbs": 3, "TotWh_SF": 3, "InvSt": 3})
	s, err := openBoard(t, b).Read(t.Context())
	if err != nil || s.Power != 9800*energy.Watt || s.State != "running" {
		t.Errorf("%+v, %v", s, err)
	}
	if s.Registers[meters.Production] != 150*energy.KilowattHour || len(s.Registers) != 1 {
		t.Errorf("registers %v", s.Registers)
	}
}

func battery(t testing.TB) *board {
	t.Helper()
	b := newBoard(t, 40000, Common, MeasureAC, StorageCapacity, MeasureDC, StorageControl, BatteryBase)
	b.set(t, MeasureAC, map[string]int64{"W": -1500, "W_SF": 0, "TotWhInj": 1, "TotWhAbs": 2_000_000_000_000, "TotWh_SF": -3, "InvSt": 1})
	b.set(t, StorageCapacity, map[string]int64{"SoC": 4567, "Pct_SF": -2})
	b.set(t, BatteryBase, map[string]int64{"SoC": 33, "SoC_SF": 0})
	b.set(t, StorageControl, map[string]int64{
		"ChaState": 222, "ChaState_SF": -1, "WChaMax": 5000, "WChaMax_SF": 0, "StorCtl_Mod": 0,
		"InOutWRte_SF": -2, "InOutWRte_RvrtTms": 0,
	})
	return b
}

func TestBattery(t *testing.T) {
	b := battery(t)
	d := openBoard(t, b)
	b.asked = nil
	s, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Power != -1500*energy.Watt || s.SoC != 456 || s.Quality != energy.Good {
		t.Errorf("snapshot %+v", s)
	}
	if s.Registers[meters.Discharged] != 1 || s.Registers[meters.Charged] != 2_000_000_000_000 {
		t.Errorf("registers %v", s.Registers)
	}
	if len(b.asked) != 2 {
		t.Errorf("one snapshot took %v", b.asked)
	}
	for _, c := range []struct {
		model uint16
		point string
		raw   int64
		want  int64
	}{
		{StorageCapacity, "SoC", 0xFFFF, 330}, // then 802 tells
		{BatteryBase, "SoC", 200, 222},        // 200 %: then 124 tells
		{StorageControl, "ChaState", 0xFFFF, -1},
	} {
		b.set(t, c.model, map[string]int64{c.point: c.raw})
		if s, err = d.Read(t.Context()); err != nil || s.SoC != c.want {
			t.Errorf("without %s of %d the state of charge is %d, %v; want %d", c.point, c.model, s.SoC, err, c.want)
		}
	}
}

func TestBatteryWithoutPower(t *testing.T) {
	b := newBoard(t, 40000, Common, InverterThree, StorageControl)
	b.set(t, InverterThree, map[string]int64{"W": 4000, "W_SF": 0, "St": 4}) // of the roof and the battery together
	s, err := openBoard(t, b).Read(t.Context())
	if err != nil || s.Quality != energy.NotImplemented || s.Reason == "" || len(s.Registers) != 0 {
		t.Errorf("a hybrid's power was taken for the battery's: %+v, %v", s, err)
	}
}

// chainOf serves headers only.
type chainOf map[uint16][2]uint16

func (c chainOf) ReadHolding(_ context.Context, _ uint8, addr, n uint16) ([]uint16, error) {
	h, ok := c[addr]
	if !ok || n != 2 {
		return nil, errIllegal
	}
	return h[:], nil
}

func TestBrokenChains(t *testing.T) {
	marker := [2]uint16{0x5375, 0x6e53}
	endless := chainOf{0: marker}
	for i := range uint16(200) {
		endless[2+2*i] = [2]uint16{1, 0}
	}
	for _, c := range []struct {
		name   string
		chain  chainOf
		models int
		broken string
	}{
		{"whole", chainOf{40000: marker, 40002: {1, 66}, 40070: {0xFFFF, 0}}, 1, ""},
		{"empty", chainOf{40000: marker, 40002: {0xFFFF, 0}}, 0, ""},
		{"no end marker", chainOf{40000: marker, 40002: {1, 66}}, 1, "no model header at 40070"},
		{"zeros behind", chainOf{40000: marker, 40002: {1, 66}, 40070: {0, 0}}, 1, "id 0"},
		{"wrong length, and nothing else there", chainOf{40000: marker, 40002: {1, 66}, 40070: {103, 51}}, 2, "no model header at 40123"},
		{"past the last address", chainOf{50000: marker, 50002: {1, 66}, 50070: {103, 60000}}, 2, "past the last address"},
		{"past it by a whole turn", chainOf{50000: marker, 50002: {1, 0xFFFF}}, 1, "past the last address"},
		{"endless", endless, mostModels, "no end marker after 64"},
	} {
		got, err := Discover(t.Context(), c.chain, 1)
		if err != nil || len(got.Models) != c.models || !strings.Contains(got.Broken, c.broken) || (c.broken == "") != (got.Broken == "") {
			t.Errorf("%s: %d models, %q, %v", c.name, len(got.Models), got.Broken, err)
		}
	}
	if _, err := Discover(t.Context(), chainOf{40000: marker}, 1); !errors.Is(err, errIllegal) {
		t.Errorf("nothing behind the marker: %v", err)
	}
	if _, err := Discover(t.Context(), shortReader{}, 1); !errors.Is(err, ErrNotSunSpec) {
		t.Errorf("a reader that brings too little: %v", err)
	}
}

type shortReader struct{}

func (shortReader) ReadHolding(context.Context, uint8, uint16, uint16) ([]uint16, error) {
	return []uint16{0x5375}, nil
}

func TestModelsThatMove(t *testing.T) {
	b := newBoard(t, 40000, Common, MeterThree)
	d := openBoard(t, b)
	moved := newBoard(t, 40000, Common, StorageCapacity, MeterThree) // after an update
	moved.set(t, MeterThree, map[string]int64{"W": 77, "W_SF": 0})
	b.img = moved.img
	s, err := d.Read(t.Context())
	if err != nil || s.Power != 77*energy.Watt {
		t.Errorf("after a move: %+v, %v", s, err)
	}
	// A device that tells one chain and has another is not followed for ever.
	b.between = func(b *board) {
		id := MeterThree
		if b.asked[len(b.asked)-1][1] > headerLen {
			id = MeterSplit
		}
		b.img.regs[len(b.img.regs)-109] = id
	}
	b.asked = nil
	if _, err := d.Read(t.Context()); err == nil {
		t.Error("a device whose model changes with every look was believed")
	}
	if len(b.asked) > 12 {
		t.Errorf("it was asked %d times", len(b.asked))
	}
}

func TestPoints(t *testing.T) {
	b := battery(t)
	b.set(t, MeasureDC, map[string]int64{"NPrt": 9, "DCW": 7, "DCW_SF": 0})
	points, err := openBoard(t, b).Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range points {
		found[fmt.Sprintf("%d.%s", p.Model, p.Name)] = p.String()
	}
	for name, want := range map[string]string{
		"701.W": "-1500 W", "713.SoC": "45.67 Pct", "714.DCW": "7 W", "714.Prt.1.DCW": "not implemented", "714.L": "43",
		"124.WChaMax": "5000 W", "124.StorCtl_Mod": "0", "1.Mn": "not implemented",
	} {
		if found[name] != want {
			t.Errorf("%s is %q, want %q", name, found[name], want)
		}
	}
	if _, ok := found["714.Prt.2.DCW"]; ok {
		t.Error("a port that is not there")
	}
}
