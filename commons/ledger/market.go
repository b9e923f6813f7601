// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Market is a market round's certificate: with her own line, a member computes
// from it what she bought and sold. Who bid more than the price of the margin got
// all that she asked for, who bid less nothing; among those at the margin itself
// Margin says how much of what each asked for. It names no member, but its limits
// are somebody's orders, as the price of any auction is.
type Market struct {
	Price  energy.Price  `json:"price"`  // the same for all who traded; 0 where nothing was traded
	Volume energy.Energy `json:"volume"` // Σ bought = Σ sold
	Unit   energy.Energy `json:"unit"`   // in which the round counted
	Seed   uint64        `json:"seed,string"`
	Bids   *Margin       `json:"bids,omitempty"` // nil where nothing was traded
	Offers *Margin       `json:"offers,omitempty"`
}

// Margin is one side of a market round. Of those whose limit is the margin's,
// each traded num/den of what she asked for, in units, as in a proportional round;
// see [Exact]. The numbers are strings, because they may pass 2^53.
type Margin struct {
	Limit   energy.Price  `json:"limit"`  // of the last order that traded
	Traded  energy.Energy `json:"traded"` // by all who stood at it
	Num     int64         `json:"num,string"`
	Den     int64         `json:"den,string"` // 1/0: each traded all that she asked for
	Cut     int64         `json:"cut,string"`
	TieRank uint64        `json:"tie_rank,string"`
}

// Traded is what a pool's market round moved; 0 where there was none.
func (t *PoolTotals) Traded() energy.Energy {
	if t.Market == nil {
		return 0
	}
	return t.Market.Volume
}

// checkMarkets says whether market rounds, and what members traded in them, stand
// where the charter has one and nowhere else. It needs no certificate, so that a
// market cannot be made up under rules that know none, also where rows are erased.
func checkMarkets(ch *charter.Charter, set *IntervalSettled, sheet *Sheet) error {
	island := ch.Islanded()
	has := make(map[roll.PoolID]bool, len(set.Pools))
	for i := range set.Pools {
		p := &set.Pools[i]
		rules := ch
		if p.Island {
			rules = island
		}
		if has[p.Pool] = rules.Sharing.Market != nil; has[p.Pool] != (p.Market != nil) {
			return findingf("pool %q has a market round and the charter none for it, or the other way round", p.Pool)
		}
	}
	for i := range sheet.Members {
		m := &sheet.Members[i]
		if !has[m.Pool] && (m.Bid != nil || m.Offer != nil || m.MarketLeft != 0 || m.MarketBought != 0 || m.MarketSold != 0) {
			return findingf("member %q bid, offered or traded in pool %q, for which the charter has no market round", m.Member, m.Pool)
		}
	}
	return nil
}

// traded is what the rows of a pool say that was bought and sold.
type traded struct{ bought, sold energy.Energy }

// checkTraded says whether a pool's certificate is of what its rows bought and sold.
func (s *Sheet) checkTraded(want *PoolTotals) error {
	got := s.traded[want.Pool]
	if v := want.Traded(); got.bought != v || got.sold != v {
		return fmt.Errorf("%w: pool %q: %s were traded in the leaf, but its rows bought %s and sold %s", ErrBalance, want.Pool, v, got.bought, got.sold)
	}
	return nil
}

func (f *folder) trade(m *MemberRow) {
	if m.MarketBought == 0 && m.MarketSold == 0 {
		return
	}
	if f.sheet.traded == nil {
		f.sheet.traded = map[roll.PoolID]traded{}
	}
	t := f.sheet.traded[m.Pool]
	f.sum(&t.bought, m.MarketBought)
	f.sum(&t.sold, m.MarketSold)
	f.sheet.traded[m.Pool] = t
	f.book(m.Pool, MemberAccount(m.Member, "bought"), m.MarketBought)
	f.book(m.Pool, MemberAccount(m.Member, "sold"), -m.MarketSold)
}
