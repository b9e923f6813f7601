// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

func cents(n int64) energy.Price { return energy.Price{Micro: n * 1_000_000, Currency: "EUR"} }

// anyOrder is none, or one at a price that others have too, now and then outside
// what a charter takes or in another currency.
func anyOrder(t *rapid.T) *roll.Order {
	if !rapid.Bool().Draw(t, "orders") {
		return nil
	}
	o := &roll.Order{Price: cents(rapid.SampledFrom([]int64{4, 8, 10, 10, 12, 20, 31}).Draw(t, "price"))}
	o.Price.Micro += rapid.Int64Range(0, 1).Draw(t, "micro")
	if rapid.IntRange(0, 9).Draw(t, "foreign") == 0 {
		o.Price.Currency = "CHF"
	}
	if rapid.Bool().Draw(t, "limited") {
		o.Most = anyEnergy(3e6).Draw(t, "most") + 1
	}
	return o
}

// anyMarket is any charter and input of version 2 with a market round.
func anyMarket(t *rapid.T) (*charter.Charter, settlement.Input) {
	ch, in := anyCharter(t), anyInput(t)
	ch.RulesVersion, ch.Currency = 2, "EUR"
	ch.Sharing.Market = &charter.Market{Lowest: cents(5), Highest: cents(30)}
	return ch, in
}

// TestOrdersTakeNothingFromAnybody: with and without anybody's orders, the rounds
// and storage come out the same to the unit, for everybody; an order moves only
// what would have gone to the grid and come from it.
func TestOrdersTakeNothingFromAnybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyMarket(t)
		with := settle(t, ch, in)
		for i := range in.Members {
			in.Members[i].Bid, in.Members[i].Offer = nil, nil
		}
		without := settle(t, ch, in)
		var bought, sold energy.Energy
		for i := range with.Members {
			a, b := with.Members[i], without.Members[i]
			if b.MarketBought != 0 || b.MarketSold != 0 {
				t.Fatalf("nobody ordered, and she traded: %+v", b)
			}
			if a.GridImport+a.MarketBought != b.GridImport || a.GridExport+a.ForSale+a.MarketSold != b.GridExport+b.ForSale {
				t.Fatalf("what she traded is not what the grid misses:\n%+v\n%+v", a, b)
			}
			bought, sold = bought+a.MarketBought, sold+a.MarketSold
			a.Bid, a.Offer, a.MarketBought, a.MarketSold = nil, nil, 0, 0
			a.GridImport, a.GridExport, a.ForSale = b.GridImport, b.GridExport, b.ForSale
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("an order changed what the rounds gave:\n%+v\n%+v", a, b)
			}
		}
		if !reflect.DeepEqual(with.Storage, without.Storage) || bought != sold {
			t.Fatalf("storage differs, or %v bought and %v sold", bought, sold)
		}
		for i := range with.Pools {
			a, b := with.Pools[i], without.Pools[i]
			if b.Traded() != 0 || a.GridImport+a.Traded() != b.GridImport || a.GridExport+a.Traded() != b.GridExport {
				t.Fatalf("%+v\n%+v", a, b)
			}
			a.Market, a.GridImport, a.GridExport, a.ForSale = b.Market, b.GridImport, b.GridExport, b.ForSale
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("an order changed a pool's rounds:\n%+v\n%+v", a, b)
			}
		}
	})
}

