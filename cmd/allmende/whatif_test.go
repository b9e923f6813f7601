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
	// What expressions look back at is settled, too, where it was recorded.
	contributed := func(from, to string) (table string, gain int) {
		args := []string{"--charter", "contribution-weighted", "--from", from, "--to", to}
		var rep struct{ Gain, Intervals int }
		if err := json.Unmarshal([]byte(ask(append(args, "--json")...)), &rep); err != nil || rep.Intervals != 96 {
			t.Fatalf("%+v, %v", rep, err)
		}
		return ask(args...), rep.Gain
	}
	if table, gain := contributed("1970-01-02", "1970-01-03"); !strings.Contains(table, "of 1 periods nothing is recorded") || gain != 0 {
		t.Errorf("the first month has no past, and it is not said, or counts: %s", table)
	}
	if table, gain := contributed("1970-02-01", "1970-02-02"); gain == 0 || strings.Contains(table, "nothing is recorded") {
		t.Error("what was given in January does not count in February")
	}
	// What is paid inside and outside is told line by line, with the charter's rules.
	everything := filepath.Join(t.TempDir(), "everything.yaml")
	if err := os.WriteFile(everything, []byte(withMoney), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := ask("--charter", everything, "--group", "street=Building_1,Building_2", "--lines")
	for _, want := range []string{
		"grid in between, local", "grid in between, regional", "tariff.bands[0]", "tariff.solidarity", "tariff.membership", "supply contract",
		"\nthe community\n", "\nthe retailer\n", "\nthe grid operator\n", "The grid operator gets 0.00, and would get ",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is not told in\n%s", want, lines)
		}
	}
	var money struct {
		Members                            []struct{ New struct{ Cost_minor int64 } }
		Community, Retailer, Grid_operator struct{ New struct{ Total_minor int64 } }
	}
	if err := json.Unmarshal([]byte(ask("--charter", everything, "--json")), &money); err != nil {
		t.Fatal(err)
	}
	sum := money.Community.New.Total_minor + money.Retailer.New.Total_minor + money.Grid_operator.New.Total_minor
	for _, m := range money.Members {
		sum += m.New.Cost_minor
	}
	if sum != 0 || money.Grid_operator.New.Total_minor >= 0 || money.Community.New.Total_minor >= 0 {
		t.Errorf("%d cents from nowhere: %+v", sum, money)
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

const withMoney = `charter: allmende/1
name: With money
rules_version: 2
currency: EUR
interval: 15m
settle_after: 24h
price: 12 ct/kWh EUR
tariff:
  by: time_of_use
  bands: [{from: "10:00", to: "14:00", price: 8 ct/kWh EUR}]
  network: [{level: local, price: 2 ct/kWh EUR}, {level: regional, price: 5 ct/kWh EUR}]
  areas: [{group: street, level: local}]
  membership: {minor: 500, per: month}
  solidarity: 0.5 ct/kWh EUR
sharing:
  exporting_sites: receive
  rounds: [{name: everybody, method: equal}]
residual: {by: equal}
storage: {use: none}
`

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
