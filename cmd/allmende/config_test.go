// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfig: what explain, show and check say of a folder that init made.
func TestConfig(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	t.Setenv("ALLMENDE_LIVE_TICK", "5s")
	expect := func(want int, holds string, args ...string) string {
		t.Helper()
		code, out, errs := command(t, false, "", append([]string{"config"}, args...)...)
		if code != want || !strings.Contains(out+errs, holds) {
			t.Errorf("%v: %d, expected %q in\n%s%s", args, code, holds, out, errs)
		}
		return out
	}
	expect(0, "now       5s (from ALLMENDE_LIVE_TICK)\n    default   1s", "explain", "live.tick", "--dir", dir)
	expect(0, "(from "+filepath.Join(dir, "allmende.yaml")+", http.listen, line ", "explain", "http.listen", "--dir", dir)
	expect(0, "127.0.0.1:8080 (the default)", "explain", "http", "--dir", t.TempDir())
	expect(1, "did you mean live.tick?", "explain", "live.tock")
	expect(1, "did you mean http?", "explain", "htp")
	expect(0, "ALLMENDE_LIVE_TICK", "show", "--dir", dir)
	expect(0, "allmende.yaml:", "show", "--dir", dir)
	expect(0, "--set live.tick", "show", "--dir", dir, "--set", "live.tick=6s")
	expect(0, "Nothing is wrong", "check", "--dir", dir)
	expect(1, "--set live.tick: live.tick: 1h0m0s", "check", "--dir", dir, "--set", "live.tick=1h")
	expect(1, "write it as --set key=value", "check", "--dir", dir, "--set", "live.tick")

	expect(0, "ALLMENDE_GW_POLL", "explain", "--gateway", "poll", "--dir", dir)
	expect(1, "did you mean spool?", "explain", "--gateway", "spol")

	var all []explained
	if err := json.Unmarshal([]byte(expect(0, "", "explain", "live", "--dir", dir, "--json")), &all); err != nil || len(all) != 3 || all[0].Value != "5s" || all[0].Variable != "ALLMENDE_LIVE_TICK" {
		t.Errorf("%+v, %v", all, err)
	}
	var values map[string]shown
	if err := json.Unmarshal([]byte(expect(0, "", "show", "--dir", dir, "--json")), &values); err != nil || values["live.tick"].From != "environment" || values["data"].Value != "data" {
		t.Errorf("%+v, %v", values, err)
	}

	file := filepath.Join(dir, "allmende.yaml")
	if err := os.WriteFile(file, []byte("live:\n  tock: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALLMENDE_LIVE_TOCK", "1s")
	expect(1, file+":2: live.tock: unknown field (did you mean tick?)", "check", "--dir", dir)
	expect(1, "ALLMENDE_LIVE_TOCK: unknown variable (did you mean ALLMENDE_LIVE_TICK?)", "check", "--dir", dir)
	var result checked
	if err := json.Unmarshal([]byte(expect(1, "", "check", "--dir", dir, "--json")), &result); err != nil || result.OK || len(result.Problems) != 2 {
		t.Errorf("%+v, %v", result, err)
	}
}
