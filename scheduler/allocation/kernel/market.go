// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

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
// Neither side is sorted for that: the price is found by selection, see
// [Scratch.crossing], and the rest by looking at each order once more.
//
// Limits are within ±2^62; neither the bids nor the offers sum to more than 63 bits hold.
func (s *Scratch) Clear(bought, sold []int64, bids, offers []Order, buyers, sellers Ties) Clearing {
	c := match(bids, offers, s.crossing(bids, offers))
	s.serve(bought, bids, buyers, c.Volume, &c.Bids, 1)
	s.serve(sold, offers, sellers, c.Volume, &c.Offers, -1)
	return c
}

// worth is a limit as a number above 0 in the same order.
func (o Order) worth() uint64 { return uint64(o.Limit+1<<62) + 1 }

// limit is the limit of a worth.
func limit(worth uint64) int64 { return int64(worth-1) - 1<<62 }

// most is what an order asks for.
func (o Order) most() uint64 { return uint64(max(o.Most, 0)) }

// match says what is cleared, given the crossing. Bids from there on, or the offers
// below it, are the volume, whichever is more: the others do not suffice for more,
// at this price or any.
func match(bids, offers []Order, crossing uint64) (c Clearing) {
	var wanted, given, givenAt uint64
	lastBid, nextBid, none := ^uint64(0), uint64(0), ^uint64(0)
	for _, o := range bids {
		w, most := o.worth(), o.most()
		under, some := -below(w, crossing), -below(0, most)
		wanted += most &^ under
		lastBid = min(lastBid, w|under|^some)
		nextBid = max(nextBid, w&under&some)
	}
	lastOffer, nextOffer, beyond := uint64(0), none, none
	for _, o := range offers {
		w, most := o.worth(), o.most()
		under, over, some := -below(w, crossing), -below(crossing, w), -below(0, most)
		given += most & under
		givenAt += most &^ (under | over)
		lastOffer = max(lastOffer, w&under&some)
		nextOffer = min(nextOffer, w|under|^some)
		beyond = min(beyond, w|^over|^some)
	}
	volume := max(wanted, given)
	if volume == 0 {
		return c
	}
	if wanted < given { // those who bid just less have some of it, and want more
		lastBid, nextBid = crossing-1, crossing-1
	}
	if given < wanted { // and so with those who ask just this
		lastOffer, nextOffer = crossing, crossing
		if given+givenAt == wanted {
			nextOffer = beyond
		}
	}
	low, high := limit(max(lastOffer, nextBid)), limit(min(lastBid, nextOffer))
	return Clearing{
		Price: low + (high-low+1)/2, Volume: int64(volume),
		Bids: Margin{Limit: limit(lastBid)}, Offers: Margin{Limit: limit(lastOffer)},
	}
}

// crossing is the lowest worth at which no more is bid for than offered: the
// offers up to it suffice for the bids from it on. Add to either side the bids below
// it: then it is the lowest at which the offers up to it and the bids below it
// reach the sum of all bids. So it is one weighted selection among all orders.
func (s *Scratch) crossing(bids, offers []Order) uint64 {
	s.pairs = grow(s.pairs, len(bids)+len(offers))
	for lo, hi := s.crossingNear(bids, offers); ; lo, hi = 0, ^uint64(0) { // a second time for the few misled
		n, all, before := keep(s.pairs, bids, 1, lo, hi)
		m, _, below := keep(s.pairs[n:], offers, 0, lo, hi)
		c, kept := s.pairs[:n+m], uint64(0)
		for _, x := range c {
			kept += x.w
		}
		if before += below; all == 0 {
			return 0
		} else if before < all && all-before <= kept {
			return s.reach(c, kept, all-before)
		}
	}
}

// keep writes to dst the orders above lo and up to hi as pairs of worth, plus so
// much, and amount. It sums all amounts, and those up to lo.
func keep(dst pairs, orders []Order, plus, lo, hi uint64) (n int, all, before uint64) {
	dst = dst[:len(orders)]
	for _, o := range orders {
		x := pair{o.worth() + plus, o.most()}
		dst[n] = x
		over, upper := below(lo, x.d), below(hi, x.d)
		n += int(below(0, x.w) & over &^ upper)
		all += x.w
		before += x.w & (over - 1)
	}
	return n, all, before
}

