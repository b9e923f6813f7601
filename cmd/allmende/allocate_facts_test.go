// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expressive is a charter whose expressions say who takes part and how much she counts.
const expressive = `charter: allmende/1
name: Expressive
rules_version: 2
currency: EUR
interval: 15m
settle_after: 24h
price: 12 ct/kWh EUR
weighting_period: month
expressions:
  - {name: settled, gives: eligible, cel: 'member.since_days >= 90 && !("suspended" in member.groups) && member.id != "dora"'}
  - {name: part, gives: weight, cel: '1000000 * (1 + min(min(last.gave_wh, community.gave_wh / 2) / max(1, community.gave_wh / 4), 9)) + max(0, community.members - 5)'}
sharing:
  exporting_sites: receive
  rounds:
    - {name: settled first, method: weighted, eligible: settled, weights: {expression: part}}
residual: {by: equal}
storage: {use: none}
`

// Eligibility and weights come from what the input says of each sink.
func TestAllocateWithExpressions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "expressive.yaml")
	if err := os.WriteFile(file, []byte(expressive), 0o600); err != nil {
		t.Fatal(err)
	}
	q := `{"sources":{"roof":"8.00"},"sinks":{
	 "anna":{"demand":"9","facts":{"member.since_days":90,"last.gave_wh":3000}},
	 "ben":{"demand":"9","facts":{"member.since_days":400,"last.gave_wh":1000}},
	 "cleo":{"demand":"9","groups":["suspended"],"facts":{"member.since_days":400,"last.gave_wh":0}},
	 "dora":{"demand":"9","facts":{"member.since_days":400,"last.gave_wh":0}},
	 "emil":{"demand":"9","facts":{"member.since_days":89,"last.gave_wh":0}}}}`
	// All gave 4,000 Wh: anna counts 1 + 2,000/1,000 = 3, ben 1 + 1 = 2.
	a := allocateOK(t, q, "--charter", file)
	for sink, want := range map[string]string{"anna": "4.8", "ben": "3.2", "cleo": "0", "dora": "0", "emil": "0"} {
		within(t, sink, a.Shares[sink], want, "0")
	}
	// Weights of the input stand instead of the charter's; who takes part it says still.
	weighed := strings.NewReplacer(`"demand":"9"`, `"demand":"9","weight":"1"`).Replace(q)
	a = allocateOK(t, weighed, "--charter", file)
	for sink, want := range map[string]string{"anna": "4", "ben": "4", "emil": "0"} {
		within(t, sink, a.Shares[sink], want, "0")
	}
	// A template's, which asks for one fact alone: 500 kWh given count three times.
	a = allocateOK(t, `{"sources":{"roof":"4"},"sinks":{"x":{"demand":"9","facts":{"last.gave_wh":500000}},"y":{"demand":"9","facts":{"last.gave_wh":0}}}}`,
		"--scheme", "contribution-weighted")
	within(t, "x", a.Shares["x"], "3", "0")
	within(t, "y", a.Shares["y"], "1", "0")
	// Where no round asks, nobody needs to state anything.
	allocateOK(t, `{"sources":{"roof":"4"},"sinks":{"x":{"demand":"9","weight":"1"}}}`, "--scheme", "contribution-weighted")
	allocateOK(t, `{"sources":{"roof":"4"},"sinks":{"x":{"demand":"9","facts":{"member.sites":1}}}}`, "--scheme", "equal")

	for sink, says := range map[string]string{
		`{"demand":"1"}`: `sinks.x.facts.member.since_days: is missing; the charter's expression "settled" asks for it`,
		`{"demand":"1","facts":{"member.since_days":1}}`:                    `sinks.x.facts.last.gave_wh: is missing; the charter's expression "part" asks for it`,
		`{"demand":"1","facts":{"member.since_day":1}}`:                     `sinks.x.facts.member.since_day: is not known; did you mean member.since_days?`,
		`{"demand":"1","facts":{"age":1}}`:                                  `sinks.x.facts.age: is not known; there are member.since_days, `,
		`{"demand":"1","facts":{"member.id":1}}`:                            `sinks.x.facts.member.id: is not known`,
		`{"demand":"1","facts":{"last.gave_wh":-1}}`:                        `sinks.x.facts.last.gave_wh: -1 is out of range; last.gave_wh lies between 0 and`,
		`{"demand":"1","facts":{"last.gave_wh":1.5}}`:                       `sinks.x.facts.last.gave_wh: write a whole number`,
		`{"demand":"1","facts":{"last.gave_wh":"1"}}`:                       `sinks.x.facts.last.gave_wh: write a whole number`,
		`{"demand":"1","facts":{"last.gave_wh":null}}`:                      `sinks.x.facts.last.gave_wh: write a whole number`,
		`{"demand":"1","facts":{"last.gave_wh":1,"last.gave_wh":2}}`:        `sinks.x.facts.last.gave_wh: is there twice`,
		`{"demand":"1","facts":[]}`:                                         `sinks.x.facts: write a JSON object`,
		`{"demand":"1","weight":"1","facts":{"last.gave_wh":1,"demand":1}}`: `sinks.x.facts.demand: is not known`,
	} {
		code, _, errs := allocateRun(t, `{"sources":{"roof":"1"},"sinks":{"x":`+sink+`}}`, "--charter", file)
		if code != 1 || !strings.Contains(errs, says) {
			t.Errorf("%s: %d %s, want %q", sink, code, errs, says)
		}
	}
}
