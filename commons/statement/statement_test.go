// SPDX-License-Identifier: AGPL-3.0-or-later

package statement_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/energy"
)

const kWh = energy.KilowattHour

// tenths is a price in tenths of a cent.
func tenths(n int64) energy.Price { return energy.Price{Micro: n * 100_000, Currency: "EUR"} }

// street is a charter with everything that a tariff may say, but for mid-market.
func street() *charter.Charter {
	return &charter.Charter{
		Name: "street", RulesVersion: 2, Interval: energy.QuarterHour, Currency: "EUR", Price: tenths(120),
		Sharing:  charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}}},
		Residual: charter.Residual{By: charter.ResidualEqual}, Storage: charter.Storage{Use: charter.StorageShared},
		Tariff: &charter.Tariff{
			By: charter.TariffTimeOfUse, Bands: []charter.PriceBand{{From: 22 * 60, To: 6 * 60, Price: tenths(80)}},
			Network: []charter.NetworkCharge{
				{Level: charter.SameBuilding, Price: tenths(0)}, {Level: charter.LocalGrid, Price: tenths(20)}, {Level: charter.RegionalGrid, Price: tenths(50)},
			},
			Areas:      []charter.Area{{Group: "street", Level: charter.LocalGrid}},
			Membership: &charter.Contribution{Minor: 310, Per: charter.PerMonth}, Solidarity: new(tenths(5)), StorageWear: new(tenths(30)),
		},
	}
}

func at(text string) energy.Interval {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return energy.IntervalAt(energy.InstantOf(t), energy.QuarterHour)
}

// twoIntervals are one at noon of the last of January, and one in the night after
// the first of February: anna's sun goes to ben, to carl and into her battery,
// and ben and carl empty that.
func twoIntervals() []statement.Interval {
	groups := []roll.Group{"street"}
	anna := ledger.MemberRow{Member: "anna", Pool: roll.GridPool, Groups: groups, Sites: []ledger.SiteInput{{Site: "a"}}}
	ben := ledger.MemberRow{Member: "ben", Pool: roll.GridPool, Groups: groups, Sites: []ledger.SiteInput{{Site: "b"}}}
	carl := ledger.MemberRow{Member: "carl", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "c"}}}
	battery := ledger.StorageRow{Asset: "box", Pool: roll.GridPool, Site: "a"}
	owners := map[roll.AssetID]roll.MemberID{"box": "anna"}

	noon := statement.Interval{At: at("2026-01-31T12:00:00Z"), Owners: owners, Retail: tenths(300), FeedIn: tenths(80)}
	anna.Sold, anna.Stored, anna.GridExport = 4*kWh, 2*kWh, kWh
	ben.Share, ben.GridImport, carl.Share, battery.Charged = 3*kWh, 2*kWh, kWh, 2*kWh
	noon.Members, noon.Storage = []ledger.MemberRow{anna, ben, carl}, []ledger.StorageRow{battery}
	noon.Pools = []ledger.PoolTotals{{Pool: roll.GridPool, Shared: 4 * kWh, Charged: 2 * kWh, GridImport: 2 * kWh, GridExport: kWh}}

	night := statement.Interval{At: at("2026-02-01T23:00:00Z"), Owners: owners, Retail: tenths(300), FeedIn: tenths(80)}
	anna.Sold, anna.Stored, anna.GridExport = 0, 0, 0
	ben.Share, ben.FromStorage, ben.GridImport = 0, 8*kWh/10, 0
	carl.Share, carl.FromStorage, carl.GridImport = 0, kWh, kWh
	battery.Charged, battery.Discharged = 0, 18*kWh/10
	night.Members, night.Storage = []ledger.MemberRow{anna, ben, carl}, []ledger.StorageRow{battery}
	night.Pools = []ledger.PoolTotals{{Pool: roll.GridPool, FromStorage: 18 * kWh / 10, Discharged: 18 * kWh / 10, GridImport: kWh}}
	return []statement.Interval{noon, night}
}

