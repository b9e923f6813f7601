// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"math/big"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// clearSlowly clears a market unit by unit, each a card on one of two stacks.
func clearSlowly(bids, offers []Order, buyers, sellers Ties) (price, volume int64, bought, sold []int64) {
	asks, pays := cards(offers), cards(bids)
	slices.Sort(asks)
	slices.Sort(pays)
	slices.Reverse(pays)
	for int(volume) < min(len(asks), len(pays)) && pays[volume] >= asks[volume] {
		volume++
	}
	bought, sold = make([]int64, len(bids)), make([]int64, len(offers))
	if volume == 0 {
		return 0, 0, bought, sold
	}
	low, high := asks[volume-1], pays[volume-1]
	if int(volume) < len(pays) {
		low = max(low, pays[volume])
	}
	if int(volume) < len(asks) {
		high = min(high, asks[volume])
	}
	price = low
	for price-low < high-price { // up until the middle is reached or just passed
		price++
	}
	serveSlowly(bought, bids, volume, pays[volume-1], buyers, func(l int64) bool { return l > pays[volume-1] })
	serveSlowly(sold, offers, volume, asks[volume-1], sellers, func(l int64) bool { return l < asks[volume-1] })
	return price, volume, bought, sold
}

func cards(orders []Order) (limits []int64) {
	for _, o := range orders {
		for range o.Most {
			limits = append(limits, o.Limit)
		}
	}
	return limits
}

func serveSlowly(got []int64, orders []Order, volume, margin int64, ties Ties, better func(int64) bool) {
	var who []int
	var asked int64
	for k, o := range orders {
		switch {
		case better(o.Limit):
			got[k] = o.Most
			volume -= o.Most
		case o.Limit == margin:
			who = append(who, k)
			asked += o.Most
		}
	}
	parts := make([]*big.Rat, len(who))
	for i, k := range who {
		parts[i] = new(big.Rat)
		if asked > 0 {
			parts[i].SetFrac(new(big.Int).Mul(big.NewInt(volume), big.NewInt(orders[k].Most)), big.NewInt(asked))
		}
	}
	for i, e := range roundSlowly(parts, who, ties) {
		got[who[i]] = e
	}
}

// trade is a market to clear. Few different limits make many stand at the margin.
type trade struct {
	bids, offers    []Order
	buyers, sellers Ties
}

func drawTrade(r *rand.Rand, most, limits int64) (m trade) {
	side := func() (orders []Order, ties Ties) {
		n := r.Intn(9)
		orders, ties = make([]Order, n), Ties{Seed: r.Uint64(), Keys: make([]uint64, n)}
		for k := range orders {
			orders[k] = Order{Most: r.Int63n(most + 1), Limit: r.Int63n(limits)}
			ties.Keys[k] = r.Uint64()
		}
		return orders, ties
	}
	m.bids, m.buyers = side()
	m.offers, m.sellers = side()
	return m
}

func (m *trade) clear(s *Scratch) (c Clearing, bought, sold []int64) {
	bought, sold = make([]int64, len(m.bids)), make([]int64, len(m.offers))
	c = s.Clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers)
	return c, bought, sold
}

func TestMarketAgreesWithOracle(t *testing.T) {
	r := rand.New(rand.NewSource(11))
	var s Scratch
	for i := range cases(t, 20_000) {
		m := drawTrade(r, 1+r.Int63n(30), 1+r.Int63n(12))
		c, bought, sold := m.clear(&s)
		price, volume, wantBought, wantSold := clearSlowly(m.bids, m.offers, m.buyers, m.sellers)
		if c.Price != price || c.Volume != volume || !slices.Equal(bought, wantBought) || !slices.Equal(sold, wantSold) {
			t.Fatalf("case %d: %+v\ngives %+v, %v and %v,\nthe oracle price %d, volume %d, %v and %v", i, m, c, bought, sold, price, volume, wantBought, wantSold)
		}
		for k, o := range m.bids {
			if e := c.Buys(o, m.buyers.Rank(k)); e != bought[k] {
				t.Fatalf("case %d: bid %d buys %d, her line says %d; %+v", i, k, bought[k], e, c)
			}
		}
		for k, o := range m.offers {
			if e := c.Sells(o, m.sellers.Rank(k)); e != sold[k] {
				t.Fatalf("case %d: offer %d sells %d, its line says %d; %+v", i, k, sold[k], e, c)
			}
		}
	}
}

