// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
)

// embedded is the library, read once: it takes longer than what is tested.
var embedded = sync.OnceValues(func() (*profile.Library, error) { return profile.LoadLibrary("") })

func library(t *testing.T) *profile.Library {
	t.Helper()
	lib, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// family is a house with every kind of device that a profile describes, all on
// unit 1, which uses 2 kW and makes 8 kW.
func family(t *testing.T, clock *handClock, p *profile.Profile, quirks Quirks) (*World, *modbus.Bus) {
	t.Helper()
	l := Listener{Address: "127.0.0.1:0"}
	for _, k := range p.Kinds {
		d := Device{Asset: roll.AssetID(k), Unit: 1, Kind: roll.AssetKind(k), House: "h", Profile: p.Name, Base: 40000, Rated: 10 * energy.Kilowatt, Quirks: quirks}
		switch k {
		case profile.Battery:
			d.Battery = &Battery{
				Capacity: 10 * energy.KilowattHour, MaxCharge: 5 * energy.Kilowatt, MaxDischarge: 5 * energy.Kilowatt, MaxSoC: 1000, StartSoC: 500,
				ChargeEff: 950_000, DischargeEff: 950_000, Placement: roll.BehindMeter,
			}
		case profile.Charger, profile.HeatPump:
			d.Load = &FlexLoad{Wants: 9 * energy.Kilowatt, Least: 4200 * energy.Watt}
		case profile.Contact:
			d.House, d.Limited = "", []Period{{energy.Hour, 2 * energy.Hour}}
		}
		l.Devices = append(l.Devices, d)
	}
	w, bus := start(t, &Site{ID: "family", Step: energy.Second, Houses: []House{{ID: "h"}}, Listeners: []Listener{l}}, clock, Options{Profiles: library(t)})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.houses[0].source = sunny
	w.decide()
	return w, bus
}

func near(got, want, within energy.Power) bool { return got >= want-within && got <= want+within }

// Every profile can be simulated: each of its kinds is found by it, tells power,
// counters and state of charge as they are, and nothing that it was not asked.
func TestEveryProfileIsSimulated(t *testing.T) {
	all := library(t).All()
	if len(all) == 0 {
		t.Fatal("no profile at all")
	}
	for _, p := range all {
		if p.Reads == profile.SunSpec {
			continue // it is simulated as SunSpec
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			clock := noonIn(t)
			w, bus := family(t, clock, p, Quirks{Firmware: newest(p)})
			clock.pass(energy.Hour)
			for _, u := range w.units {
				d, err := profile.Open(t.Context(), bus, 1, profile.Options{Profile: p.Name, Kind: profile.Kind(u.spec.Kind), Library: library(t)})
				if err != nil {
					t.Fatal(err)
				}
				s, err := d.Read(t.Context())
				told := s.Quality == energy.Good || s.Quality == energy.Sleeping
				if err != nil || told != tellsPower(p, u.spec.Kind) && u.spec.Kind != kindContact {
					t.Fatalf("%s: %+v, %v", u.spec.Kind, s, err)
				}
				w.mu.Lock()
				f := u.facts(0)
				w.mu.Unlock()
				if u.spec.Kind == kindContact && s.State != "limit" {
					t.Errorf("the contact says %q", s.State)
				}
				if told && !near(s.Power, f.power, 110*energy.Watt) {
					t.Errorf("%s: power %s, it is %s", u.spec.Kind, s.Power, f.power)
				}
				for register, value := range s.Registers {
					want := f.in.energy()
					if register == "export" || register == "discharged" || register == "production" {
						want = f.out.energy()
					}
					if value > want || value < want-energy.KilowattHour {
						t.Errorf("%s: %s is %s, it is %s", u.spec.Kind, register, value, want)
					}
				}
				if u.battery != nil && (s.SoC > 500 || s.SoC < 490) {
					t.Errorf("state of charge %d", s.SoC)
				}
				if _, err := d.Points(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// tellsPower says whether a family shows the power of a kind; some heat pumps do not.
func tellsPower(p *profile.Profile, k roll.AssetKind) bool {
	for _, pt := range p.Points {
		if pt.Name == "power" || pt.Name == string(k)+".power" {
			return true
		}
	}
	return false
}

// newest is a firmware that all of a profile's variants know.
func newest(p *profile.Profile) string {
	best := "1"
	for _, pt := range p.Points {
		if pt.Since > best {
			best = pt.Since
		}
	}
	return best
}

// Every control acts and reverts as its profile says, where the device obeys;
// where it ignores its reversion, it stays.
func TestEveryControlActsAndReverts(t *testing.T) {
	tried := 0
	for _, p := range library(t).All() {
		if p.Reads == profile.SunSpec || len(p.Controls) == 0 {
			continue
		}
		tried++
		for _, ignores := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s ignores %v", p.Name, ignores), func(t *testing.T) {
				t.Parallel()
				clock := noonIn(t)
				w, bus := family(t, clock, p, Quirks{Firmware: newest(p), IgnoresReversion: ignores})
				for _, u := range w.units {
					d, err := profile.Open(t.Context(), bus, 1, profile.Options{Profile: p.Name, Kind: profile.Kind(u.spec.Kind), Library: library(t)})
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range d.Controls() {
						if onlyStops(p, c.Quantity) {
							c.Most = 0
						}
						actsAndReverts(t, w, clock, d, u, c, ignores)
					}
				}
			})
		}
	}
	if tried == 0 {
		t.Error("no profile has a control")
	}
}

// onlyStops says whether a control knows no values, only go and stop.
func onlyStops(p *profile.Profile, q device.Quantity) bool {
	for _, k := range p.Controls {
		for _, w := range k.Set {
			if k.Quantity == q && (w.Takes == "value" || w.Takes == "magnitude") {
				return false
			}
		}
	}
	return true
}

func actsAndReverts(t *testing.T, w *World, clock *handClock, d device.Device, u *unit, c device.Control, ignores bool) {
	t.Helper()
	power := func() energy.Power {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.advance(w.now())
		p, _, _ := u.flows(0)
		return p
	}
	before := power()
	value, want := commanded(c, u, before)
	reversion := max(c.LeastReversion, min(time.Minute, max(c.MostReversion, time.Minute)))
	if err := d.Apply(t.Context(), device.Command{Quantity: c.Quantity, Value: value, Reversion: reversion}); err != nil {
		t.Errorf("%s: %v", c.Quantity, err)
		return
	}
	clock.pass(energy.Second)
	if got := power(); !near(got, want, 110*energy.Watt) {
		t.Errorf("%s told %d: it does %s, want %s", c.Quantity, value, got, want)
	}
	if a, err := d.Applied(t.Context()); !errors.Is(err, device.ErrNotReadable) && (err != nil || !a.Active) {
		t.Errorf("%s is in force, it says %+v, %v", c.Quantity, a, err)
	}
	clock.pass(energy.SpanOf(reversion) + energy.Second)
	reverts := c.Reversion != device.NeverReverts && !ignores
	if got := power(); want != before && reverts != near(got, before, 110*energy.Watt) {
		t.Errorf("%s after %s: %s, before %s, it reverts %v", c.Quantity, reversion, got, before, reverts)
	}
	if err := d.Release(t.Context()); err != nil {
		t.Errorf("releasing %s: %v", c.Quantity, err)
	}
	clock.pass(energy.Second)
	if got := power(); !near(got, before, 110*energy.Watt) {
		t.Errorf("%s released: %s, before %s", c.Quantity, got, before)
	}
}

// commanded is a value for a control and what the device then does.
func commanded(c device.Control, u *unit, now energy.Power) (value int64, want energy.Power) {
	switch c.Quantity {
	case device.BatteryPower:
		p := min(2*energy.Kilowatt, energy.Power(c.Most))
		return int64(p), p
	case device.ActivePower:
		return 3_000_000, 3 * energy.Kilowatt
	case device.ActivePowerPct:
		return 300, 3 * energy.Kilowatt
	case device.LoadPower:
		if c.Most == 0 {
			return 0, 0
		}
		p := 6 * energy.Kilowatt
		return int64(p), p
	default: // limits of a battery at rest change nothing
		return 1_000_000, now
	}
}

// A gap is refused, a block longer than the profile's too, a register that takes
// function 6 refuses function 16, and one that is not described cannot be written.
func TestAProfiledDeviceRefuses(t *testing.T) {
	p, err := library(t).Get("huawei-sun2000")
	if err != nil {
		t.Fatal(err)
	}
	w, bus := family(t, noonIn(t), p, Quirks{})
	f := w.ports[0].profiled[1]
	if _, err := bus.ReadHolding(t.Context(), 1, 20000, 1); !isException(err, modbus.IllegalDataAddress) {
		t.Errorf("a register that is not there: %v", err)
	}
	if _, err := bus.ReadHolding(t.Context(), 1, 30000, uint16(p.Connection.MaxRegisters)+1); !isException(err, modbus.IllegalDataValue) {
		t.Errorf("too many at once: %v", err)
	}
	if err := bus.WriteRegister(t.Context(), 1, 30000, 1); !isException(err, modbus.IllegalDataAddress) {
		t.Errorf("writing a name: %v", err)
	}
	for addr := range f.takes[profile.Holding] {
		f.takes[profile.Holding][addr] = true
		if err := bus.WriteRegisters(t.Context(), 1, addr, []uint16{0}); !isException(err, modbus.IllegalFunction) {
			t.Errorf("function 16 for a register that takes 6: %v", err)
		}
	}
}

// A load keeps its least times of running and pausing, whatever it is told.
func TestFlexLoadKeepsItsTimes(t *testing.T) {
	l := newFlexLoad(FlexLoad{Wants: 9 * energy.Kilowatt, Least: 4 * energy.Kilowatt, MinRun: 10 * energy.Minute, MinPause: 5 * energy.Minute}, Quirks{})
	told := &limit{high: unbounded}
	l.steer = told
	now := energy.Instant(0)
	step := func(d energy.Span, high, want energy.Power) {
		t.Helper()
		now, told.high = now.Add(d), high
		if l.decide(now); l.power != want {
			t.Errorf("at %s told %s: %s, want %s", now, high, l.power, want)
		}
	}
	step(0, unbounded, 9*energy.Kilowatt)
	step(energy.Minute, 6*energy.Kilowatt, 6*energy.Kilowatt)
	step(energy.Minute, 2*energy.Kilowatt, 0)                   // it ran for long before
	step(energy.Minute, unbounded, 0)                           // too early
	step(5*energy.Minute, unbounded, 9*energy.Kilowatt)         // its pause is over
	step(energy.Minute, 0, 4*energy.Kilowatt)                   // too early to stop: the least
	step(10*energy.Minute, 0, 0)                                // it has run long enough
	step(energy.Hour, 5*energy.Kilowatt, 5*energy.Kilowatt)     // and starts again
	step(energy.Second, 3*energy.Kilowatt, 4*energy.Kilowatt)   // never between 0 and the least
	step(energy.Second, 8500*energy.Watt, 8500*energy.Watt)     //
	step(20*energy.Minute, 3999*energy.Watt, energy.Power(0))   //
	step(20*energy.Minute, 4000*energy.Watt, 4*energy.Kilowatt) //
}

type limit struct {
	free
	high energy.Power
}

func (l *limit) bounds() (low, high energy.Power) { return -unbounded, l.high }
