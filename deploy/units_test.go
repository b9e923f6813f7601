// SPDX-License-Identifier: AGPL-3.0-or-later

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// most is what `systemd-analyze security` may find: 0 is a service that can do
// nothing, 10 one that is not held at all. Debian 12 finds 1.2 and 1.6; other
// releases weigh a little differently. The gateway speaks to serial ports, so it
// cannot do without devices, nor with users of its own, whose group would not be
// the ports'.
func most() map[string]float64 {
	return map[string]float64{"allmende.service": 1.5, "allmende-gateway.service": 2.0}
}

func systemdAnalyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not on this computer; make needs installs it")
	}
	b, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	return string(b), err
}

func units(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("systemd/*.service")
	if err != nil || len(found) != len(most()) {
		t.Fatalf("units %q, %v", found, err)
	}
	return found
}

func TestUnitsAreHard(t *testing.T) {
	overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for _, unit := range units(t) {
		said, err := systemdAnalyze(t, "security", "--offline=true", "--no-pager", unit)
		if err != nil {
			t.Fatalf("%s: %v\n%s", unit, err, said)
		}
		m := overall.FindStringSubmatch(said)
		if m == nil {
			t.Fatalf("%s: no overall exposure in\n%s", unit, said)
		}
		exposure, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: exposure %.1f", unit, exposure)
		if limit := most()[filepath.Base(unit)]; exposure > limit {
			t.Errorf("%s: exposure %.1f, at most %.1f is promised\n%s", unit, exposure, limit, said)
		}
	}
}

// systemd overlooks a key that it does not know, and starts the service
// without it. So the units are verified with the program in its place.
func TestUnitsAreUnderstood(t *testing.T) {
	root := t.TempDir()
	for _, unit := range units(t) {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		// Only the program and the manual are not where the unit looks.
		plain := strings.NewReplacer("/usr/bin/allmende ", "/bin/true ", "man:allmende(1) ", "").Replace(string(text))
		if plain == string(text) {
			t.Fatalf("%s does not start /usr/bin/allmende", unit)
		}
		file := filepath.Join(root, filepath.Base(unit))
		if err := os.WriteFile(file, []byte(plain), 0o644); err != nil {
			t.Fatal(err)
		}
		if said, err := systemdAnalyze(t, "verify", "--man=no", file); err != nil || strings.TrimSpace(said) != "" {
			t.Errorf("%s: %v\n%s", unit, err, said)
		}
	}
}
