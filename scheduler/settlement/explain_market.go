// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// ExplainedMarket is the market round as one member was in it.
type ExplainedMarket struct {
	Says         string // the charter's own sentence
	Bid, Offer   *roll.Order
	Needs, Left  energy.Energy // hers, as the round began
	Bought, Sold energy.Energy
	Price        *energy.Price // for all who traded; nil where nobody did, or where it is withheld
	AtMargin     bool          // her order's limit is the last one that traded
	Arithmetic   string        // how Bought and Sold follow, as text
	Rank         uint64
	Certificate  *ledger.Market // nil where it is withheld
}

// market explains the market round, where the charter, as it held for the pool, has one.
func (e *Explanation) market(ch *charter.Charter, pool *ledger.PoolTotals) {
	if ch.Sharing.Market == nil || pool.Market == nil {
		return
	}
	row := &e.Row
	c := clearedOf(pool.Market)
	t := marketTeller{
		ExplainedMarket: &ExplainedMarket{
			Says: ch.ExplainMarket(), Bid: row.Bid, Offer: row.Offer, Needs: Needs(ch, pool, row), Left: row.MarketLeft,
			Bought: row.MarketBought, Sold: row.MarketSold, Rank: c.Rank(row.Member), Certificate: pool.Market,
		},
		rules: ch.Sharing.Market, unit: max(1, pool.Market.Unit),
		waits: row.Supply > 0 && ch.Sharing.ExportingSites == charter.ExportersWait,
	}
	t.bounded = !t.waits && t.Needs < row.Demand-row.Share-row.FromStorage
	if pool.Traded() > 0 {
		t.Price = &pool.Market.Price
	}
	t.Arithmetic = t.words()
	e.Market = t.ExplainedMarket
	e.Remarks = append(e.Remarks, "The market round comes after all rounds and after storage, and trades only what they leave: no bid and no offer made anybody's share smaller.")
}

// marketTeller puts a market round into words.
type marketTeller struct {
	*ExplainedMarket
	rules   *charter.Market
	unit    energy.Energy
	waits   bool // she fed in, and who feeds in does not receive
	bounded bool // what others fed in bounds what she may receive
}

// side is a bid or an offer, and the words for it.
type side struct {
	order              *roll.Order
	of                 energy.Energy // what the order is for, of what she needs or has left
	stands             energy.Energy // in whole units
	margin             *ledger.Margin
	got                energy.Energy
	name, done         string // "bid", "bought"
	none, better, less string
	beats              func(limit, margin int64) bool
}

func (t *marketTeller) bid() side {
	none := "nothing was needed any more"
	switch {
	case t.waits:
		none = "who feeds in does not receive, or buy, in the same interval"
	case t.bounded:
		none = "no more of what others fed in may be received"
	}
	return side{
		order: t.Bid, of: t.Bid.UpTo(t.Needs), margin: t.Certificate.Bids, got: t.Bought, name: "bid", done: "bought",
		none: none, better: "above", less: "below",
		beats: func(limit, margin int64) bool { return limit > margin },
	}
}

func (t *marketTeller) offer() side {
	return side{
		order: t.Offer, of: t.Offer.UpTo(t.Left), margin: t.Certificate.Offers, got: t.Sold, name: "offer", done: "sold",
		none: "nothing was left to sell", better: "below", less: "above",
		beats: func(limit, margin int64) bool { return limit < margin },
	}
}

// words say what became of her orders. Of who has both, the larger stands.
func (t *marketTeller) words() string {
	bid, offer := t.bid(), t.offer()
	if bid.order == nil && offer.order == nil {
		return "Neither a bid nor an offer stood, so nothing was bought and nothing sold."
	}
	var text []string
	for _, s := range []*side{&bid, &offer} {
		if s.order != nil {
			text = append(text, t.stand(s))
		}
	}
	stands := &offer
	if bid.stands > offer.stands {
		stands = &bid
	}
	if min(bid.stands, offer.stands) > 0 {
		text = append(text, fmt.Sprintf("Nobody trades with themselves: of the two only the larger counts, and of equal ones the offer; here the %s.", stands.name))
	}
	switch {
	case stands.stands == 0:
		text = append(text, "So nothing was bought and nothing sold.")
	case t.Price == nil:
		text = append(text, "Nobody's bid came up to anybody's offer in this interval, so nothing was traded.")
	default:
		text = append(text, t.trade(stands))
	}
	return strings.Join(text, " ")
}

