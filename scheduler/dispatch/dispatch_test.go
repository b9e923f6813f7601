// SPDX-License-Identifier: AGPL-3.0-or-later

package dispatch_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/dispatch"
)

func anyBattery(t *rapid.T) dispatch.Battery {
	capacity := rapid.Int64Range(1, 100_000_000).Draw(t, "capacity")
	floor := rapid.Int64Range(0, capacity).Draw(t, "floor")
	return dispatch.Battery{
		Capacity:     energy.Energy(capacity),
		MaxCharge:    energy.Power(rapid.Int64Range(0, 20_000_000).Draw(t, "charge")),
		MaxDischarge: energy.Power(rapid.Int64Range(0, 20_000_000).Draw(t, "discharge")),
		Floor:        energy.Energy(floor),
		Ceiling:      energy.Energy(rapid.Int64Range(floor, capacity).Draw(t, "ceiling")),
		Stock:        energy.Energy(rapid.Int64Range(0, capacity).Draw(t, "stock")),
		ChargeEff:    rapid.Int64Range(500_000, 1_000_000).Draw(t, "in"),
		DischargeEff: rapid.Int64Range(500_000, 1_000_000).Draw(t, "out"),
	}
}

func TestBatteriesStayWithinTheirLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batteries := rapid.SliceOfN(rapid.Custom(anyBattery), 0, 6).Draw(t, "batteries")
		horizon := energy.Span(rapid.Int64Range(1_000, int64(energy.Hour)).Draw(t, "horizon"))
		surplus := energy.Power(rapid.Int64Range(0, 100_000_000).Draw(t, "surplus"))
		deficit := energy.Power(rapid.Int64Range(0, 100_000_000).Draw(t, "deficit"))
		if rapid.Bool().Draw(t, "sunny") {
			deficit = 0
		} else {
			surplus = 0
		}
		out := make([]energy.Power, len(batteries))
		dispatch.Decide(out, batteries, surplus, deficit, horizon)

		var sum, room, stock energy.Power
		for i, b := range batteries {
			p := out[i]
			sum += p
			room += b.ChargeLimit(horizon)
			stock += b.DischargeLimit(horizon)
			if -p > b.MaxCharge || p > b.MaxDischarge {
				t.Fatalf("battery %d: %v is beyond its power", i, p)
			}
			after := b.Stock
			if p < 0 {
				after += energy.Energy(energy.MulDiv(int64((-p).Over(horizon)), b.ChargeEff, 1_000_000))
				if after > b.Ceiling {
					t.Fatalf("battery %d would pass its ceiling by %v", i, after-b.Ceiling)
				}
			}
			if p > 0 {
				q, rem := energy.MulDivRem(int64(p.Over(horizon)), 1_000_000, b.DischargeEff)
				if rem > 0 {
					q++
				}
				if after -= energy.Energy(q); after < b.Floor {
					t.Fatalf("battery %d would pass its floor by %v", i, b.Floor-after)
				}
			}
		}
		if want := min(deficit, stock) - min(surplus, room); sum != want {
			t.Fatalf("batteries give %v together, want %v", sum, want)
		}
	})
}
