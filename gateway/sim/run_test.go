// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sunspec"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// steady is a site whose one house always uses 6 kW and makes 2 kW.
func steady(t *testing.T, clock worldtime.Clock, opts Options) *World {
	t.Helper()
	w, err := New(&Site{
		ID: "steady", Step: energy.Minute, Houses: []House{{ID: "h"}},
		Listeners: []Listener{{Address: "127.0.0.1:0", Devices: []Device{
			{Asset: "m", Unit: 1, Kind: roll.Meter, House: "h", Base: 40000, EnergyScale: -3},
			{Asset: "b", Unit: 2, Kind: roll.Battery, House: "h", Base: 40000, Battery: &Battery{
				Capacity: 10 * energy.KilowattHour, MaxCharge: 5 * energy.Kilowatt, MaxDischarge: 5 * energy.Kilowatt,
				MaxSoC: 1000, StartSoC: 500, ChargeEff: 950_000, DischargeEff: 950_000, Placement: roll.BehindMeter,
			}},
		}}},
	}, clock, opts)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.houses[0].source = constant{6 * energy.Kilowatt, 2 * energy.Kilowatt}
	w.decide()
	return w
}

// laggard is the clock of a site that wakes as late as can be: what a participant
// is told at a full minute it learns only after the reader has read. A clock
// that another process keeps may do that.
type laggard struct {
	worldtime.Clock
	told atomic.Int64
	read chan energy.Instant // what the reader has read at
}

func (l *laggard) Now() energy.Instant { return energy.Instant(l.told.Load()) }

func (l *laggard) Join(name string) worldtime.Participant {
	return &lateRiser{l.Clock.Join(name), l}
}

type lateRiser struct {
	worldtime.Participant
	clock *laggard
}

func (p *lateRiser) WaitUntil(ctx context.Context, at energy.Instant) (energy.Instant, error) {
	now, err := p.Participant.WaitUntil(ctx, at)
	for read := energy.Instant(0); now%energy.Instant(energy.Minute) == 0 && read < now && ctx.Err() == nil; {
		select {
		case read = <-p.clock.read:
		case <-ctx.Done():
		}
	}
	p.clock.told.Store(int64(now))
	return now, err
}

