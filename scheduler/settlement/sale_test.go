// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement_test

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// TestTheCommunitySells: what a charter gives to the community to sell is booked
// as the community's, to the unit: first the members, then storage, then the sale.
func TestTheCommunitySells(t *testing.T) {
	whole := energy.Energy(1_000_000)
	tenth := []charter.Reserve{{For: charter.ReserveSale, Percent: 100_000}}
	for name, try := range map[string]struct {
		rest    charter.Rest
		reserve []charter.Reserve
		charged energy.Energy
		binding *ledger.ConnectionRow
		shared  energy.Energy
		sale    [2]energy.Energy // anna's part, and the mill's
		keeps   [2]energy.Energy
		stored  energy.Energy
	}{
		"nothing is for sale":         {shared: whole, keeps: [2]energy.Energy{1_500_000, 500_000}},
		"all that is left":            {rest: charter.RestGrid, shared: whole, sale: [2]energy.Energy{1_500_000, 500_000}},
		"a tenth of each":             {reserve: tenth, shared: whole, sale: [2]energy.Energy{225_000, 75_000}, keeps: [2]energy.Energy{1_275_000, 425_000}},
		"storage before the sale":     {rest: charter.RestGrid, charged: 2 * whole, shared: whole, stored: 2 * whole},
		"storage takes the rest":      {reserve: tenth, charged: whole, shared: whole, stored: whole, sale: [2]energy.Energy{225_000, 75_000}, keeps: [2]energy.Energy{525_000, 175_000}},
		"and then what is for sale":   {reserve: tenth, charged: 1_800_000, shared: whole, stored: 1_800_000, sale: [2]energy.Energy{150_000, 50_000}},
		"what solidarity leaves":      {rest: charter.RestGrid, reserve: []charter.Reserve{{For: charter.ReserveSolidarity, Percent: 100_000, Groups: []roll.Group{"v"}}}, shared: whole, sale: [2]energy.Energy{1_500_000, 500_000}},
		"what storage leaves":         {rest: charter.RestGrid, reserve: []charter.Reserve{{For: charter.ReserveStorage, Percent: 100_000}}, shared: whole, sale: [2]energy.Energy{1_500_000, 500_000}},
		"what left through the meter": {rest: charter.RestGrid, binding: &ledger.ConnectionRow{Connection: "house", Pool: "house", Export: 2 * whole}, shared: whole, sale: [2]energy.Energy{1_500_000, 500_000}},
	} {
		ch := &charter.Charter{
			RulesVersion: 2, Residual: charter.Residual{By: charter.ResidualEqual}, Storage: charter.Storage{Use: charter.StorageShared},
			Sharing: charter.Sharing{
				ExportingSites: charter.ExportersReceive, Reserve: try.reserve,
				Rounds: []charter.Round{{Name: "all", Method: charter.Equal, Rest: try.rest}},
			},
		}
		pool := roll.GridPool
		if try.binding != nil {
			pool = try.binding.Pool
		}
		in := settlement.Input{
			Interval: energy.IntervalAt(0, energy.QuarterHour),
			Members: []ledger.MemberRow{
				{Member: "anna", Pool: pool, Sites: []ledger.SiteInput{{Site: "a", Export: 2_250_000, Production: 2_250_000}}},
				{Member: "ben", Pool: pool, Sites: []ledger.SiteInput{{Site: "b", Import: whole}}},
				{Member: "mill", Pool: pool, Sites: []ledger.SiteInput{{Site: "m", Export: 750_000, Production: 750_000}}},
			},
		}
		if try.binding != nil {
			in.Connections = append(in.Connections, *try.binding)
		}
		if try.charged > 0 {
			in.Storage = []ledger.StorageRow{{
				Asset: "s", Pool: pool, Placement: roll.OwnMeter, Charged: try.charged, SoC: -1, Capacity: 5e6, ChargeEff: 1e6, DischargeEff: 1e6,
			}}
		}
		var s settlement.Settler
		res, err := s.Settle(ch, in)
		if err != nil {
			t.Fatal(err)
		}
		anna, mill, p := res.Members[0], res.Members[2], res.Pools[0]
		if p.Shared != try.shared || p.ForSale != try.sale[0]+try.sale[1] || anna.ForSale != try.sale[0] || mill.ForSale != try.sale[1] ||
			anna.GridExport != try.keeps[0] || mill.GridExport != try.keeps[1] || anna.Stored+mill.Stored != try.stored || p.ChargedGrid != 0 {
			t.Errorf("%s: anna %+v, the mill %+v, the pool %+v", name, anna, mill, p)
		}
		rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
		if err != nil {
			t.Fatal(err)
		}
		entries, err := ledger.Postings(rows)
		if err != nil {
			t.Fatal(err)
		}
		var sold energy.Energy
		for _, e := range entries {
			if e.Account == ledger.AccountSale {
				sold += e.Amount
			}
		}
		if sold != p.ForSale || ledger.CheckBalance(entries) != nil {
			t.Errorf("%s: %v is booked as sold: %v", name, sold, entries)
		}
	}
}
