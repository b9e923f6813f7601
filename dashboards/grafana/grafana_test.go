// SPDX-License-Identifier: AGPL-3.0-or-later

// Package grafana_test holds the dashboards to what is really there: queries of
// InfluxDB run against a real one that our own writer has filled, names of
// counters are those that the coordinator has.
package grafana_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/influxtest"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/influx"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

// The parts of a dashboard that Grafana needs and we check.
type (
	dashboard struct {
		UID           string
		Title         string
		Description   string
		SchemaVersion int
		Panels        []panel
		Templating    struct{ List []variable }
	}
	panel struct {
		ID          int
		Type, Title string
		GridPos     struct{ H, W, X, Y int }
		Datasource  source
		Targets     []target
	}
	source struct{ Type, UID string }
	target struct {
		RefID       string `json:"refId"`
		Datasource  source
		Query, Expr string
	}
	variable struct {
		Name, Type, Query string
		Datasource        source
	}
)

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	names, err := filepath.Glob("*.json")
	if err != nil || len(names) != 2 {
		t.Fatalf("%d dashboards, %v", len(names), err)
	}
	out := map[string]dashboard{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = d
	}
	return out
}

// What Grafana would show as broken, or would not import.
func TestDashboardsAreWhole(t *testing.T) {
	uids := map[string]bool{}
	for name, d := range dashboards(t) {
		if d.UID == "" || uids[d.UID] || d.Title == "" || d.Description == "" || d.SchemaVersion < 36 {
			t.Errorf("%s: uid %q, title %q, schema %d", name, d.UID, d.Title, d.SchemaVersion)
		}
		uids[d.UID] = true
		known := map[string]bool{"__field.labels.asset": true}
		for _, v := range d.Templating.List {
			known[v.Name] = true
		}
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			if ids[p.ID] || p.Title == "" || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: panel %d %q: id twice, no title, no place or no query", name, p.ID, p.Title)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: %q lies on %q", name, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			for _, q := range p.Targets {
				if q.Datasource.UID != "${"+q.Datasource.Type+"}" || (q.Query == "") == (q.Expr == "") || (q.Datasource.Type == "influxdb") != (q.Query != "") {
					t.Errorf("%s: %q: source %+v does not fit %q%q", name, p.Title, q.Datasource, q.Query, q.Expr)
				}
			}
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\$\{([^}:]+)[^}]*\}`).FindAllStringSubmatch(string(raw), -1) {
			if !known[m[1]] {
				t.Errorf("%s uses ${%s}, which is no variable of it", name, m[1])
			}
		}
	}
}

// Every counter that a dashboard asks for is one that the coordinator has.
func TestCountersAreOurs(t *testing.T) {
	sources, err := filepath.Glob("../../coordinator/measures*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("where are the coordinator's counters? %v", err)
	}
	have := map[string]bool{}
	for _, name := range sources {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(allmende_[a-z_]+)"`).FindAllStringSubmatch(string(raw), -1) {
			have[m[1]] = true
		}
	}
	asked := 0
	for name, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				for _, counter := range regexp.MustCompile(`allmende_[a-z_]+`).FindAllString(q.Expr, -1) {
					asked++
					if !have[counter] && !have[strings.TrimSuffix(counter, "_bucket")] {
						t.Errorf("%s: %q asks for %s, which is no counter of ours", name, p.Title, counter)
					}
				}
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d counters", asked)
	}
}

const noon = energy.Instant(1_780_056_000_000) // 2026-05-29T12:00:00Z

// fill writes two hours of a small community as the coordinator would.
func fill(t *testing.T, server *influxtest.Server) {
	t.Helper()
	s := influx.Open(influx.Options{URL: server.URL, Bucket: influxtest.Bucket, Community: "lane"})
	record := func(at energy.Instant, kind series.SubjectKind, name string, quantities []series.Quantity) series.Record {
		r := series.Record{Subject: series.Subject{Kind: kind, Name: name}, At: at}
		for i, q := range quantities {
			r.Values = append(r.Values, series.Value{Quantity: q, Value: int64(100 * (i + 1))})
		}
		return r
	}
	for at := noon; at < noon.Add(2*energy.Hour); at = at.Add(10 * energy.Second) {
		s.Append([]series.Record{
			record(at, series.Community, "lane", series.Community.Quantities()),
			record(at, series.Member, "anna", series.Member.Quantities()), record(at, series.Member, "ben", series.Member.Quantities()),
			record(at, series.Asset, "roof", []series.Quantity{series.Power}), record(at, series.Asset, "battery", series.Asset.Quantities()),
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// Every query, with its variables filled in, is run and finds something, with
// the columns that panels need.
func TestQueriesFindSomething(t *testing.T) {
	server := influxtest.Start(t)
	fill(t, server)
	asked := 0
	for name, d := range dashboards(t) {
		run := func(what, query string, columns ...string) {
			t.Helper()
			for _, sums := range []string{"1m", "15m"} {
				if sums == "15m" && !strings.Contains(query, "${sums}") {
					continue
				}
				filled := strings.NewReplacer(
					"${bucket}", influxtest.Bucket, "${community}", "lane", "${member}", "anna", "${sums}", sums,
					"v.timeRangeStart", noon.String(), "v.timeRangeStop", noon.Add(3*energy.Hour).String(), "v.windowPeriod", sums,
					"start: -30d", "start: -36500d",
				).Replace(query)
				if strings.Contains(filled, "${") || strings.Contains(filled, "v.t") {
					t.Fatalf("%s: %s: something is not filled in:\n%s", name, what, filled)
				}
				rows := server.Flux(filled)
				asked++
				if len(rows) == 0 {
					t.Errorf("%s: %s (sums of %s) finds nothing:\n%s", name, what, sums, filled)
					continue
				}
				for _, c := range columns {
					if rows[0][c] == "" {
						t.Errorf("%s: %s: no column %s in %v", name, what, c, rows[0])
					}
				}
			}
		}
		for _, v := range d.Templating.List {
			if v.Type == "query" && v.Datasource.Type == "influxdb" {
				run("variable "+v.Name, v.Query, "_value")
			}
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				if q.Query == "" {
					continue
				}
				columns := []string{"_value"}
				switch {
				case p.Title == "Members in the time shown":
					columns = []string{"member", "production_mw", "share_mw"}
				case p.Type == "table":
					columns = []string{"asset", "power"}
				case slices.Contains([]string{"timeseries", "barchart", "state-timeline"}, p.Type):
					columns = append(columns, "_time")
				}
				run(p.Title, q.Query, columns...)
			}
		}
	}
	if asked < 25 {
		t.Errorf("only %d queries", asked)
	}
}

// The figures of a panel are what was written: an hour of 500 milliwatts' import.
func TestAPanelsFigures(t *testing.T) {
	server := influxtest.Start(t)
	fill(t, server)
	for _, p := range dashboards(t)["community.json"].Panels {
		if p.Title != "Energy by day" {
			continue
		}
		query := strings.NewReplacer("${bucket}", influxtest.Bucket, "${community}", "lane", "v.timeRangeStart", noon.String(), "v.timeRangeStop", noon.Add(3*energy.Hour).String()).Replace(p.Targets[0].Query)
		got := map[string]string{}
		for _, row := range server.Flux(query) {
			got[row["quantity"]] = row["_value"]
		}
		// Two hours but the first ten seconds, 100 mW: production is the community's first quantity.
		if want := fmt.Sprint(float64(100*(7_200-10)) / 3_600_000_000); got["production_mw"] != want || len(got) != 5 {
			t.Errorf("%v, want production %s kWh", got, want)
		}
		return
	}
	t.Error("the panel is gone")
}
