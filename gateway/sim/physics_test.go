// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/sun"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// drawnBattery is any battery a site may have.
func drawnBattery(t *rapid.T) *Battery {
	low := rapid.Int64Range(0, 400).Draw(t, "min soc")
	high := rapid.Int64Range(low+1, 1000).Draw(t, "max soc")
	return &Battery{
		Capacity:  energy.Energy(rapid.Int64Range(1, 20_000_000).Draw(t, "capacity")),
		MaxCharge: energy.Power(rapid.Int64Range(1, 8_000_000).Draw(t, "max charge")), MaxDischarge: energy.Power(rapid.Int64Range(1, 8_000_000).Draw(t, "max discharge")),
		MinSoC: low, MaxSoC: high, StartSoC: rapid.Int64Range(low, high).Draw(t, "start soc"),
		ChargeEff: rapid.Int64Range(100_000, million).Draw(t, "charge eff"), DischargeEff: rapid.Int64Range(100_000, million).Draw(t, "discharge eff"),
		Placement: rapid.SampledFrom([]roll.Placement{roll.BehindMeter, roll.OwnMeter}).Draw(t, "placement"),
	}
}

// drawnWorld is a world without listeners whose houses use and yield anything.
func drawnWorld(t *rapid.T, clock *handClock) *World {
	site := &Site{ID: "drawn", Step: energy.Span(rapid.SampledFrom([]int{100, 1000, 7000, 60_000}).Draw(t, "step"))}
	var devices []Device
	var sums []string
	for i := range rapid.IntRange(1, 3).Draw(t, "houses") {
		id := fmt.Sprintf("h%d", i)
		sums = append(sums, id)
		site.Houses = append(site.Houses, House{ID: id})
		for j := range rapid.IntRange(0, 2).Draw(t, "batteries") {
			devices = append(devices, Device{
				Asset: roll.AssetID(fmt.Sprintf("%s-b%d", id, j)), Unit: uint8(1 + len(devices)), Kind: roll.Battery, House: id, Base: 40000,
				Battery: drawnBattery(t),
			})
		}
	}
	devices = append(devices, Device{Asset: "all", Unit: 200, Kind: roll.Meter, Sums: sums, Base: 40000, CommonLoad: 7})
	site.Listeners = []Listener{{Address: "127.0.0.1:0", Devices: devices}}
	if err := site.Validate(); err != nil {
		t.Fatal(err)
	}
	w := &World{site: site, clock: clock, byID: map[string]*house{}, bindings: map[roll.AssetID]*binding{}, at: clock.Now()}
	if err := w.build(); err != nil {
		t.Fatal(err)
	}
	for i, h := range w.houses {
		h.source = restless(i)
	}
	w.decide()
	return w
}

// restless changes all powers with every step.
type restless uint64

func (r restless) powers(at energy.Instant) (load, pv energy.Power) {
	return energy.Power(uniform(uint64(r), 1, int64(at)) * 9e6), energy.Power(uniform(uint64(r), 2, int64(at)) * 9e6)
}

// checkBalance: what a house is given is what it uses, without a remainder.
func checkBalance(t *rapid.T, w *World) {
	var taken, given microjoules
	for _, h := range w.houses {
		in, out := h.count.Production+h.count.Import, h.count.Consumption+h.count.Export
		for _, b := range h.batteries {
			if b.spec.Placement == roll.BehindMeter {
				in, out = in+b.store.Discharged, out+b.store.Charged
			}
			if b.store.Stock < min(b.level(b.spec.MinSoC), b.level(b.spec.StartSoC)) || b.store.Stock > max(b.level(b.spec.MaxSoC), b.level(b.spec.StartSoC)) {
				t.Fatalf("a stock of %d outside [%d, %d]", b.store.Stock, b.level(b.spec.MinSoC), b.level(b.spec.MaxSoC))
			}
			if lost := b.level(b.spec.StartSoC) + b.store.Charged - b.store.Discharged - b.store.Stock; lost < 0 {
				t.Fatalf("a battery made %d µJ", -lost)
			}
			taken, given = taken+b.store.Charged, given+b.store.Discharged
		}
		if in != out {
			t.Fatalf("house %s: %d µJ in, %d µJ out", h.id, in, out)
		}
		taken, given = taken+h.count.Consumption, given+h.count.Production
	}
	m := w.bindings["all"]
	common := during(m.common, w.at.Sub(0)) // since the world's beginning at 0
	if m.count.Import-m.count.Export != taken+common-given {
		t.Fatalf("the binding meter counts %d − %d, its houses %d − %d", m.count.Import, m.count.Export, taken+common, given)
	}
}

