// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
)

// TestAgainstARegister: what a charter names has to be there.
func TestAgainstARegister(t *testing.T) {
	village := &roll.Community{
		Members: []roll.Member{{ID: "anna", Groups: []roll.Group{"families"}}, {ID: "ben"}},
		Sites:   []roll.Site{{ID: "mill-1", Member: "ben"}},
	}
	text := strings.Replace(house, "rules_version: 1", "rules_version: 2", 1)
	text = strings.Replace(text, "  rounds:\n", `  sources:
    - {name: mill, site: mill-1}
    - {name: roof, member: coop}
  participation: [{member: carla, percent: 50}]
  reserve: [{for: solidarity, percent: 10, groups: [tight]}]
  rounds:
    - name: keys
      method: pairs
      keys:
        - {member: anna, keys: [{source: mill, percent: 50}]}
        - {member: dora, keys: [{source: roof, percent: 50}]}
    - name: order
      method: priority
      within: weighted
      tiers: [{groups: [families]}, {members: [ben, emil]}]
      tags: [owners]
      weights:
        members: [{member: fritz, weight: 2}]
        groups: [{group: school, weight: 1.5}]
        default: 1
`, 1)
	text += "tariff:\n  network: [{level: local, price: 2 ct/kWh EUR}, {level: regional, price: 5 ct/kWh EUR}]\n  areas: [{group: street, level: local}]\n"
	if _, err := Decode([]byte(text)); err != nil {
		t.Fatal(err)
	}
	_, err := DecodeFor([]byte(text), village)
	var p Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	want := []string{
		`line 12, sharing.sources[1].member: there is no member "coop"`,
		`line 13, sharing.participation[0].member: there is no member "carla"`,
		`line 14, sharing.reserve[0].groups[0]: no member is in the group "tight"`,
		`line 20, sharing.rounds[0].keys[1].member: there is no member "dora"`,
		`line 24, sharing.rounds[1].tiers[1].members[1]: there is no member "emil"`,
		`line 25, sharing.rounds[1].tags[0]: no member is in the group "owners"`,
		`line 27, sharing.rounds[1].weights.members[0].member: there is no member "fritz"`,
		`line 28, sharing.rounds[1].weights.groups[0].group: no member is in the group "school"`,
		`line 31, sharing.rounds[2].groups[1]: no member is in the group "school"`,
		`line 38, residual.member: there is no member "house"`,
		`line 43, tariff.areas[0].group: no member is in the group "street"`,
	}
	for i, w := range want {
		if i >= len(p) || !strings.HasPrefix(p[i].String(), w) {
			t.Errorf("%s is not said; %v", w, p)
		}
	}
	if len(p) != len(want) {
		t.Errorf("%d problems: %v", len(p), err)
	}
}

// TestExpressionsAreChecked: an expression that explodes is refused with its line.
func TestExpressionsAreChecked(t *testing.T) {
	text := strings.Replace(house, "rules_version: 1", "rules_version: 2\nweighting_period: month\nexpressions:\n  - name: big\n    gives: weight\n    cel: last.used_wh * last.used_wh * last.used_wh", 1)
	text = strings.Replace(text, "method: equal\n", "method: weighted\n      weights: {expression: big}\n", 1)
	_, err := Decode([]byte(text))
	var p Problems
	if !errors.As(err, &p) || len(p) != 1 || !strings.HasPrefix(p[0].String(), "line 8, expressions[0].cel: a number in it can grow to") {
		t.Error(err)
	}
}

// TestNewMistakes: what version 2 refuses names line, field and remedy.
func TestNewMistakes(t *testing.T) {
	base := strings.Replace(house, "rules_version: 1", "rules_version: 2", 1)
	for _, m := range []struct{ old, new, want, says string }{
		{"      cap: 0.50\n", "      rest: grid\n", "line 15, sharing.rounds[1]: can never give anything", "limit the one before it"},
		{"method: proportional\n", "method: static\n      keys:\n        - {member: anna, keys: [{percent: 60}]}\n        - {member: ben, keys: [{percent: 50}]}\n", "line 17, sharing.rounds[1].keys: add up to 110 %", "so lower some"},
		{"method: proportional\n", "method: weighted\n      weights: {default: 0}\n", "line 17, sharing.rounds[1].weights.default: 0 divides by zero", "write a weight over 0"},
		{"method: proportional\n", "method: weighted\n      weights: {default: 1/2}\n", "line 17, sharing.rounds[1].weights.default: write a weight as a plain number", "such as 1.5"},
		{"method: proportional\n", "method: proportional\n      offer: 120\n", "line 17, sharing.rounds[1].offer: write percent", "from 0 to 100"},
		{"method: proportional\n", "method: proportional\n      rest: next\n", "line 17, sharing.rounds[1].rest: goes nowhere", "write injectors or grid"},
		{"cap: 0.50", "cap: 5\n      cap_period: {energy: 2, per: day}", "line 15, sharing.rounds[0].cap_period.energy: 2 kWh in a day contradicts the cap", "lower the cap, or raise this"},
		{"method: proportional\n", "method: equal\n      eligible: rich\n", "line 17, sharing.rounds[1].eligible:", "write it there, with gives: eligible"},
		{"storage:\n", "tariff: {by: time_of_use, bands: [{from: 6:00, to: \"22:00\", price: 9 ct/kWh EUR}]}\nstorage:\n", "line 20, tariff.bands[0].from: write a time of day", "such as \"06:30\""},
		{"storage:\n", "jurisdiction: {scheme: at-dynamic, country: AT, source: x, date: 2024-02-30, operator_computes: x, community_does: x}\nstorage:\n", "line 20, jurisdiction.date:", "write it as 2024-07-01"},
	} {
		_, err := Decode([]byte(strings.Replace(base, m.old, m.new, 1)))
		var p Problems
		if !errors.As(err, &p) || !slices.ContainsFunc(p, func(p Problem) bool {
			return strings.HasPrefix(p.String(), m.want) && strings.Contains(p.String(), m.says)
		}) {
			t.Errorf("%q: %v\nwant %s … %s", m.new, err, m.want, m.says)
		}
	}
}
