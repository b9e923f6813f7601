// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program is built as make builds it: it knows its revision although Go was
// told not to look at the repository.
func TestVersionKnowsItsRevision(t *testing.T) {
	revision, err := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Skipf("this is no git repository, so there is no revision to know: %v", err)
	}
	flags, err := exec.CommandContext(t.Context(), "../../tools/version.sh", "ldflags").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "allmende")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace(string(flags)), "-o", program, ".")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	b, err := exec.CommandContext(t.Context(), program, "version", "--json", "--modules").Output()
	if err != nil {
		t.Fatal(err)
	}
	var v buildInfo
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if v.Revision != strings.TrimSpace(string(revision)) || v.Committed == "" || !strings.HasPrefix(v.Version, "v") {
		t.Errorf("version %q, revision %q of %q; git says %s", v.Version, v.Revision, v.Committed, revision)
	}
	if v.CGO || !v.Trimmed || v.Modules == 0 || v.Modules != len(v.Checksums) || len(v.ModulesSum) != 64 {
		t.Errorf("%+v", v)
	}
	plain, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil || !strings.HasPrefix(string(plain), "allmende "+v.Version+"\n") || !strings.Contains(string(plain), v.ModulesSum) {
		t.Errorf("%v\n%s", err, plain)
	}
}
