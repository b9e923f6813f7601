// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/internal/doctor"
)

// The command looks at what is in a folder, and its status says whether
// something does not work.
func TestDoctorByCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	code, out, _ := command(t, false, "", "doctor", "--dir", dir, "--json")
	var r doctor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(r.Findings) < 10 || (code == 0) != (r.Failures == 0) {
		t.Errorf("status %d, %+v", code, r)
	}
	if err := os.Chmod(filepath.Join(dir, "ledger.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, _ = command(t, false, "", "doctor", "--dir", dir)
	if code != 1 || !strings.Contains(out, "chmod 600") {
		t.Errorf("status %d: %s", code, out)
	}
	if code, _, errs := command(t, false, "", "doctor", "--dir", t.TempDir()); code != 1 || !strings.Contains(errs, "--dir") {
		t.Errorf("an empty folder: %d %s", code, errs)
	}
	gw := t.TempDir()
	if err := os.WriteFile(filepath.Join(gw, "gateway.yaml"), []byte("devices:\n  - {asset: a, url: \"tcp://127.0.0.1:1\", unit: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := command(t, false, "", "doctor", "--dir", gw); code != 1 || !strings.Contains(out, "gateway enrol") {
		t.Errorf("a gateway's folder: %d %s", code, out)
	}
}
