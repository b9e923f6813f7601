// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
	"github.com/allmende-energy/allmende/gateway/sunspec"
	"github.com/allmende-energy/allmende/meters"
)

// chained serves SunSpec images by unit; before is called ahead of each request
// and may change them.
type chained struct {
	mu     sync.Mutex
	images map[uint8]*sunspec.Image
	before func(n int)
	n      int
}

func (c *chained) Serve(r wire.Request) (wire.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.before != nil {
		c.before(c.n)
	}
	img := c.images[r.Unit]
	if img == nil || r.Function != wire.ReadHolding {
		return wire.Answer{}, wire.TargetSilent
	}
	values, ok := img.Read(r.Addr, r.Count)
	if !ok {
		return wire.Answer{}, wire.IllegalDataAddress
	}
	return wire.Answer{Values: values}, nil
}

// points sets values of a model.
func points(t *testing.T, img *sunspec.Image, model uint16, values map[string]int64) {
	t.Helper()
	for name, v := range values {
		if err := img.Set(model, name, v); err != nil {
			t.Fatal(err)
		}
	}
}

func meterImage(t *testing.T, base uint16) *sunspec.Image {
	t.Helper()
	img, err := sunspec.NewImage(base, 0, sunspec.Common, sunspec.MeterThree)
	if err != nil {
		t.Fatal(err)
	}
	points(t, img, sunspec.MeterThree, map[string]int64{"W": 1200, "W_SF": 0, "TotWhImp": 5000, "TotWhExp": 70, "TotWh_SF": 1})
	return img
}

