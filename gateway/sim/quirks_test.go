// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// quirky is a house with one device, given in YAML, at unit 1. It makes and
// uses what the test says.
func quirky(t *testing.T, clock *handClock, house constant, device string) (*World, *modbus.Bus) {
	t.Helper()
	site, err := DecodeSite("quirky.yaml", fmt.Appendf(nil, `site: quirky
step: 1s
houses: [{house: h}]
listeners:
  - address: 127.0.0.1:0
    devices:
      - {asset: d, unit: 1, house: h, %s}
`, device))
	if err != nil {
		t.Fatal(err)
	}
	w, bus := start(t, site, clock, Options{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.houses[0].source = house
	w.decide()
	return w, bus
}

const (
	plainInverter = "kind: inverter, rated_w: 10000"
	plainBattery  = "kind: battery, battery: {capacity_kwh: 10, max_charge_w: 5000, max_discharge_w: 5000, start_soc_percent: 50}"
)

var sunny = constant{2 * energy.Kilowatt, 8 * energy.Kilowatt}

func noonIn(t *testing.T) *handClock {
	t.Helper()
	return newHandClock(t, "2026-06-21T12:00:00Z")
}

// at is where a point of a model lies, and its register count.
func at(t *testing.T, u *unit, model uint16, name string) (addr, size uint16) {
	t.Helper()
	m, ok := sunspec.Lookup(model)
	entry, found := u.img.Chain().Find(model)
	p, has := m.Point(name)
	if !ok || !found || !has {
		t.Fatalf("model %d has no %s", model, name)
	}
	return entry.Address + p.Offset, p.Size
}

func put(t *testing.T, w *World, bus *modbus.Bus, model uint16, name string, raw int64) error {
	t.Helper()
	addr, size := at(t, w.ports[0].units[1], model, name)
	var regs []uint16
	for i := range size {
		regs = append(regs, uint16(raw>>(16*(size-1-i))))
	}
	return bus.WriteRegisters(t.Context(), 1, addr, regs)
}

func get(t *testing.T, w *World, bus *modbus.Bus, model uint16, name string) []uint16 {
	t.Helper()
	addr, size := at(t, w.ports[0].units[1], model, name)
	regs, err := bus.ReadHolding(t.Context(), 1, addr, size)
	if err != nil {
		t.Fatal(err)
	}
	return regs
}

// Curtailment by each model: it acts, counts only what is let through, and
// reverts, or does not where the device ignores that.
func TestCurtailment(t *testing.T) {
	for _, c := range []struct {
		model             uint16
		percent, on, time string
		raw               int64 // 30 %
	}{
		{curtail, "WMaxLimPct", "WMaxLim_Ena", "WMaxLimPct_RvrtTms", 3000},
		{controlAC, "WMaxLimPct", "WMaxLimPctEna", "WMaxLimPctRvrtTms", 300},
	} {
		for _, ignores := range []bool{false, true} {
			clock := noonIn(t)
			w, bus := quirky(t, clock, sunny, fmt.Sprintf("%s, control: %d, quirks: {ignores_reversion: %v}", plainInverter, c.model, ignores))
			d := open(t, bus, 1)
			for name, raw := range map[string]int64{c.time: 60, c.percent: c.raw} {
				if err := put(t, w, bus, c.model, name, raw); err != nil {
					t.Fatal(err)
				}
			}
			if p := read(t, d).Power; p != 8*energy.Kilowatt {
				t.Errorf("model %d: a limit that is not enabled: %s", c.model, p)
			}
			if err := put(t, w, bus, c.model, c.on, 1); err != nil {
				t.Fatal(err)
			}
			if p := read(t, d).Power; p != 3*energy.Kilowatt {
				t.Errorf("model %d: 30 %% of 10 kW: %s", c.model, p)
			}
			clock.pass(60 * energy.Second)
			want := 8 * energy.Kilowatt
			if ignores {
				want = 3 * energy.Kilowatt
			}
			s := read(t, d)
			if s.Power != want {
				t.Errorf("model %d after its reversion, ignored %v: %s", c.model, ignores, s.Power)
			}
			if got := s.Registers["production"]; got/100 != (3*energy.Kilowatt).Over(60*energy.Second)/100 { // shown in tenths of a watt-hour
				t.Errorf("model %d: a minute of 3 kW is %s", c.model, got)
			}
			if err := put(t, w, bus, c.model, c.percent, 20000); !isException(err, modbus.IllegalDataValue) {
				t.Errorf("model %d: more than all: %v", c.model, err)
			}
			if err := put(t, w, bus, c.model, c.time, -1); !isException(err, modbus.IllegalDataValue) {
				t.Errorf("model %d: a time that is not implemented: %v", c.model, err)
			}
		}
	}
}

// A battery with model 704 follows its setpoint in watts and what it reverts to.
func TestBatteryOfModel704(t *testing.T) {
	clock := noonIn(t)
	w, bus := quirky(t, clock, sunny, plainBattery+", control: 704")
	d := open(t, bus, 1)
	for _, x := range []struct {
		name string
		raw  int64
	}{{"WSetRvrtTms", 70_000}, {"WSet", -1234}, {"WSetMod", 1}, {"WSetEnaRvrt", 1}, {"WSetRvrt", 100}, {"WSetEna", 1}} {
		if err := put(t, w, bus, controlAC, x.name, x.raw); err != nil {
			t.Fatal(x.name, err)
		}
	}
	if p := read(t, d).Power; p != -1234*energy.Watt {
		t.Errorf("told to charge with 1234 W: %s", p)
	}
	clock.pass(10 * energy.Second)
	if left := get(t, w, bus, controlAC, "WSetRvrtRem"); left[0] != 1 || left[1] != 70_000-65_536-10 {
		t.Errorf("%v s are left", left)
	}
	clock.pass(70_000 * energy.Second)
	if p := read(t, d).Power; p != 100*energy.Watt {
		t.Errorf("reverted to 100 W: %s", p)
	}
	if err := put(t, w, bus, controlAC, "AntiIslEna", 0); !isException(err, modbus.IllegalDataAddress) {
		t.Errorf("a point that nobody may write: %v", err)
	}
}

// Whatever the targets, steps and lags: the power stays between the extremes
// that it was told, is there when it had the time, and depends not on how often
// somebody looked.
func TestFollower(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dead := energy.Span(rapid.Int64Range(0, 30_000).Draw(t, "dead"))
		constant := energy.Span(rapid.Int64Range(0, 30_000).Draw(t, "constant"))
		f := follower{dead: dead, constant: constant}
		often := f
		now := energy.Instant(1_000_000)
		low, high, to := energy.Power(0), energy.Power(0), energy.Power(0)
		f.follow(0, now)
		often.follow(0, now)
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			to = energy.Power(rapid.Int64Range(-5_000_000, 5_000_000).Draw(t, "target"))
			low, high = min(low, to), max(high, to)
			f.follow(to, now)
			often.follow(to, now)
			for range rapid.IntRange(1, 5).Draw(t, "looks") {
				now = now.Add(energy.Span(rapid.Int64Range(0, 20_000).Draw(t, "pass")))
				if p := often.follow(to, now); p < low || p > high {
					t.Fatalf("%s is outside %s to %s", p, low, high)
				}
			}
			p, q := f.follow(to, now), often.follow(to, now)
			if dead+constant > 0 && max(p-q, q-p) > 5*energy.Watt {
				t.Fatalf("looked at often %s, seldom %s", q, p)
			}
		}
		now = now.Add(dead + 20*constant + 1)
		if p := f.follow(to, now); p != to {
			t.Fatalf("after all its time it is at %s, told %s", p, to)
		}
	})
}

