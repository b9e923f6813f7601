// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/canon"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

func anyCharter(t *rapid.T) *charter.Charter {
	ch := &charter.Charter{
		RulesVersion: rapid.IntRange(1, 2).Draw(t, "version"),
		Sharing: charter.Sharing{
			ExportingSites: rapid.SampledFrom([]charter.ExportRule{charter.ExportersReceive, charter.ExportersWait}).Draw(t, "exporters"),
			Rounds: []charter.Round{{
				Name:   "all",
				Method: rapid.SampledFrom([]charter.Method{charter.Equal, charter.Proportional}).Draw(t, "method"),
			}},
		},
		Residual: charter.Residual{
			By:     rapid.SampledFrom([]charter.ResidualRule{charter.ResidualEqual, charter.ResidualProportional, charter.ResidualMember}).Draw(t, "residual"),
			Member: "m0",
		},
	}
	if ch.RulesVersion == 2 {
		anyNewRules(t, ch)
	}
	return ch
}

// anyNewRules draws what version 2 can do: sources with keys, passes, weights,
// tiers, caps, offers, rests, reserves and participation.
func anyNewRules(t *rapid.T, ch *charter.Charter) {
	percent := func(most int64) charter.Percent { return charter.Percent(rapid.Int64Range(0, most).Draw(t, "percent")) }
	s := &ch.Sharing
	if rapid.Bool().Draw(t, "others") {
		s.ExportingSites = charter.ExportersOthers
	}
	if rapid.Bool().Draw(t, "sources") {
		s.Sources = []charter.Source{{Name: "first", Member: "m0"}, {Name: "second", Site: "s1-0"}}
	}
	if rapid.Bool().Draw(t, "listed") {
		s.Attribution = charter.AttributeListed
	}
	if rapid.Bool().Draw(t, "rounding") {
		s.Rounding = &charter.Rounding{Unit: rapid.SampledFrom([]energy.Energy{1, 1000, 10_000}).Draw(t, "unit"), Mode: rapid.SampledFrom([]charter.RoundingMode{charter.LargestRemainder, charter.Floor}).Draw(t, "mode")}
	}
	if rapid.Bool().Draw(t, "reserve") {
		s.Reserve = []charter.Reserve{{For: charter.ReserveSale, Percent: percent(300_000)}, {For: charter.ReserveSolidarity, Percent: percent(300_000), Groups: []roll.Group{"g"}}, {For: charter.ReserveStorage, Percent: percent(300_000)}}
	}
	if rapid.Bool().Draw(t, "participation") {
		s.Participation = []charter.Participation{{Member: "m1", Percent: percent(charter.Whole)}}
	}
	if rapid.Bool().Draw(t, "market") {
		ch.Currency = "EUR"
		s.Market = &charter.Market{Lowest: cents(5), Highest: cents(30)}
	}
	ch.Storage.GridCharging = rapid.SampledFrom([]charter.GridCharging{"", charter.GridForfeits}).Draw(t, "grid charging")
	s.Rounds = nil
	for i := range rapid.IntRange(1, 3).Draw(t, "rounds") {
		r := charter.Round{
			Name:   fmt.Sprint("r", i),
			Method: rapid.SampledFrom([]charter.Method{charter.Equal, charter.Proportional, charter.Static, charter.Weighted, charter.Priority, charter.Passes, charter.Pairs}).Draw(t, "method"),
			Rest:   rapid.SampledFrom([]charter.Rest{"", charter.RestNext, charter.RestInjectors, charter.RestGrid}).Draw(t, "rest"),
		}
		if rapid.Bool().Draw(t, "capped") {
			most := anyEnergy(3e6).Draw(t, "cap") + 1
			r.Cap = &most
		}
		if rapid.Bool().Draw(t, "capped over a period") {
			r.CapPeriod = &charter.PeriodCap{Energy: anyEnergy(3e6).Draw(t, "period cap") + 1, Per: charter.PerDay}
		}
		if rapid.Bool().Draw(t, "offered") {
			offer := percent(charter.Whole)
			r.Offer = &offer
		}
		one := charter.Weight(rapid.Int64Range(0, 3e6).Draw(t, "weight"))
		r.Weights = &charter.Weights{Default: &one, Members: []charter.MemberWeight{{Member: "m2", Weight: 2e6}}}
		r.Tiers = []charter.Tier{{Members: []roll.MemberID{"m1", "m3"}}, {Groups: []roll.Group{"g"}, Members: []roll.MemberID{"m0"}}}
		source := charter.Name("")
		if s.Sources != nil {
			source = "first"
		}
		if rapid.Bool().Draw(t, "keys") || r.Method != charter.Static {
			r.Keys = []charter.MemberKeys{
				{Member: "m0", Keys: []charter.Key{{Source: source, Percent: percent(500_000)}}},
				{Member: "m1", Keys: []charter.Key{{Source: source, Percent: percent(500_000)}}},
			}
		}
		s.Rounds = append(s.Rounds, r)
	}
}

