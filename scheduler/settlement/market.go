// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
	"github.com/allmende-energy/allmende/scheduler/allocation/kernel"
)

// unsold is what the rounds leave for the market, of each member: of every part of
// the pool in proportion to what she has left of it, as with everything else that
// has no label.
type unsold struct {
	most  []int64       // of hers, what nobody took and no round sent elsewhere
	apart []int64       // of hers, what is the community's to sell whatever the market does
	there energy.Energy // of all, what is neither used, nor stored, nor gone through a binding meter
}

func newUnsold(members int, there energy.Energy) *unsold {
	return &unsold{make([]int64, members), make([]int64, members), max(there, 0)}
}

// leave notes what the rounds left of a part, where weights are what each member
// has of it. What was held for storage is in it: storage takes its own later.
func (p *pool) leave(out *allocation.Outcome, k int, gone int64, weights, part []int64) {
	if p.unsold == nil {
		return
	}
	add := func(to []int64, e int64) {
		p.work.Split(part, e, weights, p.ids, p.seed)
		for i := range to {
			to[i] += part[i]
		}
	}
	last := out.Unsold[k] - out.Left[k] // of Grid, what the last round sent there
	add(p.unsold.most, out.Unsold[k]+out.Held[k]-out.Sale[k])
	add(p.unsold.apart, out.Grid[k]-last+out.Sale[k]+p.toSell(k, 0, gone))
}

// left divides what the market may sell among the members: what is left of theirs
// when storage has taken its part, and of what would be the community's to sell
// what the last round gives it.
func (p *pool) left() []int64 {
	weights := make([]int64, len(p.members))
	for i, m := range p.members {
		own := m.Supply - m.Sold - m.Stored - m.ForSale
		weights[i] = min(p.unsold.most[i], int64(own)+p.forSale(i))
	}
	left := make([]int64, len(p.members))
	p.work.Split(left, min(int64(p.unsold.there), sum(weights)), weights, p.ids, p.seed)
	return left
}

// forSale is what the market may take of what the community would sell of a member's.
func (p *pool) forSale(i int) int64 {
	return max(0, int64(p.members[i].ForSale)-p.unsold.apart[i])
}

// trade runs the market round, where the charter has one: after the rounds and
// storage, so that no order changes what they gave.
func (p *pool) trade() error {
	if p.unsold == nil {
		return nil
	}
	rules, left := &p.charter.Sharing, p.left()
	traders := make([]allocation.Trader, len(p.members))
	for i, m := range p.members {
		m.MarketLeft = energy.Energy(left[i])
		traders[i] = trader(p.charter, &p.totals, m)
	}
	c, err := p.settler.market.Clear(rules, traders, p.seed)
	if err != nil {
		return err
	}
	for i, m := range p.members {
		m.MarketBought, m.MarketSold = energy.Energy(c.Bought[i]), energy.Energy(c.Sold[i])
		ours := energy.Energy(min(c.Sold[i], p.forSale(i))) // what the community does not sell now
		m.ForSale -= ours
		p.totals.ForSale -= ours
	}
	p.totals.Market = certificateOf(c, p.charter.Currency)
	return nil
}

// trader is a member as the market round sees her, from her own line.
func trader(ch *charter.Charter, totals *ledger.PoolTotals, m *ledger.MemberRow) allocation.Trader {
	needs, order := Needs(ch, totals, m), func(o *roll.Order, of energy.Energy) allocation.Order {
		if o == nil || o.Price.Currency != ch.Currency {
			return allocation.Order{} // in another currency it stands for nothing
		}
		return allocation.Order{Most: int64(o.UpTo(of)), Limit: o.Price.Micro}
	}
	return allocation.Trader{
		ID: m.Member, Needs: int64(needs), Left: int64(m.MarketLeft),
		Bid: order(m.Bid, needs), Offer: order(m.Offer, m.MarketLeft),
	}
}

// Needs is what a member may still buy in the market round: what rounds and storage
// did not give her, but nothing where she fed in and the charter lets her wait, and
// where she may receive only what others fed in, no more than is left of that.
func Needs(ch *charter.Charter, totals *ledger.PoolTotals, m *ledger.MemberRow) energy.Energy {
	s := &ch.Sharing
	if m.Supply > 0 && s.ExportingSites == charter.ExportersWait {
		return 0
	}
	others := energy.Energy(s.OfOthers(int64(m.Demand), int64(m.Supply), int64(totals.Supply)))
	return max(0, min(others-m.Share, m.Demand-m.Share-m.FromStorage))
}

func certificateOf(c *allocation.Cleared, currency energy.Currency) *ledger.Market {
	m := &ledger.Market{Price: energy.Price{Micro: c.Price, Currency: currency}, Volume: energy.Energy(c.Volume), Unit: energy.Energy(c.Unit), Seed: c.Seed}
	if c.Volume > 0 {
		side := func(g kernel.Margin) *ledger.Margin {
			return &ledger.Margin{
				Limit: energy.Price{Micro: g.Limit, Currency: currency}, Traded: energy.Energy(g.Shared * c.Unit),
				Num: g.Num, Den: g.Den, Cut: g.Cut, TieRank: g.TieRank,
			}
		}
		m.Bids, m.Offers = side(c.Clearing.Bids), side(c.Clearing.Offers)
	}
	return m
}

