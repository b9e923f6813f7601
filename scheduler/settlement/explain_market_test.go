// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

var tradedText = regexp.MustCompile(`([0-9.]+) kWh (bought|sold) at ([0-9.]+ ct/kWh EUR)`)

// TestMarketExplanationsAreRight reads what is said of the market round as a member
// would: the divisions are right, and what is said to be bought or sold, and at what
// price, is what was booked.
func TestMarketExplanationsAreRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyMarket(t)
		res := settle(t, ch, in)
		settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: 2, Pools: res.Pools}
		for i := range res.Members {
			row := &res.Members[i]
			e, err := settlement.Explain(ch, &settled, row)
			if err != nil || !e.Checked || e.Market == nil {
				t.Fatalf("%+v, %v", e, err)
			}
			readDivision(t, e.Market.Arithmetic)
			m := tradedText.FindStringSubmatch(e.Market.Arithmetic)
			if m == nil {
				if row.MarketBought != 0 || row.MarketSold != 0 {
					t.Fatalf("bought %v, sold %v: %q", row.MarketBought, row.MarketSold, e.Market.Arithmetic)
				}
				continue
			}
			got, err := energy.ParseKWh(m[1])
			want := row.MarketBought
			if m[2] == "sold" {
				want = row.MarketSold
			}
			if err != nil || got != want || m[3] != e.Market.Price.String() {
				t.Fatalf("%q, but bought %v, sold %v at %v", e.Market.Arithmetic, row.MarketBought, row.MarketSold, e.Market.Price)
			}
		}
	})
}

// TestMarketInWords: each is told why her order came out as it did.
func TestMarketInWords(t *testing.T) {
	order := func(ct int64, most energy.Energy) *roll.Order { return &roll.Order{Price: cents(ct), Most: most} }
	for name, try := range map[string]struct {
		orders []*roll.Order // anna's offer, ben's and cleo's bids, the mill's offer
		said   map[string]string
	}{
		"at the margin": {[]*roll.Order{order(8, 0), order(12, 0), order(12, 0), order(8, 0)}, map[string]string{
			"ben":  "The bid of 12 ct/kWh EUR stood for 0.55 kWh, which was still needed. It is at the margin: the last bid that was served is at 12 ct/kWh EUR too. All who stood there share what is left for them in proportion to what each asked for. Counted in millionths of a kWh: 550000 × 1350000 ÷ 1450000 = 512068, remainder 1400000. One unit more, because the remainder equals the cut 1400000, and the rank 10509601781864108371 in the draw among equals is not above 18446744073709551615. So 0.512069 kWh bought at 12 ct/kWh EUR. That price is the same for all who traded: not above the last bid that was served, 12 ct/kWh EUR, and not below the last offer, 8 ct/kWh EUR.",
			"anna": "There was enough for all who stood there: 0.9 kWh sold at 12 ct/kWh EUR.",
		}},
		"served, and not": {[]*roll.Order{order(8, 0), order(9, 0), order(20, 300_000), order(10, 0)}, map[string]string{
			"cleo": "The bid of 20 ct/kWh EUR stood for 0.3 kWh, because it is for no more. It is above the last bid that was served, 9 ct/kWh EUR, so it was served in full: 0.3 kWh bought at 8 ct/kWh EUR.",
			"mill": "The offer of 10 ct/kWh EUR stood for 0.45 kWh, which was left. It is above the last offer that was served, 8 ct/kWh EUR, so nothing was sold.",
		}},
		"nothing meets": {[]*roll.Order{order(15, 0), order(14, 0), nil, nil}, map[string]string{
			"ben":  "Nobody's bid came up to anybody's offer in this interval, so nothing was traded.",
			"cleo": "Neither a bid nor an offer stood, so nothing was bought and nothing sold.",
		}},
		"not taken": {[]*roll.Order{order(4, 0), order(31, 0), nil, nil}, map[string]string{
			"anna": "The offer of 4 ct/kWh EUR stood for nothing, because the charter takes prices from 5 ct/kWh EUR to 30 ct/kWh EUR. So nothing was bought and nothing sold.",
		}},
	} {
		ch, in := village(try.orders...)
		var s settlement.Settler
		res, err := s.Settle(ch, in)
		if err != nil {
			t.Fatal(err)
		}
		settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: 2, Pools: res.Pools}
		for i := range res.Members {
			row := &res.Members[i]
			e, err := settlement.Explain(ch, &settled, row)
			if err != nil || !e.Checked {
				t.Fatalf("%+v, %v", e, err)
			}
			if want := try.said[string(row.Member)]; !strings.Contains(e.Market.Arithmetic, want) {
				t.Errorf("%s: %s is told %q and not %q", name, row.Member, e.Market.Arithmetic, want)
			}
			if !strings.Contains(e.Market.Says, "between 5 ct/kWh EUR and 30 ct/kWh EUR") || !strings.Contains(strings.Join(e.Remarks, " "), "made anybody's share smaller") {
				t.Errorf("%s: %q, %q", name, e.Market.Says, e.Remarks)
			}
			if row.MarketSold > 0 && !strings.Contains(e.Sum, row.MarketSold.KWh()+" kWh sold in the market round, as booked") {
				t.Errorf("%s: %s", name, e.Sum)
			}
			if row.MarketBought > 0 && !strings.Contains(e.Sum, row.MarketBought.KWh()+" kWh bought in the market round, as booked") {
				t.Errorf("%s: %s", name, e.Sum)
			}
		}
	}
}

