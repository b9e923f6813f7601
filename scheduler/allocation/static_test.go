// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// Weights are worth what they are beside each other: also where they happen to
// add up to a whole, the part of one who waits because she feeds in goes to the
// others. Keys are percentages, and stay.
func TestStaticWeightsHaveNoScale(t *testing.T) {
	half, one := charter.Weight(500_000), charter.Weight(1_000_000)
	keys := []charter.MemberKeys{{Member: "anna", Keys: []charter.Key{{Percent: 500_000}}}, {Member: "ben", Keys: []charter.Key{{Percent: 500_000}}}}
	for what, c := range map[string]struct {
		round charter.Round
		want  int64
	}{
		"weights of a half": {charter.Round{Weights: &charter.Weights{Default: &half}}, 1000},
		"weights of one":    {charter.Round{Weights: &charter.Weights{Default: &one}}, 1000},
		"keys":              {charter.Round{Keys: keys}, 500},
	} {
		c.round.Name, c.round.Method = "all", charter.Static
		rules := charter.Sharing{ExportingSites: charter.ExportersWait, Rounds: []charter.Round{c.round}}
		p, err := NewPlan(&rules, []Taker{{ID: "anna"}, {ID: "ben"}}, []Part{{ID: "pool"}}, nil)
		if err != nil {
			t.Fatal(what, err)
		}
		out, err := p.Run(&Figures{
			Demand: []int64{1000, 1000}, Exports: []bool{true, false}, Supply: []int64{1000},
			Seed: SeedOf(energy.IntervalAt(0, energy.QuarterHour)),
		})
		if err != nil || out.Shares[0] != 0 || out.Shares[1] != c.want {
			t.Errorf("%s: %+v, %v, want ben to get %d", what, out.Shares, err, c.want)
		}
	}
}