func sheet(t *testing.T, ch *charter.Charter, intervals []statement.Interval) statement.Sheet {
	t.Helper()
	b := statement.NewBook(ch, statement.In(time.UTC))
	for i := range intervals {
		if err := b.Add(&intervals[i]); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.Sheet()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.Sheet(); err != nil || fmt.Sprint(again) == "" || again.Community.Total != s.Community.Total {
		t.Fatalf("closed a second time, it says something else: %+v, %v", again, err)
	}
	return s
}

// told is a statement as a treasurer would write it: kind, rule, amount in cents.
func told(s *statement.Statement) string {
	var b strings.Builder
	for _, l := range s.Lines {
		what := l.Energy.KWh()
		if l.Days > 0 {
			what = fmt.Sprint(l.Days, " days")
		}
		fmt.Fprintf(&b, "%s by %s: %s, %d\n", l.Kind, l.Rule, what, l.Amount)
	}
	fmt.Fprintf(&b, "= %d", s.Total)
	return b.String()
}

// TestStatementsByHand: every figure of these was worked out with a pencil. A
// month's contribution of 3.10 is 10 cents for a day of January and 11.07 for one
// of February.
func TestStatementsByHand(t *testing.T) {
	s := sheet(t, street(), twoIntervals())
	for i, want := range []string{
		`given by price: 6.000000, -72
wear_owner by tariff.storage_wear: 1.800000, -5
membership by tariff.membership: 2 days, 21
grid_export by supply contract: 1.000000, -8
= -64`, `received by tariff.bands[0]: 0.800000, 6
received by price: 3.000000, 36
network by tariff.network[1]: 3.800000, 8
solidarity by tariff.solidarity: 3.800000, 2
wear by tariff.storage_wear: 0.800000, 2
membership by tariff.membership: 2 days, 21
grid_import by supply contract: 2.000000, 60
= 135`, `received by tariff.bands[0]: 1.000000, 8
received by price: 1.000000, 12
network by tariff.network[2]: 2.000000, 10
solidarity by tariff.solidarity: 2.000000, 1
wear by tariff.storage_wear: 1.000000, 3
membership by tariff.membership: 2 days, 21
grid_import by supply contract: 1.000000, 30
= 85`,
	} {
		if got := told(&s.Members[i]); got != want {
			t.Errorf("%s:\n%s\nshould be\n%s", s.Members[i].Party.Member, got, want)
		}
	}
	if got, want := told(&s.Community), `solidarity by tariff.solidarity: 5.800000, -3
membership by tariff.membership: 6 days, -63
storage_in by price: 2.000000, 24
storage_out by tariff.bands[0]: 1.800000, -14
= -56`; got != want {
		t.Errorf("the community:\n%s\nshould be\n%s", got, want)
	}
	if got, want := told(&s.Retailer), "grid_import by supply contract: 3.000000, -90\ngrid_export by supply contract: 1.000000, 8\n= -82"; got != want {
		t.Errorf("the retailer:\n%s", got)
	}
	if got, want := told(&s.GridOperator), "network by tariff.network[1]: 3.800000, -8\nnetwork by tariff.network[2]: 2.000000, -10\n= -18"; got != want {
		t.Errorf("the grid operator:\n%s", got)
	}
}

// TestTradesByHand: what is bought costs the market's price and the charge for the
// grid, by who sold it, and neither the charter's price nor the solidarity fund's.
// At noon ben buys 3 kWh at 10 cents and dora 1: of each a quarter is carl's, who is
// not in their street. At night, cut off, ben buys 2 of anna's at 14, by another rule.
func TestTradesByHand(t *testing.T) {
	ch, groups := street(), []roll.Group{"street"}
	ch.Sharing.Market = &charter.Market{Lowest: tenths(50), Highest: tenths(300)}
	ch.Island = &charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: ch.Sharing.Rounds, Market: ch.Sharing.Market}
	row := func(id roll.MemberID, in []roll.Group, bought, sold energy.Energy) ledger.MemberRow {
		return ledger.MemberRow{Member: id, Pool: roll.GridPool, Groups: in, MarketBought: bought, MarketSold: sold}
	}
	pool := func(island bool, volume energy.Energy, price int64) []ledger.PoolTotals {
		return []ledger.PoolTotals{{Pool: roll.GridPool, Island: island, Market: &ledger.Market{Price: tenths(price), Volume: volume, Unit: 1}}}
	}
	noon := statement.Interval{At: at("2026-01-31T12:00:00Z"), Pools: pool(false, 4*kWh, 100), Members: []ledger.MemberRow{
		row("anna", groups, 0, 3*kWh), row("ben", groups, 3*kWh, 0), row("carl", nil, 0, kWh), row("dora", groups, kWh, 0),
	}}
	night := statement.Interval{At: at("2026-01-31T23:00:00Z"), Pools: pool(true, 2*kWh, 140), Members: []ledger.MemberRow{
		row("anna", groups, 0, 2*kWh), row("ben", groups, 2*kWh, 0),
	}}
	again := noon // at another price, so that the line has no single one
	again.At, again.Pools = at("2026-01-31T12:15:00Z"), pool(false, 4*kWh, 121)
	s := sheet(t, ch, []statement.Interval{noon, again, night})
	for i, want := range []string{`sold by sharing.market: 6.000000, -66
sold by island.market: 2.000000, -28
membership by tariff.membership: 1 days, 10
= -84`, `bought by sharing.market: 6.000000, 66
bought by island.market: 2.000000, 28
network by tariff.network[1]: 6.500000, 13
network by tariff.network[2]: 1.500000, 8
membership by tariff.membership: 1 days, 10
= 125`, `sold by sharing.market: 2.000000, -22
membership by tariff.membership: 1 days, 10
= -12`, `bought by sharing.market: 2.000000, 22
network by tariff.network[1]: 1.500000, 3
network by tariff.network[2]: 0.500000, 3
membership by tariff.membership: 1 days, 10
= 38`,
	} {
		if got := told(&s.Members[i]); got != want {
			t.Errorf("%s:\n%s\nshould be\n%s", s.Members[i].Party.Member, got, want)
		}
	}
	if line := s.Members[0].Lines; line[0].Price != nil || line[1].Price == nil || *line[1].Price != tenths(140) {
		t.Errorf("a price that held throughout is named, and no other: %+v", line)
	}
}

