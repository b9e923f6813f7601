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

// charterRun starts the program as main does and gives what it said.
func charterRun(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"charter"}, args...), &output{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func TestCharterCommands(t *testing.T) {
	code, text, _ := charterRun(t, "", "template")
	if code != 0 || !strings.Contains(text, "charter: allmende/1") {
		t.Fatalf("template: %d\n%s", code, text)
	}
	file := filepath.Join(t.TempDir(), "charter.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	_, hash, _ := charterRun(t, "", "hash", file)
	hash = strings.TrimSpace(hash)
	if len(hash) != 64 {
		t.Fatalf("hash %q", hash)
	}
	if code, said, errs := charterRun(t, "", "check", file); code != 0 || !strings.Contains(said, "valid") || !strings.Contains(said, hash) {
		t.Errorf("check: %d\n%s%s", code, said, errs)
	}
	code, said, errs := charterRun(t, "", "explain", file)
	if code != 0 || !strings.Contains(said, "nobody is always last") || !strings.Contains(said, hash) {
		t.Errorf("explain: %d\n%s%s", code, said, errs)
	}
	for _, line := range strings.Split(said, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("a line of %d characters: %s", len([]rune(line)), line)
		}
	}
	for _, command := range []string{"check", "hash", "explain"} {
		_, said, _ := charterRun(t, text, command, "--json", "-")
		var v struct {
			Hash string `json:"hash"`
		}
		if err := json.Unmarshal([]byte(said), &v); err != nil || v.Hash != hash {
			t.Errorf("%s --json: %v\n%s", command, err, said)
		}
	}
}

func TestCharterMistakes(t *testing.T) {
	_, text, _ := charterRun(t, "", "template", "proportional")
	broken := strings.NewReplacer("residual:", "residuals:", "use: shared", "use: always").Replace(text)

	code, said, errs := charterRun(t, broken, "check", "-")
	if code != 1 || said != "" {
		t.Errorf("check of a broken charter: %d, %q", code, said)
	}
	for _, want := range []string{"residuals: unknown field (did you mean residual?)", "storage.use:", "write none or shared", "2 mistakes"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not said in\n%s", want, errs)
		}
	}
	code, said, errs = charterRun(t, broken, "check", "--json", "-")
	var v checkResult
	if err := json.Unmarshal([]byte(said), &v); err != nil || code != 1 || v.Valid || len(v.Problems) != 2 || v.Problems[0].Line == 0 || errs != "" {
		t.Errorf("check --json: %d %v\n%s%s", code, err, said, errs)
	}
	for _, args := range [][]string{{"check", "no/such/file.yaml"}, {"template", "lottery"}, {"hash", t.TempDir()}} {
		if code, said, errs := charterRun(t, "", args...); code != 1 || said != "" || !strings.Contains(errs, "allmende charter") || strings.Contains(errs, "<") {
			t.Errorf("%q: %d\n%s%s", args, code, said, errs)
		}
	}
}

func TestCharterTemplates(t *testing.T) {
	code, said, errs := charterRun(t, "", "templates")
	if code != 0 || !strings.Contains(said, "cz-edc") || !strings.Contains(said, "anywhere") || strings.Count(said, "\n") < 25 {
		t.Errorf("templates: %d\n%s%s", code, said, errs)
	}
	code, said, _ = charterRun(t, "", "templates", "--json")
	var list []templateResult
	if err := json.Unmarshal([]byte(said), &list); err != nil || code != 0 || len(list) < 25 {
		t.Fatalf("templates --json: %d %v", code, err)
	}
	for _, l := range list {
		code, text, errs := charterRun(t, "", "templates", l.Name)
		if code != 0 || len(l.Hash) != 64 {
			t.Errorf("templates %s: %d %s", l.Name, code, errs)
		}
		if code, said, errs := charterRun(t, text, "explain", "-"); code != 0 || !strings.Contains(said, l.Title) {
			t.Errorf("explain of %s: %d\n%s%s", l.Name, code, said, errs)
		}
	}
}

func TestCharterCheckAgainstARegister(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	_, text, _ := charterRun(t, "", "template", "needs-first")
	code, _, errs := charterRun(t, text, "check", "--dir", dir, "-")
	if code != 1 || !strings.Contains(errs, `sharing.rounds[0].groups[0]: no member is in the group "vulnerable"; give it to members`) {
		t.Errorf("check --dir: %d\n%s", code, errs)
	}
	if code, said, errs := charterRun(t, strings.Replace(text, "groups: [vulnerable]", "groups: []", 1), "check", "--community", filepath.Join(dir, "community.yaml"), "--json", "-"); code != 0 || !strings.Contains(said, `"valid": true`) {
		t.Errorf("check --community: %d\n%s%s", code, said, errs)
	}
	// A round for few is no mistake, and what it tells about them is said.
	few := strings.Replace(text, "groups: [vulnerable]", "groups: [families]", 1)
	if code, said, errs := charterRun(t, few, "check", "--dir", dir, "-"); code != 0 || !strings.Contains(errs, "not a mistake, but sharing.rounds[0].groups: round") || !strings.Contains(errs, "is for two members") {
		t.Errorf("a round for two: %d\n%s%s", code, said, errs)
	}
	if code, said, _ := charterRun(t, few, "check", "--json", "-"); code != 0 || !strings.Contains(said, `"remarks": [`) || !strings.Contains(said, "the register says (--dir)") {
		t.Errorf("a round for nobody knows how many: %d\n%s", code, said)
	}
	if code, _, errs := charterRun(t, text, "check", "--dir", dir, "--community", "x", "-"); code != 1 || !strings.Contains(errs, "give one of them") {
		t.Errorf("both: %d\n%s", code, errs)
	}
}

