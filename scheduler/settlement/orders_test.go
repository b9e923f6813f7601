// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement_test

import (
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

func orderly() settlement.Input {
	price := energy.Price{Micro: 18_000_000, Currency: "EUR"}
	row := func(m roll.MemberID, site ledger.SiteInput) ledger.MemberRow {
		site.Site = roll.SiteID(m)
		return ledger.MemberRow{Member: m, Pool: roll.GridPool, Sites: []ledger.SiteInput{site}}
	}
	in := settlement.Input{Interval: energy.Interval{Length: energy.QuarterHour}, Members: []ledger.MemberRow{
		row("anna", ledger.SiteInput{Export: energy.KilowattHour}), row("ben", ledger.SiteInput{Import: 2 * energy.KilowattHour}),
	}}
	in.Members[0].Offer = &roll.Order{Price: price}
	in.Members[1].Bid = &roll.Order{Price: price, Most: energy.KilowattHour}
	return in
}

func withMarket() *charter.Charter {
	return &charter.Charter{
		RulesVersion: 2, Currency: "EUR", Residual: charter.Residual{By: charter.ResidualEqual}, Storage: charter.Storage{Use: charter.StorageNone},
		Sharing: charter.Sharing{
			ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}},
			Market: &charter.Market{Lowest: energy.Price{Currency: "EUR"}, Highest: energy.Price{Micro: 30_000_000, Currency: "EUR"}},
		},
	}
}

// TestOrdersAreInputOfMarkets: rows keep the orders where the rule that holds for
// their pool has a market round, and nowhere else.
func TestOrdersAreInputOfMarkets(t *testing.T) {
	market, plain, isle := withMarket(), withMarket(), withMarket()
	plain.Sharing.Market = nil
	isle.Sharing.Market, isle.Island = nil, &market.Sharing
	islands := []roll.PoolID{roll.GridPool}
	for name, c := range map[string]struct {
		ch      *charter.Charter
		islands []roll.PoolID
		kept    bool
	}{
		"a market": {market, nil, true}, "none": {plain, nil, false},
		"a market on an island": {isle, islands, true}, "and not on it now": {isle, nil, false},
	} {
		in := orderly()
		in.Islands = c.islands
		var s settlement.Settler
		res, err := s.Settle(c.ch, in)
		if err != nil {
			t.Fatal(err)
		}
		if kept := res.Members[0].Offer != nil && res.Members[1].Bid != nil; kept != c.kept {
			t.Errorf("%s: orders kept: %v", name, kept)
		}
		if in.Members[1].Bid == nil {
			t.Errorf("%s: what was measured is changed", name)
		}
		row, err := ledger.NewMemberRow(res.Members[1])
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(string(row.Body), `"bid":{"most":"1.000000","price":"18 ct/kWh EUR"}`); said != c.kept {
			t.Errorf("%s: %s", name, row.Body)
		}
	}
}

// TestHostileOrders: a row whose order no register takes is refused, not settled by.
func TestHostileOrders(t *testing.T) {
	for _, o := range []roll.Order{
		{Price: energy.Price{Micro: 1 << 62, Currency: "EUR"}},
		{Price: energy.Price{Micro: 1, Currency: "EUR"}, Most: -1},
		{Most: 1},
	} {
		in := orderly()
		in.Members[1].Bid = &o
		var s settlement.Settler
		if _, err := s.Settle(withMarket(), in); err == nil || !strings.Contains(err.Error(), `"ben"`) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
