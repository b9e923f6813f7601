// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"context"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// An operator with every key would have the weighting period begin anew whenever
// another weight suits a friend: each interval follows from its rows, is committed,
// posted and signed, and verification says where a period began that could not.
func TestForgedWeightingPeriodsAreFound(t *testing.T) {
	ch := rules()
	ch.RulesVersion, ch.WeightingPeriod = 2, charter.PerDay
	ch.Expressions = []charter.Expression{{Name: "counts", Gives: charter.GivesWeight, CEL: "1000000 + last.gave_wh"}}
	ch.Sharing.Rounds = []charter.Round{{Name: "everybody", Method: charter.Weighted, Weights: &charter.Weights{Expression: "counts"}}}
	at := func(n int) energy.Instant { return quarter(n).Start }
	for name, try := range map[string]struct {
		begins []energy.Instant // of the weighting period, by interval
		fault  int64            // the leaf that is named; 0: none
		says   string
	}{
		"one period":                         {[]energy.Instant{at(0), at(0), at(0)}, 0, ""},
		"anew in each interval":              {[]energy.Instant{at(0), at(1), at(2)}, 2, "in the middle"},
		"anew once":                          {[]energy.Instant{at(0), at(0), at(2)}, 3, "in the middle"},
		"anew, and dated back":               {[]energy.Instant{at(0), at(0), at(1)}, 3, "in the middle"},
		"a midnight that was an hour ago":    {[]energy.Instant{at(-4), at(-4), at(2)}, 3, "in the middle"},
		"a period that ended the day before": {[]energy.Instant{at(-120), at(-120), at(-120)}, 1, "has ended"},
		"a night in a year with summer time": {[]energy.Instant{at(-91), at(1), at(1)}, 0, ""},
	} {
		m := newMemory(t)
		m.activate(ch, day0)
		for n, from := range try.begins {
			in := settlement.Input{Interval: quarter(n)}
			for i, imported := range []energy.Energy{400_000, 300_001, 0} {
				weight := int64(1_000_000)
				if i == 0 {
					weight += int64(from-at(-200)) / 1000 // what suits the friend
				}
				in.Members = append(in.Members, ledger.MemberRow{
					Member: memberID(i), Pool: roll.GridPool, TermsFrom: from, Terms: []charter.MemberTerm{{Expression: "counts", Value: weight}},
					Sites: []ledger.SiteInput{{Site: roll.SiteID(memberID(i)), Import: imported, Export: 200_000, Production: 200_000, Metered: true}},
				})
			}
			res, err := new(settlement.Settler).Settle(&ch, in)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
			if err != nil {
				t.Fatal(err)
			}
			hash, err := ch.Hash()
			m.append(ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: village, Settled: &ledger.IntervalSettled{
				Interval: in.Interval, CharterHash: must(t, hash, err), RulesVersion: 2, Complete: true, Pools: res.Pools,
			}}, rows, nil)
		}
		r, err := ledger.Verify(context.Background(), m, m.verifiers, settlement.Recompute, nil)
		switch r = must(t, r, err); {
		case try.fault == 0 && !r.Holds():
			t.Errorf("%s: %v", name, r.Fault)
		case try.fault != 0:
			wantFault(t, r, try.fault, try.says)
		}
	}
}
