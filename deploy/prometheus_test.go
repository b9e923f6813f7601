// SPDX-License-Identifier: AGPL-3.0-or-later

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPrometheusTakesOurRules: Prometheus' own tool reads the rules and the
// example, and runs the rules' unit tests.
func TestPrometheusTakesOurRules(t *testing.T) {
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
	for _, args := range [][]string{
		{"check", "rules", "alerts.yml"},
		{"test", "rules", "alerts_test.yml"},
		{"check", "config", "--syntax-only", "prometheus.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestRulesSpeakOfWhatIsCounted: a rule about a counter that was renamed would
// never fire.
func TestRulesSpeakOfWhatIsCounted(t *testing.T) {
	rules, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	counted, err := os.ReadFile("../coordinator/measures.go")
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for line := range strings.Lines(string(rules)) {
		_, expr, is := strings.Cut(line, "expr: ")
		if !is {
			continue
		}
		for _, name := range regexp.MustCompile(`allmende_[a-z_]+`).FindAllString(expr, -1) {
			names++
			if !strings.Contains(string(counted), `"`+strings.TrimSuffix(name, "_bucket")+`"`) {
				t.Errorf("nobody counts %s", name)
			}
		}
	}
	if names < 10 {
		t.Errorf("found only %d names", names)
	}
}