func TestCharterDiff(t *testing.T) {
	_, text, _ := charterRun(t, "", "template")
	dir := t.TempDir()
	old := filepath.Join(dir, "old.yaml")
	if err := os.WriteFile(old, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("price: 12 ct", "price: 15.5 ct", "use: shared", "use: none").Replace(text)
	code, said, errs := charterRun(t, changed, "diff", old, "-")
	for _, want := range []string{"Changed: the price. Before: Shared energy costs 12 ct/kWh", "Now: Shared energy costs", "15.5 ct/kWh", "Changed: batteries.", "hash before"} {
		if code != 0 || !strings.Contains(strings.Join(strings.Fields(said), " "), want) {
			t.Errorf("diff: %d, %q is not in\n%s%s", code, want, said, errs)
		}
	}
	_, said, _ = charterRun(t, changed, "diff", "--json", old, "-")
	var v diffResult
	if err := json.Unmarshal([]byte(said), &v); err != nil || v.Same || len(v.Differences) != 2 || v.Before.Hash == v.After.Hash {
		t.Errorf("diff --json: %v\n%s", err, said)
	}
	if code, said, _ := charterRun(t, text, "diff", old, "-"); code != 0 || !strings.Contains(said, "Both say the same.") {
		t.Errorf("diff of one charter: %d\n%s", code, said)
	}
}

func TestCharterBeta(t *testing.T) {
	_, text, _ := charterRun(t, "", "templates", "es-beta")
	dir := t.TempDir()
	args := []string{"beta", "write", "-", "--dir", dir, "--cau", "ES1234123456789012JY0FA000", "--year", "2027"}
	cups := "--cups=anna=ES1234123456789012JY0F,ben=ES0000000000000001TR0F,carla=ES0000000000000002TW0F"
	code, said, errs := charterRun(t, text, append(args, cups)...)
	if code != 0 || filepath.Base(strings.TrimSpace(said)) != "ES1234123456789012JY0FA000_2027.txt" {
		t.Fatalf("write: %d %s%s", code, said, errs)
	}
	written, err := os.ReadFile(strings.TrimSpace(said))
	if want := "ES0000000000000001TR0F;0,250000\nES0000000000000002TW0F;0,500000\nES1234123456789012JY0F;0,250000\n"; err != nil || string(written) != want {
		t.Errorf("%s, %v", written, err)
	}
	code, said, errs = charterRun(t, "", "beta", "read", strings.TrimSpace(said))
	if code != 0 || !strings.Contains(said, "ES0000000000000002TW0F  0,500000") {
		t.Errorf("read: %d\n%s%s", code, said, errs)
	}
	path := filepath.Join(dir, "ES1234123456789012JY0FA000_2027.txt")
	_, said, _ = charterRun(t, "", "beta", "read", "--json", path)
	var v betaResult
	if err := json.Unmarshal([]byte(said), &v); err != nil || v.Year != 2027 || len(v.Points) != 3 || v.Points[1].Betas[0] != "0.500000" {
		t.Errorf("read --json: %v\n%s", err, said)
	}
	for says, args := range map[string][]string{
		"nothing is overwritten": append(args, cups),
		"add --cups carla=ES":    append(args, "--cups=anna=ES1234123456789012JY0F,ben=ES0000000000000001TR0F"),
		"remove her --cups":      append(args, cups+",dora=ES0000000000000003TA0F"),
		"would check":            append(args, strings.Replace(cups, "TW0F", "TX0F", 1)),
		"called by its CAU":      {"beta", "read", "--help"},
		"sums of exactly 1":      {"beta", "read", "--help"},
		"2027.txt: no such file": {"beta", "read", filepath.Join(dir, "no", "2027.txt")},
	} {
		_, said, errs := charterRun(t, text, args...)
		if !strings.Contains(strings.Join(strings.Fields(said+errs), " "), says) {
			t.Errorf("%q is not said:\n%s%s", says, said, errs)
		}
	}
	broken := strings.Replace(string(written), "0,500000", "0,500001", 1)
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := charterRun(t, "", "beta", "read", path); code != 1 || !strings.Contains(errs, "must add up to exactly 1,000000") {
		t.Errorf("a broken file: %d %s", code, errs)
	}
}
