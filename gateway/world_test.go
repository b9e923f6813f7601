// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// patience bounds a test that hangs; nothing is asserted about it.
const patience = 10 * time.Minute

const site = `site: test
latitude: 48.2
longitude: 16.4
seed: 5
step: 1m
houses:
  - house: home-1
    load: {kwh_per_year: 4000}
    pv: {peak_w: 6000, tilt_deg: 30, azimuth_deg: 180}
  - house: home-2
    load: {kwh_per_year: 3000}
listeners:
  - address: 127.0.0.1:0
    devices:
      - {asset: home-1-pv, unit: 1, kind: inverter, house: home-1, energy_scale: -3}
      - {asset: home-1-meter, unit: 2, kind: meter, house: home-1, energy_scale: -3}
      - asset: home-1-battery
        unit: 3
        kind: battery
        house: home-1
        battery: {capacity_kwh: 10, max_charge_w: 5000, max_discharge_w: 5000, min_soc_percent: 5, max_soc_percent: 100, start_soc_percent: 50, charge_efficiency_percent: 95, discharge_efficiency_percent: 95, placement: own_meter}
  - address: 127.0.0.1:0
    devices:
      - {asset: home-2-meter, unit: 2, kind: meter, house: home-2, energy_scale: -3}
`

// start of the world: a summer morning, on a boundary.
var start = energy.InstantOf(time.Date(2026, 6, 20, 6, 0, 0, 0, time.UTC))

// world is a simulated site, a stepped clock that the test leads, a test
// coordinator and a gateway between them.
type world struct {
	t       *testing.T
	ctx     context.Context
	clock   *worldtime.Stepped
	lead    worldtime.Participant
	site    *sim.World
	peer    *uplinktest.Coordinator
	dir     string
	devices []gateway.Device
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, site)
}

