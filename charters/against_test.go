// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"errors"
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
