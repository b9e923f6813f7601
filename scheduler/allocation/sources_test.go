// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"slices"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// TestKeysToAnEmptySourceAreWorthNothing: a round of pairs after one of passes
// that left a source empty once took what the keys had been worth before.
func TestKeysToAnEmptySourceAreWorthNothing(t *testing.T) {
	keys := []charter.MemberKeys{{Member: "anna", Keys: []charter.Key{{Percent: charter.Whole / 2}}}}
	rules := &charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{
		{Name: "turns", Method: charter.Passes, Passes: 1, Keys: keys, Cap: new(energy.KilowattHour), Rest: charter.RestInjectors},
		{Name: "pairs", Method: charter.Pairs, Keys: keys},
	}}
	plan, err := NewPlan(rules, []Taker{{ID: "anna"}}, []Part{{ID: "roof"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the buffers of a first interval are there in the second
		out, err := plan.Run(&Figures{Supply: []int64{10_000_000}, Demand: []int64{9_000_000}})
		if err != nil || out.Shares[0] != 1_000_000 || out.Left[0] != 0 || out.Back[0] != 9_000_000 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
}

// TestWhatIsNotListedComesLast: also a source that has a name of its own.
func TestWhatIsNotListedComesLast(t *testing.T) {
	rules := &charter.Sharing{
		ExportingSites: charter.ExportersReceive, Attribution: charter.AttributeListed,
		Sources: []charter.Source{{Name: "old", Member: "a"}},
		Rounds:  []charter.Round{{Name: "all", Method: charter.Equal}},
	}
	plan, err := NewPlan(rules, []Taker{{ID: "anna"}}, []Part{{Source: "new", ID: "new"}, {Source: "old", ID: "old"}, {ID: "pool"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for demand, want := range map[int64][]int64{2: {0, 2, 0}, 5: {1, 3, 1}, 9: {2, 3, 2}} {
		out, err := plan.Run(&Figures{Supply: []int64{2, 3, 2}, Demand: []int64{demand}})
		if err != nil || !slices.Equal(out.Used, want) {
			t.Errorf("of a demand of %d: %v, want %v; %v", demand, out.Used, want, err)
		}
	}
}
