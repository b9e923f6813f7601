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

// TestTermsHoldForTheirPeriod: what expressions gave stays until the weighting
// period ends. It ends once, where such a period can end, for everybody.
func TestTermsHoldForTheirPeriod(t *testing.T) {
	const quarter, hour, day = energy.QuarterHour, energy.Instant(energy.Hour), energy.Instant(energy.Day)
	ch := &charter.Charter{WeightingPeriod: charter.PerDay, Expressions: []charter.Expression{{Name: "counts", Gives: charter.GivesWeight}}}
	type of map[roll.MemberID]struct {
		from  energy.Instant
		value int64
	}
	sheet := func(terms of) *Sheet {
		var s Sheet
		for _, m := range []roll.MemberID{"anna", "ben", "cleo"} {
			if x, ok := terms[m]; ok {
				s.Members = append(s.Members, MemberRow{Member: m, TermsFrom: x.from, Terms: []charter.MemberTerm{{Expression: "counts", Value: x.value}}})
			}
		}
		return &s
	}
	for name, try := range map[string]struct {
		at       energy.Instant
		was, now of
		fault    string
	}{
		"they hold":                      {12 * hour, of{"anna": {0, 5}}, of{"anna": {0, 5}}, ""},
		"another weight":                 {12 * hour, of{"anna": {0, 5}}, of{"anna": {0, 6}}, "anna"},
		"a period begins":                {day, of{"anna": {0, 5}}, of{"anna": {day, 6}}, ""},
		"a day of 23 hours":              {day - hour, of{"anna": {0, 5}}, of{"anna": {day - hour, 6}}, ""},
		"anew in each interval":          {12 * hour, of{"anna": {0, 5}}, of{"anna": {12 * hour, 6}}, "anna"},
		"anew after an hour":             {12 * hour, of{"anna": {11 * hour, 5}}, of{"anna": {12 * hour, 5}}, "anna"},
		"anew, before the last interval": {12 * hour, of{"anna": {-12 * hour, 5}}, of{"anna": {11 * hour, 6}}, "anna"},
		"who comes gets hers":            {12 * hour, of{"anna": {0, 5}}, of{"anna": {0, 5}, "ben": {0, 7}}, ""},
		"who comes begins a period":      {12 * hour, of{"anna": {0, 5}}, of{"ben": {12 * hour, 7}}, "ben"},
		"who comes in a new one":         {day, of{"anna": {0, 5}}, of{"ben": {day, 7}}, ""},
		"a period without an end":        {30 * hour, of{"anna": {0, 5}}, of{"anna": {0, 5}}, "has ended"},
		"a period to come":               {12 * hour, of{"anna": {0, 5}}, of{"anna": {13 * hour, 5}}, "of another weighting period"},
		"two periods at once":            {12 * hour, of{"anna": {0, 5}}, of{"anna": {0, 5}, "ben": {hour, 5}}, "of another weighting period"},
		"no terms":                       {12 * hour, of{"anna": {0, 5}}, of{}, "is missing"},
	} {
		s := sheet(try.now)
		if len(try.now) == 0 {
			s.Members = []MemberRow{{Member: "anna"}}
		}
		said := ""
		if err := checkTerms(energy.IntervalAt(try.at, quarter), s, ch); err != nil {
			said = err.Error()
		} else {
			c := closingsOf(3, try.at.Add(-quarter), sheet(try.was), true)
			if m := c.brokenTerms(s.Members, ch.WeightingPeriod); m != nil {
				said = string(m.Member)
			}
		}
		if said != try.fault && (try.fault == "" || !strings.Contains(said, try.fault)) {
			t.Errorf("%s: %q, want %q", name, said, try.fault)
		}
	}
}
