// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator"
)

// A new community is backed up for a key and brought back, by commands alone.
func TestBackupAndRestoreByCommand(t *testing.T) {
	dir, disk := filepath.Join(t.TempDir(), "lane"), t.TempDir()
	do := func(args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := command(t, false, "", args...)
		if code != 0 {
			t.Fatalf("allmende %v: %s", args, stderr)
		}
		return stdout, stderr
	}
	do("init", dir, "--yes")
	out, _ := do("backup", "key", "--json")
	var key struct{ Recipient, Identity string }
	if err := json.Unmarshal([]byte(out), &key); err != nil {
		t.Fatal(err)
	}
	paper := filepath.Join(disk, "paper")
	if err := os.WriteFile(paper, []byte(key.Identity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, said := do("backup", "--dir", dir, "--to", disk, "--recipients", key.Recipient)
	file := strings.TrimSpace(out)
	if filepath.Dir(file) != disk || strings.Contains(said, "NOT ENCRYPTED") {
		t.Errorf("%s %s", out, said)
	}
	if _, said := do("backup", "--dir", dir, "--to", filepath.Join(disk, "open.tar.gz")); !strings.Contains(said, "NOT ENCRYPTED") {
		t.Errorf("it does not warn: %s", said)
	}
	again := filepath.Join(t.TempDir(), "again")
	if code, _, errs := command(t, false, "", "restore", file, "--to", again); code == 0 || !strings.Contains(errs, "--identity") {
		t.Errorf("without the key: %d %s", code, errs)
	}
	do("restore", file, "--to", again, "--identity", paper, "--dry-run")
	if _, err := os.Stat(again); err == nil {
		t.Error("a rehearsal left something")
	}
	out, _ = do("restore", file, "--to", again, "--identity", paper)
	for _, want := range []string{"allmende serve --dir " + again, "old coordinator"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
	if _, err := coordinator.Load(again); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{
		{"backup", "--dir", dir, "--to", disk, "--recipients", key.Identity},
		{"backup", "--dir", dir, "--to", disk, "--recipients", "age1nobody"},
		{"restore", paper, "--to", filepath.Join(disk, "x")},
	} {
		code, _, errs := command(t, false, "", args...)
		if code != 1 || strings.Contains(errs, key.Identity[:30]) {
			t.Errorf("%v: %d %s", args[:2], code, errs)
		}
	}
}
