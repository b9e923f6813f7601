// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates found: %v", err)
	}
	byName := map[string]Template{}
	for _, tpl := range Templates() {
		byName[tpl.Name+".yaml"] = tpl
	}
	if len(byName) != len(files) {
		t.Errorf("%d files, %d templates", len(files), len(byName))
	}
	for _, file := range files {
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
		}
		if len(c.Explain()) < 8 || c.Summary == "" {
			t.Errorf("%s does not explain itself", file)
		}
	}
	for name, want := range map[string]charter.Method{"equal-shares.yaml": charter.Equal, "proportional.yaml": charter.Proportional} {
		if c, _ := Decode(byName[name].YAML); len(c.Sharing.Rounds) != 1 || c.Sharing.Rounds[0].Method != want {
			t.Errorf("%s: %+v", name, c.Sharing)
		}
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
		if back, err := charter.DecodeCanonical(b); err != nil || back.Name != c.Name {
			t.Fatalf("%s does not read back: %v", b, err)
		}
	})
}