// TestRounding: three cents of which each pays a half leave a line in the community's account.
func TestRounding(t *testing.T) {
	ch := street()
	ch.Tariff = nil
	ch.Price = tenths(5)
	in := statement.Interval{At: at("2026-01-31T12:00:00Z"), Pools: []ledger.PoolTotals{{Pool: roll.GridPool}}}
	for _, id := range []roll.MemberID{"anna", "ben", "carl"} {
		in.Members = append(in.Members, ledger.MemberRow{Member: id, Pool: roll.GridPool, Share: kWh})
	}
	in.Members = append(in.Members, ledger.MemberRow{Member: "mill", Pool: roll.GridPool, Sold: 3 * kWh})
	s := sheet(t, ch, []statement.Interval{in})
	// Half a cent is a whole one for those who pay, and one and a half are two for the mill.
	if s.Members[0].Total != 1 || s.Members[3].Total != -2 || s.Community.Total != -1 || s.Community.Of(statement.Rounding) != -1 {
		t.Errorf("%+v", s)
	}
}

// TestTheLastUnitIsNotLost: of one milliwatt-hour a third came from near and two
// thirds from afar, and it is charged once, as from afar.
func TestTheLastUnitIsNotLost(t *testing.T) {
	groups := []roll.Group{"street"}
	in := statement.Interval{At: at("2026-01-31T12:00:00Z"), Pools: []ledger.PoolTotals{{Pool: roll.GridPool}}, Members: []ledger.MemberRow{
		{Member: "anna", Pool: roll.GridPool, Groups: groups, Share: 1},
		{Member: "ben", Pool: roll.GridPool, Groups: groups, Sold: kWh},
		{Member: "carl", Pool: roll.GridPool, Sold: 2 * kWh},
		{Member: "dora", Pool: roll.GridPool, Share: 3*kWh - 1},
	}}
	s := sheet(t, street(), []statement.Interval{in})
	var charged []statement.Line
	for _, l := range s.Members[0].Lines {
		if l.Kind == statement.Network {
			charged = append(charged, l)
		}
	}
	if len(charged) != 1 || charged[0].Level != charter.RegionalGrid || charged[0].Energy != 1 {
		t.Errorf("%+v", charged)
	}
}

