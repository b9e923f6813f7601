// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func marketRules(unit energy.Energy, lowest, highest int64) *charter.Sharing {
	return &charter.Sharing{
		Rounding: &charter.Rounding{Unit: unit, Mode: charter.Floor},
		Market:   &charter.Market{Lowest: energy.Price{Micro: lowest, Currency: "EUR"}, Highest: energy.Price{Micro: highest, Currency: "EUR"}},
	}
}

// TestMarketTakesNothingAway: after the rounds of any village, whatever anybody
// bids or offers, the shares stay what they were, nobody buys more than she still
// needs or sells more than she has left, everybody's own line says what she
// trades, and nobody trades with herself.
func TestMarketTakesNothingAway(t *testing.T) {
	traded := 0
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "village")))
		v := drawVillage(r, allMethods()...)
		out := v.run(rt)
		shares := slices.Clone(out.Shares)
		rules := v.rules
		rules.Market = marketRules(1, 10, 50).Market
		var traders []Trader
		order := func() Order { return Order{Most: r.Int63n(scales[r.Intn(len(scales))] + 1), Limit: r.Int63n(60)} }
		for i, m := range v.takers {
			traders = append(traders, Trader{ID: m.ID, Needs: out.Unmet[i], Bid: order(), Offer: order()})
		}
		for i := range v.parts { // each of the first members owns one
			if i < len(traders) {
				traders[i].Left = out.Unsold[i]
			}
		}
		var m Market
		c, err := m.Clear(&rules, traders, v.fig.Seed)
		if err != nil {
			rt.Fatalf("Clear: %v", err)
		}
		if c.Volume > 0 {
			traded++
		}
		if !slices.Equal(shares, out.Shares) || sumOf(c.Bought) != c.Volume || sumOf(c.Sold) != c.Volume {
			rt.Fatalf("shares %v were %v; bought %v, sold %v, volume %d", out.Shares, shares, c.Bought, c.Sold, c.Volume)
		}
		for i, tr := range traders {
			buys, sells, err := c.Check(&rules, &tr)
			switch {
			case err != nil || buys != c.Bought[i] || sells != c.Sold[i]:
				rt.Fatalf("%+v buys %d and sells %d, her line says %d and %d, %v", tr, c.Bought[i], c.Sold[i], buys, sells, err)
			case c.Bought[i] > min(tr.Needs, tr.Bid.Most) || c.Sold[i] > min(tr.Left, tr.Offer.Most) || min(c.Bought[i], c.Sold[i]) != 0:
				rt.Fatalf("%+v buys %d and sells %d", tr, c.Bought[i], c.Sold[i])
			case c.Bought[i] > 0 && (tr.Bid.Limit < c.Price || tr.Bid.Limit < 10 || tr.Bid.Limit > 50):
				rt.Fatalf("%+v pays %d", tr, c.Price)
			case c.Sold[i] > 0 && (tr.Offer.Limit > c.Price || tr.Offer.Limit < 10 || tr.Offer.Limit > 50):
				rt.Fatalf("%+v is paid %d", tr, c.Price)
			case c.Bought[i]%c.Unit != 0 || c.Sold[i]%c.Unit != 0:
				rt.Fatalf("%+v trades part of a unit", tr)
			}
		}
		want := map[roll.MemberID][2]int64{}
		for i, tr := range traders {
			want[tr.ID] = [2]int64{c.Bought[i], c.Sold[i]}
		}
		price := c.Price
		r.Shuffle(len(traders), func(a, b int) { traders[a], traders[b] = traders[b], traders[a] })
		c, err = m.Clear(&rules, traders, v.fig.Seed)
		if err != nil || c.Price != price {
			rt.Fatalf("price %d, in another order %+v, %v", price, c, err)
		}
		for i, tr := range traders {
			if got := [2]int64{c.Bought[i], c.Sold[i]}; got != want[tr.ID] {
				rt.Fatalf("%s trades %v, in another order %v", tr.ID, want[tr.ID], got)
			}
		}
	})
	if traded == 0 {
		t.Error("nothing was ever traded")
	}
}