// Site and reader wait for the same minutes. Whoever wakes first, the register
// that is read at a full minute is the integral to it: in one process, and with
// the world kept by another.
func TestAReaderAtAFullMinuteFindsItLived(t *testing.T) {
	var begin energy.Instant
	if err := begin.UnmarshalText([]byte("2026-06-01T00:00:00Z")); err != nil {
		t.Fatal(err)
	}
	for _, remote := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		world := worldtime.NewStepped(begin, 0, 2)
		ofSite, ofReader := worldtime.Clock(world), worldtime.Clock(world)
		served := make(chan error, 1)
		if remote {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { served <- worldtime.Serve(ctx, world, l) }()
			ofSite, ofReader = dialWorld(t, l.Addr().String()), dialWorld(t, l.Addr().String())
		} else {
			served <- nil
		}
		late := &laggard{Clock: ofSite, read: make(chan energy.Instant, 1000)}
		late.told.Store(int64(begin))
		w := steady(t, late, Options{})
		lived := make(chan error, 1)
		go func() { lived <- w.Run(ctx) }()
		device := open(t, connect(t, w.Addrs()[0]), 1)
		part := ofReader.Join("reader")
		for minute := range energy.Span(200) {
			at := begin.Add(minute * energy.Minute)
			now, err := part.WaitUntil(ctx, at)
			if err != nil || now != at {
				t.Fatalf("remote %v: woken at %s for %s: %v", remote, now, at, err)
			}
			if got, want := read(t, device).Registers["import"], (4 * energy.Kilowatt).Over(minute*energy.Minute); got != want {
				t.Fatalf("remote %v: after %d minutes %s, want %s", remote, minute, got, want)
			}
			late.read <- at
		}
		part.Leave()
		cancel()
		if err := <-lived; err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func dialWorld(t *testing.T, addr string) *worldtime.Remote {
	t.Helper()
	r, err := worldtime.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Registers go on after a restart, as if the house had lived through the pause,
// and a battery comes back at rest.
func TestRestart(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	clock := newHandClock(t, "2026-06-01T00:00:00Z")
	begin := clock.Now()
	run := func(during func(w *World, meter, battery *sunspec.Device)) {
		w := steady(t, clock, Options{State: state})
		bus := connect(t, w.Addrs()[0])
		ctx, cancel := context.WithCancel(t.Context())
		lived := make(chan error, 1)
		go func() { lived <- w.Run(ctx) }()
		during(w, open(t, bus, 1), open(t, bus, 2))
		cancel()
		if err := <-lived; err != nil {
			t.Fatal(err)
		}
	}
	var soc int64
	run(func(_ *World, meter, battery *sunspec.Device) {
		if err := battery.Apply(t.Context(), batteryPower(4*energy.Kilowatt, time.Hour)); err != nil {
			t.Fatal(err)
		}
		clock.pass(30 * energy.Minute)
		s := read(t, battery)
		if soc = s.SoC; s.Registers["discharged"] != 2*energy.KilowattHour || soc >= 500 {
			t.Errorf("half an hour of 4 kW: %+v", s)
		}
		if r := read(t, meter).Registers; r["import"] != 0 || r["export"] != 0 {
			t.Errorf("the battery covered the house, but the meter counts %v", r)
		}
	})
	if at, found, err := SavedAt(state, "steady"); err != nil || !found || at != begin.Add(30*energy.Minute) {
		t.Errorf("saved at %s, %v, %v", at, found, err)
	}
	clock.pass(15 * energy.Minute)
	run(func(w *World, meter, battery *sunspec.Device) {
		s := read(t, battery)
		if s.Power != 0 || s.SoC != soc || s.Registers["discharged"] != 2*energy.KilowattHour {
			t.Errorf("after the restart: %+v", s)
		}
		clock.pass(15 * energy.Minute)
		if got := read(t, meter).Registers["import"]; got != energy.KilowattHour {
			t.Errorf("a quarter-hour of 4 kW: %s", got) // the pause itself has the power of an empty house
		}
	})
}

func TestStateThatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	clock := newHandClock(t, "2026-06-01T00:00:00Z")
	for name, c := range map[string]struct{ content, want string }{
		"torn":    {`{"version": 1, "si`, "delete the file to begin with new meters"},
		"foreign": {`{"version": 1, "site": "another"}`, `is of site "another"`},
		"newer":   {`{"version": 2, "site": "lindenweg"}`, "version 2"},
		"unknown": {`{"version": 1, "site": "lindenweg", "more": 1}`, "unknown field"},
		"future":  {`{"version": 1, "site": "lindenweg", "at": "2027-01-01T00:00:00Z", "start": "2026-01-01T00:00:00Z"}`, "world time does not move back"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(example(t), clock, Options{State: path})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	// A folder that is not there: said when it ends, and the listeners are closed.
	w, err := New(example(t), clock, Options{State: filepath.Join(dir, "none", "state.json")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "name another file") {
		t.Errorf("a state that cannot be saved: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A site that was away for years does not live through them one by one.
func TestLongAbsence(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(state, []byte(`{"version": 1, "site": "lindenweg", "at": "2016-06-01T00:00:00Z", "start": "2016-01-01T00:00:00Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	site := example(t)
	site.Step = energy.Minute
	w, _ := start(t, site, newHandClock(t, "2026-06-01T00:00:00Z"), Options{State: state})
	totals, _ := w.Totals("home-1")
	if kwh := totals.Consumption / energy.KilowattHour; kwh < 200 || kwh > 400 {
		t.Errorf("after ten years %d kWh were used: more or less than a month's", kwh)
	}
}

// said passes on what a world logs.
type said chan string

func (s said) Write(p []byte) (int, error) {
	select {
	case s <- string(p):
	default:
	}
	return len(p), nil
}

// While its state can't be saved the world stands; then it goes on.
func TestFullDiskHoldsTheWorld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	clock := worldtime.NewStepped(energy.InstantOf(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)), 1000, 0)
	log := make(said, 16)
	w, err := New(example(t), clock, Options{State: filepath.Join(dir, "state.json"), Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	for _, err := os.Stat(filepath.Join(dir, "state.json")); err != nil; _, err = os.Stat(filepath.Join(dir, "state.json")) {
		time.Sleep(time.Millisecond) // until it was saved once
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for line := range log {
		if strings.Contains(line, "can't be saved") {
			break
		}
	}
	stood := clock.Now()
	if len(clock.Running()) != 1 {
		t.Errorf("the world does not wait for its site: %v", clock.Running())
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	for clock.Now() == stood {
		time.Sleep(time.Millisecond) // the package's time limit ends a world that stands for good
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
