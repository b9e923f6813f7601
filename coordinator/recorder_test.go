// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/influxtest"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/meters/series"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler"
)

// stalled is a store of time series that answers nobody until it is let go.
type stalled struct {
	series.Nowhere
	entered, release chan struct{}
	records          int
}

func (s *stalled) Append(records []series.Record) {
	s.records += len(records)
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.release
}

// Owner and streams hand over without waiting, whatever the store does. What
// finds no place is counted, everything else is recorded.
func TestNobodyWaitsForTheTimeSeries(t *testing.T) {
	store := &stalled{entered: make(chan struct{}, 1), release: make(chan struct{})}
	r := newRecorder("lane", store, newProblems(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.run(ctx) }()
	r.picture(scheduler.Live{})
	<-store.entered // it stands still now
	const pictures, batches, size = 3_000, 500, 7
	for range pictures { // this would hang if it waited
		r.picture(scheduler.Live{Members: make([]scheduler.MemberLive, 2)})
	}
	for range batches {
		r.readings(make([]meters.Reading, size))
	}
	want := uint64((pictures-recorderQueue)*(9+2*5) + batches*size)
	if got := r.Stats().Dropped[series.HandOver]; got != want {
		t.Errorf("%d points were dropped, want %d", got, want)
	}
	close(store.release)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := 1 + recorderQueue*3; store.records != want {
		t.Errorf("%d records, want %d", store.records, want)
	}
}

// What is no measurement leaves a gap.
func TestWhatIsRecorded(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	for i, q := range []allmendev1.Quality{
		allmendev1.Quality_QUALITY_GOOD, allmendev1.Quality_QUALITY_STALE, allmendev1.Quality_QUALITY_NOT_IMPLEMENTED,
		allmendev1.Quality_QUALITY_SLEEPING, allmendev1.Quality_QUALITY_ESTIMATED,
	} {
		a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: &allmendev1.LiveBatch{StampMs: int64(i + 1), Readings: []*allmendev1.Reading{
			{AssetId: "anna-roof", AtUnixMs: int64(dawn) + int64(i)*1000, PowerMilliwatts: 1_000, Quality: q},
		}}}})
	}
	a.barrier()
	allRecorded(t, c)
	var got curves
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		get(t, c, fmt.Sprintf("/v1/history/assets/anna-roof?from_unix_ms=%d&to_unix_ms=%d&resolution_ms=60000", dawn, dawn.Add(minute)), &got)
		if len(got.Curves) == 1 && got.of("power") == "1000 1 3" && got.Curves[0].Buckets[0].Quality == "QUALITY_SLEEPING" {
			return
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("%+v", got)
		}
	}
}

// village runs two homes for an hour, with live readings each tick, and
// returns what the ledger has of it. halfway is done in the middle.
func village(t *testing.T, seriesConfig string, halfway func(*Coordinator)) (ledger string, c *Coordinator) {
	t.Helper()
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	path := filepath.Join(dir, "allmende.yaml")
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(src), "tick: 1m, stale_after: 2m, setpoint_ttl: 2m", "tick: 5s, stale_after: 30s, setpoint_ttl: 30s", 1) + seriesConfig
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, w)
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	b, _ := connect(t, c, enrol(t, c, "gw-b"), "s1")
	const ticks = 720
	for i := range energy.Span(ticks) {
		at := dawn.Add(i * 5 * energy.Second)
		a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: &allmendev1.LiveBatch{StampMs: 1 + int64(i), Readings: []*allmendev1.Reading{
			{AssetId: "anna-meter", AtUnixMs: int64(at), PowerMilliwatts: -600_000}, {AssetId: "anna-roof", AtUnixMs: int64(at), PowerMilliwatts: 1_000_000},
		}}}})
		if i == ticks/2 && halfway != nil {
			halfway(c)
		}
		w.until(at.Add(5 * energy.Second))
	}
	a.meter(1, quarterHoursA(dawn, 0, 5)...)
	b.meter(1, quarterHoursB(dawn, 0, 5)...)
	a.barrier()
	b.barrier()
	w.settledUntil(c, dawn.Add(4*quarter))
	var got intervals
	get(t, c, "/v1/intervals", &got)
	out, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), c
}

