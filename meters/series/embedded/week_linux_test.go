// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/influxtest"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/influx"
)

// TestWeek fills the stores with a thousand devices that report each second,
// and reports what that costs. It takes a while: docs/benchmarks/series.md says
// how to run it, and what it showed.
func TestWeek(t *testing.T) {
	if os.Getenv("MEASURE_SERIES") == "" {
		t.Skip("set MEASURE_SERIES=1 to measure a week of a thousand devices")
	}
	devices := setting(t, "MEASURE_DEVICES", 1_000)
	t.Run("embedded", func(t *testing.T) {
		measureEmbedded(t, devices, energy.Hour*energy.Span(setting(t, "MEASURE_HOURS", 7*24)))
	})
	t.Run("influxdb", func(t *testing.T) {
		measureInflux(t, devices, energy.Hour*energy.Span(setting(t, "MEASURE_INFLUX_HOURS", 6)))
	})
}

func setting(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// street makes the readings of many devices, fast. Most are meters in whole watts, a
// third inverters that sleep at night, a tenth meters that count milliwatts.
// Half of them have a clock that jitters by a few milliseconds.
type street struct {
	records []series.Record // a device each, then one member and the community
	state   []int64
	seed    uint64
}

func newStreet(devices int) *street {
	s := &street{state: make([]int64, devices), seed: 88172645463325252}
	for i := range devices {
		s.records = append(s.records, series.Record{
			Subject: series.Subject{Kind: series.Asset, Name: fmt.Sprintf("device-%d", i)}, Values: []series.Value{{Quantity: series.Power}},
		})
	}
	return s.and(measured())
}

// measured are the subjects that are asked about.
func measured() []series.Subject {
	return []series.Subject{{Kind: series.Member, Name: "anna"}, {Kind: series.Community, Name: "lane"}}
}

func (s *street) and(more []series.Subject) *street {
	for _, of := range more {
		r := series.Record{Subject: of}
		for _, q := range of.Kind.Quantities() {
			r.Values = append(r.Values, series.Value{Quantity: q})
		}
		s.records = append(s.records, r)
	}
	return s
}

func (s *street) random(n uint64) int64 {
	s.seed ^= s.seed << 13
	s.seed ^= s.seed >> 7
	s.seed ^= s.seed << 17
	return int64((s.seed >> 33) % n)
}

// at is one second's readings; the same slice each time.
func (s *street) at(now energy.Instant) []series.Record {
	day := int64(now) % int64(energy.Day) / 1000 // second of the day
	sun := max(0, 43_200-4*max(day-43_200, 43_200-day)+43_200) / 18
	for i := range s.records {
		r := &s.records[i]
		r.At = now
		if i >= len(s.state) {
			for j := range r.Values {
				r.Values[j].Value = max(0, r.Values[j].Value+s.random(40_001)-20_000)
			}
			continue
		}
		v := &s.state[i]
		switch {
		case i%10 == 0: // milliwatts
			*v = max(0, *v+s.random(60_001)-30_000)
		case i%3 == 0: // sun, in whole watts, with clouds
			*v = 0
			if sun > 0 {
				*v = (sun*int64(500+i%500)/1000 + s.random(9)) * 1000
			}
		default: // a home, in whole watts; now and then something is switched
			*v = max(0, *v+(s.random(11)-5)*1000)
			if s.random(300) == 0 {
				*v = s.random(3_000) * 1000
			}
		}
		r.Values[0].Value = *v
		if i%2 == 0 {
			r.At = now.Add(energy.Span(s.random(7)))
		}
	}
	return s.records
}

// points is how many there are in a second.
func (s *street) points() (n int) {
	for _, r := range s.records {
		n += len(r.Values)
	}
	return n
}

// cpu is what this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf is what another process has used.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // a hundred ticks a second
}

// resident is the most memory that a process has had, in MiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	kb, _ := strconv.Atoi(strings.Fields(rest)[0])
	return kb >> 10
}

func measureEmbedded(t *testing.T, devices int, span energy.Span) {
	path := filepath.Join(t.TempDir(), "series.db")
	s := openTest(t, path, Options{})
	year, begin := dawn.Add(-358*energy.Day), dawn
	before := cpu(t)
	older(year, begin, func(r []series.Record) { s.Append(r) }, func(at energy.Instant) {
		if at%energy.Instant(6*energy.Hour) == 0 {
			s.settle()
		}
	})
	s.settle()
	used, _, err := s.db.size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("358 days of 14 series by the minute: %d MiB, %s of CPU", used>>20, cpu(t)-before)

	lane := newStreet(devices)
	alone := generate(t, devices)
	before, began, first := cpu(t), time.Now(), s.Stats()
	for at := begin; at < begin.Add(span); at = at.Add(energy.Second) {
		s.Append(lane.at(at))
		if at%10_000 == 0 {
			s.settle() // as often as in service
		}
	}
	s.settle()
	spent, wall := cpu(t)-before, time.Since(began)
	st := s.Stats()
	n := st.Taken - first.Taken
	spent -= alone * time.Duration(n)
	t.Logf("%d points of %d series in %s (simulated %s)", n, lane.points(), wall.Round(time.Second), span)
	t.Logf("write cost: %s of CPU a point, all included (generator, %s a point, taken off)", spent/time.Duration(n), alone)
	t.Logf("dropped %v, failures %d, problems %q", st.Dropped, st.Failures, st.Problems)
	var total, kept int64
	for _, table := range []string{"raw", "minute", "quarter", "journal"} {
		var rows, bytes int64
		if err := s.db.r.QueryRow("SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0) FROM "+table).Scan(&rows, &bytes); err != nil {
			t.Fatal(err)
		}
		total += bytes
		if table == "raw" {
			kept = bytes
		}
		t.Logf("table %-8s %8d rows, %6d MiB", table, rows, bytes>>20)
	}
	if used, _, err = s.db.size(t.Context()); err != nil {
		t.Fatal(err)
	}
	points := float64(min(span, rawKept+4*energy.Hour)) / 1000 * float64(lane.points())
	t.Logf("file: %d MiB in use for %d MiB of blocks; about %.2f bytes a point while it is kept by the second", used>>20, total>>20, float64(kept)/points)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("memory: %d MiB resident at most, %d MiB of heap in use", resident(t, os.Getpid()), m.HeapInuse>>20)
	questions(t, s, begin.Add(span))
}