// crossingNear brackets the crossing by that of a sample.
func (s *Scratch) crossingNear(bids, offers []Order) (lo, hi uint64) {
	lo, hi = 0, ^uint64(0)
	m := sampleSize(min(len(bids), len(offers)))
	if m == 0 {
		return lo, hi
	}
	all := uint64(len(bids) + len(offers))
	ofBids, _ := bits.Div64(uint64(len(bids)), 0, all) // what a bid of the sample stands for, and an offer
	c, n, sum := pairs(grow(s.drawn, 2*m)), 0, uint64(0)
	for k := range m {
		bid, offer := bids[position(len(bids), k, m)], offers[position(len(offers), k, m)]
		wanted, _ := bits.Mul64(bid.most(), ofBids)
		given, _ := bits.Mul64(offer.most(), -ofBids)
		c[n] = pair{bid.worth() + 1, wanted}
		n += int(below(0, wanted))
		c[n] = pair{offer.worth(), given}
		n += int(below(0, given))
		sum += wanted
	}
	s.drawn, c = c, c[:n]
	if n < m/2 { // few want anything: all of them are looked at
		return lo, hi
	}
	at, give := c.reaching(sum), slack(n)
	if at >= give {
		lo = c[at-give].d - 1
	}
	if at+give < len(c) {
		hi = c[at+give].d
	}
	return lo, hi
}

// reaching sorts c, which is small, by d, and gives the place up to which the w
// reach a sum; the last, if they don't.
func (p pairs) reaching(sum uint64) (at int) {
	for i := 1; i < len(p); i++ {
		x, j := p[i], i
		for ; j > 0 && x.d < p[j-1].d; j-- {
			p[j] = p[j-1]
		}
		p[j] = x
	}
	for at < len(p)-1 && sum > p[at].w {
		sum -= p[at].w
		at++
	}
	return at
}

// byWorth is a list in the order of d alone.
type byWorth pairs

func (c byWorth) less(i, j int) bool { return c[i].d < c[j].d }
func (c byWorth) swap(i, j int)      { c[i], c[j] = c[j], c[i] }

// reach is the least d up to which the w of c, all in all so much, reach a sum.
func (s *Scratch) reach(c pairs, all, sum uint64) uint64 { return s.reachWith(c, all, sum, 0) }

// reachWith is reach after so many poor pivots.
func (s *Scratch) reachWith(c pairs, all, sum uint64, bad int) uint64 {
	s.high = grow(s.high, len(c))
	for spare, side := s.high, 0; ; side ^= 1 {
		before := len(c)
		p := s.pivotWorth(c, all, sum, side, bad > maxBad)
		spare = spare[:before]
		low, high := 0, 0
		var lowW, sameW uint64
		for _, x := range c {
			isLow, isHigh := below(x.d, p), below(p, x.d)
			c[low], spare[high] = x, x
			low += int(isLow)
			high += int(isHigh)
			lowW += x.w & -isLow
			sameW += x.w & (isLow + isHigh - 1)
		}
		switch {
		case sum <= lowW:
			c, all = c[:low], lowW
		case sum <= lowW+sameW:
			return p
		default:
			sum -= lowW + sameW
			all -= lowW + sameW
			c, spare = spare[:high], c[:cap(c)]
		}
		if len(c) >= before-before/8 {
			bad++
		}
	}
}

// pivotWorth is the d of one of c near where their w reach the sum: a little to
// one side of it and then to the other.
func (s *Scratch) pivotWorth(c pairs, all, sum uint64, side int, exact bool) uint64 {
	m := sampleSize(len(c))
	switch {
	case exact:
		return c[medianOfMedians(byWorth(c), 0, len(c))].d
	case m == 0:
		return c[len(c)/2].d
	}
	sample, part := pairs(s.sorted[:m]), uint64(0)
	for k := range sample {
		sample[k] = c[position(len(c), k, m)]
		sample[k].w /= uint64(m)
		part += sample[k].w
	}
	hi, lo := bits.Mul64(part, sum)
	part, _ = bits.Div64(hi, lo, all) // sum ≤ all
	at := sample.reaching(part)
	if side == 0 {
		at -= slack(m)
	} else {
		at += slack(m)
	}
	return sample[max(0, min(at, m-1))].d
}

// serve sets got to what each order of one side trades of volume. Orders with a
// higher limit are better, with sign −1 a lower one. Those at the margin, a few as a
// rule, share among themselves.
func (s *Scratch) serve(got []int64, orders []Order, ties Ties, volume int64, m *Margin, sign int64) {
	if volume == 0 {
		clear(got)
		return
	}
	s.margin, s.keys = grow(s.margin, len(orders)), grow(s.keys, len(orders))
	n, left, margin := 0, volume, Order{Limit: sign * m.Limit}.worth()
	for k, o := range orders {
		worth, most := Order{Limit: sign * o.Limit}.worth(), o.most()
		better, worse := below(margin, worth), below(worth, margin)
		all := int64(most & -better)
		got[k] = all
		left -= all
		s.margin[n] = int32(k)
		n += int(below(0, most) &^ (better | worse))
	}
	s.asked, s.rationed = grow(s.asked, n), grow(s.rationed, n)
	for j, k := range s.margin[:n] {
		s.asked[j], s.keys[j] = orders[k].Most, ties.Keys[k]
	}
	m.Outcome = s.Prorate(s.rationed, s.asked, left, Ties{Seed: ties.Seed, Keys: s.keys[:n]})
	for j, k := range s.margin[:n] {
		got[k] = s.rationed[j]
	}
}