// TestTradesAreWanted: nobody buys more than she still needs or sells more than
// she has left, pays more than she bid or gets less than she asked; nobody does both;
// and nobody who would have traded at the price goes without.
func TestTradesAreWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyMarket(t)
		res := settle(t, ch, in)
		for _, p := range res.Pools {
			market := p.Market
			for i := range res.Members {
				m := &res.Members[i]
				if m.Pool != p.Pool {
					continue
				}
				needs := settlement.Needs(ch, &p, m)
				bid, offer := stands(ch, m.Bid).UpTo(needs), stands(ch, m.Offer).UpTo(m.MarketLeft)
				switch {
				case m.MarketBought > bid || m.MarketSold > offer || m.MarketBought > 0 && m.MarketSold > 0:
					t.Fatalf("she bought %v of %v and sold %v of %v", m.MarketBought, bid, m.MarketSold, offer)
				case m.MarketBought > 0 && m.Bid.Price.Micro < market.Price.Micro, m.MarketSold > 0 && m.Offer.Price.Micro > market.Price.Micro:
					t.Fatalf("she trades at a price that she did not name: %+v, %+v", m, market)
				case m.MarketLeft > m.Supply-m.Sold-m.Stored:
					t.Fatalf("she has %v left, and could sell %v", m.Supply-m.Sold-m.Stored, m.MarketLeft)
				}
				unit := market.Unit
				bid, offer = bid/unit*unit, offer/unit*unit
				if bid > offer && bid > m.MarketBought && market.Volume > 0 && m.Bid.Price.Micro > market.Price.Micro {
					t.Fatalf("she would have paid more than %v and got %v of %v", market.Price, m.MarketBought, bid)
				}
				if offer >= bid && offer > m.MarketSold && market.Volume > 0 && m.Offer.Price.Micro < market.Price.Micro {
					t.Fatalf("she asked less than %v and sold %v of %v", market.Price, m.MarketSold, offer)
				}
			}
		}
	})
}

// stands is an order that a charter takes, or none.
func stands(ch *charter.Charter, o *roll.Order) *roll.Order {
	if o == nil || o.Price.Currency != ch.Currency || o.Price.Micro < ch.Sharing.Market.Lowest.Micro || o.Price.Micro > ch.Sharing.Market.Highest.Micro {
		return nil
	}
	return o
}

// TestOrderOfMembersDoesNotMatter: whoever stands first in the register has
// nothing from it.
func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyMarket(t)
		a := settle(t, ch, in)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 3)).Shuffle(len(in.Members), func(i, j int) { in.Members[i], in.Members[j] = in.Members[j], in.Members[i] })
		if b := settle(t, ch, in); !reflect.DeepEqual(a, b) {
			t.Fatalf("it comes out differently:\n%+v\n%+v", a, b)
		}
	})
}

// village is a street with a market: anna and the mill have sun left, ben and cleo
// still need.
func village(bids ...*roll.Order) (*charter.Charter, settlement.Input) {
	key := []charter.MemberKeys{{Member: "ben", Keys: []charter.Key{{Percent: 100_000}}}} // a tenth
	ch := &charter.Charter{
		Charter: charter.Format, Name: "Ours", RulesVersion: 2, Interval: energy.QuarterHour, Currency: "EUR",
		Sharing: charter.Sharing{
			ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "keys", Method: charter.Static, Keys: key}},
			Market: &charter.Market{Lowest: cents(5), Highest: cents(30)},
		},
		Residual: charter.Residual{By: charter.ResidualEqual}, Storage: charter.Storage{Use: charter.StorageShared},
	}
	in := settlement.Input{Interval: energy.IntervalAt(0, energy.QuarterHour)}
	for i, m := range []struct {
		id               string
		imported, export energy.Energy
	}{{"anna", 0, 1_000_000}, {"ben", 700_000, 0}, {"cleo", 900_000, 0}, {"mill", 0, 500_000}} {
		row := ledger.MemberRow{Member: roll.MemberID(m.id), Pool: roll.GridPool, Sites: []ledger.SiteInput{{
			Site: roll.SiteID(fmt.Sprint("s", i)), Import: m.imported, Export: m.export, Production: m.export,
		}}}
		if i < len(bids) && m.imported > 0 {
			row.Bid = bids[i]
		} else if i < len(bids) {
			row.Offer = bids[i]
		}
		in.Members = append(in.Members, row)
	}
	return ch, in
}