// stand says how much an order stood for.
func (t *marketTeller) stand(s *side) string {
	price := s.order.Price
	begin := fmt.Sprintf("The %s of %v", s.name, price)
	s.stands = s.of / t.unit * t.unit
	switch {
	case !t.rules.Takes(price):
		s.stands = 0
		return begin + fmt.Sprintf(" stood for nothing, because the charter takes prices from %v to %v.", t.rules.Lowest, t.rules.Highest)
	case s.of == 0:
		return begin + " stood for nothing, because " + s.none + "."
	case s.stands == 0:
		return begin + fmt.Sprintf(" stood for nothing, because %v does not fill a step of %v.", s.of, t.unit)
	case s.order.Most > 0 && s.of == s.order.Most:
		return begin + fmt.Sprintf(" stood for %v, because it is for no more.", s.stands)
	case s.name == "bid" && t.bounded:
		return begin + fmt.Sprintf(" stood for %v, because no more of what others fed in may be received.", s.stands)
	case s.name == "bid":
		return begin + fmt.Sprintf(" stood for %v, which was still needed.", s.stands)
	}
	return begin + fmt.Sprintf(" stood for %v, which was left.", s.stands)
}

// trade says what an order that stood traded, and why.
func (t *marketTeller) trade(s *side) string {
	limit, margin, price := s.order.Price.Micro, s.margin.Limit, *t.Price
	end := fmt.Sprintf("%v %s at %v", s.got, s.done, price)
	between := fmt.Sprintf(" That price is the same for all who traded: not above the last bid that was served, %v, and not below the last offer, %v.", t.Certificate.Bids.Limit, t.Certificate.Offers.Limit)
	switch {
	case s.beats(limit, margin.Micro):
		return fmt.Sprintf("It is %s the last %s that was served, %v, so it was served in full: %s.", s.better, s.name, margin, end) + between
	case limit != margin.Micro:
		return fmt.Sprintf("It is %s the last %s that was served, %v, so nothing was %s.", s.less, s.name, margin, s.done) + between
	}
	t.AtMargin = true
	text := fmt.Sprintf("It is at the margin: the last %s that was served is at %v too.", s.name, margin)
	asked := int64(s.stands / t.unit)
	if s.margin.Den == 0 {
		return text + fmt.Sprintf(" There was enough for all who stood there: %s.", end) + between
	}
	d := divide(s.margin.Num, asked, s.margin.Den)
	r := ExplainedRound{Rank: t.Rank, Certificate: ledger.Round{Exact: &ledger.Exact{Cut: s.margin.Cut, TieRank: s.margin.TieRank}}}
	text += fmt.Sprintf(" All who stood there share what is left for them in proportion to what each asked for. Counted in %s: %s.", unitWords(t.unit), d.words(false))
	if d.rest.Sign() != 0 {
		more := d.times(t.unit).Int64() < int64(s.got)
		if more {
			text += " One unit more, because the remainder " + r.compared(d.rest, true) + "."
		} else {
			text += " No unit more, because the remainder " + r.compared(d.rest, false) + "."
		}
	}
	return text + fmt.Sprintf(" So %s.", end) + between
}

// withhold leaves out what shows the others: their limits at the margins, how much
// was traded, and what of theirs bounds a member who may receive only that. The
// price she knows as far as she traded at it: it is on her bill.
func (m *ExplainedMarket) withhold(ch *charter.Charter, row *ledger.MemberRow) {
	if row.Supply == 0 || ch.Sharing.ExportingSites != charter.ExportersWait {
		m.Needs = row.Demand - row.Share - row.FromStorage
	}
	if m.Bought == 0 && m.Sold == 0 {
		m.Price = nil
	}
	m.AtMargin, m.Arithmetic, m.Rank, m.Certificate = false, "", 0, nil
}