func anyEnergy(most int64) *rapid.Generator[energy.Energy] {
	return rapid.Custom(func(t *rapid.T) energy.Energy {
		if rapid.IntRange(0, 3).Draw(t, "zero") == 0 {
			return 0
		}
		return energy.Energy(rapid.Int64Range(0, most).Draw(t, "energy"))
	})
}

// anyInput is an interval of a few members in two pools, one over the grid and
// one behind one meter, with batteries in front of and behind the meters.
func anyInput(t *rapid.T) settlement.Input {
	in := settlement.Input{Interval: energy.IntervalAt(energy.Instant(rapid.Int64Range(0, 4e12).Draw(t, "at")), energy.QuarterHour)}
	const house = roll.PoolID("house")
	for i := range rapid.IntRange(1, 7).Draw(t, "members") {
		row := ledger.MemberRow{Member: roll.MemberID(fmt.Sprintf("m%d", i)), Pool: rapid.SampledFrom([]roll.PoolID{roll.GridPool, house}).Draw(t, "pool")}
		if rapid.Bool().Draw(t, "grouped") {
			row.Groups = []roll.Group{"g"}
		}
		for k := range 3 {
			if rapid.Bool().Draw(t, "counted") {
				row.Periods = append(row.Periods, ledger.PeriodUse{Round: fmt.Sprint("r", k), Per: charter.PerDay, Before: anyEnergy(4e6).Draw(t, "before")})
			}
		}
		row.Bid, row.Offer = anyOrder(t), anyOrder(t)
		for j := range rapid.IntRange(1, 2).Draw(t, "sites") {
			exported := anyEnergy(5e6).Draw(t, "export")
			row.Sites = append(row.Sites, ledger.SiteInput{
				Site: roll.SiteID(fmt.Sprintf("s%d-%d", i, j)), Import: anyEnergy(5e6).Draw(t, "import"), Export: exported,
				Production: exported + anyEnergy(5e6).Draw(t, "own"), Metered: true,
			})
		}
		in.Members = append(in.Members, row)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "batteries") {
		at := in.Members[rapid.IntRange(0, len(in.Members)-1).Draw(t, "at")]
		in.Storage = append(in.Storage, ledger.StorageRow{
			Asset: roll.AssetID(fmt.Sprintf("b%d", i)), Pool: at.Pool, Site: at.Sites[0].Site,
			Placement: rapid.SampledFrom([]roll.Placement{roll.BehindMeter, roll.OwnMeter}).Draw(t, "placement"),
			Charged:   anyEnergy(3e6).Draw(t, "charged"), Discharged: anyEnergy(3e6).Draw(t, "discharged"),
			SoC: rapid.Int64Range(-1, 1000).Draw(t, "soc"), Capacity: energy.Energy(rapid.Int64Range(1, 2e7).Draw(t, "capacity")),
			ChargeEff: rapid.Int64Range(10_000, 1e6).Draw(t, "in"), DischargeEff: rapid.Int64Range(500_000, 1e6).Draw(t, "out"),
			Opening: ledger.Stock{Own: anyEnergy(5e6).Draw(t, "own"), Commons: anyEnergy(5e6).Draw(t, "commons"), Grid: anyEnergy(5e6).Draw(t, "grid")},
		})
	}
	for _, m := range in.Members {
		if m.Pool == house {
			in.Connections = []ledger.ConnectionRow{{Connection: "house", Pool: house, Import: anyEnergy(2e7).Draw(t, "binding import"), Export: anyEnergy(2e7).Draw(t, "binding export")}}
			break
		}
	}
	return in
}

func settle(t *rapid.T, ch *charter.Charter, in settlement.Input) settlement.Result {
	var s settlement.Settler
	res, err := s.Settle(ch, in)
	if err != nil {
		t.Fatalf("every input settles: %v", err)
	}
	return res
}