// clearedOf reads a certificate back.
func clearedOf(m *ledger.Market) allocation.Cleared {
	c := allocation.Cleared{Price: m.Price.Micro, Volume: int64(m.Volume), Unit: int64(m.Unit), Seed: m.Seed}
	c.Clearing = kernel.Clearing{Price: c.Price, Volume: c.Volume}
	side := func(g *ledger.Margin) kernel.Margin {
		return kernel.Margin{Limit: g.Limit.Micro, Outcome: kernel.Outcome{Num: g.Num, Den: g.Den, Cut: g.Cut, TieRank: g.TieRank, Shared: int64(g.Traded)}}
	}
	if m.Bids != nil && m.Offers != nil {
		c.Clearing.Bids, c.Clearing.Offers = side(m.Bids), side(m.Offers)
	}
	return c
}

// checkMarket says whether a pool's certificate is one of a market round of this
// charter and interval, as far as it tells by itself. The charter is as it held for the pool.
func checkMarket(ch *charter.Charter, at energy.Interval, totals *ledger.PoolTotals) error {
	rules, m := ch.Sharing.Market, totals.Market
	if rules == nil || m == nil { // package ledger sees that neither stands without the other
		return nil
	}
	unit := energy.Energy(1)
	if r := ch.Sharing.Rounding; r != nil {
		unit = max(1, r.Unit)
	}
	wrong := func(what string) error { return fmt.Errorf("the market round of pool %q: %s", totals.Pool, what) }
	switch {
	case m.Unit != unit || m.Seed != allocation.MarketSeed(allocation.SeedOf(at)):
		return wrong("its unit or its draw is not that of the charter and the interval")
	case m.Volume < 0 || m.Volume%unit != 0:
		return wrong("its volume is no number of units")
	case m.Volume == 0 && (m.Price.Micro != 0 || m.Bids != nil || m.Offers != nil):
		return wrong("it has a price, and nothing was traded")
	case m.Volume > 0 && (m.Bids == nil || m.Offers == nil):
		return wrong("it does not say who traded at its margins")
	case m.Price.Currency != ch.Currency:
		return wrong("its price is in another currency")
	case m.Volume == 0:
		return nil
	}
	for _, g := range []*ledger.Margin{m.Bids, m.Offers} {
		if g.Limit.Currency != ch.Currency || g.Traded < 0 || g.Traded > m.Volume || g.Num < 0 || g.Den < 0 {
			return wrong("a margin of it is none")
		}
	}
	low, price, high := m.Offers.Limit.Micro, m.Price.Micro, m.Bids.Limit.Micro
	if rules.Lowest.Micro > low || low > price || price > high || high > rules.Highest.Micro {
		return wrong(fmt.Sprintf("its price %s is not between the dearest offer and the cheapest bid that traded, %s and %s", m.Price, m.Offers.Limit, m.Bids.Limit))
	}
	return nil
}

// checkTrade says whether what a member bought and sold is what the certificate
// gives for her line.
func checkTrade(ch *charter.Charter, totals *ledger.PoolTotals, row *ledger.MemberRow) error {
	if ch.Sharing.Market == nil || totals.Market == nil {
		if row.MarketBought != 0 || row.MarketSold != 0 {
			return fmt.Errorf("member %q traded, and there was no market round", row.Member)
		}
		return nil
	}
	if err := checkOrders(row); err != nil {
		return err
	}
	hers := row.GridExport + row.MarketSold
	if sellsRest(&ch.Sharing) {
		hers += row.ForSale
	}
	if row.MarketLeft < 0 || row.MarketLeft > hers || row.MarketLeft != hers && allIsLeft(&ch.Sharing, totals.Pool) {
		return fmt.Errorf("member %q had %v to sell in the market round, by her line %v", row.Member, row.MarketLeft, hers)
	}
	c, t := clearedOf(totals.Market), trader(ch, totals, row)
	bought, sold, err := c.Check(&ch.Sharing, &t)
	if err == nil && (energy.Energy(bought) != row.MarketBought || energy.Energy(sold) != row.MarketSold) {
		err = fmt.Errorf("member %q bought %v and sold %v in the market round; by her line and the certificate it is %v and %v",
			row.Member, row.MarketBought, row.MarketSold, energy.Energy(bought), energy.Energy(sold))
	}
	return err
}

// sellsRest says whether the community sells what the last round leaves.
func sellsRest(s *charter.Sharing) bool { return s.Rounds[len(s.Rounds)-1].Rest == charter.RestGrid }

// allIsLeft says whether the market may sell all that rounds and storage leave of a
// pool: nothing of it is the community's, or went back before the last round, or
// through a binding meter.
func allIsLeft(s *charter.Sharing, pool roll.PoolID) bool {
	if pool != roll.GridPool || sellsRest(s) {
		return false
	}
	for i := range s.Rounds[:len(s.Rounds)-1] {
		if r := s.Rounds[i].Rest; r == charter.RestGrid || r == charter.RestInjectors {
			return false
		}
	}
	for _, r := range s.Reserve {
		if r.For == charter.ReserveSale {
			return false
		}
	}
	return true
}