// shownCounters are what a client would read.
func shownCounters(t *rapid.T, w *World, unit uint8, model uint16, names ...string) []int64 {
	u := w.ports[0].units[unit]
	if _, err := w.ports[0].read(unit, 40000, 2); err != nil {
		t.Fatal(err)
	}
	var all []int64
	for _, name := range names {
		v := u.img.Get(model, name)
		if !v.Implemented {
			t.Fatalf("unit %d has no %s", unit, name)
		}
		all = append(all, v.Raw)
	}
	return all
}

// Over any course of time and commands: energy balances exactly, counters only
// rise, states of charge stay in their limits, powers follow the limits of
// model 124 and revert in time.
func TestPhysics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := &handClock{}
		w := drawnWorld(t, clock)
		last := map[uint8][]int64{}
		deadline := map[uint8]energy.Instant{}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			clock.pass(energy.Span(rapid.SampledFrom([]int64{0, 1, 999, 1000, 59_999, 60_000, 3_600_001}).Draw(t, "pass")))
			for id, u := range w.ports[0].units {
				model, names := sunspec.MeterThree, []string{"TotWhImp", "TotWhExp"}
				if u.battery != nil {
					model, names = sunspec.MeasureAC, []string{"TotWhInj", "TotWhAbs"}
				}
				now := shownCounters(t, w, id, model, names...)
				for i, v := range last[id] {
					if now[i] < v {
						t.Fatalf("unit %d: a counter fell from %d to %d", id, v, now[i])
					}
				}
				last[id] = now
				if u.battery == nil {
					continue
				}
				if end, ok := deadline[id]; ok && w.now() >= end && (u.control.(*control124).mode != 0 || u.battery.power != 0) {
					t.Fatalf("unit %d still gives %s past its reversion", id, u.battery.power)
				}
				if p := u.battery.power; p < -u.battery.spec.MaxCharge || p > u.battery.spec.MaxDischarge {
					t.Fatalf("unit %d gives %s", id, p)
				}
			}
			checkBalance(t, w)
			command(t, w, deadline)
		}
	})
}

// command writes to a battery as a gateway would.
func command(t *rapid.T, w *World, deadline map[uint8]energy.Instant) {
	for id, u := range w.ports[0].units {
		if u.battery == nil || !rapid.Bool().Draw(t, "command") {
			continue
		}
		at := uint16(40002 + 68 + 155 + 9 + 45)
		rate := rapid.IntRange(-fullRate, fullRate).Draw(t, "rate")
		reversion := rapid.SampledFrom([]uint16{1, 30, 90, 7200}).Draw(t, "reversion")
		for _, c := range []struct {
			offset uint16
			values []uint16
		}{{15, []uint16{reversion}}, {12, []uint16{uint16(int16(rate)), uint16(int16(-rate))}}, {5, []uint16{3}}} {
			if err := w.ports[0].write(id, at+c.offset, c.values); err != nil {
				t.Fatal(err)
			}
		}
		deadline[id] = w.now().Add(energy.Span(reversion) * energy.Second)
		want := min(max(baseOf(u.battery.spec)*energy.Power(rate)/fullRate, -u.battery.spec.MaxCharge), u.battery.spec.MaxDischarge)
		if p := u.battery.power; max(p, -p) > max(want, -want) || p != 0 && (p > 0) != (want > 0) {
			t.Fatalf("told %s, the battery gives %s", want, p)
		}
	}
}