// The laws of an interval: what came in went out, members get no more than they
// need, producers give no more than they have, and every account closes.
func TestIntervalConserves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyCharter(t), anyInput(t)
		res := settle(t, ch, in)
		for i := range res.Members {
			withinPeriods(t, ch, &res.Members[i])
		}
		for _, p := range res.Pools {
			var share, fromStorage, sold, stored, demand, supply, imported, exported, forSale, bought, traded energy.Energy
			for _, m := range res.Members {
				if m.Pool != p.Pool {
					continue
				}
				share += m.Share
				fromStorage += m.FromStorage
				sold += m.Sold
				stored += m.Stored
				demand += m.Demand
				supply += m.Supply
				imported += m.GridImport
				exported += m.GridExport
				forSale += m.ForSale
				bought += m.MarketBought
				traded += m.MarketSold
				if m.Share < 0 || m.FromStorage < 0 || m.Sold < 0 || m.Stored < 0 || m.GridImport < 0 || m.GridExport < 0 || m.ForSale < 0 || m.MarketBought < 0 || m.MarketSold < 0 {
					t.Fatalf("a negative part: %+v", m)
				}
				if ch.Sharing.ExportingSites == charter.ExportersOthers && m.Supply > 0 && m.Share+m.MarketBought > p.Supply-m.Supply {
					t.Fatalf("of what others fed in, %s, she got %s: %+v", p.Supply-m.Supply, m.Share, m)
				}
			}
			if bought != p.Traded() || traded != p.Traded() {
				t.Fatalf("pool %s: %d bought, %d sold: %+v", p.Pool, bought, traded, p.Market)
			}
			if share != p.Shared || fromStorage != p.FromStorage || sold != p.Shared || stored != p.Charged-p.ChargedGrid {
				t.Fatalf("pool %s: received %d+%d, given %d, stored %d: %+v", p.Pool, share, fromStorage, sold, stored, p)
			}
			if forSale != p.ForSale || exported+forSale+p.Discharged-p.FromStorage != p.GridExport {
				t.Fatalf("pool %s: members sell %d and the community %d: %+v", p.Pool, exported, forSale, p)
			}
			if imported+p.ChargedGrid != p.GridImport || p.Supply+p.Discharged-p.Shared-p.FromStorage-stored-traded != p.GridExport {
				t.Fatalf("pool %s: the grid does not close: %+v", p.Pool, p)
			}
			if p.Supply+p.Discharged+p.GridImport != p.Demand+p.Charged+p.GridExport {
				t.Fatalf("pool %s: in is not out: %+v", p.Pool, p)
			}
			if p.GridImport < 0 || p.GridExport < 0 || p.ChargedGrid < 0 {
				t.Fatalf("pool %s: a negative flow: %+v", p.Pool, p)
			}
			efficient := ch.RulesVersion == 1 && ch.Sharing.ExportingSites == charter.ExportersReceive && p.Pool == roll.GridPool
			if want := min(supply, demand); efficient && p.Shared != want {
				t.Fatalf("pool %s: %d shared, %d could be", p.Pool, p.Shared, want)
			}
			if want := min(p.Discharged, demand-p.Shared); efficient && p.FromStorage != want {
				t.Fatalf("pool %s: %d from storage, %d could be", p.Pool, p.FromStorage, want)
			}
		}
		for _, c := range res.Connections {
			for _, p := range res.Pools {
				if p.Pool == c.Pool && p.GridImport-p.GridExport != c.Import-c.Export {
					t.Fatalf("behind one meter %d net, the binding meter says %d", p.GridImport-p.GridExport, c.Import-c.Export)
				}
			}
		}
		for _, b := range res.Storage {
			for name, o := range map[string][6]energy.Energy{
				"own":     {b.Opening.Own, b.In.Own, b.Out.Own, b.Loss.Own, b.Reconciled.Own, b.Closing.Own},
				"commons": {b.Opening.Commons, b.In.Commons, b.Out.Commons, b.Loss.Commons, b.Reconciled.Commons, b.Closing.Commons},
				"grid":    {b.Opening.Grid, b.In.Grid, b.Out.Grid, b.Loss.Grid, b.Reconciled.Grid, b.Closing.Grid},
			} {
				if o[0]+o[1]-o[2]-o[3]+o[4] != o[5] || o[5] < 0 || o[3] < 0 {
					t.Fatalf("battery %s, origin %s does not close: %v", b.Asset, name, o)
				}
			}
			if b.In.Commons+b.In.Grid+b.In.Own != b.Charged || b.Out.Commons+b.Out.Grid+b.Out.Own != b.Discharged {
				t.Fatalf("battery %s: origins don't add up: %+v", b.Asset, b)
			}
		}
	})
}

