// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
	"github.com/allmende-energy/allmende/gateway/sunspec"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
	"github.com/allmende-energy/allmende/internal/worldtime"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Trap 10: a firmware turns a sign or changes a scale. The register and its
// plausible numbers stay.
//
// Cure: gateway/profile/device.go, choose: points hold for a range of firmware,
// and where the device does not tell its firmware there is no value;
// gateway/profile/read.go, Read: d.updated, the firmware is read with every pass,
// because an update may be over before anybody misses the device.
func TestTrap10SignThatFlipsWithFirmware(t *testing.T) {
	m := trapImage(t)
	_, bus := trapped(t, overTCP, m, wire.Options{}, "", modbus.Config{})
	lib := trapLibrary(t)
	d, err := openTrap(t, bus, lib)
	if err != nil {
		t.Fatal(err)
	}
	if s := read(t, d); s.Power != 1200*energy.Watt {
		t.Errorf("before the update: %s", s.Power)
	}
	raw := -1200
	if err := errors.Join(m.Set(1, wire.Holding, 1, 21), m.Set(1, wire.Holding, 10, uint16(raw))); err != nil {
		t.Fatal(err)
	}
	if s := read(t, d); s.Power != 1200*energy.Watt {
		t.Errorf("updated while the gateway ran: %s", s.Power)
	}
	d, err = openTrap(t, bus, lib)
	if err != nil {
		t.Fatal(err)
	}
	if s := read(t, d); s.Power != 1200*energy.Watt || d.Identity().Version != "21" {
		t.Errorf("after the update: %s of firmware %s", s.Power, d.Identity().Version)
	}
	// A device that does not tell its firmware: half of them have the wrong sign.
	_, bus = trapped(t, overTCP, m, wire.Options{}, "  - {when: {addresses: 1}, do: {exception: 2}}\n", modbus.Config{})
	if d, err = openTrap(t, bus, lib); err != nil {
		t.Fatal(err)
	}
	if s := read(t, d); s.Quality != energy.NotImplemented || s.Power != 0 || s.Reason == "" {
		t.Errorf("of an unknown firmware: %s, %s (%s)", s.Power, s.Quality, s.Reason)
	}
}

// nightSite has two inverters on one port: one sleeps, the other freezes.
const nightSite = `site: night
latitude: 48.2
longitude: 16.4
seed: 5
step: 1m
houses:
  - house: home-1
    pv: {peak_w: 6000}
  - house: home-2
    pv: {peak_w: 6000}
listeners:
  - address: 127.0.0.1:0
    devices:
      - {asset: home-1-pv, unit: 1, kind: inverter, house: home-1, quirks: {at_night: silent}}
  - address: 127.0.0.1:0
    devices:
      - {asset: home-2-pv, unit: 1, kind: inverter, house: home-2, faults: [{when: {from: 10h}, do: {freeze: true}}]}
`

// Trap 11: at night an inverter sleeps, which is no fault; another shows its
// last value of the day until the morning, which is no value.
//
// Cure: gateway/night.go, poller.sleeps: silence while the sun is low is sleep;
// poller.doubt: a power that does not move in the dark is stale.
func TestTrap11NightSleep(t *testing.T) {
	w := newWorldOf(t, nightSite)
	w.gateway(func(c *gateway.Config) {
		c.Place = &gateway.Place{Latitude: 48.2, Longitude: 16.4}
		c.Modbus.Timeout = time.Second // of a device that answers, on a busy machine
	})
	w.connected()
	latest := func(asset string) *allmendev1.Reading {
		v := w.peer.Wait(w.ctx, t, "live values", func(v uplinktest.View) bool { return len(v.Live) > 0 })
		var r *allmendev1.Reading
		for _, batch := range v.Live {
			for _, one := range batch.GetReadings() {
				if one.GetAssetId() == asset {
					r = one
				}
			}
		}
		return r
	}
	w.to(6 * 60) // noon: it began at six
	w.to(6*60 + 1)
	for _, asset := range []string{"home-1-pv", "home-2-pv"} {
		if r := latest(asset); r.GetQuality() != allmendev1.Quality_QUALITY_GOOD || r.GetPowerMilliwatts() <= 0 {
			t.Errorf("%s at noon: %v", asset, r)
		}
	}
	w.to(18 * 60) // midnight
	w.to(18*60 + 1)
	if r := latest("home-1-pv"); r.GetQuality() != allmendev1.Quality_QUALITY_SLEEPING || r.GetPowerMilliwatts() != 0 || r.GetReason() == "" {
		t.Errorf("the one that sleeps, at midnight: %v", r)
	}
	if r := latest("home-2-pv"); r.GetQuality() != allmendev1.Quality_QUALITY_STALE || r.GetReason() == "" {
		t.Errorf("the one that froze, at midnight: %v", r)
	}
	v := w.peer.Wait(w.ctx, t, "a status", func(v uplinktest.View) bool { return v.Status != nil })
	for _, d := range v.Status.GetDevices() {
		if d.GetAssetId() == "home-1-pv" && d.GetError() != "" {
			t.Errorf("sleeping is told as a fault: %s", d.GetError())
		}
	}
}

