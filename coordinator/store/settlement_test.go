// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// Whatever charter and whatever meters: what the settlement books is taken by
// the store and holds for the verifier, with every row and with some erased.
func TestEverySettlementVerifies(t *testing.T) { onEach(t, testEverySettlementVerifies) }

func testEverySettlementVerifies(t *testing.T, on engine) {
	path := on.database(t)
	s := open(t, path)
	epoch := raise(t, s)
	g := gamble{rand.New(chacha(21))}
	const intervals = 150
	for n := range intervals {
		ch := g.charter(n)
		hash, err := ch.Hash()
		if err != nil {
			t.Fatal(err)
		}
		// Intervals two apart, so that no battery has to go on from the one before.
		in := g.input(energy.IntervalAt(day0.Add(energy.Span(2*n)*energy.QuarterHour), energy.QuarterHour))
		var settler settlement.Settler
		res, err := settler.Settle(&ch, in)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := res.Rows(func(a roll.AssetID) roll.MemberID { return roll.MemberID("home-" + string(a[len(a)-1:])) })
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Commit(context.Background(), epoch, []store.NewLeaf{
			{Leaf: ledger.Leaf{Kind: ledger.KindCharterActivated, Community: community, Charter: &ledger.CharterActivated{
				Hash: hash, Effective: in.Interval.Start, DecidedBy: "dice", Charter: ch,
			}}},
			{Rows: rows, Leaf: ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: community, Settled: &ledger.IntervalSettled{
				Interval: in.Interval, CharterHash: hash, RulesVersion: ch.RulesVersion, Quality: res.Quality, Pools: res.Pools,
			}}},
		})
		if err != nil {
			t.Fatalf("interval %d: %v", n, err)
		}
	}
	if r := holds(t, path); r.Intervals != intervals || r.Erased != 0 {
		t.Fatalf("%d intervals, %d rows erased", r.Intervals, r.Erased)
	}
	for _, m := range []roll.MemberID{"home-1", "home-4"} {
		if _, err := s.Erase(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		if r := holds(t, path); r.Erased == 0 {
			t.Fatal("nothing is reported as erased")
		}
	}
}

// gamble makes charters and meter data by dice.
type gamble struct{ *rand.Rand }

func (g gamble) coin() bool { return g.IntN(2) == 0 }

func (g gamble) energy(wh int64) energy.Energy {
	if g.IntN(4) == 0 {
		return 0
	}
	return energy.Energy(g.Int64N(wh*1000 + 1))
}

func (g gamble) charter(n int) charter.Charter {
	ch := charter.Charter{
		Charter: charter.Format, Name: fmt.Sprint("Dice ", n), RulesVersion: charter.RulesVersion,
		Currency: "EUR", Price: energy.Price{Micro: 1, Currency: "EUR"},
		Interval: energy.QuarterHour, SettleAfter: energy.Day,
		Sharing:  charter.Sharing{ExportingSites: charter.ExportersReceive},
		Residual: charter.Residual{By: charter.ResidualEqual},
		Storage:  charter.Storage{Use: charter.StorageShared},
	}
	if g.coin() {
		ch.Sharing.ExportingSites = charter.ExportersWait
	}
	if g.coin() {
		ch.Residual.By = charter.ResidualProportional
	}
	for i := range 1 + g.IntN(3) {
		r := charter.Round{Name: fmt.Sprint("round ", i), Method: charter.Equal}
		if g.coin() {
			r.Method = charter.Proportional
		}
		if g.coin() {
			r.Groups = []roll.Group{"families"}
		}
		if g.coin() {
			most := 1 + g.energy(100)
			r.Cap = &most
		}
		ch.Sharing.Rounds = append(ch.Sharing.Rounds, r)
	}
	for ch.Validate() != nil && len(ch.Sharing.Rounds) > 1 { // a round that could never give anything
		ch.Sharing.Rounds = ch.Sharing.Rounds[:len(ch.Sharing.Rounds)-1]
	}
	return ch
}

// input is a grid pool and a house behind one meter, with batteries in both.
func (g gamble) input(iv energy.Interval) settlement.Input {
	in := settlement.Input{Interval: iv}
	for i := range 6 {
		id, pool := fmt.Sprintf("home-%d", i), roll.GridPool
		if i >= 3 {
			pool = "house"
		}
		m := ledger.MemberRow{Member: roll.MemberID(id), Pool: pool}
		if g.coin() {
			m.Groups = []roll.Group{"families"}
		}
		for k := range 1 + g.IntN(2) {
			site := ledger.SiteInput{
				Site: roll.SiteID(fmt.Sprint(id, "-", k)), Import: g.energy(400), Export: g.energy(300), Metered: g.coin(),
				Quality: energy.Quality(g.IntN(4)),
			}
			if site.Metered {
				site.Production = site.Export + g.energy(100)
			}
			m.Sites = append(m.Sites, site)
		}
		in.Members = append(in.Members, m)
		if i%2 == 0 {
			b := ledger.StorageRow{
				Asset: roll.AssetID(fmt.Sprint("battery-", i)), Pool: pool, Site: m.Sites[0].Site, Placement: roll.OwnMeter,
				Charged: g.energy(200), Discharged: g.energy(200), Capacity: 5_000_000, SoC: int64(g.IntN(1002)) - 1,
				ChargeEff: 900_000 + g.Int64N(100_001), DischargeEff: 900_000 + g.Int64N(100_001),
				Opening: ledger.Stock{Own: g.energy(500), Commons: g.energy(500), Grid: g.energy(500)},
			}
			if g.coin() {
				b.Placement = roll.BehindMeter
			}
			in.Storage = append(in.Storage, b)
		}
	}
	in.Connections = []ledger.ConnectionRow{{Connection: "house", Pool: "house", Import: g.energy(1000), Export: g.energy(500)}}
	return in
}
