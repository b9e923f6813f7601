// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/embedded/block"
	"github.com/allmende-energy/allmende/meters/series/seriestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dawn = energy.Instant(1_780_012_800_000) // 2026-05-29T00:00:00Z

// never keeps the keeper from passing by itself: tests say when.
const never = time.Hour

func openTest(t testing.TB, path string, o Options) *Store {
	t.Helper()
	if o.flushEvery == 0 {
		o.flushEvery = never
	}
	s := Open(context.Background(), path, o)
	t.Cleanup(func() { closeTest(t, s) })
	return s
}

func closeTest(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// killed is what a process that is killed now leaves: the files as they are.
func killed(t testing.TB, s *Store) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "series.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// agree asks store and oracle the same random questions.
func agree(t *testing.T, s *Store, o *seriestest.Oracle, rng *rand.Rand, from, to energy.Instant, questions int) {
	t.Helper()
	all := o.Series()
	for range questions {
		of := all[rng.IntN(len(all))]
		a := from.Add(energy.Span(rng.Int64N(int64(to.Sub(from)))))
		b := min(a.Add(energy.Span(rng.Int64N(int64(energy.Day)))), to)
		r := []series.Resolution{1_000, 10_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 86_400_000}[rng.IntN(8)]
		if a < s.marks.Load().rawFrom && r < 60_000 {
			r = 60_000
		}
		if a < s.marks.Load().rawFrom && rng.IntN(2) == 0 {
			b = to
		}
		if r < 60_000 {
			b = min(b, a.Add(energy.Hour))
		}
		span := series.Span{From: a, To: b}
		got, err := s.Query(t.Context(), of, span, r)
		if err != nil {
			if fine := new(series.TooFineError); errors.As(err, &fine) && s.Finest(r.Floor(a)) == fine.Finest {
				continue
			}
			t.Fatalf("%s %v/%s: %v", of, span, r, err)
		}
		if want := o.Query(of, span, r); !slices.Equal(got, want) {
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("%s %v/%s: bucket %d of %d and %d\ngot  %+v\nwant %+v\nmarks %+v", of, span, r, i, len(got), len(want), at(got, i), at(want, i), *s.marks.Load())
				}
			}
		}
	}
}

func at(b []series.Bucket, i int) any {
	if i < len(b) {
		return fmt.Sprintf("%s %+v", b[i].Start, b[i])
	}
	return "nothing"
}

// Whatever is asked, whenever, also across the edges of memory, journal, blocks
// and sums, after a stop and after a kill: the answer is the oracle's.
func TestAnswersAreTheOracles(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 3))
			s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{})
			var o seriestest.Oracle
			v := seriestest.NewVillage(seed, dawn)
			period := []energy.Span{energy.Second, 5 * energy.Second, 20 * energy.Second, energy.Minute}[seed]
			for v.At < dawn.Add(18*energy.Hour*energy.Span(1+3*(seed/2))) {
				most := 4 * energy.Hour / period
				if rng.IntN(2) == 0 {
					most = 20 // within a block
				}
				for range 1 + rng.IntN(int(most)) {
					r := v.Step(period)
					s.Append(r)
					o.Append(r)
				}
				switch rng.IntN(4) {
				case 0:
					s.settle()
				case 1:
					closeTest(t, s)
					s = openTest(t, s.path, Options{})
				case 2: // nothing that was written is lost
					s.settle()
					path := killed(t, s)
					closeTest(t, s)
					s = openTest(t, path, Options{})
				}
				agree(t, s, &o, rng, dawn, v.At.Add(energy.Hour), 15)
			}
			s.settle()
			agree(t, s, &o, rng, dawn, v.At.Add(energy.Hour), 50)
			if st := s.Stats(); len(st.Problems) > 0 || st.Failures > 0 || st.Dropped[series.Full]+st.Dropped[series.TooMany]+st.Dropped[series.Lost] > 0 {
				t.Errorf("%+v", st)
			}
			if m := s.marks.Load(); m.minuteUntil == 0 {
				t.Errorf("nothing was summed up: %+v", m)
			}
		})
	}
}

