// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const recordedHomes = "../../../shared/data/citylearn-2022"

func replayRun(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"replay"}, args...), &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func recordedOrSkip(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(recordedHomes); err != nil {
		t.Skip("the recorded homes are not here: put them at ../shared/data/citylearn-2022 beside the checkout")
	}
}

type replayJSON struct {
	Intervals, Members int
	replayTotals
	ChargedWh    int64                   `json:"charged_wh"`
	DischargedWh int64                   `json:"discharged_wh"`
	ByMember     map[string]replayTotals `json:"by_member"`
}

func replayed(t *testing.T, storage string) replayJSON {
	t.Helper()
	code, stdout, stderr := replayRun(t, "--format", "citylearn", recordedHomes, "--charter", "../../charters/equal-shares.yaml", "--storage", storage, "--json")
	if code != 0 || stderr != "" {
		t.Fatalf("status %d: %s", code, stderr)
	}
	var r replayJSON
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReplayJSON(t *testing.T) {
	recordedOrSkip(t)
	for storage, want := range map[string]struct{ cost, imported float64 }{"none": {0.8659, 0.8422}, "shared": {0.6004, 0.6504}} {
		r := replayed(t, storage)
		if r.Intervals != 8760 || r.Members != 17 || len(r.ByMember) != 17 {
			t.Errorf("%s: %d intervals, %d members, %d by id", storage, r.Intervals, r.Members, len(r.ByMember))
		}
		ratio := float64(r.GridImportWh) / float64(r.GridImportWithoutSharingWh)
		if math.Abs(r.CostRatio-want.cost) > 0.002 || math.Abs(ratio-want.imported) > 0.002 {
			t.Errorf("%s: cost %.4f, import %.4f; published %.4f and %.4f", storage, r.CostRatio, ratio, want.cost, want.imported)
		}
		if r.ConsumptionWh != r.OwnUseWh+r.SharedWh+r.GridImportWh {
			t.Errorf("%s: consumption does not add up: %+v", storage, r.replayTotals)
		}
		if r.ProductionWh+r.DischargedWh != r.OwnUseWh+r.SharedWh+r.ChargedWh+r.GridExportWh {
			t.Errorf("%s: production does not add up: %+v", storage, r)
		}
		var sum replayTotals
		for id, m := range r.ByMember {
			sum.add(m)
			if m.ConsumptionWh != m.OwnUseWh+m.SharedWh+m.GridImportWh || m.ProductionWh != m.OwnUseWh+m.SoldWh+m.StoredWh+m.GridExportWh {
				t.Errorf("%s: %s does not add up: %+v", storage, id, m)
			}
		}
		sum.CostRatio = r.CostRatio
		if sum != r.replayTotals {
			t.Errorf("%s: members add up to %+v, the community is %+v", storage, sum, r.replayTotals)
		}
	}
}

func TestReplayTableAndProgress(t *testing.T) {
	recordedOrSkip(t)
	var out, errs bytes.Buffer
	o := &output{In: strings.NewReader(""), Out: &out, Err: &errs, IsTerminal: true}
	if code := run(t.Context(), []string{"replay", recordedHomes, "--charter", "../../charters/proportional.yaml"}, o); code != 0 {
		t.Fatalf("status %d: %s", code, errs.String())
	}
	for _, word := range []string{"8760 intervals, 17 members", "Building_17", "community", "94425.4", "0.8422"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("the table lacks %q:\n%s", word, out.String())
		}
	}
	if !strings.Contains(errs.String(), "replaying") || !strings.HasSuffix(errs.String(), "\r\x1b[K") {
		t.Errorf("no bar, or it stays: %q", errs.String())
	}
}

func TestReplayRefusals(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const charter = "../../charters/equal-shares.yaml"
	schema := `{"buildings":{"B1":{"include":true,"energy_simulation":"%s","pricing":"p.csv","pv":{"attributes":{"nominal_power":4}},"electrical_storage":{"attributes":{"capacity":6.4,"efficiency":0.9,"nominal_power":5}}}}}`
	for _, c := range []struct{ file, load, says string }{
		{"b.csv", "1,x", "line 2, solar_generation"},
		{"b.csv", "-1,0", "line 2"},
		{"b.csv", "NaN,0", "line 2"},
		{"b.csv", "1", "wrong number of fields"},
		{"../b.csv", "1,0", "not in this folder"},
		{"b.csv", "1,0\n1,0", "2 hours, p.csv has 1"},
	} {
		put("schema.json", strings.Replace(schema, "%s", c.file, 1))
		put("b.csv", "non_shiftable_load,solar_generation\n"+c.load+"\n")
		put("p.csv", "electricity_pricing\n0.2\n")
		if code, _, stderr := replayRun(t, dir, "--charter", charter); code == 0 || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: status %d, %s; want %q", c.load, code, stderr, c.says)
		}
	}
	put("schema.json", "{")
	if code, _, stderr := replayRun(t, dir, "--charter", charter); code == 0 || !strings.Contains(stderr, "schema.json") {
		t.Errorf("a broken schema: %d, %s", code, stderr)
	}
	if code, _, stderr := replayRun(t, t.TempDir(), "--charter", charter); code == 0 || !strings.Contains(stderr, "is this the folder of a CityLearn data set?") {
		t.Errorf("an empty folder: %d, %s", code, stderr)
	}
	put("bad.yaml", "charter: allmende/1\nfoo: 1\n")
	if code, _, stderr := replayRun(t, dir, "--charter", filepath.Join(dir, "bad.yaml")); code == 0 || !strings.Contains(stderr, "bad.yaml") || !strings.Contains(stderr, "foo") {
		t.Errorf("a broken charter: %d, %s", code, stderr)
	}
}