// stillClock is world time that a test sets; nobody waits in it.
type stillClock struct{ now atomic.Int64 }

func (c *stillClock) set(at energy.Instant)           { c.now.Store(int64(at)) }
func (c *stillClock) Now() energy.Instant             { return energy.Instant(c.now.Load()) }
func (*stillClock) Speed() float64                    { return 1 }
func (*stillClock) Join(string) worldtime.Participant { return nil }

// batteryAt is a simulated SunSpec battery behind faults, and a device to it.
func batteryAt(t *testing.T, faults string) (*journal, *sunspec.Device, *stillClock) {
	t.Helper()
	const battery = `site: one
step: 1s
houses: [{house: h}]
listeners:
  - address: 127.0.0.1:0
    devices:
      - {asset: b, unit: 1, kind: battery, house: h, battery: {capacity_kwh: 10, max_charge_w: 5000, max_discharge_w: 5000, start_soc_percent: 50}}
`
	if faults != "" {
		faults = "    faults:\n" + strings.ReplaceAll(faults, "  - ", "      - ")
	}
	site, err := sim.DecodeSite("site.yaml", []byte(battery+faults))
	if err != nil {
		t.Fatal(err)
	}
	clock := &stillClock{}
	clock.set(start)
	j := &journal{}
	w, err := sim.New(site, clock, sim.Options{Observe: j.note})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	d, err := sunspec.Open(t.Context(), busTo(t, modbus.Config{URL: w.Devices()[0].URL}), 1)
	if err != nil {
		t.Fatal(err)
	}
	return j, d, clock
}

// writesOf are the registers that were written, in order.
func writesOf(j *journal) []uint16 {
	var at []uint16
	for _, x := range j.of(func(x wire.Exchange) bool { return x.Request.Writes() && x.Effect.Exception == 0 }) {
		for i := range x.Request.Count {
			at = append(at, x.Request.Addr+i)
		}
	}
	return at
}

func discharge(p energy.Power) device.Command {
	return device.Command{Quantity: device.BatteryPower, Value: int64(p), Reversion: time.Minute}
}