// TestWhoMayNotBuyIsTold: who feeds in and waits, or may receive only what others fed
// in, is told that her bid stands for less than she needed, and why.
func TestWhoMayNotBuyIsTold(t *testing.T) {
	for rule, want := range map[charter.ExportRule]string{
		charter.ExportersWait:   "stood for nothing, because who feeds in does not receive, or buy, in the same interval.",
		charter.ExportersOthers: "stood for 0.5 kWh, because no more of what others fed in may be received.",
	} {
		ch, in := village(nil, nil, nil, &roll.Order{Price: cents(8)})
		ch.Sharing.ExportingSites = rule
		in.Members[0].Sites[0].Import, in.Members[0].Bid = 5_000_000, &roll.Order{Price: cents(9)}
		var s settlement.Settler
		res, err := s.Settle(ch, in)
		if err != nil {
			t.Fatal(err)
		}
		settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: 2, Pools: res.Pools}
		e, err := settlement.Explain(ch, &settled, &res.Members[0])
		if err != nil || !e.Checked || !strings.Contains(e.Market.Arithmetic, want) {
			t.Errorf("%s: %+v, %v", rule, e.Market, err)
		}
	}
}

// TestMarketWithheld: where few stand behind a pool, a member is told her orders and
// what she traded, at what price, and nothing that shows what the others bid, used
// or fed in: it is the same whatever that was.
func TestMarketWithheld(t *testing.T) {
	told := func(cleo energy.Price, fed energy.Energy) settlement.ExplainedMarket {
		ch, in := village(&roll.Order{Price: cents(8)}, &roll.Order{Price: cents(20), Most: 100_000}, &roll.Order{Price: cleo}, nil)
		ch.Sharing.ExportingSites = charter.ExportersOthers
		in.Members[1].Sites[0].Export, in.Members[0].Sites[0].Export = 1, fed
		var s settlement.Settler
		res, err := s.Settle(ch, in)
		if err != nil {
			t.Fatal(err)
		}
		settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: 2, Pools: res.Pools}
		ben := &res.Members[1]
		ben.Share, ben.Demand = 0, ben.Demand-ben.Share // her share does depend on the others
		e, err := settlement.Explain(ch, &settled, ben)
		if err != nil || e.Market.Bought != 100_000 || e.Market.Certificate == nil {
			t.Fatalf("%+v, %v", e.Market, err)
		}
		e.Withhold(ch)
		m := *e.Market
		m.Needs, m.Price = m.Needs-ben.Demand, nil
		return m
	}
	a, b := told(cents(12), 500_000), told(cents(13), 400_000)
	if a.Certificate != nil || a.Arithmetic != "" || a.Rank != 0 || a.AtMargin || a.Needs != 0 {
		t.Errorf("%+v", a)
	}
	a.Bid, a.Offer, b.Bid, b.Offer = nil, nil, nil, nil
	if a != b {
		t.Errorf("what the others did can be seen:\n%+v\n%+v", a, b)
	}
}