// TestMoneyThatDoesNotClose: rows in which energy appears from nowhere give no sheet.
func TestMoneyThatDoesNotClose(t *testing.T) {
	in := twoIntervals()
	in[0].Members[1].Share++
	b := statement.NewBook(street(), statement.In(time.UTC))
	if err := b.Add(&in[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sheet(); !errors.Is(err, statement.ErrMoney) {
		t.Errorf("%v", err)
	}
}

func TestNoCalendar(t *testing.T) {
	in := twoIntervals()
	b := statement.NewBook(street(), func(energy.Instant) statement.Local { return statement.Local{Time: 720} })
	if err := b.Add(&in[0]); err == nil {
		t.Error("a contribution is paid on no day")
	}
}

// TestMembership: whole months and years come to the whole amount, whatever their
// length, and parts to the days of them, however many intervals a day has.
func TestMembership(t *testing.T) {
	for name, x := range map[string]struct {
		per         charter.Period
		first, last string // days
		zone        string
		days        int
		minor       int64
	}{
		"a long month":    {charter.PerMonth, "2026-01-01", "2026-01-31", "UTC", 31, 1000},
		"February":        {charter.PerMonth, "2026-02-01", "2026-02-28", "UTC", 28, 1000},
		"of a leap year":  {charter.PerMonth, "2028-02-01", "2028-02-29", "UTC", 29, 1000},
		"half of April":   {charter.PerMonth, "2026-04-16", "2026-04-30", "UTC", 15, 500},
		"over the turn":   {charter.PerMonth, "2026-01-31", "2026-02-01", "UTC", 2, 68}, // 32.26 + 35.71
		"a year":          {charter.PerYear, "2026-01-01", "2026-12-31", "UTC", 365, 1000},
		"a leap year":     {charter.PerYear, "2028-01-01", "2028-12-31", "UTC", 366, 1000},
		"a day each":      {charter.PerDay, "2026-01-01", "2026-01-03", "UTC", 3, 3000},
		"summer time":     {charter.PerMonth, "2026-03-01", "2026-03-31", "Europe/Vienna", 31, 1000},
		"a quarter of it": {charter.PerYear, "2026-01-01", "2026-03-14", "UTC", 73, 200},
	} {
		zone, err := time.LoadLocation(x.zone)
		if err != nil {
			t.Fatal(err)
		}
		ch := street()
		ch.Tariff = &charter.Tariff{Membership: &charter.Contribution{Minor: 1000, Per: x.per}}
		b := statement.NewBook(ch, statement.In(zone))
		from, _ := time.ParseInLocation(time.DateOnly, x.first, zone)
		last, _ := time.ParseInLocation(time.DateOnly, x.last, zone)
		for now := from; now.Before(last.AddDate(0, 0, 1)); now = now.Add(time.Hour) {
			in := statement.Interval{
				At: energy.IntervalAt(energy.InstantOf(now), energy.QuarterHour),
				// Two rows of one member, in two pools, are one member.
				Members: []ledger.MemberRow{{Member: "anna", Pool: roll.GridPool}, {Member: "anna", Pool: "house"}},
			}
			if err := b.Add(&in); err != nil {
				t.Fatal(err)
			}
		}
		s, err := b.Sheet()
		if err != nil || len(s.Members) != 1 || s.Members[0].Total != x.minor || s.Members[0].Lines[0].Days != x.days || s.Community.Of(statement.Membership) != -x.minor {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestRates(t *testing.T) {
	feedIn, retail := tenths(80), tenths(310)
	working := charter.PriceBand{Days: charter.WorkingDays, Price: tenths(990)}
	night := charter.PriceBand{From: 22 * 60, To: 6 * 60, Price: tenths(50)}
	for name, x := range map[string]struct {
		tariff *charter.Tariff
		rule   string
		minor  int64 // of ten kWh in the night of a Saturday
	}{
		"none":       {nil, "price", 120},
		"fixed":      {&charter.Tariff{By: charter.TariffFixed}, "price", 120},
		"night":      {&charter.Tariff{By: charter.TariffTimeOfUse, Bands: []charter.PriceBand{working, night}}, "tariff.bands[1]", 50},
		"no band":    {&charter.Tariff{By: charter.TariffTimeOfUse, Bands: []charter.PriceBand{working}}, "price", 120},
		"mid-market": {&charter.Tariff{By: charter.TariffMidMarket, FeedIn: &feedIn, Retail: &retail}, "tariff.by", 195},
	} {
		ch := street()
		ch.Tariff = x.tariff
		in := statement.Interval{At: at("2026-01-31T23:00:00Z"), Pools: []ledger.PoolTotals{{Pool: roll.GridPool}}, Members: []ledger.MemberRow{
			{Member: "anna", Pool: roll.GridPool, Share: 10 * kWh}, {Member: "ben", Pool: roll.GridPool, Sold: 10 * kWh},
		}}
		s := sheet(t, ch, []statement.Interval{in})
		if l := s.Members[0].Lines[0]; l.Rule != x.rule || l.Amount != x.minor || s.Members[1].Total != -x.minor {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