func TestLag(t *testing.T) {
	clock := noonIn(t)
	w, bus := quirky(t, clock, sunny, plainBattery+", quirks: {dead_time: 3s, time_constant: 10s}")
	d := open(t, bus, 1)
	if err := d.Apply(t.Context(), batteryPower(4*energy.Kilowatt, time.Hour)); err != nil {
		t.Fatal(err)
	}
	power := func(pass energy.Span) energy.Power {
		for range pass / energy.Second {
			clock.pass(energy.Second)
			w.mu.Lock()
			w.advance(w.now())
			w.mu.Unlock()
		}
		return read(t, d).Power
	}
	if p := power(2 * energy.Second); p != 0 {
		t.Errorf("within its dead time: %s", p)
	}
	want := energy.Power(4_000_000 * (1 - math.Exp(-1)))
	if p := power(11 * energy.Second); p < want-energy.Watt || p > want+energy.Watt {
		t.Errorf("after one time constant %s, want %s", p, want)
	}
	if p := power(200 * energy.Second); p != 4*energy.Kilowatt {
		t.Errorf("in the end %s", p)
	}
}

func TestNights(t *testing.T) {
	for _, quirk := range []string{"silent", "frozen", "sentinels", "zeros"} {
		clock := noonIn(t)
		w, bus := quirky(t, clock, sunny, plainInverter+", energy_scale: -3, quirks: {at_night: "+quirk+"}")
		d := open(t, bus, 1)
		clock.pass(energy.Hour)
		if s := read(t, d); s.Power != 8*energy.Kilowatt || s.Registers["production"] != 8*energy.KilowattHour {
			t.Errorf("%s: by day %+v", quirk, s)
		}
		w.mu.Lock()
		w.houses[0].source = constant{2 * energy.Kilowatt, 0}
		w.decide()
		w.mu.Unlock()
		if quirk == "silent" {
			hurried := within(t, w.Addrs()[0], 100*time.Millisecond)
			if got, err := hurried.ReadHolding(t.Context(), 1, 40000, 2); !errors.Is(err, modbus.ErrTimeout) {
				t.Errorf("silent: %v, %v", got, err)
			}
			continue
		}
		s, err := d.Read(t.Context())
		switch quirk {
		case "frozen":
			if s.Power != 8*energy.Kilowatt {
				t.Errorf("frozen: %+v, %v", s, err)
			}
		case "sentinels":
			if s.Quality == energy.Good || s.Power != 0 || s.Registers["production"] != 8*energy.KilowattHour {
				t.Errorf("sentinels: %+v, %v", s, err)
			}
		case "zeros":
			if s.Power != 0 || s.Registers["production"] != 0 {
				t.Errorf("zeros: %+v, %v", s, err)
			}
		}
	}
}

