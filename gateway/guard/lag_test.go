// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"math"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/scheduler/dispatch"
)

// TestLoopSettlesOverTheGuard closes the whole loop: meters, dispatch, setpoint,
// guard, an inverter that takes its time, meters. After a step of the load its
// power settles, with and without a ramp.
func TestLoopSettlesOverTheGuard(t *testing.T) {
	for _, lag := range []int{1, 3, 10, 30} {
		for _, echo := range []bool{false, true} {
			for _, ramp := range []energy.Power{0, 500 * energy.Watt} {
				l := DeviceLimits()
				l.Capacity, l.Ramp = 100*energy.KilowattHour, ramp
				g := batteryGuard(l)
				var damper dispatch.Damper
				var told, obeyed energy.Power
				var queue []energy.Power
				power, least, most := 0.0, math.Inf(1), math.Inf(-1)
				load := 2 * energy.Kilowatt
				for tick := range Stamp(3600) {
					now := tick * 1000
					if tick == 1800 {
						load, least, most = -energy.Kilowatt, math.Inf(1), math.Inf(-1)
					}
					shown := energy.Power(power)
					if echo {
						shown = obeyed // it tells what it was told
					}
					need := load - energy.Power(power) + shown
					told = damper.Step(told, need, 5*energy.Kilowatt, 5*energy.Kilowatt)
					mustOffer(t, g, Setpoint{Power: told, Stamp: now, TTL: 10 * energy.Second, Epoch: 1, Sequence: uint64(tick) + 1}, now)
					for _, a := range carry(g, now, at(500, now)) {
						if a.Kind == Set && a.Command.Quantity == device.BatteryPower {
							obeyed = energy.Power(a.Command.Value)
						}
					}
					// Half of the lag is dead time, half is of first order.
					queue = append(queue, obeyed)
					target := 0.0
					if dead := lag / 2; len(queue) > dead {
						target = float64(queue[len(queue)-1-dead])
					}
					power += (target - power) * (1 - math.Exp(-1/(float64(lag)/2)))
					if tick%1800 > 1200 {
						least, most = min(least, power), max(most, power)
					}
					if tick%1800 == 1799 && (most-least > 200_000 || math.Abs(power-float64(load)) > 200_000) {
						t.Errorf("lag %d s, echo %t, ramp %s: twenty minutes after a step to %s the power is between %.0f and %.0f W", lag, echo, ramp, load, least/1000, most/1000)
					}
				}
			}
		}
	}
}
