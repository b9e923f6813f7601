// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// marketLane shares half of the sun and leaves the rest to a market.
const marketLane = `charter: allmende/1
name: Half, and a market
rules_version: 2
currency: EUR
interval: 15m
settle_after: 48h
price: 12 ct/kWh EUR
sharing:
  exporting_sites: receive
  rounds:
    - {name: a half, method: equal, offer: 50}
  market: {lowest: 5 ct/kWh EUR, highest: 30 ct/kWh EUR}
residual: {by: equal}
storage: {use: none}
`

// TestMarketInService: members set their orders at the page's door, intervals are
// settled by those that stood when they began, and each can see and check what came
// of hers. In a quarter-hour Anna feeds in 600 Wh, and half of it is shared: 60 Wh
// to each of the five who need 100 to 500. She offers the other half at 8 cents. Fay
// bids 20 for no more than 200 Wh, Emil 15: he is the last who is served, so that
// the price is his.
func TestMarketInService(t *testing.T) {
	dir, w := folder(t, sixHomes()), newWorld(t, dawn)
	if err := os.WriteFile(filepath.Join(dir, "charter.yaml"), []byte(marketLane), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startInService(t, dir, w)
	stella := c.found(t)
	anna, emil, fay := c.invite(t, stella, "anna.a", "anna", "member"), c.invite(t, stella, "emil.e", "emil", "member"), c.invite(t, stella, "fay.f", "fay", "member")
	anna.must("PUT", "/v1/orders/anna/offer", fields{"price": "0.08"})
	emil.must("PUT", "/v1/orders/emil/bid", fields{"price": "0.15"})
	fay.must("PUT", "/v1/orders/fay/bid", fields{"price": "20 ct/kWh EUR", "mostMilliwattHours": "200000"})

	const intervals = 3
	d, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	w.until(dawn.Add(intervals*quarter + minute))
	d.meter(1, sunnyQuarters(dawn, intervals+1)...)
	d.barrier()
	w.bookedUntil(c, dawn.Add(intervals*quarter))

	wh := func(n int64) energy.Energy { return energy.Energy(n) * energy.WattHour }
	traded := 0
	for i, row := range rowsOf(t, c, "emil") {
		left := rowsOf(t, c, "anna")[i]
		if row.Bid == nil { // it had begun when he bid
			if row.MarketBought != 0 || left.MarketSold != 0 {
				t.Errorf("interval %d: nobody had bid: %+v", i, row)
			}
			continue
		}
		traded++
		if row.Share != wh(60) || row.MarketBought != wh(100) || row.GridImport != wh(240) || left.MarketSold != wh(300) || left.GridExport != 0 {
			t.Errorf("interval %d: emil %+v, anna %+v", i, row, left)
		}
	}
	if traded == 0 {
		t.Fatal("no interval began after the orders")
	}
	report, err := ledger.Verify(t.Context(), c.store, c.commons.verifiers, settlement.Recompute, nil)
	if err != nil || !report.Holds() || report.Intervals != intervals {
		t.Errorf("%d intervals verified, %v, %v", report.Intervals, report.Fault, err)
	}
	booked := emil.must("GET", fmt.Sprintf("/v1/history/members/emil/booked?from_unix_ms=%d&to_unix_ms=%d&by=BOOKED_BY_DAY", int64(dawn), int64(dawn.Add(energy.Day))), nil)
	if day, _ := booked["energies"].([]any)[0].(map[string]any); day["boughtMilliwattHours"] != fmt.Sprint(traded*100_000) || day["shareMilliwattHours"] != fmt.Sprint(intervals*60_000) {
		t.Errorf("%v", booked)
	}
	marketIsExplained(t, emil, fay)
	marketIsBilled(t, c, traded)

	// What a market brings others is for those to try who may see everybody's curves.
	code, said := emil.do("POST", "/v1/what-ifs", fields{"charterYaml": marketLane})
	if code != 403 || !strings.Contains(said, "market round") {
		t.Errorf("%d: %s", code, said)
	}
}

// marketIsExplained: a member is told what became of her orders, and of nobody else's.
func marketIsExplained(t *testing.T, emil, fay *browser) {
	t.Helper()
	why := emil.must("GET", "/v1/shares/emil/why", nil)
	pool, _ := why["pools"].([]any)[0].(map[string]any)
	market, _ := pool["market"].(map[string]any)
	if pool["checked"] != true || market["bidPrice"] != "15 ct/kWh EUR" || market["boughtMilliwattHours"] != "100000" || market["price"] != "15 ct/kWh EUR" ||
		market["atMargin"] != true || market["neededMilliwattHours"] != "340000" {
		t.Errorf("%v", pool)
	}
	text := fmt.Sprint(market["says"], market["arithmetic"], pool["sum"], pool["remarks"])
	for _, want := range []string{
		"one price for all settles it", "It is at the margin", "0.1 kWh bought at 15 ct/kWh EUR",
		"0.100000 kWh bought in the market round, as booked", "no bid and no offer made anybody's share smaller",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told: %s", want, text)
		}
	}
	fay.refused(404, "", "GET", "/v1/shares/emil/why", nil)
}

// marketIsBilled: a statement by the charter in force has the lines of the market, at
// its price, and closes.
func marketIsBilled(t *testing.T, c *Coordinator, traded int) {
	t.Helper()
	cents := func(n int64) energy.Price { return energy.Price{Micro: n * 1_000_000, Currency: "EUR"} }
	q := trial.Question{Proposed: c.commons.inForce.Charter, Until: 1 << 50, Zone: c.register.zone, Grid: whatif.Grid{Retail: cents(30), FeedIn: cents(6)}}
	got, err := trial.Run(t.Context(), c.store, &q, func(int64, int64) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got.Market == nil || got.Market.Ordered != traded || got.Old.Bought != energy.Energy(traded)*300*energy.WattHour || got.New.Bought != got.Old.Sold {
		t.Errorf("%+v: %+v, %+v", got.Market, got.Old, got.New)
	}
	sum := got.Community.New.Total + got.Retailer.New.Total + got.GridOperator.New.Total
	lines := map[roll.MemberID]statement.Line{}
	for _, m := range got.Members {
		sum += m.New.Cost
		for _, l := range m.New.Lines {
			if l.Kind == statement.Bought || l.Kind == statement.Sold {
				lines[m.Member] = l
			}
		}
	}
	if sum != 0 || len(lines) != 3 {
		t.Errorf("%d cents from nowhere; %v", sum, lines)
	}
	for who, amount := range map[roll.MemberID]energy.Energy{"anna": 300, "emil": 100, "fay": 200} {
		l := lines[who]
		if l.Rule != "sharing.market" || l.Price == nil || *l.Price != cents(15) || l.Energy != amount*energy.Energy(traded)*energy.WattHour {
			t.Errorf("%s: %+v", who, l)
		}
	}
}