// A look at a moment changes nothing: a world that is read all the time has the
// same counters as one that is left alone.
func TestReadingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		watched, alone := &handClock{}, &handClock{}
		a := drawnWorld(t, watched)
		b := twin(t, a, alone)
		for _, w := range []*World{a, b} {
			for id, u := range w.ports[0].units {
				if u.battery != nil {
					if err := w.ports[0].write(id, 40002+68+155+9+45+12, []uint16{3333, neg16(3333)}); err != nil {
						t.Fatal(err)
					}
					if err := w.ports[0].write(id, 40002+68+155+9+45+5, []uint16{3}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for range rapid.IntRange(1, 50).Draw(t, "reads") {
			d := energy.Span(rapid.Int64Range(0, 100_000).Draw(t, "pass"))
			watched.pass(d)
			alone.pass(d)
			for id := range a.ports[0].units {
				if _, err := a.ports[0].read(id, 40000, 100); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, h := range a.houses {
			x, _ := a.Totals(h.id)
			y, _ := b.Totals(h.id)
			if x != y || h.count != b.houses[i].count {
				t.Fatalf("read: %+v, left alone: %+v", x, y)
			}
		}
	})
}

func neg16(v int16) uint16 { return uint16(-v) }

// twin is another world of the same site.
func twin(t *rapid.T, w *World, clock *handClock) *World {
	b := &World{site: w.site, clock: clock, byID: map[string]*house{}, bindings: map[roll.AssetID]*binding{}, at: clock.Now()}
	if err := b.build(); err != nil {
		t.Fatal(err)
	}
	for i, h := range b.houses {
		h.source = restless(i)
	}
	b.decide()
	return b
}

// With constant power the counter at T is the integral to T, to the milliwatt-hour.
func TestCountersAreTheIntegral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		load := energy.Power(rapid.Int64Range(0, 20_000_000).Draw(t, "load"))
		pv := energy.Power(rapid.Int64Range(0, 20_000_000).Draw(t, "pv"))
		clock := &handClock{}
		w := drawnWorld(t, clock)
		h := w.houses[0]
		h.source, h.batteries = constant{load, pv}, nil
		w.decide()
		d := energy.Span(0)
		for range rapid.IntRange(1, 20).Draw(t, "reads") {
			pass := energy.Span(rapid.Int64Range(0, 10).Draw(t, "minutes")) * energy.Minute
			clock.pass(pass)
			d += pass
			got, _ := w.Totals(h.id)
			want := Totals{Consumption: load.Over(d), Production: pv.Over(d), Import: max(load-pv, 0).Over(d), Export: max(pv-load, 0).Over(d)}
			if got != want {
				t.Fatalf("after %s: %+v, want %+v", d, got, want)
			}
		}
	})
}

type constant struct{ load, pv energy.Power }

func (c constant) powers(energy.Instant) (load, pv energy.Power) { return c.load, c.pv }

// Limits that contradict each other, one limit alone, and none.
func TestLimitsOfModel124(t *testing.T) {
	b := newBattery(Battery{
		Capacity: 10 * energy.KilowattHour, MaxCharge: 4 * energy.Kilowatt, MaxDischarge: 5 * energy.Kilowatt,
		MaxSoC: 1000, StartSoC: 500, ChargeEff: million, DischargeEff: million,
	}, Quirks{})
	ctl := newControl124(baseOf(b.spec), Quirks{})
	b.steer = ctl
	for _, c := range []struct {
		mode    uint16
		out, in int16
		want    energy.Power
	}{
		{0, 10000, -10000, 0},
		{3, 5000, -5000, 2500 * energy.Watt},
		{3, -5000, 5000, -2500 * energy.Watt},
		{3, -10000, 10000, -4 * energy.Kilowatt}, // what it can
		{3, 10000, 10000, 0},
		{3, -1000, -1000, 0}, // contradiction: rest
		{1, 0, -2000, 1 * energy.Kilowatt},
		{1, 0, 2000, 0},
		{2, -2000, 0, -1 * energy.Kilowatt},
	} {
		ctl.mode, ctl.out, ctl.in = c.mode, c.out, c.in
		if got := b.wanted(); got != c.want {
			t.Errorf("mode %d out %d in %d: %s, want %s", c.mode, c.out, c.in, got, c.want)
		}
	}
}

func TestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(-30_000_000_000, 30_000_000_000).Draw(t, "thousandths")
		raw, scale := fit(v, math.MaxInt16)
		unit := pow10(scale + 3)
		if raw > math.MaxInt16 || raw < -math.MaxInt16 || max(v-raw*unit, raw*unit-v) > unit/2 {
			t.Fatalf("%d as %d·10^%d", v, raw, scale)
		}
		if scale > -3 && max(raw, -raw) < math.MaxInt16/10-1 {
			t.Fatalf("%d as %d·10^%d, which is coarser than needed", v, raw, scale)
		}
	})
}

// The recorded homes: each hour's registers are the file's figures.
func TestRecordedHouse(t *testing.T) {
	dir := shared(t, "data", "citylearn-2022")
	clock := newHandClock(t, "2026-06-01T00:00:00Z")
	site := &Site{
		ID: "fontana", Step: energy.Minute,
		Houses: []House{{ID: "b1", Profile: &Profile{Format: "citylearn", Dir: dir, Building: "Building_1", StartHour: 12, Start: clock.Now()}}},
		Listeners: []Listener{{Address: "127.0.0.1:0", Devices: []Device{
			{Asset: "m", Unit: 1, Kind: roll.Meter, House: "b1", Base: 40000, EnergyScale: -3},
			{Asset: "i", Unit: 2, Kind: roll.Inverter, House: "b1", Base: 40000, EnergyScale: -3},
		}}},
	}
	w, bus := start(t, site, clock, Options{})
	src := w.houses[0].source.(*recorded)
	meter, inverter := open(t, bus, 1), open(t, bus, 2)
	imported, exported, produced := energy.Energy(0), energy.Energy(0), energy.Energy(0)
	for hour := range 48 {
		load, sun := src.load[12+hour], src.sun[12+hour]
		for _, minutes := range []energy.Span{1, 14, 30, 15} {
			clock.pass(minutes * energy.Minute)
			if minutes == 1 && read(t, meter).Power != energy.Power(load-sun) && max(load-sun, sun-load) < 32_767 {
				t.Errorf("hour %d: the meter shows %s, the file has %s and %s", hour, read(t, meter).Power, load, sun)
			}
		}
		imported, exported, produced = imported+max(load-sun, 0), exported+max(sun-load, 0), produced+sun
		m, i := read(t, meter), read(t, inverter)
		if m.Registers["import"] != imported || m.Registers["export"] != exported || i.Registers["production"] != produced {
			t.Fatalf("after hour %d: %v %v, want %s %s %s", hour, m.Registers, i.Registers, imported, exported, produced)
		}
	}
	if produced == 0 || imported == 0 {
		t.Error("nothing happened in two days")
	}
}

func shared(t *testing.T, elem ...string) string {
	t.Helper()
	dir := filepath.Join(append([]string{"..", "..", "..", "shared"}, elem...)...)
	if matches, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(matches) == 0 {
		t.Skipf("shared is not beside the repository: %s", dir)
	}
	return dir
}

func TestSun(t *testing.T) {
	for _, c := range []struct {
		at       string
		lat, lon float64
		zenith   float64 // degrees
		azimuth  float64 // degrees, -1: any
	}{
		{"2026-03-20T12:07:00Z", 0, 0, 0.2, -1},          // equinox, noon at the equator
		{"2026-06-21T11:57:00Z", 48.21, 0.9, 24.8, 180},  // 48.21 − 23.44
		{"2026-12-21T11:54:00Z", 48.21, 0.9, 71.65, 180}, // 48.21 + 23.44
		{"2026-06-21T00:00:00Z", 48.21, 0, 108.3, 0},     // midnight
		{"2026-09-22T18:00:00Z", 0, 0, 91.8, 270},        // sets in the west
	} {
		var at energy.Instant
		if err := at.UnmarshalText([]byte(c.at)); err != nil {
			t.Fatal(err)
		}
		cosZenith, azimuth := sun.Position(at, c.lat, c.lon)
		zenith := math.Acos(min(max(cosZenith, -1), 1)) * 180 / math.Pi
		turn := math.Mod(azimuth*180/math.Pi-c.azimuth+540, 360) - 180
		if math.Abs(zenith-c.zenith) > 0.7 || c.azimuth >= 0 && math.Abs(turn) > 2.5 {
			t.Errorf("%s at %g, %g: zenith %.2f, azimuth %.2f", c.at, c.lat, c.lon, zenith, azimuth*180/math.Pi)
		}
	}
	if g := clearSky(1); g < 1000 || g > 1100 {
		t.Errorf("a clear sky with the sun overhead gives %g W/m²", g)
	}
}