func TestCountersRestartAndWrap(t *testing.T) {
	clock := noonIn(t)
	const almost = 429_496 // kWh: 729.6 Wh below 2³² counts of a tenth of a watt-hour
	_, bus := quirky(t, clock, sunny, fmt.Sprintf("%s, energy_scale: -1, quirks: {counter_start_kwh: %d, counter_restart_after: 2h30m}", plainInverter, almost))
	d := open(t, bus, 1)
	if got := read(t, d).Registers["production"]; got != almost*energy.KilowattHour {
		t.Errorf("at first %s", got)
	}
	clock.pass(energy.Hour)
	if got, want := read(t, d).Registers["production"], 8*energy.KilowattHour-7296*energy.WattHour/10; got != want {
		t.Errorf("past 2³² it shows %s, want %s", got, want)
	}
	clock.pass(2 * energy.Hour)
	if got, want := read(t, d).Registers["production"], 4*energy.KilowattHour; got != want {
		t.Errorf("half an hour after the restart it shows %s, want %s", got, want)
	}
}

func TestFirmwareFlipsASign(t *testing.T) {
	clock := noonIn(t)
	_, bus := quirky(t, clock, sunny, "kind: meter, quirks: {firmware: '1.0', new_firmware: '2.0', new_firmware_after: 1h, flips_sign: true}")
	if d := open(t, bus, 1); d.Identity().Version != "1.0" || read(t, d).Power != -6*energy.Kilowatt {
		t.Errorf("before: %+v", d.Identity())
	}
	clock.pass(energy.Hour)
	d := open(t, bus, 1)
	if s := read(t, d); d.Identity().Version != "2.0" || s.Power != 6*energy.Kilowatt || s.Registers["export"] != 6*energy.KilowattHour {
		t.Errorf("after: %+v, %+v", d.Identity(), s)
	}
}

func TestSecondMaster(t *testing.T) {
	clock := noonIn(t)
	_, bus := quirky(t, clock, sunny, plainBattery+", quirks: {second_master_every: 10m, second_master_w: -1000}")
	d := open(t, bus, 1)
	if err := d.Apply(t.Context(), batteryPower(3*energy.Kilowatt, time.Hour)); err != nil {
		t.Fatal(err)
	}
	clock.pass(10*energy.Minute - energy.Second)
	if p := read(t, d).Power; p != 3*energy.Kilowatt {
		t.Errorf("before: %s", p)
	}
	clock.pass(energy.Second)
	if p := read(t, d).Power; p != -1*energy.Kilowatt {
		t.Errorf("after: %s", p)
	}
	if err := d.Apply(t.Context(), batteryPower(3*energy.Kilowatt, time.Hour)); err != nil {
		t.Fatal(err)
	}
	clock.pass(energy.Minute)
	if p := read(t, d).Power; p != 3*energy.Kilowatt {
		t.Errorf("commanded again: %s", p)
	}
}

// A battery that nobody commands may cover its house.
func TestSelfConsumption(t *testing.T) {
	clock := noonIn(t)
	_, bus := quirky(t, clock, sunny, "kind: battery, battery: {capacity_kwh: 10, max_charge_w: 5000, max_discharge_w: 5000, start_soc_percent: 50, self_consumption: true}")
	d := open(t, bus, 1)
	if p := read(t, d).Power; p != -5*energy.Kilowatt {
		t.Errorf("6 kW of sun are left: %s", p)
	}
	if err := d.Apply(t.Context(), batteryPower(0, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if p := read(t, d).Power; p != 0 {
		t.Errorf("told to rest: %s", p)
	}
	clock.pass(energy.Minute)
	if p := read(t, d).Power; p != -5*energy.Kilowatt {
		t.Errorf("left to itself again: %s", p)
	}
}
