// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadCharters runs `allmende charter check` over files with one mistake each.
// A file begins with the field that has to be named and with what is to be done
// about it; the line is marked by an arrow.
func TestBadCharters(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "bad-charters", "*.yaml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head := strings.SplitN(string(text), "\n", 3)
			field, ok1 := strings.CutPrefix(head[0], "# field: ")
			says, ok2 := strings.CutPrefix(head[1], "# says: ")
			if !ok1 || !ok2 || says == "" {
				t.Fatal("the file does not say what to expect")
			}
			line := 1 // of what is missing altogether
			for i, l := range strings.Split(string(text), "\n") {
				if strings.Contains(l, "# <-") {
					line = i + 1
				}
			}
			code, said, errs := charterRun(t, "", "check", "--json", file)
			var v checkResult
			if err := json.Unmarshal([]byte(said), &v); err != nil || code != 1 || v.Valid || errs != "" {
				t.Fatalf("%d, %v\n%s%s", code, err, said, errs)
			}
			if len(v.Problems) != 1 {
				t.Fatalf("one mistake, and this is told: %s", said)
			}
			p := v.Problems[0]
			if p.Line != line && line > 1 || p.Line == 0 || p.Field != field || !strings.Contains(p.Message, says) {
				t.Errorf("%s\nline %d, %s: %s\nshould be line %d, %s: … %s", file, p.Line, p.Field, p.Message, line, field, says)
			}
			if testing.Verbose() {
				t.Logf("line %d, %s: %s", p.Line, p.Field, p.Message)
			}
			// A person is told the same, and how many mistakes there are.
			if _, _, errs := charterRun(t, "", "check", file); !strings.Contains(errs, p.Message) || !strings.Contains(errs, "1 mistake") {
				t.Errorf("a person is told\n%s", errs)
			}
		})
	}
}
