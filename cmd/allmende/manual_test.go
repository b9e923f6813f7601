// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Tab after the words of a command line, in a real shell.
func TestCompletion(t *testing.T) {
	script := runOK(t, "manual", "completion")
	for line, want := range map[string][]string{
		"allmende ver":                  {"version"},
		"allmende charter ":             {"beta", "check", "diff", "explain", "hash", "template", "templates"},
		"allmende charter --json expl":  {"explain"},
		"allmende gateway enrol --di":   {"--dir"},
		"allmende ledger verify folder": nil, // a file, by bash's own completion
	} {
		words := strings.Split(line, " ")
		ask := `source /dev/stdin; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _allmende; printf '%s\n' "${COMPREPLY[@]}"`
		cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-c", ask, "bash"}, words...)...)
		cmd.Stdin = strings.NewReader(script)
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, b)
		}
		if got := strings.Fields(string(b)); !slices.Equal(got, want) {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
	}
}

func TestManualPage(t *testing.T) {
	page := runOK(t, "manual", "page")
	for _, want := range []string{".TH \"ALLMENDE\" \"1\"", `.SS "allmende gateway enrol <token>"`, `\fB\-\-dir=DIR\fR`} {
		if !strings.Contains(page, want) {
			t.Errorf("the manual page lacks %s", want)
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not on this computer to judge the page's format")
	}
	cmd := exec.CommandContext(t.Context(), groff, "-Kutf8", "-man", "-Tutf8", "-ww", "-z")
	cmd.Stdin = strings.NewReader(page)
	if b, err := cmd.CombinedOutput(); err != nil || len(b) > 0 {
		t.Errorf("%s says: %v\n%s", filepath.Base(groff), err, b)
	}
}
