// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

const house = `charter: allmende/1
name: Elm Road
rules_version: 1
currency: EUR
interval: 15m
settle_after: 2h
price: 12.345 ct/kWh EUR
sharing:
  exporting_sites: wait
  rounds:
    - name: families first
      groups: [families, school]
      method: equal
      cap: 0.50
    - name: everybody
      method: proportional
residual:
  by: member
  member: house
storage:
  use: none
`

func TestTemplates(t *testing.T) {
	found, err := filepath.Glob("*.yaml")
	if err != nil || len(found) == 0 {
		t.Fatalf("no templates found: %v", err)
	}
	byName, schemes := map[string]Template{}, map[string]bool{}
	for _, tpl := range Templates() {
		byName[tpl.Name+".yaml"] = tpl
	}
	if len(byName) != len(found) {
		t.Errorf("%d files, %d templates", len(found), len(byName))
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(byName[file].YAML) != string(text) {
			t.Errorf("%s is not embedded as it is", file)
		}
		c, err := Decode(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if len(c.Explain()) < 8 || c.Summary == "" {
			t.Errorf("%s does not explain itself", file)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if utf8.RuneCountInString(line) > 95 {
				t.Errorf("%s:%d is too long to read on a screen", file, i+1)
			}
		}
		switch name := strings.TrimSuffix(file, ".yaml"); {
		case slices.Contains(Ours(), name):
			if c.Jurisdiction != nil {
				t.Errorf("%s is ours, and names a law", file)
			}
		case c.Jurisdiction == nil || c.Jurisdiction.Scheme != name:
			t.Errorf("%s does not name its own rule", file)
		default:
			schemes[name] = true
		}
	}
	for _, s := range charter.Schemes() {
		if !schemes[s] {
			t.Errorf("the rule %s has no template", s)
		}
	}
	for name, want := range map[string]charter.Method{"equal-shares.yaml": charter.Equal, "proportional.yaml": charter.Proportional} {
		if c, _ := Decode(byName[name].YAML); len(c.Sharing.Rounds) != 1 || c.Sharing.Rounds[0].Method != want {
			t.Errorf("%s: %+v", name, c.Sharing)
		}
	}
}

// TestOldTemplatesAreFrozen: communities and their ledgers know these by hash.
func TestOldTemplatesAreFrozen(t *testing.T) {
	for name, want := range map[string]string{
		"equal-shares": "bd7d48077579e60b81b7a584fbdf196999b5a9c766f027e062bfe829576a29f4",
		"proportional": "693b6b623d3e9cdac4611f4ed2a12a51083f50cbb9efa5c253d6e3fd82e53811",
	} {
		for _, tpl := range Templates() {
			if tpl.Name == name && hash(t, string(tpl.YAML)) != want {
				t.Errorf("%s has another hash than at its release", name)
			}
		}
	}
}

// TestJurisdictionsAreKept: a charter that exceeds the rule of law that it names
// is refused, with line, field and remedy.
func TestJurisdictionsAreKept(t *testing.T) {
	byName := map[string]string{}
	for _, tpl := range Templates() {
		byName[tpl.Name] = string(tpl.YAML)
	}
	for _, x := range []struct{ template, old, new, field, says string }{
		{"at-dynamic", "method: proportional", "method: equal", "sharing.rounds[0].method", "it shares by proportional"},
		{"at-dynamic", "  rounds:\n", "  participation: [{member: anna, percent: 33.5}]\n  rounds:\n", "sharing.participation[0].percent", "whole percentages; write 33"},
		{"at-dynamic", "interval: 15m", "interval: 1h", "interval", "counts in intervals of 15m"},
		{"at-static", "percent: 50", "percent: 51", "sharing.rounds[0].keys", "add up to 101 %"},
		{"at-static", "      method: static", "      method: static\n      cap: 1", "sharing.rounds[0].cap", "does not know it; remove it"},
		{"be-brussels", "  rounds:\n", "  reserve: [{for: sale, percent: 10}]\n  rounds:\n", "sharing.reserve", "holds nothing back"},
		{"be-flanders", "exporting_sites: others", "exporting_sites: receive", "sharing.exporting_sites", "nobody shares within one connection point; write others"},
		{"be-flanders", "price: 0 ct", "price: 5 ct", "price", "write 0 ct/kWh EUR"},
		{"cz-edc", "source: roof, percent: 60", "source: roof, percent: 60.01", "sharing.rounds[0].keys", `100.01 % of source "roof"`},
		{"cz-edc", "  rounding:\n", "  participation: [{member: anna, percent: 50}]\n  rounding:\n", "sharing.participation", "in one community only"},
		{"ch-leg", "  rounds:\n", "  participation: [{member: anna, percent: 50}]\n  rounds:\n", "sharing.participation", "in one community only"},
		{"cz-edc", "percent: 50", "percent: 50.001", "sharing.rounds[0].keys[0].keys[1].percent", "two decimals; write 50"},
		{"cz-edc", "mode: floor", "mode: largest_remainder", "sharing.rounding", "write unit: 0.01 and mode: floor"},
		{"cz-edc", "      method: rounds", "      method: rounds\n      passes: 6", "sharing.rounds[0].passes", "at most 5"},
		{"cz-edc", "country: CZ", "country: SK", "jurisdiction.country", "is a rule of CZ"},
		{"de-42c", "  grid_charging: forfeits\n", "", "storage.grid_charging", "write forfeits"},
		{"es-beta", "percent: 50", "percent: 49.9999", "sharing.rounds[0].keys", "exactly 100 %, and add up to 99.9999"},
		{"es-beta", "interval: 1h", "interval: 15m", "interval", "counts in intervals of 1h"},
		{"fr-default", "interval: 15m", "interval: 1h", "interval", "counts in intervals of 15m"},
		{"fr-static", "percent: 20", "percent: 20.5", "sharing.rounds[0].keys", "100.5 %"},
		{"it-cer", "  attribution: listed\n", "", "sharing.attribution", "the older plant's first"},
		{"lu-priority", "  rounds:\n", "  market: {lowest: 1 ct/kWh EUR, highest: 2 ct/kWh EUR}\n  rounds:\n", "sharing.market", "knows no bids"},
		{"pt-dynamic", "exporting_sites: wait", "exporting_sites: receive", "sharing.exporting_sites", "write wait"},
		{"sk-okte", "method: proportional", "method: equal", "sharing.rounds[2].method", "static or proportional or priority"},
		{"us-md", "scheme: us-md", "scheme: us-va", "jurisdiction.scheme", "write one of at-dynamic,"},
	} {
		text := strings.Replace(byName[x.template], x.old, x.new, 1)
		_, err := Decode([]byte(text))
		var p Problems
		if !errors.As(err, &p) || len(p) != 1 || p[0].Field != x.field || p[0].Line == 0 || !strings.Contains(p[0].Message, x.says) {
			t.Errorf("%s with %q: %v", x.template, x.new, err)
		}
	}
	six := strings.Replace(byName["cz-edc"], "    - {name: mill, member: miller}\n", "    - {name: mill, member: miller}\n    - {name: a, member: a}\n    - {name: b, member: b}\n    - {name: c, member: c}\n    - {name: d, member: d}\n", 1)
	six = strings.Replace(six, "{source: mill, percent: 50}]", "{source: mill, percent: 50}, {source: a, percent: 1}, {source: b, percent: 1}, {source: c, percent: 1}, {source: d, percent: 1}]", 1)
	var many strings.Builder
	for i := range 49 { // with two plants: one meter too many
		fmt.Fprintf(&many, "        - {member: m%d, keys: [{source: roof, percent: 1}]}\n", i)
	}
	head, _, _ := strings.Cut(byName["cz-edc"], "        - member: anna\n")
	_, tail, _ := strings.Cut(byName["cz-edc"], "keys: [{source: roof, percent: 60}]\n")
	if _, err := Decode([]byte(head + many.String() + tail)); err == nil || !strings.Contains(err.Error(), "sharing.rounds[0].passes: exceeds the rule cz-edc: a group of more than 50 meters goes round once, and this one has 51; write passes: 1") {
		t.Errorf("51 meters: %v", err)
	}
	once := strings.Replace(head, "method: rounds\n", "method: rounds\n      passes: 1\n", 1)
	if _, err := Decode([]byte(once + many.String() + tail)); err != nil {
		t.Errorf("51 meters, one round: %v", err)
	}
	if _, err := Decode([]byte(six)); err == nil || !strings.Contains(err.Error(), "at most 5 sources, not 6") {
		t.Errorf("six plants of one member: %v", err)
	}
}

func TestDecode(t *testing.T) {
	c, err := Decode([]byte(house))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Sharing.Rounds[0]
	if c.Name != "Elm Road" || c.Interval != energy.QuarterHour || c.SettleAfter != 2*energy.Hour ||
		c.Price != (energy.Price{Micro: 12_345_000, Currency: "EUR"}) || *r.Cap != 500*energy.WattHour ||
		len(r.Groups) != 2 || r.Groups[1] != roll.Group("school") || c.Residual.Member != "house" {
		t.Errorf("read as %+v", c)
	}
}

// TestLayoutDoesNotMatter: the same rules written differently have one hash.
func TestLayoutDoesNotMatter(t *testing.T) {
	want := hash(t, house)
	for name, other := range map[string]string{
		"notes and blank lines": "# ours\n\n" + strings.ReplaceAll(house, "rounds:", "rounds:   # in this order\n"),
		"quotes":                strings.ReplaceAll(house, "name: Elm Road", `"name": 'Elm Road'`),
		"another spelling":      strings.NewReplacer("15m", "900s", "0.50", `"0.5"`, "12.345 ct/kWh EUR", "0.12345 EUR/kWh").Replace(house),
		"Windows line ends":     strings.ReplaceAll(house, "\n", "\r\n"),
		"a document mark":       "---\n" + house,
		"another order":         strings.Replace(house, "charter: allmende/1\nname: Elm Road\n", "name: Elm Road\ncharter: allmende/1\n", 1),
		"its canonical form":    canonical(t, house),
		"flow style":            strings.Replace(house, "    - name: everybody\n      method: proportional\n", "    - {name: everybody, method: proportional}\n", 1),
	} {
		if got := hash(t, other); got != want {
			t.Errorf("%s: hash %s, want %s", name, got, want)
		}
	}
	if hash(t, strings.Replace(house, "0.50", "0.51", 1)) == want {
		t.Error("another cap has the same hash")
	}
}

func canonical(t *testing.T, text string) string {
	c, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func hash(t *testing.T, text string) string {
	c, err := Decode([]byte(text))
	if err != nil {
		t.Errorf("%v in\n%s", err, text)
		return ""
	}
	h, err := c.Hash()
	if err != nil {
		t.Error(err)
	}
	return h
}

// TestMistakes: each names its line and field, and says what to write.
func TestMistakes(t *testing.T) {
	for _, m := range []struct {
		old, new string // what is changed in house
		want     string // how the problem begins
		says     string // the remedy in it
	}{
		{"method: equal", "methd: equal", "line 13, sharing.rounds[0].methd: unknown field", "did you mean method?"},
		{"method: equal", "weight: 3\n      method: equal", "line 13, sharing.rounds[0].weight: unknown field", "known here: name, groups, method, cap"},
		{"method: equal", "method: fair", "line 13, sharing.rounds[0].method:", "write equal, proportional, static,"},
		{"method: equal", "method: [equal]", "line 13, sharing.rounds[0].method:", "a list stands where text belongs"},
		{"cap: 0.50", "cap: 0.5 kWh", "line 14, sharing.rounds[0].cap:", "a plain number of kWh"},
		{"cap: 0.50", "cap: 5e-1", "line 14, sharing.rounds[0].cap:", "a plain number of kWh"},
		{"cap: 0.50", "cap: 0.1234567", "line 14, sharing.rounds[0].cap:", "more than 6 decimals"},
		{"cap: 0.50", "cap: {most: 1}", "line 14, sharing.rounds[0].cap:", "one value"},
		{"cap: 0.50", "cap: 0", "line 14, sharing.rounds[0].cap:", "positive"},
		{"school]", "The School]", "line 12, sharing.rounds[0].groups[1]:", "lower-case"},
		{"[families, school]", "families", "line 12, sharing.rounds[0].groups:", "a list belongs"},
		{"[families, school]", "[7]", "line 12, sharing.rounds[0].groups[0]:", `in quotes: "7"`},
		{"name: everybody", "name: families first", "line 15, sharing.rounds[1].name:", "give each round its own"},
		{"      method: proportional\n", "", "line 15, sharing.rounds[1].method: is missing", "write equal, proportional, static,"},
		{"name: Elm Road", "name: Elm Road\nname: Elm Street", "line 3, name: comes a second time (first in line 2)", "remove one"},
		{"name: Elm Road", "name: 1984", "line 2, name:", `in quotes: "1984"`},
		{"name: Elm Road", "name: yes\n1: 2", "line 3: \"1\" is no field name", "known here: charter"},
		{"rules_version: 1", `rules_version: "1"`, "line 3, rules_version:", "whole number"},
		{"rules_version: 1", "rules_version: 1.0", "line 3, rules_version:", "whole number"},
		{"rules_version: 1", "rules_version: 9", "line 3, rules_version:", "update the program"},
		{"interval: 15m", "interval: 10m", "line 5, interval:", "write 15m or 1h"},
		{"interval: 15m", "interval: a quarter", "line 5, interval:", "write it as 15m"},
		{"interval: 15m", "interval:", "line 5, interval: is missing", "write 15m or 1h"},
		{"interval: 15m\n", "", "line 1, interval: is missing", "write 15m or 1h"},
		{"12.345 ct/kWh EUR", "12 cents", "line 7, price:", "12.345 ct/kWh EUR"},
		{"currency: EUR", "currency: CHF", "line 7, price: is in EUR", "one currency"},
		{"name: Elm Road", "name: &n Elm Road", "line 2, name: anchors", "write the value out"},
		{"name: Elm Road", "name: *n", "line 2: anchors", "write the value out"},
		{"name: Elm Road", "name: !!str Elm Road", "line 2, name: anchors", "write the value out"},
		{"storage:\n  use: none\n", "storage: none\n", "line 20, storage:", "write use"},
		{"storage:\n", "\tstorage:\n", "line 20: not YAML", "check indentation"},
		{"storage:\n", "---\nstorage:\n", "line 20: a second document", "remove the line"},
	} {
		text := strings.Replace(house, m.old, m.new, 1)
		_, err := Decode([]byte(text))
		var p Problems
		if !errors.As(err, &p) || len(p) != 1 || !strings.HasPrefix(p[0].String(), m.want) || !strings.Contains(p[0].String(), m.says) {
			t.Errorf("%q: %v\nwant %s … %s", m.new, err, m.want, m.says)
		}
	}
}

func TestWholeFiles(t *testing.T) {
	for name, text := range map[string]string{
		"empty":      "",
		"notes only": "# nothing yet\n",
		"a list":     "- a\n- b\n",
		"text":       "hello",
		"too large":  house + strings.Repeat("#", MaxSize),
		// This took a minute in the parser that we had before.
		"endless lines": "name: |\n " + strings.Repeat("\n", MaxSize-20),
		"merge keys":    strings.Replace(house, "name: Elm Road", "<<: {name: x}", 1),
	} {
		var p Problems
		if c, err := Decode([]byte(text)); !errors.As(err, &p) || len(p) == 0 || len(p) > 50 {
			t.Errorf("%s: read as %+v, %v", name, c, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(house))
	for _, tpl := range Templates() {
		f.Add(tpl.YAML)
	}
	f.Add([]byte("sharing: {rounds: [{name: a}, null, 3]}"))
	f.Add([]byte("rules_version: 2\nsharing: {rounds: [{method: pairs, keys: [{keys: []}, {keys: [{percent: 1}]}], weights: {}}], reserve: [{}], sources: [{}]}\ntariff: {bands: [{}]}\nisland: {}\njurisdiction: {}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Decode(src)
		var p Problems
		switch {
		case err != nil && (!errors.As(err, &p) || len(p) == 0):
			t.Fatalf("an error that is no list of problems: %v", err)
		case err != nil:
			return
		}
		b, err := c.Canonical()
		if err != nil {
			t.Fatalf("accepted, but without a canonical form: %v", err)
		}
		back, err := charter.DecodeCanonical(b)
		if err != nil || back.Name != c.Name {
			t.Fatalf("%s does not read back: %v", b, err)
		}
		if len(c.Explain()) < 8 || len(charter.Diff(&c, &back)) > 0 {
			t.Fatalf("%s does not explain itself, or differs from itself", b)
		}
	})
}
