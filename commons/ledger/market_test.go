// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// market is a charter whose rounds share nothing, because nobody is in the group,
// so that all is left for the market; and an interval in which home-0 sells to the
// two others, who stand at the margin together.
func market(t *testing.T) (charter.Charter, settlement.Result) {
	t.Helper()
	price := func(ct int64) energy.Price { return energy.Price{Micro: ct * 1_000_000, Currency: "EUR"} }
	ch := rules()
	ch.RulesVersion, ch.Sharing.Rounds = 2, []charter.Round{{Name: "floor", Groups: []roll.Group{"v"}, Method: charter.Equal}}
	ch.Sharing.Market = &charter.Market{Lowest: price(5), Highest: price(30)}
	in := settlement.Input{Interval: quarter(0)}
	for i, site := range []ledger.SiteInput{{Export: 500_000, Production: 500_000}, {Import: 400_001}, {Import: 300_000}} {
		site.Site = roll.SiteID(memberID(i))
		row := ledger.MemberRow{Member: memberID(i), Pool: roll.GridPool, Sites: []ledger.SiteInput{site}}
		if site.Export > 0 {
			row.Offer = &roll.Order{Price: price(8)}
		} else {
			row.Bid = &roll.Order{Price: price(14)}
		}
		in.Members = append(in.Members, row)
	}
	res, err := new(settlement.Settler).Settle(&ch, in)
	if err != nil {
		t.Fatal(err)
	}
	if m := res.Pools[0].Market; m.Volume != 500_000 || m.Price != price(14) {
		t.Fatalf("nothing to forge: %+v", m)
	}
	return ch, res
}

// An operator with every key forges what a market round came to, with commitments,
// entries, hashes and signatures to match. Where all rows are there settling again
// tells; where one member's is erased, the lines of the others and the certificate.
func TestForgedMarketIsFound(t *testing.T) {
	shift := func(r *settlement.Result, by energy.Energy) {
		for i, e := range []energy.Energy{by, -by} {
			r.Members[1+i].MarketBought += e
			r.Members[1+i].GridImport -= e
		}
	}
	for name, try := range map[string]struct {
		forge func(*settlement.Result)
		whole string // found where all rows are there
		alone string // found where the first member's row is erased
	}{
		"the truth": {func(*settlement.Result) {}, "", ""},
		"a unit from one buyer to the other": {func(r *settlement.Result) { shift(r, 1) },
			"settled again", "certificate it is"},
		"a price above every bid": {func(r *settlement.Result) { r.Pools[0].Market.Price.Micro = 15_000_000 },
			"settled again", "is not between"},
		"a price below every offer": {func(r *settlement.Result) { r.Pools[0].Market.Price.Micro = 7_000_000 },
			"settled again", "is not between"},
		"a price in another currency": {func(r *settlement.Result) { r.Pools[0].Market.Price.Currency = "CHF" },
			"settled again", "another currency"},
		"a lower limit at the margin": {func(r *settlement.Result) { r.Pools[0].Market.Bids.Limit.Micro--; r.Pools[0].Market.Price.Micro-- },
			"settled again", "certificate it is"},
		"a margin outside of what the charter takes": {func(r *settlement.Result) { r.Pools[0].Market.Offers.Limit.Micro = 4_000_000 },
			"settled again", "is not between"},
		"another draw": {func(r *settlement.Result) { r.Pools[0].Market.Seed++ },
			"settled again", "its draw"},
		"another unit": {func(r *settlement.Result) { r.Pools[0].Market.Unit = 1000 },
			"settled again", "its unit"},
		"no certificate": {func(r *settlement.Result) { r.Pools[0].Market = nil },
			"or the other way round", "or the other way round"},
		"a volume that the rows do not have": {func(r *settlement.Result) {
			p := &r.Pools[0]
			p.Market.Volume += 1000
			p.GridImport -= 1000
			p.GridExport -= 1000
		}, "grid_import", "sold more than it gave"},
		"more than anybody needed": {func(r *settlement.Result) {
			p := &r.Pools[0]
			p.Supply += 1_000_000
			p.Market.Volume += 1_000_000
			p.GridImport -= 1_000_000
		}, "supply", "than it needed"},
		"a volume beyond measure": {func(r *settlement.Result) {
			p := &r.Pools[0]
			p.Market.Volume = 1<<63 - 1
			p.Supply, p.Shared = 1_000_000, 1_000_000
			p.Rounds[0].Shared = 1_000_000
			p.GridImport, p.GridExport = p.Demand-p.Shared-p.Market.Volume, p.Supply-p.Shared-p.Market.Volume
		}, "supply", "beyond measure"},
		"less needed than remains": {func(r *settlement.Result) {
			p := &r.Pools[0]
			p.Demand -= 100_000
			p.Consumption -= 100_000
			p.GridImport -= 100_000
		}, "consumption", "more than its totals"},
		"less than the rows have": {func(r *settlement.Result) {
			p := &r.Pools[0]
			p.Market.Volume -= 1000
			p.GridImport += 1000
			p.GridExport += 1000
		}, "grid_import", "more than its market round traded"},
		"energy that both have": {func(r *settlement.Result) {
			r.Members[1].MarketBought++
			r.Members[1].GridImport--
			r.Pools[0].GridImport--
		}, "grid_export", "does not balance"},
		"nothing was traded, and a price": {func(r *settlement.Result) {
			r.Members[0].MarketSold, r.Members[0].GridExport = 0, 500_000
			for i := range r.Members[1:] {
				m := &r.Members[1+i]
				m.GridImport, m.MarketBought = m.Demand, 0
			}
			p := &r.Pools[0]
			p.GridImport, p.GridExport, p.Market.Volume = p.Demand, p.Supply, 0
		}, "settled again", "nothing was traded"},
		"nothing was traded, though two would have": {func(r *settlement.Result) {
			r.Members[0].MarketSold, r.Members[0].GridExport = 0, 500_000
			for i := range r.Members[1:] {
				m := &r.Members[1+i]
				m.GridImport, m.MarketBought = m.Demand, 0
			}
			p := &r.Pools[0]
			p.GridImport, p.GridExport = p.Demand, p.Supply
			*p.Market = ledger.Market{Price: energy.Price{Currency: "EUR"}, Unit: 1, Seed: p.Market.Seed}
		}, "settled again", ""}, // for all that is known, nobody offered
		"less to sell than she had": {func(r *settlement.Result) { r.Members[0].MarketLeft-- },
			"settled again", "to sell in the market round"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, erase := range []bool{false, true} {
				ch, res := market(t)
				try.forge(&res)
				want, at := try.whole, 0
				if erase {
					want = try.alone
				}
				if name == "less to sell than she had" {
					at = 2
				}
				r := verified(t, ch, res, erase, at)
				switch {
				case want == "" && !r.Holds():
					t.Errorf("with rows erased %v: %v", erase, r.Fault)
				case want != "":
					wantFault(t, r, 1, want)
				}
			}
		})
	}
}

