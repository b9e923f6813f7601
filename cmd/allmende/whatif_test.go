// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIfHomes compares over two days of the recorded homes.
func TestWhatIfHomes(t *testing.T) {
	homes := filepath.Join("..", "..", "..", "shared", "data", "citylearn-2022")
	if _, err := os.Stat(homes); err != nil {
		t.Skipf("the shared test data is not there: %v", err)
	}
	picture := filepath.Join(t.TempDir(), "change.svg")
	ask := func(args ...string) string {
		var out, errs bytes.Buffer
		args = append([]string{"whatif", "--homes", homes, "--to", "1970-01-03"}, args...)
		if code := run(t.Context(), args, &output{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
			t.Fatalf("%v: %s", args, errs.String())
		}
		return out.String()
	}
	args := []string{"--charter", "needs-first", "--group", "vulnerable=Building_1,Building_7", "--json", "--picture", picture}
	said := ask(args...)
	var rep struct {
		Intervals int
		Members   []struct {
			Member   string
			Old, New struct{ Demand, Received string }
		}
		Old, New struct {
			Received string
		}
		Hash string
	}
	if err := json.Unmarshal([]byte(said), &rep); err != nil {
		t.Fatal(err)
	}
	if rep.Intervals != 192 || len(rep.Members) != 17 || rep.Old.Received != rep.New.Received || rep.Hash == "" {
		t.Errorf("%s", said)
	}
	for _, m := range rep.Members {
		first := m.Member == "Building_1" || m.Member == "Building_7"
		if more := decimal(t, m.New.Received).Cmp(decimal(t, m.Old.Received)); first && more < 0 || !first && more > 0 {
			t.Errorf("%s receives %s, and %s where needs come first", m.Member, m.Old.Received, m.New.Received)
		}
	}
	if again := ask(args...); again != said {
		t.Error("the same question has another answer")
	}
	if table := ask("--charter", "proportional"); !strings.Contains(table, "Energy is conserved") {
		t.Errorf("no table: %s", table)
	}
	svg, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
	}
}

func TestWhatIfRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--charter", "nowhere.yaml", "--homes", "."},
		{"--charter", "equal-shares", "--homes", ".", "--from", "yesterday"},
		{"--charter", "equal-shares", "--homes", ".", "--from", "2026-02-01", "--to", "2026-01-01"},
		{"--charter", "equal-shares", "--homes", ".", "--retail", "cheap"},
		{"--charter", "equal-shares", "--homes", ".", "--zone", "Moon/Sea"},
		{"--charter", "equal-shares"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"whatif"}, args...), &output{In: strings.NewReader(""), Out: &out, Err: &errs}); code == 0 || errs.Len() == 0 {
			t.Errorf("%v is not refused", args)
		}
	}
}