// TestMarketOfNeighbours: ben and carl need, anna and dora have; the price stands
// between the last that trade, and who goes short did not bid it.
func TestMarketOfNeighbours(t *testing.T) {
	traders := []Trader{
		{ID: "anna", Left: 7_000_000, Offer: Order{Most: math.MaxInt64, Limit: 80}},
		{ID: "ben", Needs: 5_000_000, Bid: Order{Most: math.MaxInt64, Limit: 200}},
		{ID: "carl", Needs: 4_000_000, Bid: Order{Most: 1_000_500, Limit: 160}},
		{ID: "dora", Left: 3_000_000, Offer: Order{Most: math.MaxInt64, Limit: 170}},
		{ID: "emil", Needs: 9_000_000, Bid: Order{Most: math.MaxInt64, Limit: 100}},
		{ID: "fritz", Needs: 9_000_000, Bid: Order{Most: math.MaxInt64, Limit: 301}}, // above what the charter allows
		{ID: "gerda", Needs: 10_000, Left: 10_000, Bid: Order{Most: 20_000, Limit: 250}, Offer: Order{Most: 20_000, Limit: 60}},
	}
	var m Market
	c, err := m.Clear(marketRules(1000, 50, 300), traders, Seed{})
	if err != nil {
		t.Fatal(err)
	}
	// 5 kWh to ben, 1 to carl, the last 1.01 to emil, who is the marginal bidder.
	if want := []int64{0, 5_000_000, 1_000_000, 0, 1_010_000, 0, 0}; !slices.Equal(c.Bought, want) {
		t.Errorf("bought %v, want %v", c.Bought, want)
	}
	if want := []int64{7_000_000, 0, 0, 0, 0, 0, 10_000}; !slices.Equal(c.Sold, want) || c.Price != 100 || c.Volume != 7_010_000 {
		t.Errorf("sold %v of %d at %d, want %v at 100", c.Sold, c.Volume, c.Price, want)
	}
}

func TestMarketRefuses(t *testing.T) {
	good := marketRules(1, 0, 100)
	for name, try := range map[string]struct {
		rules   *charter.Sharing
		traders []Trader
		want    error
	}{
		"no charter":   {nil, nil, ErrRule},
		"no market":    {&charter.Sharing{}, nil, ErrRule},
		"wild prices":  {marketRules(1, math.MinInt64, math.MaxInt64), nil, ErrRule},
		"negative":     {good, []Trader{{ID: "anna", Left: -1}}, ErrAmount},
		"a wrong bid":  {good, []Trader{{ID: "anna", Bid: Order{Most: -1}}}, ErrAmount},
		"too much":     {good, []Trader{{ID: "anna", Needs: math.MaxInt64}, {ID: "ben", Needs: 1}}, ErrAmount},
		"far too much": {good, slices.Repeat([]Trader{{Left: math.MaxInt64}}, 3), ErrAmount},
		"too many":     {good, make([]Trader, MaxMembers+1), ErrAmount},
	} {
		var m Market
		if c, err := m.Clear(try.rules, try.traders, Seed{}); !errors.Is(err, try.want) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if _, _, err := (&Cleared{}).Check(good, &Trader{}); !errors.Is(err, ErrRule) {
		t.Errorf("an empty certificate: %v", err)
	}
}

// TestMarketAllocatesNothing: as the rounds do not, once the buffers have grown.
func TestMarketAllocatesNothing(t *testing.T) {
	var traders []Trader
	for i := range int64(500) {
		traders = append(traders, Trader{
			ID: roll.MemberID(fmt.Sprint("m", i)), Needs: i * 37 % 100_000, Left: i * 91 % 70_000,
			Bid: Order{math.MaxInt64, i % 40}, Offer: Order{math.MaxInt64, i % 30},
		})
	}
	rules := marketRules(1000, 0, 100)
	var m Market
	work := func() {
		if _, err := m.Clear(rules, traders, Seed{}); err != nil {
			t.Error(err)
		}
	}
	work()
	if n := testing.AllocsPerRun(5, work); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}