// generate is what a reading costs to make.
func generate(t *testing.T, devices int) time.Duration {
	t.Helper()
	lane := newStreet(devices)
	before := cpu(t)
	const seconds = 2_000
	for i := range energy.Instant(seconds) {
		lane.at(dawn + i*1000)
	}
	return (cpu(t) - before) / time.Duration(seconds*lane.points())
}

// older appends what is asked about of the year before, a point a minute.
func older(from, to energy.Instant, take func([]series.Record), tick func(energy.Instant)) {
	lane := (&street{seed: 7}).and(measured())
	for at := from; at < to; at = at.Add(energy.Minute) {
		take(lane.at(at))
		tick(at)
	}
}

// questions asks for a day, a month and a year, of one member and of the community.
func questions(t *testing.T, store series.Store, end energy.Instant) {
	t.Helper()
	for _, of := range measured() {
		for _, c := range []struct {
			name string
			span energy.Span
			r    series.Resolution
		}{
			{"an hour by 1 s", energy.Hour, series.Resolution(energy.Second)},
			{"a day by 5 min", energy.Day, series.Resolution(5 * energy.Minute)},
			{"a month by 1 h", 31 * energy.Day, series.Resolution(energy.Hour)},
			{"a year by 1 day", 365 * energy.Day, series.Day},
		} {
			var took []time.Duration
			buckets := 0
			for range 5 {
				began := time.Now()
				buckets = 0
				for _, q := range of.Kind.Quantities() {
					got, err := store.Query(t.Context(), series.Series{Subject: of, Quantity: q}, series.Span{From: end.Add(-c.span), To: end}, c.r)
					if err != nil {
						t.Fatal(err)
					}
					buckets += len(got)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			t.Logf("%-9s %-15s %d curves, %5d buckets: %s (of five: %s to %s)", of.Kind, c.name, len(of.Kind.Quantities()), buckets,
				took[2].Round(100*time.Microsecond), took[0].Round(100*time.Microsecond), took[4].Round(100*time.Microsecond))
		}
	}
}

func measureInflux(t *testing.T, devices int, span energy.Span) {
	server := influxtest.Start(t)
	s := influx.Open(influx.Options{URL: server.URL, Bucket: influxtest.Bucket, Community: "lane"})
	t.Cleanup(func() { s.Close(context.Background()) })
	keepUp := func() {
		for s.Stats().Queued > 100_000 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	allSent := func() {
		for s.Stats().Queued > 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	server0, before := cpuOf(t, server.Pid()), cpu(t)
	older(dawn.Add(-358*energy.Day), dawn, func(r []series.Record) { s.Append(r) }, func(at energy.Instant) {
		if at%600_000 == 0 {
			keepUp()
		}
	})
	allSent()
	t.Logf("358 days of 14 series by the minute: %d MiB, %s of CPU here, %s in the server", folder(t, server.Dir())>>20, cpu(t)-before, cpuOf(t, server.Pid())-server0)

	size := folder(t, server.Dir())
	lane := newStreet(devices)
	alone := generate(t, devices)
	server0, before = cpuOf(t, server.Pid()), cpu(t)
	began, first := time.Now(), s.Stats()
	for at := dawn; at < dawn.Add(span); at = at.Add(energy.Second) {
		s.Append(lane.at(at))
		keepUp()
	}
	allSent()
	wall := time.Since(began)
	st := s.Stats()
	n := st.Written - first.Written
	spent := cpu(t) - before - alone*time.Duration(n)
	t.Logf("%d points of %d series in %s (simulated %s)", n, lane.points(), wall.Round(time.Second), span)
	t.Logf("write cost: %s of CPU a point here, %s in the server", spent/time.Duration(n), (cpuOf(t, server.Pid())-server0)/time.Duration(n))
	t.Logf("dropped %v, failures %d, problems %q", st.Dropped, st.Failures, st.Problems)
	t.Logf("disk: %d MiB more, %.2f bytes a point, before the server has compacted everything", (folder(t, server.Dir())-size)>>20, float64(folder(t, server.Dir())-size)/float64(n))
	t.Logf("memory: server %d MiB resident at most", resident(t, server.Pid()))
	questions(t, s, dawn.Add(span))
}

// folder is the size of what lies in it, and beside it (the write-ahead log).
func folder(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.Walk(filepath.Dir(dir), func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}
