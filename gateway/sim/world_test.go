// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/sunspec"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handClock is a world that a test moves by hand; nobody waits in it.
type handClock struct{ now atomic.Int64 }

func newHandClock(t *testing.T, start string) *handClock {
	t.Helper()
	var at energy.Instant
	if err := at.UnmarshalText([]byte(start)); err != nil {
		t.Fatal(err)
	}
	c := &handClock{}
	c.now.Store(int64(at))
	return c
}

func (c *handClock) Now() energy.Instant               { return energy.Instant(c.now.Load()) }
func (c *handClock) Speed() float64                    { return 1 }
func (c *handClock) pass(d energy.Span)                { c.now.Add(int64(d)) }
func (c *handClock) Join(string) worldtime.Participant { return handParticipant{c} }

type handParticipant struct{ c *handClock }

func (p handParticipant) WaitUntil(ctx context.Context, at energy.Instant) (energy.Instant, error) {
	<-ctx.Done()
	return p.c.Now(), ctx.Err()
}
func (handParticipant) Leave() {}

// example is the documented site on free ports.
func example(t *testing.T) *Site {
	t.Helper()
	site, err := DecodeSite("example.yaml", []byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	for i := range site.Listeners {
		site.Listeners[i].Address = "127.0.0.1:0"
	}
	return site
}

// start makes a world and a bus to its first listener, both closed with the test.
func start(t *testing.T, site *Site, clock worldtime.Clock, opts Options) (*World, *modbus.Bus) {
	t.Helper()
	w, err := New(site, clock, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, connect(t, w.Addrs()[0])
}

func connect(t *testing.T, addr string) *modbus.Bus {
	t.Helper()
	return within(t, addr, 30*time.Second)
}

// within is a bus that waits so long for an answer.
func within(t *testing.T, addr string, timeout time.Duration) *modbus.Bus {
	t.Helper()
	bus := modbus.NewBus(modbus.Config{URL: "tcp://" + addr, Timeout: timeout})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bus.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return bus
}

func open(t *testing.T, bus *modbus.Bus, unit uint8) *sunspec.Device {
	t.Helper()
	d, err := sunspec.Open(t.Context(), bus, unit)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func batteryPower(p energy.Power, reversion time.Duration) device.Command {
	return device.Command{Quantity: device.BatteryPower, Value: int64(p), Reversion: reversion}
}

func read(t *testing.T, d *sunspec.Device) device.Snapshot {
	t.Helper()
	s, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The whole chain once: YAML, world, Modbus over TCP, discovery, decoding, a
// setpoint and its reversion.
func TestSiteOverModbus(t *testing.T) {
	clock := newHandClock(t, "2026-06-21T11:00:00Z")
	w, bus := start(t, example(t), clock, Options{})
	pv, meter, battery := open(t, bus, 1), open(t, bus, 2), open(t, bus, 3)
	for d, want := range map[*sunspec.Device]roll.AssetKind{pv: roll.Inverter, meter: roll.Meter, battery: roll.Battery} {
		if d.Kind() != want {
			t.Errorf("unit %d is a %s, want %s", d.Unit(), d.Kind(), want)
		}
		if id := d.Identity(); id.Manufacturer != "Allmende" || id.Serial == "" {
			t.Errorf("unit %d says it is %+v", d.Unit(), id)
		}
	}
	if p := read(t, pv).Power; p <= 0 {
		t.Errorf("production at noon in June is %s", p)
	}
	before := read(t, battery)
	if before.Power != 0 || before.SoC != 500 || before.Quality != energy.Good {
		t.Errorf("a battery nobody commands: %+v", before)
	}
	if err := battery.Apply(t.Context(), batteryPower(2000*energy.Watt, 90*time.Second)); err != nil {
		t.Fatal(err)
	}
	atOnce := read(t, meter).Power
	if p := read(t, battery).Power; p != 2000*energy.Watt {
		t.Errorf("commanded 2000 W, the battery gives %s", p)
	}
	clock.pass(89 * energy.Second)
	if p := read(t, battery).Power; p != 2000*energy.Watt {
		t.Errorf("before its reversion the battery gives %s", p)
	}
	clock.pass(60 * energy.Second)
	after := read(t, battery)
	if after.Power != 0 {
		t.Errorf("after its reversion the battery gives %s", after.Power)
	}
	// 90 s of 2 kW, to the milliwatt-hour, though the step was not asked for.
	if got, want := after.Registers["discharged"], (2000 * energy.Watt).Over(90*energy.Second); got != want {
		t.Errorf("discharged %s, want %s", got, want)
	}
	if got := read(t, meter).Power - atOnce; got < 1000*energy.Watt {
		t.Errorf("the meter rose by %s when 2 kW of battery went", got)
	}
	if totals, ok := w.Totals("home-1"); !ok || totals.Discharged != 50*energy.WattHour {
		t.Errorf("totals %+v", totals)
	}
	if err := battery.Apply(t.Context(), batteryPower(-1500*energy.Watt, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if p := read(t, battery).Power; p != -1500*energy.Watt {
		t.Errorf("commanded to charge, the battery gives %s", p)
	}
	if err := battery.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := read(t, battery).Power; p != 0 {
		t.Errorf("released, the battery gives %s", p)
	}
}

// What a gateway's poll of one device costs both sides together, over loopback.
func BenchmarkSnapshot(b *testing.B) {
	site, err := DecodeSite("example.yaml", []byte(Example))
	if err != nil {
		b.Fatal(err)
	}
	site.Listeners[0].Address = "127.0.0.1:0"
	w, err := New(site, worldtime.NewReal(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	bus := modbus.NewBus(modbus.Config{URL: "tcp://" + w.Addrs()[0]})
	ctx, cancel := context.WithCancel(b.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- bus.Run(ctx) }()
	for unit, name := range map[uint8]string{2: "meter", 3: "battery"} {
		d, err := sunspec.Open(ctx, bus, unit)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Read(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	cancel()
	if err := <-stopped; err != nil {
		b.Fatal(err)
	}
}
