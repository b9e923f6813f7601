// SPDX-License-Identifier: AGPL-3.0-or-later

package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/influxtest"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/embedded"
	"github.com/allmende-energy/allmende/meters/series/seriestest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

const (
	dawn     = energy.Instant(1_780_012_800_000)
	patience = 5 * time.Minute
)

func open(t testing.TB, o Options) *Store {
	t.Helper()
	o.Bucket, o.Community = influxtest.Bucket, "lane"
	s := Open(o)
	t.Cleanup(func() { closeStore(s, patience) })
	return s
}

func closeStore(s *Store, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.Close(ctx)
}

// eventually waits for what a server on another process does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func (s *Store) sent() bool { return s.Stats().Queued == 0 }

// The same random households in InfluxDB, in the embedded store and in the
// oracle: the same answers, at every resolution.
func TestAllStoresAnswerTheSame(t *testing.T) {
	server := influxtest.Start(t)
	s := open(t, Options{URL: server.URL})
	other := embedded.Open(t.Context(), filepath.Join(t.TempDir(), "series.db"), embedded.Options{})
	t.Cleanup(func() { other.Close(context.Background()) })
	var oracle seriestest.Oracle
	v := seriestest.NewVillage(11, dawn)
	for v.At < dawn.Add(30*energy.Hour+7*energy.Minute) { // within a quarter-hour
		period := energy.Second
		if v.At > dawn.Add(energy.Hour) {
			period = 20 * energy.Second
		}
		r := v.Step(period)
		s.Append(r)
		other.Append(r)
		oracle.Append(r)
	}
	eventually(t, "all is written", s.sent)
	rng := rand.New(rand.NewPCG(5, 5))
	seen := 0
	for _, of := range oracle.Series() {
		for _, r := range []series.Resolution{1_000, 10_000, 90_000, 60_000, 300_000, 900_000, 3_600_000, 86_400_000} {
			from := dawn.Add(energy.Span(rng.Int64N(int64(10 * energy.Hour))))
			span := series.Span{From: from, To: from.Add(energy.Span(min(int64(r)*400, int64(31*energy.Hour))))}
			want := oracle.Query(of, span, r)
			seen += len(want)
			for name, store := range map[string]series.Store{"influx": s, "embedded": other} {
				got, err := store.Query(t.Context(), of, span, r)
				if err != nil {
					t.Fatalf("%s: %s by %s: %v", name, of, r, err)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %s %v by %s: got %d buckets, want %d: %s", name, of, span, r, len(got), len(want), difference(got, want))
				}
			}
		}
	}
	if seen < 1_000 {
		t.Errorf("only %d buckets were compared", seen)
	}
	if st := s.Stats(); st.Taken != st.Written || st.Failures > 0 || len(st.Problems) > 0 || st.Dropped[series.Late] == 0 {
		t.Errorf("%+v", st)
	}
	// The adapter's own Flux is what is documented: a member's production, by field.
	rows := server.Flux(`from(bucket: "allmende/autogen") |> range(start: 2026-05-29T00:00:00Z, stop: 2026-06-01T00:00:00Z)
		|> filter(fn: (r) => r._measurement == "member" and r.community == "lane" and r.member == "anna" and r._field == "production_mw") |> count()`)
	if want := fmt.Sprint(count(oracle.Query(series.Series{Subject: series.Subject{Kind: series.Member, Name: "anna"}, Quantity: series.Production}, series.Span{From: dawn, To: dawn.Add(3 * energy.Day)}, series.Day))); len(rows) != 1 || rows[0]["_value"] != want {
		t.Errorf("%v, want %s", rows, want)
	}
}

func count(b []series.Bucket) (n int64) {
	for _, b := range b {
		n += b.Count
	}
	return n
}

func difference(got, want []series.Bucket) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("bucket %d\ngot  %+v\nwant %+v", i, got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
	return "none"
}

func annasImport() series.Series {
	return series.Series{Subject: series.Subject{Kind: series.Member, Name: "anna"}, Quantity: series.Import}
}

func anna(at energy.Instant, v int64) []series.Record {
	return []series.Record{{Subject: annasImport().Subject, At: at, Values: []series.Value{{Quantity: series.Import, Value: v}}}}
}

// A restart of ours cuts a minute in two parts, which add up.
func TestPartsAddUp(t *testing.T) {
	server := influxtest.Start(t)
	for half := range energy.Span(2) {
		s := open(t, Options{URL: server.URL})
		for i := range energy.Span(30) {
			s.Append(anna(dawn.Add(half*30*energy.Second+i*energy.Second), 1_000))
		}
		if err := closeStore(s, patience); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Options{URL: server.URL})
	for _, r := range []energy.Span{energy.Minute, energy.QuarterHour, energy.Day} {
		got, err := s.Query(t.Context(), annasImport(), series.Span{From: dawn, To: dawn.Add(energy.Day)}, series.Resolution(r))
		// Each program's first point stands for no time.
		if err != nil || len(got) != 1 || got[0].Count != 60 || got[0].Covered != 58*energy.Second || got[0].Sum != 60_000 {
			t.Errorf("by %s: %+v, %v", r, got, err)
		}
	}
}