// steady appends a point each period of one member's import, a few kilowatts.
func steady(s *Store, o *seriestest.Oracle, from, to energy.Instant, period energy.Span) {
	of := series.Subject{Kind: series.Member, Name: "anna"}
	for at := from; at < to; at = at.Add(period) {
		r := []series.Record{{Subject: of, At: at, Values: []series.Value{{Quantity: series.Import, Value: int64(at/1000) % 4_999}}}}
		s.Append(r)
		if o != nil {
			o.Append(r)
		}
	}
}

func annasImport() series.Series {
	return series.Series{Subject: series.Subject{Kind: series.Member, Name: "anna"}, Quantity: series.Import}
}

// Points go after two days, minutes after three months, quarter-hours never;
// what is coarse enough is answered as if nothing had gone.
func TestRetention(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{})
	var o seriestest.Oracle
	for day := range energy.Span(100) {
		from := dawn.Add(day * energy.Day)
		steady(s, &o, from, from.Add(energy.Day), 10*energy.Minute)
		if day%9 == 0 {
			s.settle()
		}
	}
	end := dawn.Add(100 * energy.Day)
	if got := s.Finest(end.Add(-rawKept + 2*energy.Hour)); got != series.Resolution(energy.Second) {
		t.Errorf("two days ago: %s", got)
	}
	if got := s.Finest(end.Add(-rawKept - energy.Hour)); got != series.Resolution(energy.Minute) {
		t.Errorf("before: %s", got)
	}
	if got := s.Finest(end.Add(-minuteKept - energy.Day)); got != series.Resolution(energy.QuarterHour) {
		t.Errorf("three months ago: %s", got)
	}
	for _, r := range []energy.Span{energy.QuarterHour, energy.Hour, energy.Day} {
		span := series.Span{From: dawn, To: end}
		got, err := s.Query(t.Context(), annasImport(), span, series.Resolution(r))
		if err != nil {
			t.Fatal(err)
		}
		if want := o.Query(annasImport(), span, series.Resolution(r)); !slices.Equal(got, want) {
			t.Errorf("by %s: %d buckets, want %d", r, len(got), len(want))
		}
	}
	_, err := s.Query(t.Context(), annasImport(), series.Span{From: dawn, To: end}, 60_000)
	var fine *series.TooFineError
	if !errors.As(err, &fine) || fine.Finest != series.Resolution(energy.QuarterHour) || fine.Since != s.marks.Load().minuteFrom {
		t.Errorf("%v", err)
	}
	// What is gone is gone from the disk too.
	for table, most := range map[string]int{"raw": 3 * 144, "minute": 93 * 4, "quarter": 100, "journal": 2} {
		var n int
		if err := s.db.r.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil || n > most || n == 0 {
			t.Errorf("%s has %d rows, %v", table, n, err)
		}
	}
}

// Within its cap the finest and oldest goes first, and it is said.
func TestTheCapHolds(t *testing.T) {
	const limit, days = 512 << 10, 8
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{MaxBytes: limit})
	rng := rand.New(rand.NewPCG(1, 1))
	said := map[string]bool{}
	for hour := energy.Span(0); hour < 24*days; hour += 3 {
		for i := range energy.Span(3 * 360) {
			at := dawn.Add(hour*energy.Hour + i*10*energy.Second)
			var records []series.Record
			for m := range 4 {
				records = append(records, series.Record{
					Subject: series.Subject{Kind: series.Member, Name: fmt.Sprintf("m%d", m)}, At: at,
					Values: []series.Value{{Quantity: series.Import, Value: rng.Int64N(1 << 30)}},
				})
			}
			s.Append(records)
		}
		s.settle()
		st := s.Stats()
		if info, err := os.Stat(s.path); err != nil || info.Size() > limit || st.Bytes > limit {
			t.Fatalf("hour %d: %d bytes, %v", hour, info.Size(), err)
		}
		for _, p := range st.Problems {
			for _, what := range []string{"by the second", "by the minute"} {
				if strings.Contains(p, what) && strings.Contains(p, "series.embedded.max_size") {
					said[what] = true
				}
			}
		}
	}
	m := *s.marks.Load()
	end := dawn.Add(days * energy.Day)
	if m.rawFrom <= end.Add(-rawKept) || m.minuteFrom <= dawn || !said["by the second"] || !said["by the minute"] {
		t.Errorf("marks %+v, said %v", m, said)
	}
	of := series.Series{Subject: series.Subject{Kind: series.Member, Name: "m1"}, Quantity: series.Import}
	got, err := s.Query(t.Context(), of, series.Span{From: dawn, To: end}, series.Day)
	if err != nil || len(got) != days {
		t.Errorf("%d days, %v", len(got), err)
	}
	if st := s.Stats(); st.Dropped[series.Lost] > 0 || st.Failures > 0 {
		t.Errorf("%+v", st)
	}
}

