// SPDX-License-Identifier: AGPL-3.0-or-later

package archtest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The program is AGPL; what others build against, proto/, is Apache.
func TestFilesNameTheirLicence(t *testing.T) {
	for _, name := range files(t, ".go", ".proto", ".ts", ".svelte", ".css", ".js", ".mjs", ".sql", ".sh") {
		if strings.HasSuffix(name, ".pb.gw.go") {
			continue // the generator drops the header; proto/LICENSE covers the folder
		}
		want := "SPDX-License-Identifier: AGPL-3.0-or-later"
		if strings.HasPrefix(name, "proto/") {
			want = "SPDX-License-Identifier: Apache-2.0"
		}
		head := read(t, name)
		head = head[:min(len(head), 400)]
		lines := strings.SplitN(string(head), "\n", 6)
		if !slices.ContainsFunc(lines[:min(len(lines), 5)], func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("%s: the first lines lack %q", name, want)
		}
	}
}

func TestLicenceTextsAreThere(t *testing.T) {
	for name, phrase := range map[string]string{
		"LICENSE":       "GNU AFFERO GENERAL PUBLIC LICENSE",
		"proto/LICENSE": "Apache License",
	} {
		if !bytes.Contains(read(t, name), []byte(phrase)) {
			t.Errorf("%s does not hold the text of the %s", name, phrase)
		}
	}
}

// A file that outgrows some 500 lines is usually missing a noun. That is a
// matter of judgement, so it is reported, not failed.
func TestFileLengthReport(t *testing.T) {
	const long = 500
	for _, s := range sources(t) {
		if n := bytes.Count(read(t, s.name), []byte("\n")); n > long && !s.made && !s.test {
			t.Logf("%s has %d lines; is a noun missing?", s.name, n)
		}
	}
	for _, name := range files(t, ".ts", ".svelte") {
		if n := bytes.Count(read(t, name), []byte("\n")); n > long && !strings.Contains(name, ".gen.") {
			t.Logf("%s has %d lines; is a noun missing?", name, n)
		}
	}
}
