// SPDX-License-Identifier: AGPL-3.0-or-later

package whatif_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

func rules(version int, m charter.Method) *charter.Charter {
	return &charter.Charter{
		Name: string(m), RulesVersion: version, Interval: energy.QuarterHour, Currency: "EUR", Price: cents(12),
		Sharing:  charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: m}}},
		Residual: charter.Residual{By: charter.ResidualEqual},
	}
}

func cents(n int64) energy.Price { return energy.Price{Micro: n * 1_000_000, Currency: "EUR"} }

func day(n int) []settlement.Input {
	r := rand.New(rand.NewSource(int64(n)))
	var all []settlement.Input
	for i := range n {
		in := settlement.Input{Interval: energy.IntervalAt(energy.Instant(i)*energy.Instant(energy.QuarterHour), energy.QuarterHour)}
		for k := range 5 {
			in.Members = append(in.Members, ledger.MemberRow{
				Member: roll.MemberID(fmt.Sprint("m", k)), Pool: roll.GridPool,
				Sites: []ledger.SiteInput{{Site: roll.SiteID(fmt.Sprint("s", k)), Import: energy.Energy(r.Intn(500_000)), Export: energy.Energy(r.Intn(200_000))}},
			})
		}
		all = append(all, in)
	}
	return all
}

func compare(t *testing.T, a, b *charter.Charter) whatif.Report {
	t.Helper()
	return report(t, a, b, day(96))
}

func report(t *testing.T, a, b *charter.Charter, intervals []settlement.Input) whatif.Report {
	t.Helper()
	run, err := whatif.New(a, b, statement.In(time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range intervals {
		if err := run.Add(in, whatif.Grid{Retail: cents(30), FeedIn: cents(8)}); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := run.Report()
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestConserves: a change of rule moves energy between members and nothing else.
func TestConserves(t *testing.T) {
	rep := compare(t, rules(1, charter.Equal), rules(2, charter.Proportional))
	if rep.Intervals != 96 || len(rep.Members) != 5 || rep.Gain == 0 || rep.Lose == 0 {
		t.Fatalf("%+v", rep)
	}
	var moved energy.Energy
	for _, c := range rep.Members {
		moved += c.Received()
		if c.Old.Received+c.Old.GridImport != c.Old.Demand || c.New.Received+c.New.GridImport != c.New.Demand {
			t.Errorf("%s does not close: %+v", c.Member, c)
		}
	}
	if moved != 0 || rep.Old.Received != rep.New.Received || rep.Old.Given != rep.Old.Received {
		t.Errorf("%v appeared from nowhere: %+v", moved, rep)
	}
	// What the price moves inside stays inside: costs differ by roundings alone.
	if d := rep.Old.Cost - rep.New.Cost; d > 5 || d < -5 {
		t.Errorf("the members together pay %d cents less", d)
	}
}

// TestSameAgain: the same data and charters give the same report, and other data another hash.
func TestSameAgain(t *testing.T) {
	a := compare(t, rules(1, charter.Equal), rules(2, charter.Equal))
	b := compare(t, rules(1, charter.Equal), rules(2, charter.Equal))
	if a.Hash != b.Hash || a.DataHash != b.DataHash || a.Hash == "" {
		t.Errorf("%s %s, and again %s %s", a.Hash, a.DataHash, b.Hash, b.DataHash)
	}
	if c := compare(t, rules(1, charter.Equal), rules(2, charter.Proportional)); c.Hash == a.Hash || c.DataHash != a.DataHash {
		t.Error("the hashes don't tell results from data")
	}
	for _, m := range a.Members { // the methods agree between the versions, but for whose the single units are
		if d := m.Received(); d > 96 || d < -96 {
			t.Errorf("%s: %v between versions", m.Member, d)
		}
	}
}

// TestRecordedOrdersTrade: orders that were recorded count under both charters, those
// of a charter without a market for nothing; the money closes; and where none were
// recorded, nobody trades, and the report says so.
func TestRecordedOrdersTrade(t *testing.T) {
	half := charter.Percent(500_000)
	plain, market := rules(2, charter.Equal), rules(2, charter.Equal)
	plain.Sharing.Rounds[0].Offer, market.Sharing.Rounds[0].Offer = &half, &half
	market.Sharing.Market = &charter.Market{Lowest: cents(5), Highest: cents(30)}
	ordered := day(96)
	for i := range ordered[:48] {
		m := ordered[i].Members
		m[0].Offer, m[1].Bid = &roll.Order{Price: cents(9)}, &roll.Order{Price: cents(20)}
	}
	if rep := report(t, plain, plain, day(96)); rep.Market != nil {
		t.Errorf("neither has a market: %+v", rep.Market)
	}
	if rep := report(t, plain, market, day(96)); rep.Market == nil || rep.Market.Ordered != 0 || rep.New.Bought != 0 || rep.New.Cost != rep.Old.Cost {
		t.Errorf("nobody ordered: %+v, %+v", rep.Market, rep.New)
	}
	rep := report(t, plain, market, ordered)
	buyer, seller := &rep.Members[1], &rep.Members[0]
	if rep.Market == nil || rep.Market.Ordered != 48 || rep.Old.Bought != 0 || rep.New.Bought == 0 || rep.New.Bought != seller.New.Sold || rep.New.Bought != buyer.New.Bought {
		t.Fatalf("%+v: %+v, %+v", rep.Market, rep.Old, rep.New)
	}
	if buyer.New.Received != buyer.Old.Received || buyer.New.GridImport+buyer.New.Bought != buyer.Old.GridImport {
		t.Errorf("what she buys is what the grid misses: %+v", buyer)
	}
	// She pays at most 20 cents instead of 30, and the seller gets at least 9 instead of 8.
	if buyer.Cost() >= 0 || seller.Cost() >= 0 {
		t.Errorf("neither gains: %d and %d cents", buyer.Cost(), seller.Cost())
	}
	sum := rep.Community.New.Total + rep.Retailer.New.Total + rep.GridOperator.New.Total + rep.New.Cost
	if sum != 0 {
		t.Errorf("%d cents from nowhere", sum)
	}
}
