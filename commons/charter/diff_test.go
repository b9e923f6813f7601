// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func TestDiffInWords(t *testing.T) {
	before, after := full(), full()
	after.Price.Micro = 15_000_000
	after.Sharing.Rounds[2].Cap = new(2 * energy.KilowattHour)
	after.Sharing.Rounds[2].CapPeriod.Energy = 30 * energy.KilowattHour
	after.Sharing.Reserve = after.Sharing.Reserve[:2]
	after.Sharing.Reserve[0].Percent = Whole / 5
	after.Sharing.Rounds[5].Groups = []roll.Group{"owners"}
	after.Sharing.Rounds = append(after.Sharing.Rounds[:5:5], Round{Name: "new one", Method: Proportional}, after.Sharing.Rounds[5])
	after.Sharing.Rounds[6].Rest = ""
	after.Sharing.Rounds[5].Cap = new(energy.KilowattHour)
	var said []string
	for _, d := range Diff(&before, &after) {
		said = append(said, d.String())
	}
	text := strings.Join(said, "\n")
	for _, want := range []string{
		"Changed: the reserve for solidarity. Before: 10 % is set aside before anything is shared, for members of the group “tight”. Now: 20 % is set aside",
		"No longer: the reserve for sale. It was: 5 % is set aside before anything is shared.",
		"Changed: the order of the rounds. Before: “keys”, then “turns”, then “first”, then “work”, then “parts”, then “rest”. Now: “keys”, then",
		"Nobody gets more than 1 kWh from this round in one quarter-hour. Nobody gets more than 20 kWh from this round in one month of the calendar. Now: ",
		"Nobody gets more than 2 kWh from this round in one quarter-hour. Nobody gets more than 30 kWh",
		"New: the round “new one”. Every member who needs energy takes part. Each gets the same percentage",
		"Changed: the round “rest”. Before: Every member who needs energy takes part.",
		"Now: Only members of the group “owners” take part",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said in\n%s", want, text)
		}
	}
	if d := Diff(&before, &before); len(d) > 0 {
		t.Errorf("a charter differs from itself: %v", d)
	}
}

// TestDiffSeesWhatTheHashSees: two charters have a difference in words if and
// only if their hashes differ, and the other way round it is told mirrored.
func TestDiffSeesWhatTheHashSees(t *testing.T) {
	either := rapid.OneOf(rapid.Custom(drawCharter), rapid.Custom(drawNew))
	rapid.Check(t, func(t *rapid.T) {
		a := either.Draw(t, "before")
		b := a
		if rapid.Bool().Draw(t, "other") {
			b = either.Draw(t, "after")
		}
		ha, err1 := a.Hash()
		hb, err2 := b.Hash()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		there, back := Diff(&a, &b), Diff(&b, &a)
		if (ha == hb) != (len(there) == 0) {
			t.Fatalf("hashes %s and %s, and these differences: %v", ha, hb, there)
		}
		if len(there) != len(back) {
			t.Fatalf("%d differences one way, %d the other", len(there), len(back))
		}
		for _, d := range there {
			found := false
			for _, e := range back {
				found = found || e == Difference{d.About, d.After, d.Before}
			}
			if !found {
				t.Fatalf("%v is not mirrored in %v", d, back)
			}
		}
	})
}

// TestNewRulesStandInTheirPlace: what is new comes after the changed rule before it.
func TestNewRulesStandInTheirPlace(t *testing.T) {
	before, after := full(), full()
	before.Tariff.Solidarity = nil
	after.Price.Micro++
	var about []string
	for _, d := range Diff(&before, &after) {
		about = append(about, d.About)
	}
	if got := strings.Join(about, ", "); got != "the price, the solidarity fund" {
		t.Errorf("told in this order: %s", got)
	}
}

// TestDiffOfLaws: of a law's limits only those are told that came or went, and
// an expression says what it is for.
func TestDiffOfLaws(t *testing.T) {
	base := func(limits ...string) *Charter {
		return &Charter{
			Name: "Elm Road", Interval: energy.QuarterHour, Currency: "EUR", Price: energy.Price{Micro: 1, Currency: "EUR"},
			Sharing:      Sharing{ExportingSites: ExportersReceive, Rounds: []Round{{Name: "all", Method: Equal}}},
			Jurisdiction: &Jurisdiction{Scheme: "ch-leg", Country: "CH", Source: "StromVG", Date: "2026-01-01", OperatorComputes: "a", CommunityDoes: "b", Limits: limits},
		}
	}
	after := base("Stays", "comes")
	after.WeightingPeriod = PerMonth
	after.Expressions = []Expression{{Name: "new", Gives: GivesEligible, CEL: "member.sites\n  > 0"}}
	var said []string
	for _, d := range Diff(base("Goes.", "Stays"), after) {
		said = append(said, d.String())
	}
	want := []string{
		"New: how often the community looks at its members. Once a month.",
		"New: the rule “new”. It says who takes part: member.sites > 0",
		"No longer: a limit of the law. It was: Goes.",
		"New: a limit of the law. comes.",
	}
	if !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
}
