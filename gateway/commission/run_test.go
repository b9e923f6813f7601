// SPDX-License-Identifier: AGPL-3.0-or-later

package commission_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/commission"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// library is read once: forty profiles take the race detector a second.
var library = sync.OnceValues(func() (*profile.Library, error) { return profile.LoadLibrary("") }) //nolint:gochecknoglobals // read only

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cellar is a simulated house behind real sockets. change alters the devices.
func cellar(t *testing.T, change ...string) commission.Site {
	t.Helper()
	text := strings.NewReplacer(change...).Replace(`
site: cellar
latitude: 48.21
longitude: 16.37
seed: 7
houses:
  - house: h
    load: {kwh_per_year: 3500}
    pv: {peak_w: 6000}
listeners:
  - address: 127.0.0.1:0
    devices:
      - {asset: pv, unit: 1, kind: inverter, house: h}
      - {asset: meter, unit: 2, kind: meter, house: h, METER}
      - {asset: battery, unit: 3, kind: battery, house: h, battery: {capacity_kwh: 9.6, max_charge_w: 5000, max_discharge_w: 5000, start_soc_percent: 60, BATTERY}}
`)
	text = strings.NewReplacer(", METER", "", ", BATTERY", "").Replace(text)
	site, err := sim.DecodeSite("site.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	world, err := sim.New(site, worldtime.NewReal(), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	lived, ran := make(chan error, 1), make(chan error, 1)
	bus := modbus.NewBus(modbus.Config{URL: "tcp://" + world.Addrs()[0], Timeout: 30 * time.Second})
	go func() { lived <- world.Run(ctx) }()
	go func() { ran <- bus.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for _, c := range []chan error{lived, ran} {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
	})
	known, err := library()
	if err != nil {
		t.Fatal(err)
	}
	out := commission.Site{Gateway: "gw", Community: "lane", Software: "test", Poll: time.Second}
	for i, asset := range []roll.AssetID{"pv", "meter", "battery"} {
		u := commission.Unit{Asset: asset, URL: bus.URL(), Unit: uint8(i + 1), MostSoC: 1000}
		if u.Device, err = profile.Open(t.Context(), bus, u.Unit, profile.Options{Library: known}); err != nil {
			t.Fatal(err)
		}
		out.Units = append(out.Units, u)
	}
	return out
}

func brisk() commission.Options {
	return commission.Options{
		Step: commission.UsualStep, Period: commission.LeastPeriod, Timer: 2 * commission.LeastTimer, Settle: 5 * time.Second, // of a busy machine
		Ask: func(string) bool { return true },
	}
}

func proof(t *testing.T, r *commission.Report, asset roll.AssetID, name string) commission.Proof {
	t.Helper()
	for _, d := range r.Devices {
		for _, p := range d.Proofs {
			if d.Asset == asset && p.Name == name {
				return p
			}
		}
	}
	t.Fatalf("no proof %s of %s in %+v", name, asset, r)
	return commission.Proof{}
}

// rests checks that the battery follows itself, as another client sees it.
func rests(t *testing.T, site commission.Site) {
	t.Helper()
	battery := site.Units[2].Device
	s, err := battery.Read(t.Context())
	if err != nil || s.Power != 0 {
		t.Errorf("the battery is left at %s, %v", s.Power, err)
	}
	if a, err := battery.Applied(t.Context()); err != nil || a.Active {
		t.Errorf("a command is left in force: %+v, %v", a, err)
	}
}

func TestACellarThatIsReady(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]string{"at rest": nil, "following the house": {"BATTERY", "self_consumption: true"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ready(t, name, cellar(t, change...))
		})
	}
}

func ready(t *testing.T, name string, site commission.Site) {
	t.Helper()
	var said []string
	o := brisk()
	o.Proved = func(subject string, p commission.Proof) {
		said = append(said, subject+" "+p.Name+" "+string(p.Outcome))
	}
	r := commission.Run(t.Context(), site, o)
	for _, name := range []string{commission.Connection, commission.Identity, commission.Plausibility, commission.SignProof, commission.FallbackProof} {
		if p := proof(t, r, "battery", name); p.Outcome != commission.Passed {
			t.Errorf("%+v", p)
		}
	}
	if r.Verdict != commission.Ready && r.Verdict != commission.ReadyWithRemarks { // at night the inverter sleeps
		t.Errorf("%s: %s", r.Verdict, r.Summary)
	}
	p := proof(t, r, "battery", commission.SignProof)
	if !strings.Contains(p.Text, "−500 W") && !strings.Contains(p.Text, "+500 W") || p.Curve == nil || len(p.Curve.Samples) < 12 || len(p.Curve.Marks) != 3 {
		t.Errorf("%+v", p)
	}
	if len(r.Buses) != 1 || r.Buses[0].Proof.Outcome != commission.Passed || len(r.House) != 1 || r.House[0].Outcome != commission.Passed {
		t.Errorf("%+v %+v", r.Buses, r.House)
	}
	if len(said) != 3*3+2+2 {
		t.Errorf("%d results were told: %q", len(said), said)
	}
	if name == "at rest" {
		rests(t, site)
	}
}

