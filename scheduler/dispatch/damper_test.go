// SPDX-License-Identifier: AGPL-3.0-or-later

package dispatch_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/dispatch"
)

// plant is a battery that answers late, and the meters that tell of it.
type plant struct {
	dead, told, metered int     // ticks until it begins to obey, until it tells what it does, until the meter does
	slow                float64 // ticks of its first-order lag
	echo                bool    // it tells what it was told, not what it does
	commands            []float64
	powers              []float64
	power               float64
}

func ago(list []float64, ticks int) float64 {
	if ticks >= len(list) {
		return 0
	}
	return list[len(list)-1-ticks]
}

// tick obeys a command and returns the need that the loop sees at a load.
func (p *plant) tick(command, load float64) float64 {
	p.commands = append(p.commands, command)
	target := ago(p.commands, p.dead)
	if p.slow > 0 {
		p.power += (target - p.power) * (1 - math.Exp(-1/p.slow))
	} else {
		p.power = target
	}
	p.powers = append(p.powers, p.power)
	grid := load - ago(p.powers, p.metered)
	told := ago(p.powers, p.told)
	if p.echo {
		told = command
	}
	return grid + told
}

func lags() []plant {
	var all []plant
	for _, lag := range []int{1, 2, 5, 10, 20, 30} {
		all = append(
			all,
			plant{dead: lag}, plant{slow: float64(lag)}, plant{dead: lag / 2, slow: float64(lag) / 2},
			plant{dead: lag, echo: true}, plant{slow: float64(lag), echo: true}, plant{dead: lag / 2, slow: float64(lag) / 2, echo: true},
			plant{told: lag}, plant{metered: lag}, plant{dead: lag, told: lag / 2}, plant{slow: float64(lag), metered: lag / 3},
		)
	}
	return all
}

func (p *plant) String() string {
	return fmt.Sprintf("dead time %d, lag %g, told after %d, metered after %d, echo %t", p.dead, p.slow, p.told, p.metered, p.echo)
}

// TestNoSwing: whatever the lag from 1 to 30 s, the power of the batteries
// settles after a step of the load, and again after the next.
func TestNoSwing(t *testing.T) {
	for _, p := range lags() {
		var d dispatch.Damper
		var is energy.Power
		var need float64
		load := 0.0
		const settled = 900 // ticks after a step
		var least, most float64
		for tick := range 6 * 1800 {
			if tick%1800 == 0 {
				load = []float64{2e6, -1.5e6, 3e6, 1e6, -3e6, 500_000}[tick/1800]
				least, most = math.Inf(1), math.Inf(-1)
			}
			need = p.tick(float64(is), load)
			is = d.Step(is, energy.Power(need), 5*energy.Kilowatt, 5*energy.Kilowatt)
			if tick%1800 > settled {
				least, most = min(least, p.power), max(most, p.power)
			}
			if tick%1800 == 1799 && (most-least > 150_000 || math.Abs(p.power-load) > 150_000) {
				t.Errorf("%s: %d s after a step to %.0f W the power is between %.0f and %.0f W", p.String(), settled, load/1000, least/1000, most/1000)
				break
			}
		}
	}
}

// TestFollowsAtOnce: batteries without lag follow a load that comes and goes as
// if there were no damper.
func TestFollowsAtOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var d dispatch.Damper
	var is energy.Power
	p := plant{}
	load, missed, all := 500_000.0, 0.0, 0.0
	for tick := range 24 * 3600 {
		switch tick % 600 {
		case 100:
			load += 2e6 // a kettle
		case 280:
			load -= 2e6
		}
		noise := rng.NormFloat64() * 30_000
		need := p.tick(float64(is), load+noise)
		missed += math.Abs(load + noise - p.power)
		all += math.Abs(load)
		is = d.Step(is, energy.Power(need), 5*energy.Kilowatt, 5*energy.Kilowatt)
	}
	if missed/all > 0.05 {
		t.Errorf("%.1f %% of the energy was missed", 100*missed/all)
	}
}