// withinPeriods: what a member got in a round never passes its cap over a period,
// what storage gave included.
func withinPeriods(t *rapid.T, ch *charter.Charter, m *ledger.MemberRow) {
	var got energy.Energy
	for _, u := range m.Periods {
		got += u.Got
		for _, r := range ch.Sharing.Rounds {
			if r.Name == u.Round && r.CapPeriod != nil && u.Got > max(0, r.CapPeriod.Energy-u.Before) {
				t.Fatalf("round %s: %v after %v, where %v are allowed", r.Name, u.Got, u.Before, r.CapPeriod.Energy)
			}
		}
		if u.Got < 0 {
			t.Fatalf("less than nothing: %+v", u)
		}
	}
	if got > m.Share+m.FromStorage {
		t.Fatalf("%v in her accounts, but %v and %v received", got, m.Share, m.FromStorage)
	}
}

// What the ledger derives from the rows by itself agrees with the totals, and
// balances.
func TestLedgerAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		res := settle(t, anyCharter(t), anyInput(t))
		rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
		if err != nil {
			t.Fatal(err)
		}
		entries, err := ledger.Postings(rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.CheckBalance(entries); err != nil {
			t.Fatal(err)
		}
		sheet, err := ledger.ReadRows(rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := sheet.CheckTotals(res.Pools); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLineChecksShare: under rules version 2, each member's row alone and the
// certificates give her shares to the unit, and no other shares.
func TestLineChecksShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyCharter(t), anyInput(t)
		if ch.RulesVersion == 1 {
			return // package ledger checks those
		}
		res := settle(t, ch, in)
		settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: 2, Pools: res.Pools}
		for i := range res.Members {
			m := &res.Members[i]
			if err := settlement.CheckRow(ch, &settled, m); err != nil {
				t.Fatal(err)
			}
			withinCaps(t, ch, &settled, m)
			m.Share++
			if settlement.CheckRow(ch, &settled, m) == nil {
				t.Fatal("a unit too many is not noticed")
			}
			m.Share--
			for name, field := range map[string]*energy.Energy{"bought": &m.MarketBought, "sold": &m.MarketSold} {
				*field++
				if settlement.CheckRow(ch, &settled, m) == nil {
					t.Fatalf("a unit too much %s is not noticed", name)
				}
				*field--
			}
		}
	})
}

// withinCaps: nobody gets more from a round than its cap, of the sun and of what
// storage gives together.
func withinCaps(t *rapid.T, ch *charter.Charter, settled *ledger.IntervalSettled, m *ledger.MemberRow) {
	gains, err := settlement.Why(ch, settled, m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ch.Sharing.Rounds {
		var got int64
		for _, g := range gains {
			if g.Round == i {
				got += g.Share
			}
		}
		if most := ch.Sharing.Rounds[i].Cap; most != nil && got > int64(*most) {
			t.Fatalf("%s gets %d from round %d, whose cap is %d", m.Member, got, i, *most)
		}
	}
}

// Rows hold all that is needed: settling them again gives the same bytes,
// whatever the order in which the inputs stood.
func TestRecomputeGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyCharter(t), anyInput(t)
		res := settle(t, ch, in)
		rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "m0" })
		if err != nil {
			t.Fatal(err)
		}
		shuffled := append([]ledger.Row{}, rows...)
		seed := rapid.Uint64().Draw(t, "order")
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		pools, again, err := settlement.Recompute(*ch, ledger.IntervalSettled{Interval: in.Interval}, shuffled)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := canon.Marshal(res.Pools)
		b, _ := canon.Marshal(pools)
		if !bytes.Equal(a, b) || !reflect.DeepEqual(rows, again) {
			t.Fatalf("recomputed differently:\n%s\n%s", a, b)
		}
	})
}