// Trap 12: writing the same parameter over and over wears out its memory, a limit
// stays in force when the writer dies, and some devices refuse function 16 for
// one register and want function 6.
//
// Cure: gateway/sunspec/control.go, Device.arm: the reversion time is written and
// read back before the setpoint, and not written when the device has it already;
// Device.write: function 6 where 16 is refused. gateway/profile/command.go,
// Device.write: with spare, what a register holds already is not written again.
func TestTrap12FlashLatchedLimitsAndFunction6(t *testing.T) {
	const storage = 40002 + 68 + 155 + 9 + 45 // model 124, after 1, 701, 713 and 714
	const timer, rates = storage + 15, storage + 12
	t.Run("armed first", func(t *testing.T) {
		j, d, clock := batteryAt(t, "")
		if err := d.Apply(t.Context(), discharge(2*energy.Kilowatt)); err != nil {
			t.Fatal(err)
		}
		wrote := writesOf(j)
		if i, k := slices.Index(wrote, timer), slices.Index(wrote, rates); i < 0 || k < 0 || i > k {
			t.Errorf("the reversion at %d is not written before the setpoint at %d: %v", timer, rates, wrote)
		}
		// Nobody writes any more: the device lets go by itself.
		clock.set(start.Add(2 * energy.Minute))
		if s := read(t, d); s.Power != 0 {
			t.Errorf("two minutes after the writer died it gives %s", s.Power)
		}
	})
	t.Run("written once", func(t *testing.T) {
		j, d, _ := batteryAt(t, "")
		for range 5 {
			if err := d.Apply(t.Context(), discharge(2*energy.Kilowatt)); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, addr := range writesOf(j) {
			if addr == timer {
				n++
			}
		}
		if n != 1 {
			t.Errorf("the reversion time was written %d times in 5 refreshes", n)
		}
	})
	t.Run("not kept", func(t *testing.T) {
		for _, fault := range []string{"ignore_writes: true", "exception: 2"} {
			j, d, _ := batteryAt(t, fmt.Sprintf("  - {when: {function: write, addresses: %d}, do: {%s}}\n", timer, fault))
			if err := d.Apply(t.Context(), discharge(2*energy.Kilowatt)); err == nil {
				t.Errorf("a setpoint on a device that does not keep its reversion (%s)", fault)
			}
			if wrote := writesOf(j); slices.Contains(wrote, rates) {
				t.Errorf("the setpoint was written all the same (%s): %v", fault, wrote)
			}
		}
	})
	t.Run("function 6", func(t *testing.T) {
		j, d, _ := batteryAt(t, "  - {when: {function: 16, at_most: 1}, do: {exception: 1}}\n")
		for range 2 {
			if err := d.Apply(t.Context(), discharge(2*energy.Kilowatt)); err != nil {
				t.Fatal(err)
			}
		}
		if s := read(t, d); s.Power != 2*energy.Kilowatt {
			t.Errorf("told 2 kW it gives %s", s.Power)
		}
		if len(j.of(func(x wire.Exchange) bool { return x.Request.Function == wire.WriteRegister })) == 0 {
			t.Error("function 6 was never used")
		}
	})
	t.Run("a profile without reversion", func(t *testing.T) {
		j := &journal{}
		m := trapImage(t)
		_, bus := trapped(t, overTCP, m, wire.Options{Observe: j.note}, "  - {when: {function: 16}, do: {exception: 1}}\n", modbus.Config{})
		d, err := openTrap(t, bus, trapLibrary(t, "kinds: [meter]", "kinds: [battery]", "name: import", "name: charged", "name: export", "name: discharged",
			"points:\n", "points:\n  - {name: soc, address: 5, type: u16, unit: \"%\"}\n", trapEnd, trapEnd+trapControl))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := d.Apply(t.Context(), device.Command{Quantity: device.BatteryPower, Value: 1_000_000}); err != nil {
				t.Fatal(err)
			}
		}
		if wrote := writesOf(j); len(wrote) != 2 {
			t.Errorf("two registers, told the same five times, were written %d times: %v", len(wrote), wrote)
		}
		if v, _ := m.Get(1, wire.Holding, 36); v != 1000 {
			t.Errorf("register 36 has %d, want 1000 W", v)
		}
	})
}

// trapEnd is the last line of trapProfile, trapControl what comes after it.
var trapEnd = trapProfile[strings.LastIndex(strings.TrimSpace(trapProfile), "\n")+1:]

const trapControl = `controls:
  - quantity: battery_power
    confirmed: true
    from: [one, two]
    least: -5000
    most: 5000
    reversion: {by: none}
    set:
      - {address: 35, type: u16, function: 6, takes: constant, value: 1}
      - {address: 36, type: s16, function: 6, takes: value}
    release:
      - {address: 35, type: u16, function: 6, takes: constant, value: 0}
`
