// SPDX-License-Identifier: AGPL-3.0-or-later

package whatif_test

import (
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

func anyPrice(t *rapid.T, name string) energy.Price {
	return energy.Price{Micro: rapid.Int64Range(0, 60_000_000).Draw(t, name), Currency: "EUR"}
}

// anyMoney is a charter with some of what a tariff may say.
func anyMoney(t *rapid.T) *charter.Charter {
	ch := rules(2, rapid.SampledFrom([]charter.Method{charter.Equal, charter.Proportional}).Draw(t, "method"))
	ch.Price = anyPrice(t, "price")
	ch.Sharing.ExportingSites = rapid.SampledFrom([]charter.ExportRule{charter.ExportersReceive, charter.ExportersOthers, charter.ExportersWait}).Draw(t, "exporters")
	ch.Storage.Use = charter.StorageShared
	if rapid.Bool().Draw(t, "forfeits") {
		ch.Storage.GridCharging = charter.GridForfeits
	}
	if rapid.Bool().Draw(t, "offer") {
		ch.Sharing.Rounds[0].Offer = new(charter.Percent(rapid.Int64Range(1, charter.Whole).Draw(t, "offered")))
	}
	if rapid.Bool().Draw(t, "market") {
		ch.Sharing.Market = &charter.Market{Lowest: cents(0), Highest: cents(40)}
	}
	x := &charter.Tariff{}
	switch rapid.IntRange(0, 2).Draw(t, "by") {
	case 1:
		x.By, x.Bands = charter.TariffTimeOfUse, []charter.PriceBand{{From: 15, To: 45, Price: anyPrice(t, "band")}}
	case 2:
		x.By, x.FeedIn, x.Retail = charter.TariffMidMarket, new(anyPrice(t, "feed-in")), new(anyPrice(t, "retail"))
	}
	for _, level := range charter.Proximities() {
		if rapid.Bool().Draw(t, "level") {
			x.Network = append(x.Network, charter.NetworkCharge{Level: level, Price: anyPrice(t, "network")})
		}
	}
	x.Areas = []charter.Area{{Group: "street", Level: charter.LocalGrid}, {Group: "block", Level: charter.SameBuilding}}
	if rapid.Bool().Draw(t, "fees") {
		x.Membership = &charter.Contribution{Minor: rapid.Int64Range(1, 5000).Draw(t, "fee"), Per: rapid.SampledFrom([]charter.Period{charter.PerDay, charter.PerMonth, charter.PerYear}).Draw(t, "per")}
		x.Solidarity, x.StorageWear = new(anyPrice(t, "solidarity")), new(anyPrice(t, "wear"))
	}
	ch.Tariff = x
	return ch
}

// anyOrder is a bid or an offer, or none.
func anyOrder(t *rapid.T) *roll.Order {
	if rapid.Bool().Draw(t, "silent") {
		return nil
	}
	return &roll.Order{Price: energy.Price{Micro: rapid.Int64Range(0, 40_000_000).Draw(t, "order"), Currency: "EUR"}}
}

// anyDay is some intervals of a community with members on the grid, a house with
// one meter, and batteries in both.
func anyDay(t *rapid.T) []settlement.Input {
	upTo := func(name string, most int64) energy.Energy {
		return energy.Energy(rapid.Int64Range(0, most).Draw(t, name))
	}
	var all []settlement.Input
	for i := range rapid.IntRange(1, 4).Draw(t, "intervals") {
		in := settlement.Input{Interval: energy.IntervalAt(energy.Instant(i)*energy.Instant(energy.QuarterHour), energy.QuarterHour)}
		for k := range 6 {
			pool := roll.GridPool
			if k >= 4 {
				pool = "house"
			}
			m := ledger.MemberRow{Member: roll.MemberID(fmt.Sprint("m", k)), Pool: pool, Sites: []ledger.SiteInput{{
				Site: roll.SiteID(fmt.Sprint("s", k)), Import: upTo("import", 900_000), Export: upTo("export", 900_000),
			}}}
			m.Bid, m.Offer = anyOrder(t), anyOrder(t)
			if k != 2 {
				m.Groups = append(m.Groups, "street")
			}
			if k < 2 {
				m.Groups = append(m.Groups, "block")
			}
			in.Members = append(in.Members, m)
		}
		for k, pool := range []roll.PoolID{roll.GridPool, roll.GridPool, "house"} {
			in.Storage = append(in.Storage, ledger.StorageRow{
				Asset: roll.AssetID(fmt.Sprint("box", k)), Pool: pool, Site: roll.SiteID(fmt.Sprint("s", 2*k)), Placement: roll.OwnMeter,
				Charged: upTo("charged", 400_000), Discharged: upTo("discharged", 400_000), SoC: -1, Capacity: 10_000_000, ChargeEff: 950_000, DischargeEff: 950_000,
				Opening: ledger.Stock{Commons: 3_000_000},
			})
		}
		in.Connections = []ledger.ConnectionRow{{Connection: "house", Pool: "house", Import: upTo("import", 900_000), Export: upTo("export", 400_000)}}
		all = append(all, in)
	}
	return all
}

var owners = map[roll.AssetID]roll.MemberID{"box0": "m3", "box2": "m4"} // box1 is the community's

// oracle is the money of a settled interval, party by party, the slow way: every
// flow from one giver to one receiver by itself, in fractions.
func oracle(ch *charter.Charter, in *statement.Interval, pay func(p statement.Party, exact *big.Rat)) {
	cost := func(e energy.Energy, p energy.Price) *big.Rat {
		return new(big.Rat).Mul(big.NewRat(int64(e), 1_000_000), big.NewRat(p.Micro, 1_000_000))
	}
	both := func(from, to statement.Party, amount *big.Rat) {
		pay(from, amount)
		pay(to, new(big.Rat).Neg(amount))
	}
	who := func(m roll.MemberID) statement.Party { return statement.Party{Role: statement.Member, Member: m} }
	community, retailer, operator := statement.Party{Role: statement.Community}, statement.Party{Role: statement.Retailer}, statement.Party{Role: statement.GridOperator}
	t, rate := ch.Tariff, ch.Price
	switch t.By {
	case charter.TariffTimeOfUse:
		if minute := int64(in.At.Start) / 60_000; minute >= 15 && minute < 45 {
			rate = t.Bands[0].Price
		}
	case charter.TariffMidMarket:
		rate.Micro = (t.FeedIn.Micro + t.Retail.Micro + 1) / 2
		in.Retail, in.FeedIn = *t.Retail, *t.FeedIn
	}
	charge := func(a, b *ledger.MemberRow) energy.Price {
		level := t.Farthest()
		if b != nil {
			level = t.Nearness(a.Groups, b.Groups)
		}
		if b != nil && (a.Pool != roll.GridPool || a.Member == b.Member) || a.Pool != roll.GridPool {
			level = charter.SameBuilding
		}
		for _, n := range t.Network {
			if n.Level == level {
				return n.Price
			}
		}
		return energy.Price{}
	}
	for _, p := range in.Pools {
		var members []*ledger.MemberRow
		at := map[roll.SiteID]*ledger.MemberRow{}
		for i := range in.Members {
			if m := &in.Members[i]; m.Pool == p.Pool {
				members = append(members, m)
				at[m.Sites[0].Site] = m
			}
		}
		rest := [2]energy.Energy{p.GridImport, p.GridExport}
		for _, m := range members {
			// Sun comes from each who sold, in proportion; nobody's own where only others' counts.
			from := func(g *ledger.MemberRow) energy.Energy {
				if g == m && ch.Sharing.ExportingSites == charter.ExportersOthers {
					return 0
				}
				return g.Sold
			}
			var sold, gave energy.Energy
			for _, g := range members {
				sold += from(g)
			}
			for _, g := range members {
				if e := from(g); e > 0 {
					both(who(m.Member), operator, new(big.Rat).Mul(cost(m.Share, charge(m, g)), big.NewRat(int64(e), int64(sold))))
				}
			}
			for _, g := range members { // and the market's from each who sold in it, at its price
				if e := g.MarketSold; e > 0 {
					part := big.NewRat(int64(e), int64(p.Traded()))
					both(who(m.Member), operator, new(big.Rat).Mul(cost(m.MarketBought, charge(m, g)), part))
					both(who(m.Member), who(g.Member), new(big.Rat).Mul(cost(m.MarketBought, p.Market.Price), part))
				}
			}
			var stored []ledger.StorageRow
			for _, b := range in.Storage {
				if b.Pool == p.Pool {
					stored = append(stored, b)
				}
			}
			for _, b := range stored {
				gave += b.Discharged
			}
			for _, b := range stored {
				if gave > 0 {
					both(who(m.Member), operator, new(big.Rat).Mul(cost(m.FromStorage, charge(m, at[b.Site])), big.NewRat(int64(b.Discharged), int64(gave))))
				}
			}
			// Between members and storage all is sold through one hand, the community's.
			both(who(m.Member), community, cost(m.Share+m.FromStorage, rate))
			both(community, who(m.Member), cost(m.Sold+m.Stored, rate))
			if t.Solidarity != nil {
				both(who(m.Member), community, cost(m.Share+m.FromStorage, *t.Solidarity))
			}
			both(who(m.Member), retailer, cost(m.GridImport, in.Retail))
			both(retailer, who(m.Member), cost(m.GridExport, in.FeedIn))
			rest[0], rest[1] = rest[0]-m.GridImport, rest[1]-m.GridExport
			if t.StorageWear == nil || m.FromStorage == 0 {
				continue
			}
			var worn energy.Energy
			gives := func(b ledger.StorageRow) energy.Energy {
				if ch.Storage.GridCharging == charter.GridForfeits && b.Opening.Grid+b.In.Grid > 0 {
					return 0
				}
				return b.Discharged
			}
			for _, b := range stored {
				worn += gives(b)
			}
			for _, b := range stored {
				to := community
				if o := owners[b.Asset]; o != "" {
					to = who(o)
				}
				both(who(m.Member), to, new(big.Rat).Mul(cost(m.FromStorage, *t.StorageWear), big.NewRat(int64(gives(b)), int64(worn))))
			}
		}
		both(community, retailer, cost(rest[0], in.Retail))
		both(retailer, community, cost(rest[1], in.FeedIn))
		for _, c := range in.Connections {
			if c.Pool == p.Pool { // the retailer gives back what never passed the meter
				both(retailer, community, cost(p.GridImport-c.Import, in.Retail))
				both(community, retailer, cost(p.GridExport-c.Export, in.FeedIn))
			}
		}
	}
}

// TestMoneyIsConserved: what members and community pay is what leaves, to the
// cent; every line is its own energy times its own price; and each party's total
// is the slow oracle's, but for the rounding of its lines.
func TestMoneyIsConserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, days := anyMoney(t), anyDay(t)
		retail, feedIn := anyPrice(t, "retail"), anyPrice(t, "feed-in")
		book := statement.NewBook(ch, statement.In(time.UTC))
		exact := map[statement.Party]*big.Rat{}
		pay := func(p statement.Party, r *big.Rat) {
			if exact[p] == nil {
				exact[p] = new(big.Rat)
			}
			exact[p].Add(exact[p], r)
		}
		var s settlement.Settler
		var physical [2]energy.Energy
		for _, in := range days {
			res, err := s.Settle(ch, in)
			if err != nil {
				t.Fatal(err)
			}
			at := statement.Interval{
				At: in.Interval, Pools: res.Pools, Members: res.Members, Storage: res.Storage, Connections: res.Connections,
				Owners: owners, Retail: retail, FeedIn: feedIn,
			}
			if err := book.Add(&at); err != nil {
				t.Fatal(err)
			}
			oracle(ch, &at, pay)
			for _, p := range res.Pools {
				if p.Pool == roll.GridPool {
					physical[0], physical[1] = physical[0]+p.GridImport, physical[1]+p.GridExport
				}
			}
			physical[0], physical[1] = physical[0]+in.Connections[0].Import, physical[1]+in.Connections[0].Export
		}
		sheet, err := book.Sheet()
		if err != nil {
			t.Fatal(err)
		}
		if m := ch.Tariff.Membership; m != nil {
			days := int64(1) // all of it is in one day of January 1970
			for _, x := range sheet.Members {
				fee := big.NewRat(m.Minor*days, map[charter.Period]int64{charter.PerDay: 1, charter.PerMonth: 31, charter.PerYear: 365}[m.Per])
				pay(x.Party, fee)
				pay(statement.Party{Role: statement.Community}, new(big.Rat).Neg(fee))
			}
		}
		sum, lines := int64(0), 0
		for _, x := range slices.Concat(sheet.Members, []statement.Statement{sheet.Community, sheet.Retailer, sheet.GridOperator}) {
			sum += x.Total
			lines += len(x.Lines)
			var own int64
			for _, l := range x.Lines {
				own += l.Amount
				if l.Price != nil {
					if want := l.Price.Of(l.Energy).Minor; l.Amount != want && l.Amount != -want {
						t.Fatalf("%v: %+v is not its energy times its price, %d", x.Party, l, want)
					}
				} else if !slices.Contains([]statement.Kind{statement.Membership, statement.Rounding, statement.Bought, statement.Sold}, l.Kind) {
					t.Fatalf("one price held throughout, and the line does not name it: %+v", l)
				}
			}
			if own != x.Total {
				t.Fatalf("%+v does not add up", x)
			}
			want := exact[x.Party]
			if want == nil {
				want = new(big.Rat)
			}
			// Half a cent a line, and a milliwatt-hour of each interval's split between levels.
			off := new(big.Rat).Abs(new(big.Rat).Sub(want, big.NewRat(x.Total-x.Of(statement.Rounding), 1)))
			if most := big.NewRat(int64(len(x.Lines))*5+1, 10); off.Cmp(most) > 0 {
				t.Fatalf("%v pays %d, and should pay %s:\n%+v", x.Party, x.Total, want.FloatString(4), x)
			}
		}
		if sum != 0 {
			t.Fatalf("%d cents appear from nowhere: %+v", sum, sheet)
		}
		if cents := sheet.Community.Of(statement.Rounding); cents > int64(lines)/2 || -cents > int64(lines)/2 {
			t.Fatalf("%d cents of rounding on %d lines", cents, lines)
		}
		for _, l := range sheet.Retailer.Lines {
			if l.Kind == statement.GridImport && l.Energy != physical[0] || l.Kind == statement.GridExport && l.Energy != physical[1] {
				t.Fatalf("the retailer sees %s, and the meters %v: %+v", l.Energy.KWh(), physical, l)
			}
		}
	})
}

