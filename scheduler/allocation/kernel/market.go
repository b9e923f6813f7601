// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"cmp"
	"slices"
)

// Order is a bid or an offer: at most so much, at this price a unit or a better one.
type Order struct{ Most, Limit int64 }

// Margin is one side of a clearing. Orders with a better limit trade all that
// they asked for, with a worse one nothing; those at the limit itself share what
// is left for them in proportion to what they asked for, see [Scratch.Prorate].
type Margin struct {
	Limit int64
	Outcome
}

// trades is what an order trades; better says whether its limit beats the margin's.
func (m *Margin) trades(o Order, better bool, rank uint64) int64 {
	switch {
	case o.Most <= 0:
		return 0
	case better:
		return o.Most
	case o.Limit == m.Limit:
		return m.Share(o.Most, o.Most, rank)
	}
	return 0
}

// Clearing says how a market came out. With it, anybody can compute what she
// trades from her own order, see [Clearing.Buys] and [Clearing.Sells].
type Clearing struct {
	Price  int64
	Volume int64 // Σ bought = Σ sold; with 0 the rest means nothing
	Bids   Margin
	Offers Margin
}

// Buys is what a bid of this rank gets.
func (c *Clearing) Buys(bid Order, rank uint64) int64 {
	if c.Volume <= 0 {
		return 0
	}
	return c.Bids.trades(bid, bid.Limit > c.Bids.Limit, rank)
}

// Sells is what an offer of this rank gives.
func (c *Clearing) Sells(offer Order, rank uint64) int64 {
	if c.Volume <= 0 {
		return 0
	}
	return c.Offers.trades(offer, offer.Limit < c.Offers.Limit, rank)
}

// Clear sets bought and sold to what bids and offers trade at one price for all.
//
// Line up every unit bid for, dearest first, beside every unit offered, cheapest
// first. The volume V is the most of them that trade: as long as the V-th unit bid
// is worth at least what the V-th offered asks. The price is in the middle of
//
//	max(V-th unit offered, V+1-th unit bid) … min(V-th unit bid, V+1-th unit offered)
//
// half a unit of price upwards; where a side has no V+1-th unit, it bounds
// nothing. These are all the prices at which nobody wants to trade more than she
// does: whoever would pay more than the price is served in full, whoever asks less
// sells all. Only where several have the very limit of the last unit is there
// something to ration.
//
// Limits are within ±2^62; neither the bids nor the offers sum to more than 63 bits hold.
func (s *Scratch) Clear(bought, sold []int64, bids, offers []Order, buyers, sellers Ties) Clearing {
	s.bids, s.offers = standing(s.bids[:0], bids), standing(s.offers[:0], offers)
	slices.SortFunc(s.bids, func(a, b Order) int { return cmp.Compare(b.Limit, a.Limit) })
	slices.SortFunc(s.offers, func(a, b Order) int { return cmp.Compare(a.Limit, b.Limit) })
	c := match(s.bids, s.offers)
	s.serve(bought, bids, buyers, c.Volume, &c.Bids, func(limit int64) bool { return limit > c.Bids.Limit })
	s.serve(sold, offers, sellers, c.Volume, &c.Offers, func(limit int64) bool { return limit < c.Offers.Limit })
	return c
}

func standing(dst, orders []Order) []Order {
	for _, o := range orders {
		if o.Most > 0 {
			dst = append(dst, o)
		}
	}
	return dst
}

// match walks along both sides, best orders first, and leaves in them what they
// did not trade.
func match(bids, offers []Order) (c Clearing) {
	i, j := 0, 0
	for i < len(bids) && j < len(offers) && bids[i].Limit >= offers[j].Limit {
		e := min(bids[i].Most, offers[j].Most)
		c.Volume += e
		c.Bids.Limit, c.Offers.Limit = bids[i].Limit, offers[j].Limit
		bids[i].Most -= e
		offers[j].Most -= e
		if bids[i].Most == 0 {
			i++
		}
		if offers[j].Most == 0 {
			j++
		}
	}
	if c.Volume == 0 {
		return c
	}
	low, high := c.Offers.Limit, c.Bids.Limit
	if i < len(bids) {
		low = max(low, bids[i].Limit)
	}
	if j < len(offers) {
		high = min(high, offers[j].Limit)
	}
	c.Price = low + (high-low+1)/2
	return c
}

// serve sets got to what each order of one side trades of volume.
func (s *Scratch) serve(got []int64, orders []Order, ties Ties, volume int64, m *Margin, better func(limit int64) bool) {
	clear(got)
	if volume == 0 {
		return
	}
	s.asked = grow(s.asked, len(orders))
	left := volume
	for k, o := range orders {
		s.asked[k] = 0
		switch {
		case o.Most <= 0:
		case better(o.Limit):
			got[k] = o.Most
			left -= o.Most
		case o.Limit == m.Limit:
			s.asked[k] = o.Most
		}
	}
	s.rationed = grow(s.rationed, len(orders))
	m.Outcome = s.Prorate(s.rationed, s.asked, left, ties)
	for k, e := range s.rationed {
		got[k] += e
	}
}