func read(t *testing.T, d device.Device) device.Snapshot {
	t.Helper()
	s, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trapProfile is a family of meters and of batteries whose registers a test
// makes as it likes.
const trapProfile = `profile: trap
version: 1
manufacturer: Trap
models: [T1]
kinds: [meter]
firmware: any
sources:
  - {id: one, url: "https://example.org/one", numbers: wire}
  - {id: two, url: "https://example.org/two", numbers: wire}
connection: {units: [1], max_registers: 60, max_gap: 12}
identify:
  - {address: 0, type: u16, is: [4711]}
points:
  - {name: firmware, address: 1, type: u16, unit: "1"}
  - {name: power, address: 10, type: s16, factor: 12, unit: W, missing: [0x8000], least: -20000, most: 20000, before: "20"}
  - {name: power, address: 10, type: s16, factor: 12, unit: W, sign: opposite, missing: [0x8000], least: -20000, most: 20000, since: "20"}
  - {name: import, address: 20, type: u32, unit: Wh, missing: [0xFFFFFFFF]}
  - {name: export, address: 30, type: f32, unit: kWh}
`

func trapLibrary(t *testing.T, change ...string) *profile.Library {
	t.Helper()
	dir := t.TempDir()
	src := strings.NewReplacer(change...).Replace(trapProfile)
	if err := os.WriteFile(filepath.Join(dir, "trap.yaml"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	lib, err := profile.LoadLibrary(dir)
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// trapImage is a device of trapProfile: 1200 W, 5 kWh and 2.5 kWh. Registers in
// gaps are there, as on most devices.
func trapImage(t *testing.T) *wire.Image {
	t.Helper()
	m := wire.NewImage()
	err := m.Set(1, wire.Holding, 0, make([]uint16, 40)...)
	for addr, regs := range map[uint16][]uint16{0: {4711, 10}, 10: {1200}, 20: {0, 5000}, 30: {0x4020, 0}} {
		err = errors.Join(err, m.Set(1, wire.Holding, addr, regs...))
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openTrap(t *testing.T, bus *modbus.Bus, lib *profile.Library) (device.Device, error) {
	t.Helper()
	return profile.Open(t.Context(), bus, 1, profile.Options{Profile: "trap", Library: lib})
}

// Trap 5: a value and its scale factor from different reads do not belong
// together, because the factor moves. The power is then ten times too large.
//
// Cure: gateway/sunspec/fetch.go, plan: points with their factors in the same
// read, and where a device gives too few registers at once the factors before and
// after (Block.moving). gateway/profile/fetch.go, Point.span: the factor is part
// of what is read at once.
func TestTrap05ValueAndScaleFactorOfOneRead(t *testing.T) {
	img := meterImage(t, 40000)
	h := &chained{images: map[uint8]*sunspec.Image{1: img}, before: func(n int) {
		scale := n%4 - 1
		raw := map[int]int64{-1: 12000, 0: 1200, 1: 120, 2: 12}[scale]
		points(t, img, sunspec.MeterThree, map[string]int64{"W": raw, "W_SF": int64(scale)})
		// These lie so far apart that a short read does not hold both.
		raw = map[int]int64{0: 7000, 1: 700, 2: 70}[n%3]
		points(t, img, sunspec.MeterThree, map[string]int64{"TotWhExp": raw, "TotWh_SF": int64(n % 3)})
	}}
	for _, faults := range []string{"", "  - {when: {more_than: 16}, do: {exception: 3}}\n"} {
		_, bus := trapped(t, overTCP, h, wire.Options{}, faults, modbus.Config{})
		d, err := sunspec.Open(t.Context(), bus, 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			s := read(t, d)
			if s.Power != 1200*energy.Watt && (faults == "" || s.Quality == energy.Good) {
				t.Fatalf("1200 W are %s (%s %s), with faults %q", s.Power, s.Quality, s.Reason, faults)
			}
			if e, ok := s.Registers["export"]; e != 7*energy.KilowattHour && (faults == "" || ok) {
				t.Fatalf("7 kWh are %s, with faults %q", e, faults)
			}
		}
	}
	m := trapImage(t)
	n := 0
	moving := wire.HandlerFunc(func(r wire.Request) (wire.Answer, error) {
		n++
		scale := n%4 - 1
		raw := map[int]uint16{-1: 12000, 0: 1200, 1: 120, 2: 12}[scale]
		if err := errors.Join(m.Set(1, wire.Holding, 10, raw), m.Set(1, wire.Holding, 12, uint16(int16(scale)))); err != nil {
			return wire.Answer{}, err
		}
		return m.Serve(r)
	})
	// Every gap is refused, so that each point is a read of its own.
	for _, faults := range []string{"", "  - {when: {more_than: 3}, do: {exception: 2}}\n"} {
		_, bus := trapped(t, overTCP, moving, wire.Options{}, faults, modbus.Config{})
		d, err := openTrap(t, bus, trapLibrary(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if s := read(t, d); s.Power != 1200*energy.Watt || s.Quality != energy.Good {
				t.Fatalf("1200 W are %s (%s %s), with faults %q", s.Power, s.Quality, s.Reason, faults)
			}
		}
	}
}

// Trap 6: 0x8000, 0xFFFF, 0x80000000, 0xFFFFFFFF and NaN mean "not implemented"
// and never a number, least of all zero.
//
// Cure: gateway/sunspec/value.go, the sentinels of each type;
// gateway/profile/decode.go, Point.decode: p.Missing, and shortest for floats
// that are no number.
func TestTrap06SentinelsAreNoValues(t *testing.T) {
	sun := map[string]struct {
		model  uint16
		values map[string]int64
	}{
		"int16":        {sunspec.InverterThree, map[string]int64{"W": 0x8000, "W_SF": 0}},
		"scale factor": {sunspec.InverterThree, map[string]int64{"W": 1200, "W_SF": 0x8000}},
		"float":        {113, map[string]int64{"W": 0x7FC00000}},
		"of model 701": {sunspec.MeasureAC, map[string]int64{"W": 0x8000, "W_SF": 0}},
	}
	for name, x := range sun {
		img, err := sunspec.NewImage(40000, 0, sunspec.Common, x.model)
		if err != nil {
			t.Fatal(err)
		}
		points(t, img, x.model, x.values)
		_, bus := trapped(t, overTCP, &chained{images: map[uint8]*sunspec.Image{1: img}}, wire.Options{}, "", modbus.Config{})
		d, err := sunspec.Open(t.Context(), bus, 1)
		if err != nil {
			t.Fatal(err)
		}
		noPower(t, "SunSpec "+name, d)
	}
	for name, x := range map[string]struct {
		addr  uint16
		regs  []uint16
		point string
	}{
		"s16": {10, []uint16{0x8000}, "power"},
		"u32": {20, []uint16{0xFFFF, 0xFFFF}, "import"},
		"f32": {30, []uint16{0x7FC0, 0}, "export"},
	} {
		m := trapImage(t)
		if err := m.Set(1, wire.Holding, x.addr, x.regs...); err != nil {
			t.Fatal(err)
		}
		_, bus := trapped(t, overTCP, m, wire.Options{}, "", modbus.Config{})
		d, err := openTrap(t, bus, trapLibrary(t))
		if err != nil {
			t.Fatal(err)
		}
		if x.point == "power" {
			noPower(t, "profile "+name, d)
		}
		s := read(t, d)
		if _, ok := s.Registers[meters.Register(x.point)]; ok {
			t.Errorf("%s: the counter %s has a value: %v", name, x.point, s.Registers)
		}
		if len(s.Registers) != 2 && x.point == "power" || len(s.Registers) != 1 && x.point != "power" {
			t.Errorf("%s: the others are gone too: %v", name, s.Registers)
		}
	}
}

// noPower asserts that a device's power is absent, with a reason, and nowhere
// shown as a number.
func noPower(t *testing.T, name string, d device.Device) {
	t.Helper()
	if s := read(t, d); s.Quality != energy.NotImplemented || s.Reason == "" || s.Power != 0 {
		t.Errorf("%s: a power that is not there reads %s, %s (%s)", name, s.Power, s.Quality, s.Reason)
	}
	values, err := d.Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, v := range values {
		if v.Name == "W" || v.Name == "power" {
			found = true
			if v.Quality != energy.NotImplemented || v.Decimal != "" {
				t.Errorf("%s: the point %s says %q, %s", name, v.Name, v.Decimal, v.Quality)
			}
		}
	}
	if !found {
		t.Errorf("%s: the point is not listed", name)
	}
}

// Trap 7: SunSpec begins at 40000, 0 or 50000, on units such as 126, 71 and 247;
// chains have wrong lengths or no end; and models move when the firmware does.
//
// Cure: gateway/sunspec/discover.go, bases and walker.next; device.go,
// Device.following: the header is read with every model, and the chain walked
// again when it is another.
func TestTrap07ChainsThatAreElsewhereOrBroken(t *testing.T) {
	h := &chained{images: map[uint8]*sunspec.Image{}}
	_, bus := trapped(t, overTCP, h, wire.Options{}, "", modbus.Config{})
	right := func(what string, unit uint8) *sunspec.Device {
		t.Helper()
		d, err := sunspec.Open(t.Context(), bus, unit)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return nil
		}
		if s := read(t, d); s.Power != 1200*energy.Watt || s.Registers["import"] != 50*energy.KilowattHour {
			t.Errorf("%s: %+v", what, s)
		}
		return d
	}
	for unit, base := range map[uint8]uint16{126: 40000, 71: 0, 247: 50000, 1: 40000} {
		h.images[unit] = meterImage(t, base)
		right(fmt.Sprintf("base %d, unit %d", base, unit), unit)
	}
	for name, register := range map[string]struct{ addr, value uint16 }{
		"a length that is short by one": {40003, 65},
		"a length that is long by one":  {40003, 67},
		"no end marker":                 {40002 + 68 + 107, 0},
	} {
		wrong := fmt.Sprintf("  - {when: {unit: 1}, do: {set: [{address: %d, value: %d}]}}\n", register.addr, register.value)
		_, bus2 := trapped(t, overTCP, h, wire.Options{}, wrong, modbus.Config{})
		d, err := sunspec.Open(t.Context(), bus2, 1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := read(t, d); d.Kind() != roll.Meter || s.Power != 1200*energy.Watt {
			t.Errorf("%s: a %s of %s", name, d.Kind(), s.Power)
		}
	}
	// A new firmware has a model in front.
	d := right("before the firmware changed", 1)
	img, err := sunspec.NewImage(40000, 0, sunspec.Common, sunspec.InverterThree, sunspec.MeterThree)
	if err != nil {
		t.Fatal(err)
	}
	points(t, img, sunspec.InverterThree, map[string]int64{"W": 1, "W_SF": 0})
	points(t, img, sunspec.MeterThree, map[string]int64{"W": 1300, "W_SF": 0})
	h.mu.Lock()
	h.images[1] = img
	h.mu.Unlock()
	if s, err := d.Read(t.Context()); err == nil && s.Power != 1300*energy.Watt {
		t.Errorf("after its models moved it shows %s, want 1300 W or an error", s.Power)
	} else if err != nil && !errors.Is(err, sunspec.ErrMoved) {
		t.Errorf("after its models moved: %v", err)
	}
}

// Trap 8: an address that is off by one still gives plausible numbers.
//
// Cure: gateway/sunspec/discover.go, the marker, and fetch.go, fetchPlan: the
// header of a model is read and compared with every read of it;
// gateway/profile/device.go, open: p.fits, a device must show what its profile is
// known by before anything of it is believed.
func TestTrap08OffByOne(t *testing.T) {
	for _, shift := range []int{-1, 1} {
		off := fmt.Sprintf("  - {do: {shift: %d}}\n", shift)
		h := &chained{images: map[uint8]*sunspec.Image{1: meterImage(t, 40000)}}
		_, bus := trapped(t, overTCP, h, wire.Options{}, off, modbus.Config{})
		if d, err := sunspec.Open(t.Context(), bus, 1); err == nil {
			t.Errorf("shifted by %d it is taken for a %s of %s", shift, d.Kind(), read(t, d).Power)
		}
		// It begins while the gateway runs, such as behind a converter that was
		// set up anew.
		s, bus2 := trapped(t, overTCP, h, wire.Options{}, "", modbus.Config{})
		d, err := sunspec.Open(t.Context(), bus2, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rules, err := wire.DecodeRules("faults.yaml", []byte("faults:\n"+off))
		if err != nil {
			t.Fatal(err)
		}
		again, err := wire.Listen(s.Addr(), h, wire.Options{Faults: rules})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.Read(t.Context()); err == nil {
			t.Errorf("shifted by %d while it is read it shows %s", shift, got.Power)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		_, bus3 := trapped(t, overTCP, trapImage(t), wire.Options{}, off, modbus.Config{})
		if _, err := openTrap(t, bus3, trapLibrary(t)); !errors.Is(err, profile.ErrMismatch) {
			t.Errorf("shifted by %d its profile is believed: %v", shift, err)
		}
	}
}

// Trap 9: devices differ in how many registers they give at once, and refuse a
// whole block for one register in it that they do not have.
//
// Cure: gateway/sunspec/fetch.go, fetchOnce: smaller reads after a refusal;
// gateway/plan/device.go, Device.try: the halves of a refused block, and remember.
func TestTrap09BlocksAndGapsThatAreRefused(t *testing.T) {
	for name, faults := range map[string]string{
		"at most 64":    "  - {when: {more_than: 64}, do: {exception: 3}}\n",
		"at most 16":    "  - {when: {more_than: 16}, do: {exception: 2}}\n",
		"at most 3":     "  - {when: {more_than: 3}, do: {exception: 4}}\n",
		"gaps":          "  - {when: {addresses: 13-19}, do: {exception: 2}}\n  - {when: {addresses: 22-29}, do: {exception: 2}}\n",
		"long and gaps": "  - {when: {more_than: 12}, do: {exception: 3}}\n  - {when: {addresses: 13-14}, do: {exception: 2}}\n",
	} {
		j := &journal{}
		refusals := func() int { return len(j.of(func(x wire.Exchange) bool { return x.Effect.Exception != 0 })) }
		_, bus := trapped(t, overTCP, trapImage(t), wire.Options{Observe: j.note}, faults, modbus.Config{})
		d, err := openTrap(t, bus, trapLibrary(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if s := read(t, d); s.Power != 1200*energy.Watt || s.Registers["import"] != 5*energy.KilowattHour || s.Registers["export"] != 2500*energy.WattHour {
				t.Errorf("profile, %s: %+v", name, s)
			}
		}
		before := refusals()
		read(t, d)
		if again := refusals(); again != before {
			t.Errorf("profile, %s: it asked again for what had been refused", name)
		}
		if strings.Contains(name, "gaps") || name == "at most 3" {
			continue // SunSpec has no gaps, and 16 registers at least
		}
		_, bus = trapped(t, overTCP, &chained{images: map[uint8]*sunspec.Image{1: meterImage(t, 40000)}}, wire.Options{Observe: j.note}, faults, modbus.Config{})
		sun, err := sunspec.Open(t.Context(), bus, 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if s := read(t, sun); s.Power != 1200*energy.Watt || s.Registers["import"] != 50*energy.KilowattHour {
				t.Errorf("SunSpec, %s: %+v", name, s)
			}
		}
		before = refusals()
		read(t, sun)
		if again := refusals(); again != before {
			t.Errorf("SunSpec, %s: it asked again for what had been refused", name)
		}
	}
}