// Each mistake of a cellar is named, and the battery is left at rest.
func TestACellarThatIsNotReady(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change []string
		asset  roll.AssetID
		proof  string
		text   string
	}{
		"the meter is turned around": {
			[]string{"METER", "faults: [{do: {negate: [{address: 40088}]}}]"}, "battery", commission.SignProof, "counts the wrong way round",
		},
		"the timer does nothing": {
			[]string{"BATTERY}}", "max_soc_percent: 100}, quirks: {ignores_reversion: true}}"}, "battery", commission.FallbackProof, "still did as it was told",
		},
		"it takes no command": {
			[]string{"BATTERY}}", "max_soc_percent: 100}, faults: [{do: {exception: 3}, when: {function: write}}]}"}, "battery", commission.SignProof, "illegal data value",
		},
		"it says yes and does nothing": {
			[]string{"BATTERY}}", "max_soc_percent: 100}, faults: [{do: {ignore_writes: true}, when: {function: write}}]}"}, "battery", commission.SignProof, "could not be written",
		},
		"the meter is frozen": {
			[]string{"METER", "faults: [{do: {freeze: true}}]"}, "battery", commission.SignProof, "no meter sees the battery",
		},
		"the same device twice": {
			[]string{"unit: 2, kind: meter", "unit: 2, kind: meter, faults: [{do: {set: [{address: 40086, value: 10000}]}}]"}, "meter", commission.Plausibility, "this cannot be",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := cellar(t, c.change...)
			r := commission.Run(t.Context(), site, brisk())
			p := proof(t, r, c.asset, c.proof)
			if p.Outcome != commission.Failed || !strings.Contains(p.Text, c.text) || p.Next == "" || r.Verdict != commission.NotReady {
				t.Errorf("%s: %s %q, next %q", r.Verdict, p.Outcome, p.Text, p.Next)
			}
			if !strings.HasPrefix(name, "it ") {
				rests(t, site)
			}
		})
	}
}

// At whatever moment somebody stops it: nothing is left in force.
func TestStoppedAtAnyMoment(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "command", "held", "released"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			site := cellar(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			watched := &watched{Device: site.Units[2].Device, when: when, stop: stop}
			site.Units[2].Device = watched
			r := commission.Run(ctx, site, brisk())
			if r.Verdict != commission.Stopped {
				t.Errorf("%s: %s", r.Verdict, r.Summary)
			}
			if when != "before" && !watched.wrote {
				t.Error("nothing was ever written: the test tests nothing")
			}
			rests(t, site)
		})
	}
}

// watched stops the commissioning when its device is where the test wants it.
type watched struct {
	device.Device
	when  string
	stop  context.CancelFunc
	reads int
	wrote bool
}

func (w *watched) Read(ctx context.Context) (device.Snapshot, error) {
	s, err := w.Device.Read(ctx)
	if w.reads++; w.when == "before" && w.reads == 12 || w.when == "held" && w.wrote && s.Power != 0 {
		w.stop()
	}
	return s, err
}

func (w *watched) Apply(ctx context.Context, c device.Command) error {
	err := w.Device.Apply(ctx, c)
	w.wrote = true
	if w.when == "command" {
		w.stop()
	}
	return err
}

func (w *watched) Release(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("asked to release with a context that has ended: %w", ctx.Err())
	}
	if w.when == "released" {
		w.stop()
	}
	return w.Device.Release(ctx)
}

// What must not be moved is not moved.
func TestLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*commission.Site, *commission.Options)
		outcome commission.Outcome
		text    string
	}{
		"no":        {func(_ *commission.Site, o *commission.Options) { o.Ask = func(string) bool { return false } }, commission.Remarked, "not allowed"},
		"read only": {func(s *commission.Site, _ *commission.Options) { s.Units[2].ReadOnly = true }, commission.Skipped, "only watched"},
		"no step":   {func(_ *commission.Site, o *commission.Options) { o.Step = 0 }, commission.Skipped, "no step"},
		"too full": {func(s *commission.Site, _ *commission.Options) {
			s.Units[2].LeastSoC, s.Units[2].MostSoC = 590, 610
		}, commission.Remarked, "no room"},
		"no timer": {func(s *commission.Site, _ *commission.Options) { s.Units[2].Device = timeless{s.Units[2].Device} }, commission.Remarked, "no timer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site, o := cellar(t), brisk()
			c.change(&site, &o)
			w := &watched{Device: site.Units[2].Device}
			site.Units[2].Device = w
			p := proof(t, commission.Run(t.Context(), site, o), "battery", commission.SignProof)
			if w.wrote || p.Outcome != c.outcome || !strings.Contains(p.Text, c.text) {
				t.Errorf("written %t; %s %q", w.wrote, p.Outcome, p.Text)
			}
		})
	}
}

// timeless is a battery whose commands stay in force for ever.
type timeless struct{ device.Device }

func (d timeless) Controls() []device.Control {
	return []device.Control{{Quantity: device.BatteryPower, Reversion: device.NeverReverts}}
}
