// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func profilesRun(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"gateway", "profiles"}, args...), &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func TestProfilesCommands(t *testing.T) {
	var listed struct {
		Profiles []profileRow `json:"profiles"`
	}
	code, said, _ := profilesRun(t, "--json", "--kind", "charger")
	if err := json.Unmarshal([]byte(said), &listed); err != nil || code != 0 || len(listed.Profiles) < 2 {
		t.Fatalf("%d: %v\n%s", code, err, said)
	}
	for _, p := range listed.Profiles {
		if p.Origin != "embedded" || len(p.Kinds) == 0 || p.Kinds[0] != "charger" {
			t.Errorf("%+v", p)
		}
	}
	if code, said, _ := profilesRun(t, "show", "huawei-sun2000"); code != 0 ||
		!strings.Contains(said, "holding 37765") || !strings.Contains(said, "by its timer, 60 to 3600 s") || !strings.Contains(said, "https://") {
		t.Errorf("%d: %s", code, said)
	}
	if code, _, errs := profilesRun(t, "show", "huawei-sun200"); code == 0 || !strings.Contains(errs, "huawei-sun2000") {
		t.Errorf("a typing error: %d %s", code, errs)
	}

	dir := t.TempDir()
	file := filepath.Join(dir, "mine.yaml")
	_, src, _ := profilesRun(t, "show", "eastron-sdm630", "--source")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(src)
	if code, said, errs := profilesRun(t, "check", file); code != 0 || !strings.Contains(said, "eastron-sdm630 is good") {
		t.Errorf("%d: %s%s", code, said, errs)
	}
	if code, said, _ := profilesRun(t, "list", "--profiles", dir); code != 0 || !strings.Contains(said, "mine.yaml (instead of ours)") {
		t.Errorf("%d: %s", code, said)
	}
	write(strings.Replace(src, "unit: W", "unti: W", 1))
	if code, said, errs := profilesRun(t, "check", file); code == 0 || !strings.Contains(said, "did you mean unit?") || !strings.Contains(errs, "mend") {
		t.Errorf("%d: %s%s", code, said, errs)
	}
	var checked struct {
		Valid    bool     `json:"valid"`
		Problems []string `json:"problems"`
	}
	code, said, _ = profilesRun(t, "check", file, "--json")
	if err := json.Unmarshal([]byte(said), &checked); err != nil || code == 0 || checked.Valid || len(checked.Problems) == 0 {
		t.Errorf("%d: %v\n%s", code, err, said)
	}
}
