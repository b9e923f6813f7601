// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/telemetry"
	"github.com/allmende-energy/allmende/scheduler"
)

// scrape is what Prometheus would read.
func scrape(t *testing.T, url string) (code int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// promtool is Prometheus' own checker.
func promtool(t *testing.T, in string, args ...string) {
	t.Helper()
	tool, err := filepath.Abs("../.cache/tools/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("promtool is not there; `make test` fetches it")
	}
	cmd := exec.CommandContext(t.Context(), tool, args...)
	cmd.Stdin = strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

// TestMetrics: what is shown, that Prometheus has nothing against it, and that
// it tells of no member.
func TestMetrics(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	cfg, err := Load(dir, config.Flag{Key: "metrics.listen", Value: ":0", Name: "--set"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated, cfg.Build = true, telemetry.Build{Version: "1.2.3", Revision: "abc", Go: "go1"}
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	w.until(dawn.Add(3 * energy.Minute))
	at := c.Addresses()
	for _, path := range []string{"/v1/live", "/v1/community", "/v1/nothing/anna", "/anna", "/healthz"} {
		scrape(t, "http://"+at.HTTP+path)
	}
	c.problems.warn("series", "anna's inverter is full")
	if !strings.HasPrefix(at.Metrics, "127.0.0.1:") {
		t.Errorf("without a host the counters are at %s", at.Metrics)
	}
	code, body := scrape(t, "http://"+at.Metrics+"/metrics")
	if code != http.StatusOK {
		t.Fatal(code)
	}
	for _, want := range []string{
		`allmende_build_info{go="go1",revision="abc",version="1.2.3"} 1`,
		`allmende_tick_duration_seconds_count `, `allmende_tick_lateness_seconds_bucket{le="0.001"}`,
		`allmende_gateway_connected{gateway="`, `allmende_problem{kind="series"} 1`, `allmende_ledger_leaves `,
		`allmende_http_requests_total{code="200",method="GET",route="/v1/live"} 1`,
		`allmende_http_requests_total{code="404",method="GET",route="/v1/other"} 1`,
		`allmende_grpc_requests_total{code="OK",method="GetCommunity",service="allmende.v1.CommunityService"} 1`,
		`allmende_series_dropped_points_total{reason="late"} 0`, `allmende_inbox_samples 0`, `allmende_database_size_bytes `,
		`allmende_sign_ins_total{outcome="wrong"} 0`,
		`go_goroutines `, `process_open_fds `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not there", want)
		}
	}
	for _, m := range cfg.Roll.Members {
		if found := regexp.MustCompile(`(?m)^.*\b(` + regexp.QuoteMeta(string(m.ID)) + `)\b.*$`).FindString(body); found != "" {
			t.Errorf("a member is named: %s", found)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
	if code, _ := scrape(t, "http://"+at.Metrics+"/v1/live"); code != http.StatusNotFound {
		t.Errorf("the counters' listener serves more: %d", code)
	}
	// A simulated world shows them to everybody.
	if code, again := scrape(t, "http://"+at.HTTP+"/metrics"); code != http.StatusOK || !strings.Contains(again, "allmende_build_info") {
		t.Error(code)
	}
	promtool(t, body, "check", "metrics")
}

// TestMetricsNeedPermission on the web listener of a real community.
func TestMetricsNeedPermission(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	if code, body := scrape(t, "http://"+c.Addresses().HTTP+"/metrics"); code != http.StatusUnauthorized || strings.Contains(body, "allmende_build") {
		t.Errorf("%d %s", code, body)
	}
	if c.Addresses().Metrics != "" {
		t.Error("a listener of its own that nobody asked for")
	}
}

// TestCountingAllocatesNothing where it happens each tick and each batch.
func TestCountingAllocatesNothing(t *testing.T) {
	m := newMeasures(telemetry.Build{})
	backlog := scheduler.Backlog{Waiting: 3}
	if n := testing.AllocsPerRun(1000, func() {
		m.passed(time.Millisecond, backlog)
		m.late(energy.Second)
		m.samples.Add(4)
		m.liveTaken.Add(1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPassed(b *testing.B) {
	m := newMeasures(telemetry.Build{})
	b.ReportAllocs()
	for b.Loop() {
		m.passed(time.Millisecond, scheduler.Backlog{Waiting: 1})
		m.late(energy.Millisecond)
	}
}
