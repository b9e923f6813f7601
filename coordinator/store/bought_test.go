// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"maps"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
)

// TestMemberBought: what members bought is told by interval, without what was taken
// back, and of nobody else.
func TestMemberBought(t *testing.T) { onEach(t, testMemberBought) }

func testMemberBought(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	epoch, v := raise(t, s), newVillage(t, 6)
	tenth := charter.Percent(100_000)
	v.charter.RulesVersion = 2
	v.charter.Sharing.Rounds = []charter.Round{{Name: "a tenth", Method: charter.Equal, Offer: &tenth}}
	v.charter.Sharing.Market = &charter.Market{Lowest: energy.Price{Currency: "EUR"}, Highest: v.charter.Price}
	var err error
	if v.hash, err = v.charter.Hash(); err != nil {
		t.Fatal(err)
	}
	commit(t, s, epoch, v.founding())
	old := v.interval(t, 0, 0)
	commit(t, s, epoch, old)
	v.stock = map[roll.AssetID]ledger.Stock{}
	again := v.interval(t, 0, 1)
	commit(t, s, epoch, reversal(1, old), again)
	next := v.interval(t, 1, 0)
	commit(t, s, epoch, next)

	want, all := map[roll.MemberID]map[energy.Instant]energy.Energy{}, energy.Energy(0)
	for _, leaf := range []store.NewLeaf{again, next} {
		for _, r := range leaf.Rows {
			if r.Kind != ledger.RowMember {
				continue
			}
			m, err := r.Member()
			if err != nil {
				t.Fatal(err)
			}
			if want[m.Member] == nil {
				want[m.Member] = map[energy.Instant]energy.Energy{}
			}
			if m.MarketBought > 0 {
				want[m.Member][leaf.Leaf.Settled.Interval.Start] = m.MarketBought
				all += m.MarketBought
			}
		}
	}
	if all == 0 {
		t.Fatal("nobody bought anything")
	}
	for member, bought := range want {
		got, err := s.MemberBought(ctx, member, day0, day0.Add(energy.Day), 10)
		if err != nil || !maps.Equal(got, bought) {
			t.Errorf("%s bought %v, expected %v: %v", member, got, bought, err)
		}
		if got, err = s.MemberBought(ctx, member, day0, day0.Add(energy.Day), 1); err != nil || len(got) > 1 {
			t.Errorf("%v, %v", got, err)
		}
	}
	holds(t, path)
}