// The server dies and comes back while points come in. Nobody waits for it;
// what finds no place is counted and shown, everything else arrives.
func TestTheServerIsKilled(t *testing.T) {
	server := influxtest.Start(t)
	s := open(t, Options{URL: server.URL, queuePoints: 20_000})
	at := dawn
	feed := func(n int) {
		for range n {
			at = at.Add(energy.Second)
			s.Append(anna(at, int64(at/1_000)%7_000))
		}
	}
	feed(12_000)
	eventually(t, "the first part is written", s.sent)
	server.Kill()
	feed(60_000)
	eventually(t, "it is shown", func() bool {
		p := s.Stats().Problems
		return len(p) == 1 && strings.Contains(p[0], "InfluxDB takes nothing") && strings.Contains(p[0], "series.influxdb")
	})
	dropped := s.Stats().Dropped[series.Full]
	if dropped == 0 || s.Stats().Queued > 25_000 {
		t.Errorf("the queue is not bounded: %+v", s.Stats())
	}
	server.Restart()
	eventually(t, "what waited is written", s.sent)
	st := s.Stats()
	if len(st.Problems) > 0 || st.Written+st.Dropped[series.Full] != st.Taken || st.Dropped[series.Lost]+st.Dropped[series.Refused] > 0 {
		t.Errorf("%+v", st)
	}
	rows := server.Flux(`from(bucket: "allmende/autogen") |> range(start: 2026-05-29T00:00:00Z, stop: 2026-06-01T00:00:00Z)
		|> filter(fn: (r) => r._measurement == "member" and r._field == "import_mw") |> count()`)
	if len(rows) != 1 || rows[0]["_value"] != fmt.Sprint(st.Written) {
		t.Errorf("the server has %v, %d were written", rows, st.Written)
	}
}

// A server that does not answer costs no more than the time that Close is given.
func TestCloseIsBounded(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	s := open(t, Options{URL: server.URL})
	s.Append(anna(dawn, 5))
	began := time.Now()
	if err := closeStore(s, 100*time.Millisecond); err == nil || time.Since(began) > time.Minute {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	if st := s.Stats(); st.Dropped[series.Lost] != 1 || st.Queued != 0 {
		t.Errorf("%+v", st)
	}
}

// What a server answers decides what becomes of a batch.
func TestAnswersOfTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		body    string
		refused bool
		problem string
	}{
		"a wrong token":     {http.StatusUnauthorized, `{"code":"unauthorized","message":"unauthorized access"}`, false, "token_file"},
		"no such bucket":    {http.StatusNotFound, `{"code":"not found","message":"bucket \"x\" not found"}`, false, "bucket"},
		"too busy":          {http.StatusTooManyRequests, "", false, "too much to do"},
		"broken":            {http.StatusInternalServerError, "oops", false, "check that the server runs"},
		"another kind":      {http.StatusBadRequest, `{"code":"invalid","message":"partial write: field type conflict"}`, true, "field type conflict"},
		"too large for one": {http.StatusRequestEntityTooLarge, "", true, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			defer server.Close()
			s := open(t, Options{URL: server.URL, Token: "secret"})
			s.Append(anna(dawn, 5))
			eventually(t, "it is shown", func() bool { return len(s.Stats().Problems) == 1 })
			st := s.Stats()
			if p := st.Problems[0]; !strings.Contains(p, c.problem) || strings.Contains(p, "secret") {
				t.Errorf("%q", p)
			}
			if got := st.Dropped[series.Refused] > 0; got != c.refused || !got && st.Queued != 1 {
				t.Errorf("%+v", st)
			}
			closeStore(s, 50*time.Millisecond)
		})
	}
}

// A batch that is too large is sent in halves.
func TestTooLargeIsSplit(t *testing.T) {
	var largest, got atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		if err != nil || bytes.HasPrefix(body, []byte("\n")) {
			t.Errorf("%q, %v", body, err)
		}
		n := int64(bytes.Count(body, []byte("member,")))
		if n > 100 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		largest.Store(max(largest.Load(), n))
		got.Add(n)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	s := open(t, Options{URL: server.URL})
	for i := range energy.Span(1_000) {
		s.Append(anna(dawn.Add(i*10), 5))
	}
	eventually(t, "all is sent", func() bool { return got.Load() >= 1_000 && s.sent() })
	if st := s.Stats(); got.Load() != 1_000 || largest.Load() > 100 || st.Written != 1_000 {
		t.Errorf("%d lines, at most %d at once; %+v", got.Load(), largest.Load(), st)
	}
}

// Names that are no slugs neither end a line nor a query.
func TestNamesAreQuoted(t *testing.T) {
	server := influxtest.Start(t)
	s := open(t, Options{URL: server.URL})
	names := []string{
		"anna", `a b,c=d`, `x" or true or r.member == "anna`, "${1/0}", `back\slash`, "line\nmember,community=lane,member=anna import_mw=9i 1", "Zoë", "a]b", "' or 1=1",
	}
	for i, name := range names {
		s.Append([]series.Record{{Subject: series.Subject{Kind: series.Member, Name: name}, At: dawn, Values: []series.Value{{Quantity: series.Import, Value: int64(i + 1)}}}})
	}
	eventually(t, "all is written", s.sent)
	if st := s.Stats(); st.Written != uint64(len(names)) {
		t.Fatalf("%+v", st)
	}
	for i, name := range names {
		got, err := s.Query(t.Context(), series.Series{Subject: series.Subject{Kind: series.Member, Name: name}, Quantity: series.Import}, series.Span{From: dawn, To: dawn.Add(energy.Second)}, 1_000)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if strings.ContainsAny(name, "\n\\") { // written with '_' instead
			if len(got) != 0 {
				t.Errorf("%q: %+v", name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Count != 1 || got[0].Sum != int64(i+1) {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add(`a"b`)
	f.Add("${x}")
	f.Fuzz(func(t *testing.T, text string) {
		q := quote(text)
		if strings.ContainsAny(q[1:len(q)-1], "\"$\n{}") {
			t.Fatalf("%q", q)
		}
		line := string(escape(nil, text))
		if strings.ContainsAny(line, "\n\r") || strings.HasSuffix(line, `\`) {
			t.Fatalf("%q", line)
		}
	})
}