// An operator invents a market under a charter that has none, and books what a
// member took from the grid as bought from another: it is found under either version
// of the rules, also where the rows of a third are erased.
func TestInventedMarketIsFound(t *testing.T) {
	for version := 1; version <= 2; version++ {
		for _, orders := range []bool{false, true} {
			for _, erase := range []bool{false, true} {
				ch, res := market(t)
				ch.RulesVersion, ch.Sharing.Market = version, nil
				if version == 1 {
					res.Pools[0].Rounds[0].Exact = nil
				}
				if orders { // an order alone, and nothing traded
					r := &res.Pools[0]
					r.Market, r.GridImport, r.GridExport = nil, r.Demand, r.Supply
					for i := range res.Members {
						m := &res.Members[i]
						m.MarketLeft, m.MarketBought, m.MarketSold, m.GridImport, m.GridExport = 0, 0, 0, m.Demand, m.Supply
					}
				}
				want := "or the other way round"
				if orders {
					want = "for which the charter has no market round"
				}
				r := verified(t, ch, res, erase, 0)
				wantFault(t, r, 1, want)
			}
		}
	}
}

// verified is what a verification says of a ledger of one settled interval, of
// which the row at a place may be erased.
func verified(t *testing.T, ch charter.Charter, res settlement.Result, erase bool, at int) ledger.Report {
	t.Helper()
	rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
	if err != nil {
		t.Fatal(err)
	}
	hash, err := ch.Hash()
	set := ledger.IntervalSettled{
		Interval: quarter(0), CharterHash: must(t, hash, err), RulesVersion: ch.RulesVersion, Complete: true, Pools: res.Pools,
	}
	m := newMemory(t)
	m.activate(ch, day0)
	m.append(ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: village, Settled: &set}, rows, forgedEntries(t, &set, rows))
	if erase {
		m.rows[1] = slices.Delete(slices.Clone(m.rows[1]), at, at+1)
		gone := "member:" + string(memberID(at)) + ":"
		m.entries[1] = slices.DeleteFunc(m.entries[1], func(e ledger.Entry) bool { return strings.HasPrefix(e.Account, gone) })
	}
	r, err := ledger.Verify(context.Background(), m, m.verifiers, settlement.Recompute, nil)
	return must(t, r, err)
}

// forgedEntries are what an operator would book for a leaf: the rows' entries,
// and the pools' own from the leaf's totals.
func forgedEntries(t *testing.T, set *ledger.IntervalSettled, rows []ledger.Row) []ledger.Entry {
	t.Helper()
	var entries []ledger.Entry
	for _, r := range rows {
		m, err := r.Member()
		m = must(t, m, err)
		for _, e := range []ledger.Entry{
			{Account: ledger.MemberAccount(m.Member, "shared"), Amount: m.Share + m.FromStorage},
			{Account: ledger.MemberAccount(m.Member, "bought"), Amount: m.MarketBought},
			{Account: ledger.MemberAccount(m.Member, "sold"), Amount: -m.MarketSold},
			{Account: ledger.MemberAccount(m.Member, "grid"), Amount: m.GridImport},
			{Account: ledger.MemberAccount(m.Member, "fed_in"), Amount: m.MarketSold - m.Supply},
		} {
			if e.Pool = m.Pool; e.Amount != 0 {
				entries = append(entries, e)
			}
		}
	}
	for _, p := range set.Pools {
		entries = append(entries, ledger.Entry{Pool: p.Pool, Account: ledger.AccountGridImport, Amount: -p.GridImport})
		if p.GridExport != 0 {
			entries = append(entries, ledger.Entry{Pool: p.Pool, Account: ledger.AccountGridExport, Amount: p.GridExport})
		}
	}
	return entries
}

// TestMarketIsBooked: what was bought and sold stands in accounts of its own, which
// sum to zero, and what a member fed in is in two of hers together.
func TestMarketIsBooked(t *testing.T) {
	_, res := market(t)
	rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
	entries, err := ledger.Postings(must(t, rows, err))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]energy.Energy{}
	for _, e := range entries {
		at := strings.LastIndexByte(e.Account, ':')
		sums[e.Account[at+1:]] += e.Amount
	}
	if sums["bought"] != 500_000 || sums["sold"] != -500_000 || sums["fed_in"] != 0 || sums["grid"] != 200_001 {
		t.Errorf("%v", entries)
	}
	if ledger.CheckBalance(entries) != nil {
		t.Errorf("does not balance: %v", entries)
	}
}