// A file that is no database, and one that is damaged inside, are moved aside.
func TestADamagedFileIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "series.db")
	s := openTest(t, path, Options{})
	steady(s, nil, dawn, dawn.Add(energy.Day), energy.Minute)
	s.settle()
	closeTest(t, s)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(f *os.File) error{
		"its head": func(f *os.File) error { _, err := f.WriteAt([]byte("not a database at all"), 0); return err },
		"its middle": func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, info.Size()-2*pageSize), pageSize)
			return err
		},
		"empty": func(f *os.File) error { return f.Truncate(0) },
		"cut":   func(f *os.File) error { return f.Truncate(info.Size() / 2) },
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "series.db")
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(harm(f), f.Close()); err != nil {
				t.Fatal(err)
			}
			s := openTest(t, path, Options{})
			later := dawn.Add(2 * energy.Day)
			steady(s, nil, later, later.Add(energy.Day), energy.Minute)
			s.settle()
			s.settle() // the one before may have found the damage
			got, err := s.Query(t.Context(), annasImport(), series.Span{From: later, To: later.Add(energy.Day)}, series.Day)
			if err != nil || len(got) != 1 || got[0].Count != 1440 {
				t.Errorf("what came after the damage: %+v, %v; %+v", got, err, s.Stats())
			}
			if name == "empty" {
				return
			}
			if p := s.Stats().Problems; len(p) == 0 || !strings.Contains(p[0], path+aside) {
				t.Errorf("it is not said: %q", p)
			}
			if _, err := os.Stat(path + aside); err != nil {
				t.Error(err)
			}
		})
	}
}

// What cannot be opened now is taken up when it can.
func TestAFolderThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	s := openTest(t, filepath.Join(dir, "series.db"), Options{})
	steady(s, nil, dawn, dawn.Add(energy.Hour), energy.Minute)
	s.settle()
	if st := s.Stats(); len(st.Problems) != 1 || !strings.Contains(st.Problems[0], "cannot be opened") {
		t.Errorf("%+v", st)
	}
	hour := series.Span{From: dawn, To: dawn.Add(energy.Hour)}
	if got, err := s.Query(t.Context(), annasImport(), hour, series.Day); err != nil || len(got) != 1 || got[0].Count != 60 {
		t.Errorf("from memory: %+v, %v", got, err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if st := s.Stats(); len(st.Problems) != 0 || st.Written != 60 {
		t.Errorf("%+v", st)
	}
	path := killed(t, s)
	if got, err := openTest(t, path, Options{}).Query(t.Context(), annasImport(), hour, series.Day); err != nil || len(got) != 1 || got[0].Count != 60 {
		t.Errorf("from the file: %+v, %v", got, err)
	}
}

// A newer program's file is left as it is.
func TestANewerFile(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{})
	if _, err := s.db.w.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	closeTest(t, s)
	s = openTest(t, s.path, Options{})
	if p := s.Stats().Problems; len(p) != 1 || !strings.Contains(p[0], "newer") {
		t.Errorf("%q", p)
	}
	if _, err := os.Stat(s.path + aside); err == nil {
		t.Error("it was moved")
	}
}

