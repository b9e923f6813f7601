// SPDX-License-Identifier: AGPL-3.0-or-later

package replay_test

import (
	"math"
	"math/big"
	"os"
	"testing"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/citylearn"
	"github.com/allmende-energy/allmende/scheduler/replay"
)

const homes = "../../../shared/data/citylearn-2022"

// sqrt09 is √0.9 in millionths, rounded down: half of a round trip of 0.9.
const sqrt09 = 948_683

func record(t testing.TB, shared bool) replay.Record {
	t.Helper()
	if _, err := os.Stat(homes); err != nil {
		t.Skip("the recorded homes are not here: put them at ../shared/data/citylearn-2022 beside the checkout")
	}
	rec, err := citylearn.Read(os.DirFS(homes))
	if err != nil {
		t.Fatal(err)
	}
	r := replay.Record{Length: energy.Hour, Prices: rec.Prices}
	for _, b := range rec.Buildings {
		r.Homes = append(r.Homes, replay.Home{Member: roll.MemberID(b.ID), Load: b.Load, Sun: b.Sun})
		if shared {
			r.Batteries = append(r.Batteries, replay.Battery{
				Asset: roll.AssetID(b.ID), Capacity: b.BatteryCapacity, Power: b.BatteryPower, ChargeEff: sqrt09, DischargeEff: sqrt09,
			})
		}
	}
	return r
}

func template(t testing.TB, name string) *charter.Charter {
	t.Helper()
	for _, tpl := range charters.Templates() {
		if tpl.Name == name {
			c, err := charters.Decode(tpl.YAML)
			if err != nil {
				t.Fatal(err)
			}
			return &c
		}
	}
	t.Fatalf("no template %q", name)
	return nil
}

func run(t testing.TB, ch *charter.Charter, rec replay.Record) replay.Result {
	t.Helper()
	r, err := replay.New(ch, rec)
	if err != nil {
		t.Fatal(err)
	}
	for {
		more, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return r.Result()
		}
	}
}

func ratio(t replay.Totals) float64 {
	value := func(at map[energy.Price]energy.Energy) *big.Float {
		sum := new(big.Int)
		for p, e := range at {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(p.Micro), big.NewInt(int64(e))))
		}
		return new(big.Float).SetInt(sum)
	}
	f, _ := new(big.Float).Quo(value(t.ImportAt), value(t.AloneAt)).Float64()
	return f
}

// The published figures of the 17 homes: production, consumption, and what
// sharing alone and greedy shared batteries save.
func TestYearOfSeventeenHomes(t *testing.T) {
	for _, name := range []string{"equal-shares", "proportional"} {
		t.Run(name, func(t *testing.T) {
			res := run(t, template(t, name), record(t, false))
			c := res.Community
			alone := c.Consumption - c.OwnUse
			for what, check := range map[string]struct{ got, want float64 }{
				"production":  {float64(c.Production) / 1e6, 103_425.4},
				"consumption": {float64(c.Consumption) / 1e6, 169_644.0},
				"alone":       {float64(alone) / 1e6, 112_121.1},
				"import":      {float64(c.GridImport) / 1e6, 94_425.4},
			} {
				if math.Abs(check.got-check.want) > 0.05 {
					t.Errorf("%s: %.2f kWh, published %.1f", what, check.got, check.want)
				}
			}
			if r := ratio(c); math.Abs(r-0.8659) > 0.00005 {
				t.Errorf("cost ratio %.5f, published 0.8659", r)
			}
			if res.Intervals != 8760 || c.Production != c.OwnUse+c.Shared+c.GridExport || c.Consumption != c.OwnUse+c.Shared+c.GridImport {
				t.Errorf("the sums don't hold: %+v", c)
			}
		})
	}
}

func TestYearWithSharedBatteries(t *testing.T) {
	res := run(t, template(t, "equal-shares"), record(t, true))
	c := res.Community
	alone := c.Consumption - c.OwnUse
	if r := ratio(c); math.Abs(r-0.6004) > 0.002 {
		t.Errorf("cost ratio %.5f, published 0.6004", r)
	}
	if r := float64(c.GridImport) / float64(alone); math.Abs(r-0.6504) > 0.002 {
		t.Errorf("import ratio %.5f, published 0.6504", r)
	}
	if c.Production+c.Discharged != c.OwnUse+c.Shared+c.FromStorage+c.Charged+c.GridExport {
		t.Errorf("the sums don't hold: %+v", c)
	}
	// Nothing came from the grid, and what was lost is what did not come out.
	if stock := c.Charged - c.Discharged - c.StorageLoss; stock < 0 || stock > 17*6_400_000 {
		t.Errorf("storage kept %v", stock)
	}
}

func BenchmarkReplay(b *testing.B) {
	for _, storage := range []bool{false, true} {
		name := "sharing"
		if storage {
			name = "storage"
		}
		b.Run(name, func(b *testing.B) {
			rec, ch := record(b, storage), template(b, "equal-shares")
			b.ReportAllocs()
			for b.Loop() {
				run(b, ch, rec)
			}
			intervals := float64(len(rec.Prices)) * float64(b.N)
			b.ReportMetric(intervals*float64(len(rec.Homes))/b.Elapsed().Seconds(), "member-intervals/s")
		})
	}
}
