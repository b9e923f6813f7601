// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// TestAccountsOfPeriodsGoOn: what a member received in a round with a cap over a
// period is counted on from interval to interval, begins anew with a period and
// nowhere else, and is the same period for everybody.
func TestAccountsOfPeriodsGoOn(t *testing.T) {
	const quarter = energy.QuarterHour
	sheet := func(uses map[roll.MemberID]PeriodUse) *Sheet {
		var s Sheet
		for _, m := range []roll.MemberID{"anna", "ben"} {
			if u, ok := uses[m]; ok {
				u.Round, u.Per = "a little", charter.PerDay
				s.Members = append(s.Members, MemberRow{Member: m, Pool: roll.GridPool, Periods: []PeriodUse{u}})
			}
		}
		return &s
	}
	type at = map[roll.MemberID]PeriodUse
	rounds := []charter.PeriodRound{{Round: "a little", Per: charter.PerDay}}
	noon, next := energy.Instant(12*energy.Hour), energy.Instant(12*energy.Hour+quarter)
	const day = energy.Instant(energy.Day)
	for name, try := range map[string]struct {
		was   energy.Instant // when the period of the interval before began
		now   at
		some  bool // rows of the interval before are erased
		fault string
	}{
		"it goes on":                 {now: at{"anna": {Before: 7, Got: 1}}},
		"something is forgotten":     {now: at{"anna": {Before: 6}}, fault: "anna"},
		"a new period":               {was: -day, now: at{"anna": {From: next}}},
		"a new period with a past":   {was: -day, now: at{"anna": {From: next, Before: 7}}, fault: "anna"},
		"a period of half a day":     {now: at{"anna": {From: next}}, fault: "anna"},
		"a period without an end":    {was: -day, now: at{"anna": {From: -day, Before: 7}}, fault: "not one of this charter"},
		"anew in the middle":         {now: at{"anna": {From: noon}}, fault: "anna"},
		"who comes begins":           {now: at{"ben": {Got: 3}}},
		"who comes brings something": {now: at{"ben": {Before: 1}}, fault: "ben"},
		"who is erased is unknown":   {now: at{"ben": {Before: 1}}, some: true},
		"a period to come":           {now: at{"anna": {From: next.Add(quarter)}}, fault: "not one of this charter"},
		"two periods at once":        {now: at{"anna": {Before: 7}, "ben": {From: next}}, fault: "began at"},
		"no account":                 {now: nil, fault: "0 accounts"},
	} {
		s := sheet(try.now)
		if try.now == nil {
			s.Members = []MemberRow{{Member: "anna"}}
		}
		said := ""
		if err := checkPeriods(energy.IntervalAt(next, quarter), s, rounds); err != nil {
			said = err.Error()
		} else {
			c := closingsOf(3, noon, sheet(at{"anna": {From: try.was, Before: 5, Got: 2}}), !try.some)
			if m, _, _ := c.brokenUse(s.Members); m != nil {
				said = string(m.Member)
			}
		}
		if said != try.fault && (try.fault == "" || !strings.Contains(said, try.fault)) {
			t.Errorf("%s: %q, want %q", name, said, try.fault)
		}
	}
}
