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

// TestGridEnergyForfeits: where the charter says so, a battery that holds energy
// from the grid, or takes some in the interval, gives nothing to the pool.
func TestGridEnergyForfeits(t *testing.T) {
	for name, try := range map[string]struct {
		rule          charter.GridCharging
		opening       ledger.Stock
		charged, want energy.Energy
	}{
		"only sun":             {charter.GridForfeits, ledger.Stock{Commons: 2e6}, 0, 500_000},
		"grid before":          {charter.GridForfeits, ledger.Stock{Commons: 2e6, Grid: 1}, 0, 0},
		"grid now":             {charter.GridForfeits, ledger.Stock{Commons: 2e6}, 100_000, 0},
		"an owner's own":       {charter.GridForfeits, ledger.Stock{Commons: 2e6, Own: 1e6}, 0, 500_000},
		"another rule, and so": {charter.GridCounts, ledger.Stock{Commons: 2e6, Grid: 1e6}, 100_000, 500_000},
	} {
		ch := &charter.Charter{
			RulesVersion: 2, Residual: charter.Residual{By: charter.ResidualEqual},
			Sharing: charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}}},
			Storage: charter.Storage{Use: charter.StorageShared, GridCharging: try.rule},
		}
		var s settlement.Settler
		res, err := s.Settle(ch, settlement.Input{
			Interval: energy.IntervalAt(0, energy.QuarterHour),
			Members:  []ledger.MemberRow{{Member: "anna", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "a", Import: 900_000}}}},
			Storage: []ledger.StorageRow{{
				Asset: "b", Pool: roll.GridPool, Placement: roll.OwnMeter, Charged: try.charged, Discharged: 500_000, SoC: -1,
				Capacity: 5e6, ChargeEff: 1e6, DischargeEff: 1e6, Opening: try.opening,
			}},
		})
		if err != nil || res.Members[0].FromStorage != try.want {
			t.Errorf("%s: %v from storage, want %v, %v", name, res.Members[0].FromStorage, try.want, err)
		}
	}
}

// What leaves the house is first what may not be shared: the good energy stays for
// the members.
func TestWhatIsForfeitedLeavesFirst(t *testing.T) {
	const amount = 100_000
	battery := func(id roll.AssetID, opening ledger.Stock) ledger.StorageRow {
		return ledger.StorageRow{
			Asset: id, Pool: "house", Placement: roll.OwnMeter, Discharged: amount, SoC: -1,
			Capacity: 5e6, ChargeEff: 1e6, DischargeEff: 1e6, Opening: opening,
		}
	}
	ch := &charter.Charter{
		RulesVersion: 2, Residual: charter.Residual{By: charter.ResidualEqual},
		Sharing: charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}}},
		Storage: charter.Storage{Use: charter.StorageShared, GridCharging: charter.GridForfeits},
	}
	var s settlement.Settler
	res, err := s.Settle(ch, settlement.Input{
		Interval:    energy.IntervalAt(0, energy.QuarterHour),
		Members:     []ledger.MemberRow{{Member: "anna", Pool: "house", Sites: []ledger.SiteInput{{Site: "a", Import: amount}}}},
		Storage:     []ledger.StorageRow{battery("good", ledger.Stock{Commons: 2e6}), battery("grid", ledger.Stock{Grid: 2e6})},
		Connections: []ledger.ConnectionRow{{Connection: "house", Pool: "house", Export: amount}},
	})
	if err != nil || res.Members[0].FromStorage != amount || res.Pools[0].GridImport != 0 || res.Pools[0].GridExport != amount {
		t.Errorf("%+v, %+v, %v", res.Members, res.Pools, err)
	}
}