// TestVillageTrades: figures that can be followed with paper and pencil. Of 1.5 kWh
// the keys share a tenth, 0.15, to ben. Left are 0.9 of anna's and 0.45 of the mill's.
func TestVillageTrades(t *testing.T) {
	order := func(ct int64, most energy.Energy) *roll.Order { return &roll.Order{Price: cents(ct), Most: most} }
	type figures struct {
		price                    int64
		anna, ben, cleo, mill    energy.Energy // sold, bought, bought, sold
		fromTheGrid, intoTheGrid energy.Energy
	}
	for name, try := range map[string]struct {
		orders []*roll.Order // anna's offer, ben's and cleo's bids, the mill's offer
		want   figures
	}{
		"nobody orders": {nil, figures{fromTheGrid: 1_450_000, intoTheGrid: 1_350_000}},
		"only bids":     {[]*roll.Order{nil, order(20, 0), order(20, 0), nil}, figures{fromTheGrid: 1_450_000, intoTheGrid: 1_350_000}},
		// All is sold, and ben, who bids least, is short: the price is between the 10 that
		// is asked and the 12 that is still paid.
		"all of it": {[]*roll.Order{order(8, 0), order(12, 0), order(20, 0), order(10, 0)},
			figures{price: 12_000_000, anna: 900_000, ben: 450_000, cleo: 900_000, mill: 450_000, fromTheGrid: 100_000}},
		// Cleo wants 0.3 and would pay 20, ben 9: anna still has some at 8, so nobody pays
		// more, and the mill, who asks 10, sells nothing.
		"the dear offer waits": {[]*roll.Order{order(8, 0), order(9, 0), order(20, 300_000), order(10, 0)},
			figures{price: 8_000_000, anna: 850_000, ben: 550_000, cleo: 300_000, fromTheGrid: 600_000, intoTheGrid: 500_000}},
		"too cheap": {[]*roll.Order{order(15, 0), order(14, 0), order(12, 0), order(15, 0)},
			figures{fromTheGrid: 1_450_000, intoTheGrid: 1_350_000}},
		// Two at one limit share in proportion to what they asked for: 0.55 and 0.9 of 1.35.
		"at the margin": {[]*roll.Order{order(8, 0), order(12, 0), order(12, 0), order(8, 0)},
			figures{price: 12_000_000, anna: 900_000, ben: 512_069, cleo: 837_931, mill: 450_000, fromTheGrid: 100_000}},
	} {
		ch, in := village(try.orders...)
		var s settlement.Settler
		res, err := s.Settle(ch, in)
		if err != nil {
			t.Fatal(err)
		}
		p, m := res.Pools[0], res.Members
		got := figures{p.Market.Price.Micro, m[0].MarketSold, m[1].MarketBought, m[2].MarketBought, m[3].MarketSold, p.GridImport, p.GridExport}
		if got != try.want {
			t.Errorf("%s: %+v, expected %+v", name, got, try.want)
		}
		if m[1].Share != 150_000 || m[0].MarketLeft != 900_000 || m[3].MarketLeft != 450_000 {
			t.Errorf("%s: ben's share %v, left %v and %v", name, m[1].Share, m[0].MarketLeft, m[3].MarketLeft)
		}
	}
}

// TestMarketComesAfterTheOthers: what the community keeps to sell, what storage
// takes and what left through a binding meter is not for the market, and what the
// last round would give the community to sell is.
func TestMarketComesAfterTheOthers(t *testing.T) {
	all := &roll.Order{Price: cents(10)}
	for name, try := range map[string]struct {
		rest    charter.Rest
		reserve []charter.Reserve
		charged energy.Energy
		gone    energy.Energy
		waits   bool
		traded  energy.Energy
		sale    energy.Energy
	}{
		"all":                    {traded: 1_350_000},
		"a reserve to sell":      {reserve: []charter.Reserve{{For: charter.ReserveSale, Percent: 400_000}}, traded: 810_000, sale: 600_000},
		"storage comes before":   {charged: 1_000_000, traded: 350_000},
		"a reserve for storage":  {reserve: []charter.Reserve{{For: charter.ReserveStorage, Percent: 100_000}}, charged: 50_000, traded: 1_315_000},
		"before the community":   {rest: charter.RestGrid, traded: 1_350_000},
		"the community has rest": {rest: charter.RestGrid, reserve: []charter.Reserve{{For: charter.ReserveSale, Percent: 400_000}}, charged: 50_000, traded: 760_000, sale: 600_000},
		"gone":                   {gone: 1_000_000},
		"gone, and stored":       {gone: 1_000_000, charged: 200_000},
		"gone, and to sell":      {gone: 1_000_000, rest: charter.RestGrid, sale: 1_000_000},
		"who feeds in waits":     {waits: true, traded: 1_350_000},
	} {
		ch, in := village(all, all, all, all)
		ch.Sharing.Rounds[0].Rest, ch.Sharing.Reserve = try.rest, try.reserve
		if try.waits {
			ch.Sharing.ExportingSites = charter.ExportersWait
			in.Members[0].Sites[0].Import, in.Members[0].Bid = 5_000_000, &roll.Order{Price: cents(30)}
		}
		pool := roll.GridPool
		if try.gone > 0 {
			pool = "house"
		}
		if try.charged > 0 {
			in.Storage = []ledger.StorageRow{{
				Asset: "s", Pool: pool, Placement: roll.OwnMeter, Charged: try.charged, SoC: -1, Capacity: 5e6, ChargeEff: 1e6, DischargeEff: 1e6,
			}}
		}
		if try.gone > 0 {
			for i := range in.Members {
				in.Members[i].Pool = pool
			}
			// The import is such that nothing is unexplained.
			in.Connections = []ledger.ConnectionRow{{Connection: "house", Pool: pool, Export: try.gone, Import: try.gone + 100_000 + try.charged}}
		}
		var s settlement.Settler
		res, err := s.Settle(ch, in)
		if err != nil {
			t.Fatal(err)
		}
		p := res.Pools[0]
		want := try.traded
		if try.gone > 0 {
			want = p.Supply - try.gone - p.Shared - try.charged
		}
		if p.Traded() != want || p.ForSale != try.sale {
			t.Errorf("%s: %v traded, expected %v; %v for sale, expected %v", name, p.Traded(), want, p.ForSale, try.sale)
		}
	}
}

