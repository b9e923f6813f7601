// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
)

const head = `profile: mine
version: 1
manufacturer: Maker
models: [One]
kinds: [battery]
sources:
  - {id: a, url: "https://example.org/a", numbers: wire}
  - {id: b, url: "https://example.org/b", numbers: one}
connection: {max_registers: 20, max_gap: 10}
identify: [{address: 0, type: u16, is: [7]}]
points:
  - {name: power, address: 1, type: s16, unit: W, missing: [0x8000], least: -5000, most: 5000}
`

// mine makes a library with one profile.
func mine(t *testing.T, src string) *profile.Library {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine.yaml"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	lib, err := profile.LoadLibrary(dir)
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

func open(t *testing.T, src string, b *board) device.Device {
	t.Helper()
	dev, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: "mine", Library: mine(t, src)})
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func regs(values ...uint16) *board {
	b := &board{img: &profile.Image{}}
	b.img.Set(profile.Holding, 0, values...)
	return b
}

func read(t *testing.T, dev device.Device) device.Snapshot {
	t.Helper()
	s, err := dev.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A sentinel is not zero watts, and a value that no such device has is not believed.
func TestNotImplementedIsNotZero(t *testing.T) {
	for raw, reason := range map[uint16]string{0x8000: "does not have it", 0x7000: "28672"} {
		s := read(t, open(t, head, regs(7, raw)))
		if s.Quality != energy.NotImplemented || !strings.Contains(s.Reason, reason) {
			t.Errorf("0x%x: %s, %s", raw, s.Quality, s.Reason)
		}
	}
	if s := read(t, open(t, head, regs(7, 0xfed4))); s.Quality != energy.Good || s.Power != -300*energy.Watt {
		t.Errorf("%s %s", s.Power, s.Quality)
	}
}

// A counter in single precision is marked from where it steps by more than a watt-hour.
func TestCoarseCounters(t *testing.T) {
	src := head + "  - {name: charged, address: 2, type: f32, unit: kWh}\n"
	for kWh, coarse := range map[float32]bool{8000: false, 16000: false, 17000: true, 100000: true} {
		u := math.Float32bits(kWh)
		s := read(t, open(t, src, regs(7, 0, uint16(u>>16), uint16(u))))
		if _, is := s.Coarse["charged"]; is != coarse {
			t.Errorf("%v kWh: coarse %v %v", kWh, is, s.Coarse)
		}
	}
}

// The firmware decides the sign; where it is not told there is no value.
func TestFirmwareFlipsTheSign(t *testing.T) {
	src := strings.Replace(head, "  - {name: power,", `  - {name: firmware, address: 10, type: string, count: 4}
  - {name: power, before: "3.10", sign: opposite, address: 1, type: s16, unit: W, least: -5000, most: 5000}
  - {name: power, since: "3.10",`, 1)
	for version, want := range map[string]energy.Power{"V3.9": -100 * energy.Watt, "V3.10": 100 * energy.Watt, "V4.0": 100 * energy.Watt, "": 0} {
		b := regs(7, 100)
		raw := [8]byte{}
		copy(raw[:], version)
		for i := range 4 {
			b.img.Set(profile.Holding, 10+uint16(i), uint16(raw[2*i])<<8|uint16(raw[2*i+1]))
		}
		s := read(t, open(t, src, b))
		if s.Power != want || (s.Quality == energy.Good) != (version != "") {
			t.Errorf("%q: %s %s %s", version, s.Power, s.Quality, s.Reason)
		}
	}
}

// A block that is refused is read in its parts, and what is refused alone is not
// asked for again.
func TestBlocksFallBack(t *testing.T) {
	src := head + "  - {name: soc, address: 5, type: u16, unit: \"%\"}\n  - {name: charged, address: 8, type: u32, unit: Wh}\n"
	b := regs(7, 100)
	b.img.Set(profile.Holding, 5, 42) // 2 to 4 and 8 are not there
	dev := open(t, src, b)
	for range 2 {
		s := read(t, dev)
		if s.Power != 100*energy.Watt || s.SoC != 420 || len(s.Registers) != 0 {
			t.Errorf("%+v", s)
		}
	}
	asked := slices.Clone(b.asked)
	read(t, dev)
	if again := b.asked[len(asked):]; !slices.Equal(again, []profile.Span{{Addr: 1, Count: 1}, {Addr: 5, Count: 1}}) {
		t.Errorf("after it is known, it asks for %v", again)
	}
	values, err := dev.Points(t.Context())
	if err != nil || !slices.ContainsFunc(values, func(v device.Value) bool { return v.Name == "charged" && strings.Contains(v.Reason, "refuses") }) {
		t.Errorf("%+v, %v", values, err)
	}
}

// Some devices say "device failure" to a block with unused registers in it. To a
// single point that is an error of the device, and no value.
func TestDeviceFailureInABlock(t *testing.T) {
	b := regs(7, 100)
	b.img.Set(profile.Holding, 5, 42)
	b.gap = 4
	dev := open(t, head+"  - {name: soc, address: 5, type: u16, unit: \"%\"}\n", b)
	if s := read(t, dev); s.Power != 100*energy.Watt || s.SoC != 420 {
		t.Errorf("%+v", s)
	}
	b.img = regs(7).img
	if s, err := dev.Read(t.Context()); err == nil {
		t.Errorf("%+v", s)
	}
}

// A connection that is gone is an error and no value.
func TestLostConnection(t *testing.T) {
	b := regs(7, 100)
	dev := open(t, head, b)
	b.fail = errors.New("gone")
	if _, err := dev.Read(t.Context()); err == nil {
		t.Error("a value without a connection")
	}
}

const timed = head + `controls:
  - quantity: battery_power
    confirmed: true
    least: -3000
    most: 3000
    reversion: {by: timer, least_seconds: 10, most_seconds: 600}
    set:
      - {address: 20, function: 6, takes: seconds}
      - {address: 21, function: 16, type: s32, takes: value}
      - {address: 23, function: 16, takes: constant, value: 4, joins: true}
    release: [{address: 20, function: 6, takes: constant, value: 0}]
`

func setpoint(watts int64, reversion time.Duration) device.Command {
	return device.Command{Quantity: device.BatteryPower, Value: watts * 1000, Reversion: reversion}
}

// The reversion is armed and read back before the setpoint is written, steps
// that join go in one telegram, and what is out of range writes nothing.
func TestReversionFirst(t *testing.T) {
	b := regs(7, 0)
	b.img.Set(profile.Holding, 20, 0, 0, 0, 0)
	dev := open(t, timed, b)
	for _, c := range []device.Command{setpoint(3001, time.Minute), setpoint(100, time.Second), setpoint(100, time.Hour)} {
		if err := dev.Apply(t.Context(), c); !errors.Is(err, device.ErrRange) || len(b.wrote) != 0 {
			t.Errorf("%+v: %v, wrote %v", c, err, b.wrote)
		}
	}
	if err := dev.Apply(t.Context(), device.Command{Quantity: device.LoadPower}); !errors.Is(err, device.ErrNoControl) {
		t.Errorf("a battery is no load: %v", err)
	}
	if err := dev.Apply(t.Context(), setpoint(-1500, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if len(b.wrote) != 2 || b.wrote[0].addr != 20 || b.wrote[0].values[0] != 60 || b.wrote[0].function != 6 ||
		b.wrote[1].addr != 21 || !slices.Equal(b.wrote[1].values, []uint16{0xffff, 0xfa24, 4}) || b.wrote[1].function != 16 {
		t.Errorf("wrote %+v", b.wrote)
	}
	if a, err := dev.Applied(t.Context()); err != nil || !a.Active || a.Value != -1_500_000 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A device that keeps something else than it was told gets no setpoint.
func TestReadBack(t *testing.T) {
	b := regs(7, 0)
	b.img.Set(profile.Holding, 20, 0, 0, 0, 0)
	b.onWrite = func(b *board, w written) error {
		b.img.Set(w.table, w.addr, 30) // it knows better
		return nil
	}
	dev := open(t, timed, b)
	err := dev.Apply(t.Context(), setpoint(100, time.Minute))
	if !errors.Is(err, device.ErrReadBack) || len(b.wrote) != 1 {
		t.Errorf("%v, wrote %+v", err, b.wrote)
	}
}

// Where nothing reverts, a register is written only if it holds something else:
// it may be kept in flash.
func TestFlashIsSpared(t *testing.T) {
	src := strings.NewReplacer("by: timer, least_seconds: 10, most_seconds: 600", "by: none", "      - {address: 20, function: 6, takes: seconds}\n", "      - {address: 20, function: 6, takes: constant, value: 1}\n").Replace(timed)
	b := regs(7, 0)
	b.img.Set(profile.Holding, 20, 0, 0, 0, 0)
	dev := open(t, src, b)
	for range 5 {
		if err := dev.Apply(t.Context(), setpoint(100, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.wrote) != 2 {
		t.Errorf("five equal commands wrote %+v", b.wrote)
	}
}

// Two quantities of one kind: a released device is given back by every control
// that it has, also where one of them does not answer; and the failure is told.
func TestReleaseGoesOn(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("testdata", "two-controls.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("no answer")
	for name, bad := range map[string][]uint16{
		"both answer": nil, "the first does not": {21}, "the second does not": {31, 32}, "neither does": {21, 31, 32}, "a step does not": {32},
	} {
		b := regs(7, 0)
		b.img.Set(profile.Holding, 20, 0, 0)
		b.img.Set(profile.Holding, 30, 0, 0, 0)
		dev := open(t, string(src), b)
		if n := len(dev.Controls()); n != 2 {
			t.Fatalf("%d controls", n)
		}
		for _, q := range []device.Quantity{device.ChargeLimit, device.DischargeLimit} {
			if err := dev.Apply(t.Context(), device.Command{Quantity: q, Value: 1_000_000, Reversion: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		b.onWrite = func(b *board, w written) error {
			if slices.Contains(bad, w.addr) {
				return refused
			}
			b.img.Set(w.table, w.addr, w.values...)
			return nil
		}
		err := dev.Release(t.Context())
		if want := len(bad) > 0; (err != nil) != want || want && !errors.Is(err, refused) {
			t.Errorf("%s: %v", name, err)
		}
		for _, addr := range []uint16{21, 31, 32} {
			held, err := b.img.Get(profile.Holding, addr, 1)
			if err != nil || (held[0] != 0) != slices.Contains(bad, addr) {
				t.Errorf("%s: register %d holds %v, %v", name, addr, held, err)
			}
		}
	}
}