// InfluxDB is killed while a community runs, and comes back. No tick fails to
// pass, the problem is shown while it lasts, the ledger is what it is without
// time series, and each point is either with the server or counted as dropped.
func TestTheSeriesServerIsKilled(t *testing.T) {
	server := influxtest.Start(t)
	without, _ := village(t, "series: {store: none}\n", nil)
	with, c := village(t, fmt.Sprintf("series: {store: influxdb, influxdb: {url: %q, bucket: allmende/autogen}}\n", server.URL), func(*Coordinator) { server.Kill() })
	if with != without || !strings.Contains(with, "SharedMilliwattHours") {
		t.Errorf("the ledger has\n%s\nand without time series\n%s", with, without)
	}
	wait(t, "the problem is shown", func() bool {
		return slices.ContainsFunc(c.problems.list(), func(p string) bool { return strings.HasPrefix(p, "series: InfluxDB takes nothing") })
	})
	server.Restart()
	wait(t, "what waited is written, and the problem has gone", func() bool { return c.record.Stats().Queued == 0 && len(c.problems.list()) == 0 })
	s := c.record.Stats()
	dropped := uint64(0)
	for _, n := range s.Dropped {
		dropped += n
	}
	if s.Taken != s.Written || s.Taken == 0 || s.Failures == 0 {
		t.Errorf("%+v", s)
	}
	rows := server.Flux(`from(bucket: "allmende/autogen") |> range(start: 2026-05-29T00:00:00Z, stop: 2026-05-29T02:00:00Z)
		|> filter(fn: (r) => r._measurement == "asset" and r.community == "sunny-lane" and r.asset == "anna-roof" and r._field == "power_mw") |> count()`)
	if len(rows) != 1 || rows[0]["_value"] != "720" && dropped == 0 {
		t.Errorf("of 720 readings the server has %v; %+v", rows, s)
	}
	t.Logf("%d points written, %d dropped", s.Written, dropped)
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	const patience = 5 * time.Minute // back-off included
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// TestMeasureTicks measures how late ticks are, on the wall clock, with InfluxDB
// idle and while it is killed and started again under load. It asserts nothing
// about time: docs/benchmarks/series.md says how to run it, and what it showed.
func TestMeasureTicks(t *testing.T) {
	if os.Getenv("MEASURE_TICKS") == "" {
		t.Skip("set MEASURE_TICKS=1 to measure how late ticks are")
	}
	const devices, tick, span = 300, 100 * time.Millisecond, time.Minute
	server := influxtest.Start(t)
	for _, store := range []string{"none", "embedded", "influxdb"} {
		var b strings.Builder
		b.WriteString("id: sunny-lane\nname: Lane\ntimezone: Europe/Vienna\nconnections: [{id: village, kind: public_grid}]\nmembers:\n")
		for _, part := range []string{"  - {id: m%d}\n", "sites:\n  - {id: s%d, member: m%d, connection: village}\n", "assets:\n  - {id: a%d, kind: meter, site: s%d, gateway: gw-a}\n"} {
			head, line, split := strings.Cut(part, "\n  ")
			if split {
				b.WriteString(head + "\n")
				line = "  " + line
			} else {
				line = part
			}
			for i := range devices {
				b.WriteString(strings.ReplaceAll(line, "%d", fmt.Sprint(i)))
			}
		}
		b.WriteString("gateways: [{id: gw-a}]\n")
		dir := folder(t, b.String())
		path := filepath.Join(dir, "allmende.yaml")
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(src), "tick: 1m, stale_after: 2m, setpoint_ttl: 2m", "tick: 100ms, stale_after: 2s, setpoint_ttl: 2s", 1) +
			fmt.Sprintf("series: {store: %s, influxdb: {url: %q, bucket: allmende/autogen}}\n", store, server.URL)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Simulated = true
		c, err := Start(t.Context(), cfg, worldtime.NewReal(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := int64(1); ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(tick):
				}
				batch := &allmendev1.LiveBatch{StampMs: n}
				for i := range devices {
					batch.Readings = append(batch.Readings, &allmendev1.Reading{AssetId: fmt.Sprintf("a%d", i), AtUnixMs: time.Now().UnixMilli(), PowerMilliwatts: n * 1000})
				}
				a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: batch}})
			}
		}()
		report := func(what string, disturb func()) {
			sub, err := c.hub.Subscribe(0)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			if disturb != nil {
				go disturb()
			}
			var late []time.Duration
			for end := time.Now().Add(span); time.Now().Before(end); {
				f := <-sub.C
				late = append(late, time.Since(time.UnixMilli(f.Live.GetAtUnixMs())))
			}
			slices.Sort(late)
			t.Logf("%-9s %-28s %d ticks, late p50 %s p99 %s max %s", store, what, len(late), late[len(late)/2], late[len(late)*99/100], late[len(late)-1])
		}
		report("idle server", nil)
		if store == "influxdb" {
			report("killed and started again", func() {
				time.Sleep(span / 4)
				server.Kill()
				time.Sleep(span / 4)
				server.Restart()
			})
		}
		close(stop)
		<-done
		if err := c.Stop(); err != nil {
			t.Log(err)
		}
		t.Logf("%-9s %+v", store, c.record.Stats())
	}
}