// TestPriceMovesMoneyInside: another price of shared energy changes what members
// pay each other, and nothing of what leaves.
func TestPriceMovesMoneyInside(t *testing.T) {
	dear := rules(2, charter.Equal)
	dear.Price = cents(25)
	rep := compare(t, rules(2, charter.Equal), dear)
	var inside int64
	for _, c := range rep.Members {
		inside += c.Cost()
	}
	inside += rep.Community.New.Total - rep.Community.Old.Total
	if inside != 0 || rep.Retailer.Old.Total != rep.Retailer.New.Total || rep.Members[0].Cost() == 0 {
		t.Errorf("%d cents left: %+v", inside, rep)
	}
}

// TestOwnersAreBilled: wear goes to a battery's owner also where she has no row herself.
func TestOwnersAreBilled(t *testing.T) {
	a, b := rules(2, charter.Equal), rules(2, charter.Equal)
	a.Storage.Use, b.Storage.Use = charter.StorageShared, charter.StorageShared
	b.Tariff = &charter.Tariff{StorageWear: new(cents(3))}
	run, err := whatif.New(a, b, statement.In(time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	run.Owners(map[roll.AssetID]roll.MemberID{"box": "coop"})
	err = run.Add(settlement.Input{
		Interval: energy.IntervalAt(0, energy.QuarterHour),
		Members:  []ledger.MemberRow{{Member: "anna", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "a", Import: 10 * energy.KilowattHour}}}},
		Storage: []ledger.StorageRow{{
			Asset: "box", Pool: roll.GridPool, Discharged: 10 * energy.KilowattHour, SoC: -1, Capacity: 20 * energy.KilowattHour, ChargeEff: 1e6, DischargeEff: 1e6,
			Opening: ledger.Stock{Commons: 20 * energy.KilowattHour},
		}},
	}, whatif.Grid{Retail: cents(30), FeedIn: cents(8)})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := run.Report()
	if err != nil || len(rep.Members) != 2 || rep.Members[0].Cost() != 30 || rep.Members[1].Member != "coop" || rep.Members[1].Cost() != -30 {
		t.Errorf("%+v, %v", rep, err)
	}
}
