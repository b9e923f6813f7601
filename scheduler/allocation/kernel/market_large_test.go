// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"cmp"
	"math"
	"math/rand"
	"slices"
	"testing"
)

// sorter clears a market as one would at first: it sorts both sides and walks
// along them. It is the oracle of large markets, and what Clear's speed is held against.
type sorter struct {
	Scratch
	bidsLeft, offersLeft []Order
}

func (s *sorter) clear(bought, sold []int64, bids, offers []Order, buyers, sellers Ties) Clearing {
	s.bidsLeft, s.offersLeft = standing(s.bidsLeft[:0], bids), standing(s.offersLeft[:0], offers)
	slices.SortFunc(s.bidsLeft, func(a, b Order) int { return cmp.Compare(b.Limit, a.Limit) })
	slices.SortFunc(s.offersLeft, func(a, b Order) int { return cmp.Compare(a.Limit, b.Limit) })
	c := walk(s.bidsLeft, s.offersLeft)
	s.serve(bought, bids, buyers, c.Volume, &c.Bids, 1)
	s.serve(sold, offers, sellers, c.Volume, &c.Offers, -1)
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

// walk goes along both sides, best orders first, and leaves in them what they did
// not trade.
func walk(bids, offers []Order) (c Clearing) {
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

// fairs are how orders may lie: at random, and so that selection is hard.
var fairs = []struct {
	name string
	make func(r *rand.Rand, k, n int) (bid, offer Order)
}{
	{"random", func(r *rand.Rand, _, _ int) (bid, offer Order) {
		return Order{r.Int63n(1_000_000), r.Int63n(400_000)}, Order{r.Int63n(1_000_000), r.Int63n(400_000)}
	}},
	{"one price", func(r *rand.Rand, _, _ int) (bid, offer Order) {
		return Order{1 + r.Int63n(1000), 7}, Order{1 + r.Int63n(3000), 7}
	}},
	{"few prices", func(r *rand.Rand, _, _ int) (bid, offer Order) {
		return Order{r.Int63n(4), r.Int63n(9)}, Order{r.Int63n(4), r.Int63n(9)}
	}},
	{"no trade", func(r *rand.Rand, _, _ int) (bid, offer Order) {
		return Order{1 + r.Int63n(1000), -r.Int63n(1 << 62)}, Order{1 + r.Int63n(1000), 1 + r.Int63n(1<<62)}
	}},
	{"all trade", func(r *rand.Rand, _, _ int) (bid, offer Order) {
		return Order{r.Int63n(1000), 1 + r.Int63n(1<<62)}, Order{r.Int63n(1000), -r.Int63n(1 << 62)}
	}},
	{"one giant", func(r *rand.Rand, k, n int) (bid, offer Order) {
		bid, offer = Order{r.Int63n(1000), r.Int63n(1000)}, Order{r.Int63n(1000), r.Int63n(1000)}
		switch k {
		case n / 3:
			bid.Most, bid.Limit = 1<<61, 900
		case n / 2:
			offer.Most, offer.Limit = 1<<61, 850
		}
		return bid, offer
	}},
	{"mostly zeros", func(r *rand.Rand, _, _ int) (bid, offer Order) {
		rarely := func() int64 { return r.Int63n(1000) * int64(1/(1+r.Intn(10))) }
		return Order{rarely(), r.Int63n(1000)}, Order{rarely(), r.Int63n(1000)}
	}},
	{"sorted", func(_ *rand.Rand, k, n int) (bid, offer Order) {
		return Order{1000, int64(k) * 3}, Order{1000, int64(n - k)}
	}},
	{"powers of two", func(_ *rand.Rand, k, n int) (bid, offer Order) {
		room := max(0, 62-bitsOf(n))
		return Order{1 << (k % (room + 1)), 1 << (k * 7 % 60)}, Order{1 << (k * 5 % (room + 1)), 1 << (k * 11 % 60)}
	}},
	{"63-bit sums", func(r *rand.Rand, _, n int) (bid, offer Order) {
		each := math.MaxInt64 / int64(n)
		return Order{each - r.Int63n(each/2+1), r.Int63n(1<<62) - r.Int63n(1<<62)}, Order{each - r.Int63n(each/2+1), r.Int63n(1<<62) - r.Int63n(1<<62)}
	}},
}

// openMarket makes one with so many bids and offers.
func openMarket(r *rand.Rand, fair, bids, offers int) (m trade) {
	n := max(bids, offers)
	m.buyers, m.sellers = Ties{Seed: r.Uint64()}, Ties{Seed: r.Uint64()}
	for k := range n {
		bid, offer := fairs[fair].make(r, k, n)
		if k < bids {
			m.bids, m.buyers.Keys = append(m.bids, bid), append(m.buyers.Keys, r.Uint64())
		}
		if k < offers {
			m.offers, m.sellers.Keys = append(m.offers, offer), append(m.sellers.Keys, r.Uint64())
		}
	}
	return m
}

// TestLargeMarkets goes where samples and bad pivots begin.
func TestLargeMarkets(t *testing.T) {
	r := rand.New(rand.NewSource(12))
	var s Scratch
	var slow sorter
	for i := range cases(t, 20_000) / 20 {
		fair := i % len(fairs)
		m := openMarket(r, fair, 1+r.Intn(300), 1+r.Intn(300))
		if i%50 < len(fairs) {
			m = openMarket(r, fair, 1+r.Intn(5000), 1+r.Intn(5000))
		}
		bought, sold := make([]int64, len(m.bids)), make([]int64, len(m.offers))
		want := slow.clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers)
		if c, b, a := m.clear(&s); c != want || !slices.Equal(b, bought) || !slices.Equal(a, sold) {
			t.Fatalf("case %d, %s: %d bids, %d offers: %+v, sorted %+v", i, fairs[fair].name, len(m.bids), len(m.offers), c, want)
		}
	}
}

// TestMarketPoorPivots drives the selection through the median of medians alone.
func TestMarketPoorPivots(t *testing.T) {
	r := rand.New(rand.NewSource(13))
	for i := range 300 {
		c := make(pairs, 1+r.Intn(400))
		var all uint64
		for k := range c {
			c[k] = pair{r.Uint64() >> r.Intn(64), uint64(1 + r.Intn(9))}
			all += c[k].w
		}
		sum := 1 + uint64(r.Int63n(int64(all)))
		sorted := slices.Clone(c)
		slices.SortFunc(sorted, func(a, b pair) int { return cmp.Compare(a.d, b.d) })
		at, left := 0, sum
		for ; left > sorted[at].w; at++ {
			left -= sorted[at].w
		}
		var s Scratch
		if got := s.reachWith(c, all, sum, maxBad+1); got != sorted[at].d {
			t.Fatalf("case %d: %d, not %d", i, got, sorted[at].d)
		}
	}
}

func TestMarketAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewSource(14))
	var s Scratch
	for fair := range fairs {
		m := openMarket(r, fair, 3000, 2000)
		bought, sold := make([]int64, len(m.bids)), make([]int64, len(m.offers))
		work := func() { s.Clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers) }
		work()
		if n := testing.AllocsPerRun(5, work); n != 0 {
			t.Errorf("%s: %.0f allocations", fairs[fair].name, n)
		}
	}
}