func TestWhatIsDroppedIsCounted(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{})
	one := func(at energy.Instant, v int64) []series.Record {
		return []series.Record{{Subject: series.Subject{Kind: series.Asset, Name: "a"}, At: at, Values: []series.Value{{Quantity: series.Power, Value: v}}}}
	}
	s.Append(one(dawn, 5))
	s.Append(one(dawn, 6))                   // twice
	s.Append(one(dawn-1, 6))                 // late
	s.Append(one(dawn+1, series.MaxValue+1)) // impossible
	s.Append(one(-1, 6))
	for i := range energy.Instant(maxBlock + 5) {
		s.Append(one(dawn+10+i, 1))
	}
	st := s.Stats()
	if st.Dropped[series.Late] != 2 || st.Dropped[series.OutOfRange] != 2 || st.Dropped[series.TooMany] != 6 || st.Taken != maxBlock || st.Queued != maxBlock {
		t.Errorf("%+v", st)
	}
	s.settle()
	s.settle() // nothing is written twice
	closeTest(t, s)
	s.Append(one(dawn+energy.Instant(energy.Day), 5))
	if st := s.Stats(); st.Dropped[series.Lost] != 1 || st.Written != maxBlock || st.Queued != 0 {
		t.Errorf("%+v", st)
	}
}

// A series that is behind the others by less than the lag loses nothing, even where
// its block was written already.
func TestSeriesThatIsBehind(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{})
	var o seriestest.Oracle
	ahead := series.Subject{Kind: series.Asset, Name: "ahead"}
	for at := dawn; at < dawn.Add(12*energy.Hour); at = at.Add(energy.Minute) {
		s.Append([]series.Record{{Subject: ahead, At: at.Add(energy.Hour), Values: []series.Value{{Quantity: series.Power, Value: 1}}}})
		steady(s, &o, at, at.Add(energy.Minute), 30*energy.Second)
		if at%(7*60_000) == 0 {
			s.settle()
		}
	}
	span := series.Span{From: dawn, To: dawn.Add(energy.Day)}
	for _, r := range []series.Resolution{60_000, 900_000} {
		got, err := s.Query(t.Context(), annasImport(), span, r)
		if want := o.Query(annasImport(), span, r); err != nil || !slices.Equal(got, want) {
			t.Errorf("by %s: %d buckets, want %d; %v", r, len(got), len(want), err)
		}
	}
	if st := s.Stats(); st.Dropped[series.Late] != 0 {
		t.Errorf("%+v", st)
	}
}

// What is too late for the sums, or older than what the file may have, is not
// taken: it would be in some answers and not in others.
func TestLatePoints(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{})
	var o seriestest.Oracle
	steady(s, &o, dawn, dawn.Add(5*energy.Minute), energy.Second)
	other := series.Subject{Kind: series.Asset, Name: "other"}
	until := func(from, to energy.Instant) {
		for at := from; at < to; at = at.Add(energy.Minute) {
			s.Append([]series.Record{{Subject: other, At: at, Values: []series.Value{{Quantity: series.Power, Value: 1}}}})
		}
		s.settle()
	}
	late := func(at energy.Instant) {
		t.Helper()
		before := s.Stats().Dropped[series.Late]
		steady(s, nil, at, at+1, energy.Second)
		if s.Stats().Dropped[series.Late] != before+1 {
			t.Errorf("a point of %s was taken", at)
		}
		for _, r := range []series.Resolution{1_000, 60_000, series.Day} {
			span := series.Span{From: dawn, To: dawn.Add(energy.Hour)}
			if got, err := s.Query(t.Context(), annasImport(), span, r); err != nil || !slices.Equal(got, o.Query(annasImport(), span, r)) {
				t.Errorf("after a point of %s, by %s: %d buckets, %v", at, r, len(got), err)
			}
		}
	}
	until(dawn, dawn.Add(energy.Hour))
	closeTest(t, s)
	s = openTest(t, s.path, Options{})
	late(dawn.Add(2 * energy.Minute)) // nobody remembers that there is a later one
	until(dawn.Add(energy.Hour), dawn.Add(9*energy.Hour))
	if s.marks.Load().minuteUntil != dawn.Add(6*energy.Hour) {
		t.Fatalf("%+v", *s.marks.Load())
	}
	late(dawn.Add(5 * energy.Hour)) // later than its newest, and summed up without it
}