// newWorldOf is a world of another site.
func newWorldOf(t *testing.T, site string) *world {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	clock := worldtime.NewStepped(start, 0, 1)
	w := &world{t: t, ctx: ctx, clock: clock, lead: clock.Join("test"), peer: uplinktest.New(t), dir: t.TempDir()}
	w.peer.Clock = clock.Now
	w.peer.Start(t)
	w.peer.Identity(t, "gw-1", filepath.Join(w.dir, "identity"))
	decoded, err := sim.DecodeSite("site.yaml", []byte(site))
	if err != nil {
		t.Fatal(err)
	}
	if w.site, err = sim.New(decoded, clock, sim.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.site.Devices() {
		w.devices = append(w.devices, gateway.Device{Asset: d.Asset, URL: "tcp://" + d.Address, Unit: d.Unit})
	}
	w.site.Join()
	w.background(func(ctx context.Context) error { return w.site.Run(ctx) })
	return w
}

// background runs f until the test ends or stop is called, which waits for it.
func (w *world) background(f func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// gateway starts one and waits for its stream.
func (w *world) gateway(change func(*gateway.Config)) (stop func()) {
	w.t.Helper()
	cfg := gateway.Config{
		Coordinator: w.peer.Address, Identity: filepath.Join(w.dir, "identity"),
		Spool: gateway.SpoolConfig{Dir: filepath.Join(w.dir, "spool")}, Poll: energy.Minute, Devices: w.devices,
		Modbus: gateway.ModbusConfig{Timeout: time.Minute}, // nobody here is silent; a busy machine may be slow
	}
	if change != nil {
		change(&cfg)
	}
	return w.background(func(ctx context.Context) error { return gateway.Run(ctx, cfg, w.clock, slog.New(slog.DiscardHandler)) })
}

func (w *world) connected() {
	w.t.Helper()
	w.peer.Wait(w.ctx, w.t, "a stream", func(v uplinktest.View) bool { return v.Streams == 1 && v.Status != nil })
}

// gone waits until the coordinator has seen the stream of a stopped gateway end:
// else the world would be led on before the next gateway is part of it.
func (w *world) gone() {
	w.t.Helper()
	w.peer.Wait(w.ctx, w.t, "the end of the stream", func(v uplinktest.View) bool { return v.Streams == 0 })
}

// to leads the world to start + minutes.
func (w *world) to(minutes int64) {
	w.t.Helper()
	if _, err := w.lead.WaitUntil(w.ctx, start.Add(energy.Span(minutes)*energy.Minute)); err != nil {
		w.t.Fatalf("the world stands at %s, waiting for %v: %v", w.clock.Now(), w.clock.Running(), err)
	}
}

// samples are those of one register by instant, over all spool ids.
func samples(v uplinktest.View, asset, register string) map[energy.Instant]meters.Sample {
	out := map[energy.Instant]meters.Sample{}
	for _, inbox := range v.Inbox {
		for _, s := range inbox {
			if string(s.Asset) == asset && string(s.Register) == register {
				out[s.At] = s
			}
		}
	}
	return out
}

// reluctant is a world that nobody can join until it is let go.
type reluctant struct {
	worldtime.Clock
	asked, let chan struct{}
}

func (r reluctant) Join(name string) worldtime.Participant {
	r.asked <- struct{}{}
	<-r.let
	return r.Clock.Join(name)
}

// TestJoinsBeforeItIsHeardOf: who waits for a gateway to connect, and then lets
// the world go on, must not lose the gateway's first round.
func TestJoinsBeforeItIsHeardOf(t *testing.T) {
	w := newWorld(t)
	clock := reluctant{w.clock, make(chan struct{}, 2), make(chan struct{})}
	cfg := gateway.Config{
		Coordinator: w.peer.Address, Identity: filepath.Join(w.dir, "identity"),
		Spool: gateway.SpoolConfig{Dir: filepath.Join(w.dir, "spool")}, Poll: energy.Minute, Devices: w.devices,
	}
	w.background(func(ctx context.Context) error { return gateway.Run(ctx, cfg, clock, slog.New(slog.DiscardHandler)) })
	<-clock.asked
	time.Sleep(300 * time.Millisecond) // long enough for a stream, if one is opened already
	w.peer.Wait(w.ctx, t, "anything", func(v uplinktest.View) bool {
		if v.Streams != 0 {
			t.Error("the gateway is connected, and not yet part of the world")
		}
		return true
	})
	close(clock.let)
	w.connected()
	w.to(1)
	w.peer.Wait(w.ctx, t, "the first round", func(v uplinktest.View) bool {
		_, ok := samples(v, "home-2-meter", "import")[start]
		return ok
	})
}

// TestBoundariesAreExact: whatever happens to gateway and coordinator, each
// boundary's sample is the register's count at that instant.
func TestBoundariesAreExact(t *testing.T) {
	w := newWorld(t)
	stop := w.gateway(nil)
	w.connected()
	want := map[energy.Instant]sim.Totals{}
	total := func() {
		totals, _ := w.site.Totals("home-1")
		want[w.clock.Now()] = totals
	}
	for quarter := int64(1); quarter <= 40; quarter++ {
		switch quarter {
		case 9: // the coordinator is away for two hours
			w.peer.Kill()
		case 17:
			w.peer.Start(t)
			w.connected()
		case 25: // the gateway is stopped and started again within an interval
			w.to(quarter*15 - 10)
			stop()
			w.gone()
			stop = w.gateway(nil)
			w.connected()
		}
		w.to(quarter * 15)
		total()
	}
	w.to(40*15 + 1)
	v := w.peer.Wait(w.ctx, t, "the last boundary", func(v uplinktest.View) bool {
		_, ok := samples(v, "home-2-meter", "import")[start.Add(600*energy.Minute)]
		_, too := samples(v, "home-1-pv", "production")[start.Add(600*energy.Minute)]
		return ok && too
	})
	if v.Gaps != 0 || len(v.Inbox) != 1 {
		t.Errorf("%d gaps, %d spool ids", v.Gaps, len(v.Inbox))
	}
	for register, of := range map[string]func(sim.Totals) energy.Energy{
		"import": func(s sim.Totals) energy.Energy { return s.Import }, "export": func(s sim.Totals) energy.Energy { return s.Export },
	} {
		got := samples(v, "home-1-meter", register)
		for at, totals := range want {
			if s, ok := got[at]; !ok || s.Value != of(totals) || s.Quality != energy.Good || s.Reset {
				t.Errorf("%s at %s: %+v, want %s", register, at, s, of(totals))
			}
		}
	}
	production := samples(v, "home-1-pv", "production")
	for at, totals := range want {
		if s := production[at]; s.Value != totals.Production {
			t.Errorf("production at %s: %s, want %s", at, s.Value, totals.Production)
		}
	}
	stop()
}

// TestSetpointsActAndExpire: a command moves the battery at the next poll and
// ends by itself, also where the coordinator dies.
func TestSetpointsActAndExpire(t *testing.T) {
	w := newWorld(t)
	w.gateway(nil)
	w.connected()
	w.to(2)
	v := w.peer.Wait(w.ctx, t, "live values", func(v uplinktest.View) bool { return len(v.Live) > 0 })
	stamp := v.Live[len(v.Live)-1].GetStampMs()
	w.peer.Command(&allmendev1.Setpoint{
		AssetId: "home-1-battery", PowerMilliwatts: -2_000_000, StampMs: stamp, TimeToLiveMs: 10 * 60_000, Epoch: 1, Sequence: 1,
	})
	w.peer.Command(&allmendev1.Setpoint{AssetId: "home-1-meter", PowerMilliwatts: 1, StampMs: stamp, TimeToLiveMs: 60_000, Epoch: 1, Sequence: 2})
	w.peer.Command(&allmendev1.Setpoint{AssetId: "unknown", Epoch: 1, Sequence: 3})
	power := func(minute int64, want energy.Power) {
		t.Helper()
		w.to(minute)
		w.to(minute + 1) // the round of `minute` is over
		v := w.peer.Wait(w.ctx, t, "live values", func(uplinktest.View) bool { return true })
		for _, batch := range v.Live {
			for _, r := range batch.GetReadings() {
				if r.GetAssetId() == "home-1-battery" && r.GetAtUnixMs() == int64(start.Add(energy.Span(minute)*energy.Minute)) {
					if got := energy.Power(r.GetPowerMilliwatts()); got > want+energy.Watt || got < want-energy.Watt {
						t.Errorf("battery at minute %d: %s, want %s", minute, got, want)
					}
					return
				}
			}
		}
		t.Errorf("no reading of the battery at minute %d", minute)
	}
	power(5, -2*energy.Kilowatt)
	power(10, -2*energy.Kilowatt)
	power(14, 0) // a stamp of 1 or 2, 10 minutes, a poll
	if len(w.peer.Wait(w.ctx, t, "", func(uplinktest.View) bool { return true }).Inbox) != 1 {
		t.Error("more than one spool")
	}
	// A second command, and the coordinator dies: it ends all the same.
	v = w.peer.Wait(w.ctx, t, "live values", func(v uplinktest.View) bool { return true })
	w.peer.Command(&allmendev1.Setpoint{
		AssetId: "home-1-battery", PowerMilliwatts: 1_000_000, StampMs: v.Live[len(v.Live)-1].GetStampMs(), TimeToLiveMs: 5 * 60_000, Epoch: 1, Sequence: 9,
	})
	w.to(18)
	before, _ := w.site.Totals("home-1")
	w.peer.Kill()
	w.to(40)
	after, _ := w.site.Totals("home-1")
	w.to(80)
	end, _ := w.site.Totals("home-1")
	if after.Discharged == before.Discharged {
		t.Error("the second command did nothing")
	}
	if end.Discharged != after.Discharged {
		t.Error("the battery went on discharging without a coordinator")
	}
}

// TestStaleAndBack: a device that is gone turns stale with a reason; nothing is
// invented for it, and the first value after it came back is kept.
func TestStaleAndBack(t *testing.T) {
	w := newWorld(t)
	devices := w.devices
	cut := newCut(t, strings.TrimPrefix(devices[3].URL, "tcp://"))
	devices[3].URL = "tcp://" + cut.addr()
	w.gateway(func(c *gateway.Config) {
		c.StaleAfter = 3 * energy.Minute
	})
	w.connected()
	w.to(10)
	cut.off()
	w.to(62)
	v := w.peer.Wait(w.ctx, t, "live values", func(uplinktest.View) bool { return true })
	var r *allmendev1.Reading
	for _, batch := range v.Live {
		for _, one := range batch.GetReadings() {
			if one.GetAssetId() == "home-2-meter" {
				r = one
			}
		}
	}
	if r.GetQuality() != allmendev1.Quality_QUALITY_STALE || r.GetReason() == "" || r.GetAtUnixMs() > int64(start.Add(11*energy.Minute)) {
		t.Errorf("a device that is gone reads %v", r)
	}
	for at := range samples(v, "home-2-meter", "import") {
		if at > start.Add(11*energy.Minute) {
			t.Errorf("a sample at %s was invented", at)
		}
	}
	cut.on()
	// The bus tries again on wall time, so the world goes on until it has.
	var got map[energy.Instant]meters.Sample
	for minute := int64(63); len(got) < 3; minute++ {
		w.to(minute)
		v := w.peer.Wait(w.ctx, t, "", func(uplinktest.View) bool { return true })
		got = samples(v, "home-2-meter", "import")
	}
	var first energy.Instant
	before := 0
	for at, s := range got {
		if s.Reset {
			t.Errorf("a reset at %s", at)
		}
		if at <= start.Add(11*energy.Minute) {
			before++
		} else if first == 0 || at < first {
			first = at
		}
	}
	if first == 0 || before != 2 { // the first, and the last before the gap
		t.Errorf("kept around the gap: %v", got)
	}
}
