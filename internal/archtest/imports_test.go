// SPDX-License-Identifier: AGPL-3.0-or-later

package archtest

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the matrix into docs/ARCHITECTURE.md")

// A test file may import what its package may, the test libraries, any of our
// own packages, and any of the standard library.
func TestImportsFollowTheMatrix(t *testing.T) {
	rules := Matrix()
	for _, s := range sources(t) {
		rule, ok := Find(rules, s.pkg)
		if !ok {
			t.Errorf("%s: package %s has no rule; add one to Matrix in internal/archtest", s.name, s.pkg)
			continue
		}
		if s.test {
			rule.Pure, rule.Ours = false, []string{"..."}
			rule.Third = append(rule.Third, TestLibraries()...)
		}
		for _, path := range s.imports() {
			if why := rule.Violation(path); why != "" {
				t.Errorf("%s: %s", s.name, why)
			}
		}
	}
}

// A rule that nothing needs is a door left open. Tests count as need for the
// packages of others only: of ours they may import any.
func TestMatrixIsNotStale(t *testing.T) {
	all := sources(t)
	for _, r := range Matrix() {
		used := map[string]bool{}
		exists := false
		for _, s := range all {
			if rule, _ := Find(Matrix(), s.pkg); rule.Path != r.Path {
				continue
			}
			exists = true
			for _, path := range s.imports() {
				own, isOurs := strings.CutPrefix(path, Module+"/")
				if isOurs && s.test {
					continue
				}
				for _, p := range append(r.Ours, r.Third...) {
					used[p] = used[p] || match(p, own)
				}
			}
		}
		if !exists {
			t.Errorf("no package stands under the rule for %s; remove the rule", r.Path)
			continue
		}
		for _, p := range append(r.Ours, r.Third...) {
			if !used[p] {
				t.Errorf("%s may import %s, but does not; remove it from the matrix", r.Path, p)
			}
		}
	}
}

// The layers from the ground up: a rule that let a lower layer import an upper
// one would compile, so the matrix itself is held to it.
func TestMatrixKeepsTheLayers(t *testing.T) {
	layers := []string{"energy", "commons/x", "meters", "scheduler/x", "coordinator/x"}
	for low, lower := range layers {
		for _, upper := range layers[low+1:] {
			for _, r := range Matrix() {
				stem := strings.TrimSuffix(lower, "/x")
				if r.Path != stem && !strings.HasPrefix(r.Path, stem+"/") {
					continue
				}
				if matchAny(r.Ours, upper) || matchAny(r.Ours, strings.TrimSuffix(upper, "/x")) {
					t.Errorf("the rule for %s lets it import %s, which stands above it", r.Path, upper)
				}
			}
		}
	}
}

// One package each for what would be hard to replace if it spread. Two keep
// SQLite files: the ledger, which may lose nothing, and the time series.
func TestAdaptersAreOnePackageEach(t *testing.T) {
	only := map[string][]string{
		"github.com/simonvetter/modbus": {"gateway/modbus"},
		"modernc.org/sqlite":            {"coordinator/store", "meters/series/embedded"},
		"github.com/influxdata":         {"meters/series/influx"},
		"github.com/pressly/goose/v3":   {"coordinator/store"},
	}
	for _, s := range sources(t) {
		for _, path := range s.imports() {
			for module, homes := range only {
				if match(module+"/...", path) && !slices.Contains(homes, s.pkg) {
					t.Errorf("%s imports %s; only %s does", s.name, path, strings.Join(homes, " and "))
				}
			}
		}
	}
}

func TestDocumentShowsTheMatrix(t *testing.T) {
	const begin, end = "<!-- import matrix: begin -->\n", "<!-- import matrix: end -->"
	name := filepath.Join(root(t), "docs", "ARCHITECTURE.md")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	shown, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/ARCHITECTURE.md has no table between %q and %q", strings.TrimSpace(begin), end)
	}
	want := "\n" + Table(Matrix()) + "\n"
	if shown == want {
		return
	}
	if !*update {
		t.Fatal("docs/ARCHITECTURE.md shows another matrix than internal/archtest; run go test ./internal/archtest -update")
	}
	if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRules(t *testing.T) {
	rules := Matrix()
	for _, c := range []struct {
		pkg, path string
		allowed   bool
	}{
		{"energy", "math/bits", true},
		{"energy", "os", false},
		{"energy", "math/rand/v2", false},
		{"energy", Module + "/commons/roll", false},
		{"commons/charter", Module + "/scheduler", false},
		{"commons/ledger", "golang.org/x/mod/sumdb/tlog", true},
		{"commons/ledger", "golang.org/x/mod/modfile", false},
		{"scheduler/settlement", Module + "/meters", true},
		{"scheduler", Module + "/proto/allmende/v1", false},
		{"gateway/modbus", "github.com/simonvetter/modbus", true},
		{"gateway/sim", "github.com/simonvetter/modbus", false},
		{"gateway", Module + "/coordinator", false},
		{"coordinator", Module + "/gateway", false},
		{"cmd/allmende", Module + "/gateway", true},
		{"cmd/allmende", "net/http", true},
	} {
		rule, ok := Find(rules, c.pkg)
		if !ok {
			t.Errorf("no rule for %s", c.pkg)
			continue
		}
		if why := rule.Violation(c.path); (why == "") != c.allowed {
			t.Errorf("%s imports %s: allowed = %t, want %t (%s)", c.pkg, c.path, why == "", c.allowed, why)
		}
	}
}