// A battery behind a meter is taken out as the convention says, and the site's
// balance stays what it was.
func TestBatteryBehindTheMeter(t *testing.T) {
	ch := &charter.Charter{Sharing: charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}}}}
	in := settlement.Input{
		Interval: energy.Interval{Length: energy.QuarterHour},
		Members: []ledger.MemberRow{
			{Member: "anna", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "roof", Import: 0, Export: 1_000_000, Production: 1_000_000, Metered: true}}},
			{Member: "ben", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "flat", Import: 700_000}}},
		},
		// Ben's battery charged 0.4 kWh through his meter: he himself used 0.3.
		Storage: []ledger.StorageRow{{
			Asset: "b", Pool: roll.GridPool, Site: "flat", Placement: roll.BehindMeter, Charged: 400_000, SoC: -1,
			Capacity: 5_000_000, ChargeEff: 950_000, DischargeEff: 950_000,
		}},
	}
	var s settlement.Settler
	res, err := s.Settle(ch, in)
	if err != nil {
		t.Fatal(err)
	}
	p, ben, b := res.Pools[0], res.Members[1], res.Storage[0]
	if ben.Demand != 300_000 || ben.Share != 300_000 || p.GridImport != 0 || p.GridExport != 300_000 {
		t.Errorf("ben %+v, pool %+v", ben, p)
	}
	if b.In.Commons != 400_000 || b.Closing.Commons != 380_000 || b.Loss.Commons != 20_000 {
		t.Errorf("battery %+v", b)
	}
}

// The owner's reserve is touched by nobody, and what leaves carries the mix.
func TestDischargeCarriesTheMix(t *testing.T) {
	ch := &charter.Charter{Sharing: charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}}}}
	in := settlement.Input{
		Interval: energy.Interval{Length: energy.QuarterHour},
		Members:  []ledger.MemberRow{{Member: "ben", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "flat", Import: 900_000}}}},
		Storage: []ledger.StorageRow{{
			Asset: "b", Pool: roll.GridPool, Placement: roll.OwnMeter, Discharged: 900_000, SoC: -1,
			Capacity: 5_000_000, ChargeEff: 1_000_000, DischargeEff: 900_000,
			Opening: ledger.Stock{Own: 500_000, Commons: 3_000_000, Grid: 1_000_000},
		}},
	}
	var s settlement.Settler
	res, err := s.Settle(ch, in)
	if err != nil {
		t.Fatal(err)
	}
	b := res.Storage[0]
	want := ledger.Stock{Own: 500_000, Commons: 2_250_000, Grid: 750_000}
	if b.Closing != want || b.Out.Commons != 675_000 || b.Loss.Commons != 75_000 {
		t.Errorf("closing %+v, out %+v, loss %+v", b.Closing, b.Out, b.Loss)
	}
	if res.Members[0].FromStorage != 900_000 || res.Pools[0].GridImport != 0 {
		t.Errorf("%+v", res.Members[0])
	}
}

// FuzzSettle: an annex may hold anything; settling it again is refused or
// conserves, and never panics.
func FuzzSettle(f *testing.F) {
	f.Add(int64(1), int64(2), int64(3), int64(4), int64(5), int64(950_000), int64(6), int64(7), true)
	f.Add(int64(1e18), int64(1e18), int64(9e18), int64(-1), int64(1e18), int64(1), int64(9e18), int64(1001), false)
	f.Fuzz(func(t *testing.T, imported, exported, charged, discharged, stock, eff, binding, soc int64, behind bool) {
		placement := roll.OwnMeter
		if behind {
			placement = roll.BehindMeter
		}
		in := settlement.Input{
			Interval: energy.IntervalAt(0, energy.QuarterHour),
			Members: []ledger.MemberRow{
				{Member: "a", Pool: "house", Sites: []ledger.SiteInput{{Site: "a", Import: energy.Energy(imported), Export: energy.Energy(exported), Production: energy.Energy(exported), Metered: true}}},
				{Member: "b", Pool: "house", Sites: []ledger.SiteInput{{Site: "b", Import: energy.Energy(binding)}}},
			},
			Storage: []ledger.StorageRow{{
				Asset: "s", Pool: "house", Site: "a", Placement: placement, Charged: energy.Energy(charged), Discharged: energy.Energy(discharged),
				SoC: soc, Capacity: energy.Energy(stock), ChargeEff: eff, DischargeEff: eff, Opening: ledger.Stock{Commons: energy.Energy(stock), Grid: energy.Energy(binding)},
			}},
			Connections: []ledger.ConnectionRow{{Connection: "house", Pool: "house", Import: energy.Energy(binding), Export: energy.Energy(exported)}},
		}
		ch := &charter.Charter{
			Sharing:  charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Proportional}}},
			Residual: charter.Residual{By: charter.ResidualProportional},
		}
		var s settlement.Settler
		res, err := s.Settle(ch, in)
		if err != nil {
			return
		}
		p := res.Pools[0]
		if p.Supply+p.Discharged+p.GridImport != p.Demand+p.Charged+p.GridExport || p.GridImport < 0 || p.GridExport < 0 {
			t.Fatalf("does not conserve: %+v", p)
		}
	})
}
