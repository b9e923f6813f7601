// SPDX-License-Identifier: AGPL-3.0-or-later

package charters_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/roll"
)

// What a round for few tells about them is remarked, and no more than that.
func TestRemarks(t *testing.T) {
	ten := &roll.Community{Members: []roll.Member{{ID: "idle", Groups: []roll.Group{"one", "nine"}}}} // she has no site
	for i := range 10 {
		m := roll.Member{ID: roll.MemberID(fmt.Sprint("m", i))}
		for g, in := range map[roll.Group]bool{"one": i == 0, "two": i < 2, "three": i < 3, "five": i < 5, "nine": i < 9, "other": i > 2} {
			if in {
				m.Groups = append(m.Groups, g)
			}
		}
		ten.Members = append(ten.Members, m)
		ten.Sites = append(ten.Sites, roll.Site{ID: roll.SiteID("s-" + m.ID), Member: m.ID})
	}
	const head = `charter: allmende/1
name: Remarks
rules_version: 2
currency: EUR
interval: 15m
settle_after: 24h
price: 12 ct/kWh EUR
weighting_period: month
expressions: [{name: settled, gives: eligible, cel: "member.since_days > 3"}]
residual: {by: equal}
storage: {use: none}
sharing:
  exporting_sites: receive
`
	const roof = "  sources: [{name: roof, member: m1}, {name: barn, site: s-m1}, {name: mill, site: s-m2}, {name: pump, member: m3}]\n"
	const rest = `{name: first, method: weighted, weights: {default: 1}, eligible: settled, cap: 0.1}, `
	for rounds, says := range map[string]string{ // with the register, beside the remark on “first”
		"  rounds: [%s{name: a, method: equal}]":                                                            "",
		"  rounds: [%s{name: a, method: equal, groups: [one]}]":                                             "sharing.rounds[1].groups: round \"a\" is for one member",
		"  rounds: [%s{name: a, method: equal, groups: [two]}]":                                             "is for two members",
		"  rounds: [%s{name: a, method: equal, groups: [three]}]":                                           "",
		"  rounds: [%s{name: a, method: equal, groups: [nine]}]":                                            "all but one member",
		"  rounds: [%s{name: a, method: equal, groups: [five], tags: [other]}]":                             "sharing.rounds[1].tags: round \"a\" is for two members",
		"  rounds: [%s{name: a, method: priority, tiers: [{groups: [three]}, {groups: [five]}]}]":           "sharing.rounds[1].tiers[1]: tier 2 of round \"a\" is for two members",
		"  reserve: [{for: solidarity, percent: 5, groups: [two]}]\n  rounds: [%s{name: a, method: equal}]": "sharing.reserve[0].groups: this reserve is for two members",
		roof + "  rounds: [%s{name: a, method: equal, sources: [roof, barn]}]":                              "sharing.rounds[1].sources: round \"a\" divides the feed-in of one member alone (roof, barn)",
		roof + "  rounds: [%s{name: a, method: equal, sources: [roof, mill, pump]}]":                        "",
		roof + "  rounds: [%s{name: a, method: pairs, keys: [{member: m4, keys: [{source: mill, percent: 5}]}, {member: m5, keys: [{source: mill, percent: 5}]}, {member: m6, keys: [{source: mill, percent: 5}]}]}]": "source \"mill\" is one member's",
		"  rounds: [%s{name: a, method: static, keys: [{member: m4, keys: [{percent: 5}]}, {member: m5, keys: [{percent: 5}]}]}]":                                                                                     "sharing.rounds[1].keys: round \"a\" is for two members",
	} {
		ch, err := charters.DecodeFor([]byte(head+fmt.Sprintf(rounds, rest)+"\n"), ten)
		if err != nil {
			t.Fatalf("%s: %v", rounds, err)
		}
		var others []string
		expressed := 0
		for _, p := range charters.Remarks(&ch, ten) {
			if strings.Contains(p.Message, "an expression says") && p.Path == "sharing.rounds[0].eligible" {
				expressed++
				continue
			}
			others = append(others, p.Path+": "+p.Message)
		}
		if got := strings.Join(others, "\n"); expressed != 1 || (got == "") != (says == "") || !strings.Contains(got, says) || len(others) > 1 {
			t.Errorf("%s: %q, want %q", rounds, got, says)
		}
		unknown := 0
		for _, p := range charters.Remarks(&ch, nil) {
			if strings.Contains(p.Message, "the register says") {
				unknown++
			}
		}
		if counted := strings.Contains(rounds, "group") || strings.Contains(rounds, "keys:"); (unknown > 0) != counted {
			t.Errorf("%s: %d remarks that nobody knows how many", rounds, unknown)
		}
	}
}