// TestWhatLeftIsNotTaken: where only the roof's rest is the community's to sell, the
// market takes of that no more than did not leave through the meter; the rest is
// from anna's other feed-in, which would have stayed hers.
func TestWhatLeftIsNotTaken(t *testing.T) {
	ch, in := village()
	ch.Sharing.Sources = []charter.Source{{Name: "roof", Site: "roof"}}
	ch.Sharing.Rounds = []charter.Round{{Name: "roof", Sources: []charter.Name{"roof"}, Groups: []roll.Group{"nobody"}, Method: charter.Equal, Rest: charter.RestGrid}}
	in.Members = in.Members[:2]
	anna, ben := &in.Members[0], &in.Members[1]
	anna.Pool, ben.Pool = "house", "house"
	anna.Offer, ben.Bid = &roll.Order{Price: cents(10)}, &roll.Order{Price: cents(10)}
	anna.Sites = []ledger.SiteInput{{Site: "roof", Export: 1_000_000, Production: 1_000_000}, {Site: "barn", Export: 1_000_000, Production: 1_000_000}}
	in.Connections = []ledger.ConnectionRow{{Connection: "house", Pool: "house", Export: 1_300_000, Import: 0}}
	var s settlement.Settler
	res, err := s.Settle(ch, in)
	if err != nil {
		t.Fatal(err)
	}
	// 0.65 of each part left, and 0.35 of each is there: ben buys all of that.
	if m := res.Members[0]; m.MarketSold != 700_000 || m.ForSale != 650_000 || m.GridExport != 650_000 {
		t.Errorf("%+v", m)
	}
}

// TestNobodyBuysTooMuchOfOthers: who may receive only what others fed in buys no
// more than is left of that.
func TestNobodyBuysTooMuchOfOthers(t *testing.T) {
	ch, in := village()
	ch.Sharing.ExportingSites = charter.ExportersOthers
	ch.Sharing.Rounds = []charter.Round{{Name: "all", Method: charter.Equal, Cap: new(energy.Energy(300_000))}}
	anna, mill := &in.Members[0], &in.Members[3]
	in.Members = []ledger.MemberRow{*anna, *mill}
	anna, mill = &in.Members[0], &in.Members[1]
	anna.Sites[0].Import, anna.Bid, mill.Offer = 5_000_000, &roll.Order{Price: cents(10)}, &roll.Order{Price: cents(10)}
	var s settlement.Settler
	res, err := s.Settle(ch, in)
	if err != nil {
		t.Fatal(err)
	}
	// The mill fed in 0.5, of which 0.3 are her share; of that share, two parts in three
	// count as her own sun, so that the mill has 0.4 left, and she may buy half of it.
	if m := res.Members[0]; m.Share != 300_000 || res.Members[1].MarketLeft != 400_000 || m.MarketBought != 200_000 {
		t.Errorf("%+v\n%+v", m, res.Members[1])
	}
}
