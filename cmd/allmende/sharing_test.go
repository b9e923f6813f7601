// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/charters"
)

// TestSharingOfARealLedger: a demo runs under a charter of version 2 with a market,
// in which a member bids, until some intervals are settled. "why" and "whatif" ask it
// while it runs, and read its ledger afterwards: both ways say the same.
func TestSharingOfARealLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "village")
	file := filepath.Join(t.TempDir(), "charter.yaml")
	for _, one := range charters.Templates() {
		if one.Name == "needs-first" {
			text := strings.NewReplacer("[vulnerable]", "[families]", "\nsharing:\n", "\nsharing:\n  market: {lowest: 5 ct/kWh EUR, highest: 30 ct/kWh EUR}\n").Replace(string(one.YAML))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs locked
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{
			"demo", "--dir", dir, "--charter", file, "--speed", "3600", "--start", "2026-06-20T09:00:00Z",
			"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--gateways", "127.0.0.1:0",
		}, &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	url := ""
	for began := time.Now(); url == ""; time.Sleep(20 * time.Millisecond) {
		if m := regexp.MustCompile(`Look here: +(\S+)`).FindStringSubmatch(out.String()); m != nil {
			url = m[1]
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("the demo does not begin: %s %s", out.String(), errs.String())
		}
	}
	ask := func(args ...string) string {
		t.Helper()
		code, said, problem := command(t, false, "", args...)
		if code != 0 {
			t.Fatalf("%v: %s %s", args, problem, errs.String())
		}
		return said
	}
	var why struct{ StartUnixMs, CharterHash string }
	ask("member", "bid", "anna", "--price", "0.18", "--dir", dir)
	newest := func() string {
		for began := time.Now(); time.Since(began) < 3*time.Minute; time.Sleep(50 * time.Millisecond) {
			if code, said, _ := command(t, false, "", "why", "anna", "--server", url, "--json"); code == 0 && strings.Contains(said, "18 ct/kWh EUR") {
				return said
			}
		}
		t.Fatalf("nothing is settled: %s", errs.String())
		return ""
	}
	if err := json.Unmarshal([]byte(newest()), &why); err != nil {
		t.Fatal(err)
	}
	at := energyTime(t, why.StartUnixMs)
	said := ask("why", "anna", at, "--server", url)
	compared := ask("whatif", "--charter", "proportional", "--server", url, "--to", "2026-06-21", "--json")
	told := ask("whatif", "--charter", "proportional", "--server", url, "--to", "2026-06-21", "--retail", "30 ct/kWh EUR", "--lines")
	stop()
	if code := <-done; code != 0 {
		t.Fatalf("the demo ended with %d: %s", code, errs.String())
	}
	if again := ask("why", "anna", at, "--dir", dir); again != said || !strings.Contains(said, "exactly what was booked") || !strings.Contains(said, "Needs first") ||
		!strings.Contains(said, "bid: 18 ct/kWh EUR, for all that was still needed") {
		t.Errorf("running:\n%s\nfrom the file:\n%s", said, again)
	}
	var op struct {
		State  string
		Result struct{ Members []struct{ MemberId string } }
	}
	if err := json.Unmarshal([]byte(compared), &op); err != nil || op.State != "WHAT_IF_STATE_DONE" || len(op.Result.Members) == 0 {
		t.Errorf("%v: %s", err, compared)
	}
	for _, want := range []string{"\nanna\n", "\nthe retailer\n", "supply contract", "together", "result "} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told in\n%s", want, told)
		}
	}
	table := ask("whatif", "--charter", "proportional", "--dir", dir)
	if !strings.Contains(table, "From “Needs first” to “") || !strings.Contains(table, "Energy is conserved") || !strings.Contains(table, "anna") {
		t.Errorf("%s", table)
	}
	ask("ledger", "verify", dir)
}

// energyTime is a time of JSON as people write it.
func energyTime(t *testing.T, unixMilli string) string {
	t.Helper()
	var ms int64
	if err := json.Unmarshal([]byte(unixMilli), &ms); err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