// A question that looked into memory before its block was summed up does not
// count the block twice, and nothing is summed up that is not in rows.
func TestASlowQuestion(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{})
	var o seriestest.Oracle
	steady(s, &o, dawn, dawn.Add(12*energy.Hour), 10*energy.Second)
	if k := (&keeper{Store: s}); k.closeTo(dawn.Add(6 * energy.Hour)) {
		t.Error("what is only in memory would be summed up as nothing")
	}
	_, held := s.held(annasImport())
	s.settle()
	id, _ := s.held(annasImport())
	if id == 0 || s.marks.Load().minuteUntil == 0 {
		t.Fatal("it was not written and summed up")
	}
	span := series.Span{From: dawn, To: dawn.Add(energy.Day)}
	for _, r := range []series.Resolution{10_000, 60_000, 900_000} {
		rest := slices.Clone(held)
		into := series.NewCollector(span, r)
		if err := s.stored(t.Context(), id, &rest, into, r); err != nil {
			t.Fatal(err)
		}
		for i := range rest {
			collect(rest[i].start, &rest[i].points, into.Span(), into)
		}
		if got, want := into.Buckets(), o.Query(annasImport(), span, r); !slices.Equal(got, want) {
			t.Errorf("by %s: %d buckets, want %d", r, len(got), len(want))
		}
	}
}

// Questions are answered while the keeper works and points come in.
func TestQueriesMeanwhile(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "series.db"), Options{flushEvery: time.Millisecond})
	done := make(chan struct{})
	go func() {
		defer close(done)
		steady(s, nil, dawn, dawn.Add(40*energy.Hour), 2*energy.Second)
	}()
	var last int64
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		got, err := s.Query(t.Context(), annasImport(), series.Span{From: dawn, To: dawn.Add(energy.Day)}, series.Day)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			continue
		}
		if got[0].Count < last {
			t.Fatalf("there were %d points, now there are %d; marks %+v", last, got[0].Count, *s.marks.Load())
		}
		last = got[0].Count
		if want := (last - 1) * 2_000; int64(got[0].Covered) != want {
			t.Fatalf("%d points cover %d ms, want %d", last, got[0].Covered, want)
		}
	}
	if last != 43_200 {
		t.Errorf("%d points", last)
	}
}

// A journal's row, whatever stands in it, is read or refused.
func FuzzReadJournal(f *testing.F) {
	var coder block.Coder
	p := block.Points{FirstSpan: 1}
	p.Add(5, 7, energy.Good)
	p.Add(1_005, -7, energy.Estimated)
	f.Add(appendJournal(&coder, nil, []piece{{&head{id: 3}, dawn, p, 2}, {&head{id: 4}, dawn, p, 2}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		var again []piece
		err := readJournal(&coder, body, func(id int64, start energy.Instant, points *block.Points) {
			again = append(again, piece{&head{id: id}, start, block.Points{
				Offsets: slices.Clone(points.Offsets), Values: slices.Clone(points.Values), Qualities: slices.Clone(points.Qualities), FirstSpan: points.FirstSpan,
			}, 0})
		})
		if err != nil {
			return
		}
		n := 0
		if err := readJournal(&coder, appendJournal(&coder, nil, again), func(int64, energy.Instant, *block.Points) { n++ }); err != nil || n != len(again) {
			t.Fatalf("%d pieces, then %d: %v", len(again), n, err)
		}
	})
}