// The synthetic house uses in a year about what it was told, and its roof
// yields what roofs there do.
func TestSyntheticYear(t *testing.T) {
	mean := 0.0
	for _, v := range shape() {
		mean += v / 24
	}
	if math.Abs(mean-1) > 0.01 {
		t.Errorf("the mean of the day's shape is %g", mean)
	}
	site := &Site{ID: "s", Latitude: 48.21, Longitude: 16.37, Placed: true, Seed: 7}
	var begin energy.Instant
	if err := begin.UnmarshalText([]byte("2026-01-01T00:00:00Z")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		h := newSynthetic(site, &House{
			ID: id, Load: &Load{PerYear: 3500 * energy.KilowattHour}, PV: &PV{Peak: 5 * energy.Kilowatt, Tilt: 30, Azimuth: 180},
		})
		var load, pv, night microjoules
		const step = 5 * energy.Minute
		for at := begin; at < begin.Add(365*energy.Day); at = at.Add(step) {
			l, p := h.powers(at)
			load, pv = load+during(l, step), pv+during(p, step)
			if hour := at.Time().Hour(); hour >= 21 || hour < 2 {
				night += during(p, step)
			}
			if p < 0 || p > 5*energy.Kilowatt || l < 0 || l > 10*energy.Kilowatt {
				t.Fatalf("house %s: %s used, %s made", id, l, p)
			}
		}
		used, made := load.energy()/energy.KilowattHour, pv.energy()/energy.KilowattHour
		t.Logf("house %s: uses %d kWh, yields %d kWh per kW", id, used, made/5)
		if used < 3150 || used > 3850 || made/5 < 850 || made/5 > 1350 || night != 0 {
			t.Errorf("house %s: %d kWh used, %d kWh made, of it %d at night", id, used, made, night)
		}
	}
}

func TestWritesThatAreRefused(t *testing.T) {
	clock := newHandClock(t, "2026-06-21T11:00:00Z")
	_, bus := start(t, example(t), clock, Options{})
	d := open(t, bus, 3)
	control, _ := d.Chain().Find(sunspec.StorageControl)
	for _, c := range []struct {
		unit   uint8
		addr   uint16
		values []uint16
		want   uint8
	}{
		{3, control.Address + 12, []uint16{10001}, modbus.IllegalDataValue},
		{3, control.Address + 12, []uint16{100, 0x8000}, modbus.IllegalDataValue},
		{3, control.Address + 5, []uint16{4}, modbus.IllegalDataValue},
		{3, control.Address + 15, []uint16{0xFFFF}, modbus.IllegalDataValue},
		{3, control.Address + 2, []uint16{1}, modbus.IllegalDataAddress},
		{3, control.Address + 13, []uint16{0, 0, 0, 0}, modbus.IllegalDataAddress}, // on into what is not writable
		{3, 40004, []uint16{1}, modbus.IllegalDataAddress},
		{1, 40084, []uint16{1}, modbus.IllegalDataAddress},
		{77, 40000, []uint16{1}, modbus.TargetSilent},
	} {
		err := bus.WriteRegisters(t.Context(), c.unit, c.addr, c.values)
		if !isException(err, c.want) {
			t.Errorf("unit %d address %d: %v, want exception %d", c.unit, c.addr, err, c.want)
		}
	}
	if p := read(t, d).Power; p != 0 {
		t.Errorf("refused writes made the battery give %s", p)
	}
	if _, err := bus.ReadHolding(t.Context(), 1, 30000, 1); !isException(err, modbus.IllegalDataAddress) {
		t.Errorf("reading where nothing is: %v", err)
	}
	if err := d.Apply(t.Context(), batteryPower(5*energy.Kilowatt, time.Hour)); err != nil {
		t.Fatal(err)
	}
}