// TestMarketIsFair: what is bought is sold, nobody pays more than she bid or is
// paid less than she asked, nobody who would have paid more than the price goes
// short, and no other price or order of the members would move more.
func TestMarketIsFair(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "market")))
		m := drawTrade(r, 1<<rapid.IntRange(0, 59).Draw(rt, "size"), 1<<rapid.IntRange(0, 61).Draw(rt, "limits"))
		var s Scratch
		c, bought, sold := m.clear(&s)
		if sumOf(bought) != c.Volume || sumOf(sold) != c.Volume {
			rt.Fatalf("%d bought, %d sold, volume %d", sumOf(bought), sumOf(sold), c.Volume)
		}
		for k, o := range m.bids {
			switch e := bought[k]; {
			case e < 0 || e > o.Most:
				rt.Fatalf("bid %+v buys %d", o, e)
			case e > 0 && o.Limit < c.Price:
				rt.Fatalf("bid %+v pays %d", o, c.Price)
			case e < o.Most && c.Volume > 0 && o.Limit > c.Price:
				rt.Fatalf("bid %+v buys only %d at %d", o, e, c.Price)
			}
		}
		for k, o := range m.offers {
			switch e := sold[k]; {
			case e < 0 || e > o.Most:
				rt.Fatalf("offer %+v sells %d", o, e)
			case e > 0 && o.Limit > c.Price:
				rt.Fatalf("offer %+v is paid %d", o, c.Price)
			case e < o.Most && c.Volume > 0 && o.Limit < c.Price:
				rt.Fatalf("offer %+v sells only %d at %d", o, e, c.Price)
			}
		}
		for _, o := range append(slices.Clone(m.bids), m.offers...) { // at every price that matters
			var want, have int64
			for _, b := range m.bids {
				want += b.Most & -int64(1-below(uint64(b.Limit), uint64(o.Limit)))
			}
			for _, a := range m.offers {
				have += a.Most & -int64(1-below(uint64(o.Limit), uint64(a.Limit)))
			}
			if min(want, have) > c.Volume {
				rt.Fatalf("%d trade at %d; at %d, %d could", c.Volume, c.Price, o.Limit, min(want, have))
			}
		}
		m.shuffle(r, bought, sold)
		again, b, a := m.clear(&s)
		if again != c || !slices.Equal(b, bought) || !slices.Equal(a, sold) {
			rt.Fatalf("%+v, and in another order %+v", c, again)
		}
	})
}

// shuffle puts the orders, and what they traded, into another order.
func (m *trade) shuffle(r *rand.Rand, bought, sold []int64) {
	r.Shuffle(len(bought), func(a, b int) {
		m.bids[a], m.bids[b] = m.bids[b], m.bids[a]
		m.buyers.Keys[a], m.buyers.Keys[b] = m.buyers.Keys[b], m.buyers.Keys[a]
		bought[a], bought[b] = bought[b], bought[a]
	})
	r.Shuffle(len(sold), func(a, b int) {
		m.offers[a], m.offers[b] = m.offers[b], m.offers[a]
		m.sellers.Keys[a], m.sellers.Keys[b] = m.sellers.Keys[b], m.sellers.Keys[a]
		sold[a], sold[b] = sold[b], sold[a]
	})
}

// TestMarketByHand is what a treasurer can follow on paper.
func TestMarketByHand(t *testing.T) {
	for name, try := range map[string]struct {
		bids, offers  []Order
		price, volume int64
		bought, sold  []int64
	}{
		"one of each: in the middle": {[]Order{{5, 20}}, []Order{{5, 10}}, 15, 5, []int64{5}, []int64{5}},
		"half upwards":               {[]Order{{5, 21}}, []Order{{5, 10}}, 16, 5, []int64{5}, []int64{5}},
		"too dear":                   {[]Order{{5, 9}}, []Order{{5, 10}}, 0, 0, []int64{0}, []int64{0}},
		"nobody":                     {nil, nil, 0, 0, []int64{}, []int64{}},
		// Ten are sold, and the one who goes short would have paid 18.
		"who goes short bounds the price": {[]Order{{10, 20}, {10, 18}}, []Order{{10, 8}}, 19, 10, []int64{10, 0}, []int64{10}},
		"whom nobody buys from as well":   {[]Order{{10, 20}}, []Order{{10, 8}, {10, 10}}, 9, 10, []int64{10}, []int64{10, 0}},
		"the last one in part":            {[]Order{{6, 20}, {9, 15}}, []Order{{10, 8}}, 15, 10, []int64{6, 4}, []int64{10}},
		"equals in proportion":            {[]Order{{8, 15}, {4, 15}, {1, 16}}, []Order{{7, 8}}, 15, 7, []int64{4, 2, 1}, []int64{7}},
		"equal offers too":                {[]Order{{7, 15}}, []Order{{8, 3}, {4, 3}, {1, 2}}, 3, 7, []int64{7}, []int64{4, 2, 1}},
		"nothing asked, nothing given":    {[]Order{{0, 15}}, []Order{{8, 3}}, 0, 0, []int64{0}, []int64{0}},
	} {
		m := trade{bids: try.bids, offers: try.offers, buyers: Ties{Keys: make([]uint64, 9)}, sellers: Ties{Keys: make([]uint64, 9)}}
		var s Scratch
		c, bought, sold := m.clear(&s)
		if c.Price != try.price || c.Volume != try.volume || !slices.Equal(bought, try.bought) || !slices.Equal(sold, try.sold) {
			t.Errorf("%s: price %d, volume %d, %v, %v", name, c.Price, c.Volume, bought, sold)
		}
	}
}
