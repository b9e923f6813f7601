// SPDX-License-Identifier: AGPL-3.0-or-later

package dispatch

import "github.com/allmende-energy/allmende/energy"

// Damper keeps the live loop from chasing batteries that answer late.
//
// What the batteries shall do follows from what the meters show without them.
// Where a meter and a battery tell of the same moment that is exact, and the
// batteries follow the members' need at once. Many inverters take 1 to 30
// seconds to obey or to tell what they do; then the loop sees its own commands
// late, corrects what is being corrected already, and swings for ever.
//
// The rule: a swing is a need that lies above the command for some ticks, then
// below it, then above it again without having grown smaller, while the command
// went as far as the need lay away. From then on the command goes only a part
// of the way in each tick: one over the length of a whole swing, some four
// times the lag, which is slow enough to settle. Where that does not suffice it
// is halved. An hour of ticks without a swing doubles it again, up to the whole
// way; each new swing doubles that hour. Load that comes and goes is no swing:
// at the whole way it is caught up with in one tick.
//
// The zero value goes the whole way.
type Damper struct {
	part int64 // of 1/wholeWay that the command goes in a tick, 0: all of it

	now  course // the present run
	from energy.Power
	rest int64  // ticks since the need lay away from the command
	last course // the run before, on the other side
	// before is the run before that, on the same side.
	before course
	calm   int64 // ticks since the latest swing
	// patience is how long it is calm before the part grows.
	patience int64
}

// course is a run of ticks in which the need lies on one side of the command;
// none where ticks is 0.
type course struct {
	above bool
	ticks int64
	peak  energy.Power // how far away it lay at most
	went  energy.Power // how far the command went
}

const (
	wholeWay   = 1 << 12
	leastWay   = wholeWay / 256
	shortWay   = wholeWay / 4 // for swings of a few ticks, which may be noise
	shortRun   = 4            // ticks
	longestLag = 70           // ticks
	leastGap   = 150 * energy.Watt
	leastCalm  = 3600
	mostCalm   = 100_000
)

// Step is what all batteries together shall do now, discharge positive, where
// is is what they were told last and need what would cover the members' need.
// charge and discharge are the most that they can do.
func (d *Damper) Step(is, need, charge, discharge energy.Power) energy.Power {
	need = min(max(need, -charge), discharge)
	is = min(max(is, -charge), discharge)
	gap := need - is
	d.look(gap, is, need != 0 && (need == -charge || need == discharge))
	if d.part == 0 {
		return need
	}
	step := energy.Power(energy.MulDiv(int64(size(gap)), d.part, wholeWay))
	if gap < 0 {
		step = -step
	}
	next := is + step
	if next > 0 && need < 0 || next < 0 && need > 0 {
		return 0 // nothing is worse than to go the other way
	}
	return next
}

func size(p energy.Power) energy.Power { return max(p, -p) }

// look follows the runs. At the batteries' limits the command rests while their
// answer is still on its way, so that such a rest may last longer.
func (d *Damper) look(gap, is energy.Power, limited bool) {
	d.grow()
	if size(gap) < max(leastGap, size(is)/20) {
		may := int64(shortRun)
		if limited || d.now.ticks >= shortRun {
			may = longestLag
		}
		if d.rest++; d.rest > may {
			d.now, d.last, d.before = course{}, course{}, course{}
		}
		return
	}
	d.rest = 0
	if d.now.ticks == 0 || d.now.above != (gap > 0) {
		if d.now.ticks > 0 {
			d.now.went = size(is - d.from)
			d.turn()
		}
		d.now, d.from = course{above: gap > 0}, is
	}
	d.now.ticks++
	d.now.peak = max(d.now.peak, size(gap))
}

// grow trusts the batteries more after some calm.
func (d *Damper) grow() {
	if d.calm++; d.calm < max(d.patience, leastCalm) {
		return
	}
	d.calm = 0
	switch {
	case d.part == 0:
		d.patience /= 2
	case 2*d.part >= wholeWay:
		d.part = 0
	default:
		d.part *= 2
	}
}

// turn ends a run. It is compared with the run before last, which lay on the
// same side: where a battery is at its limit the two sides differ.
func (d *Damper) turn() {
	before, last := d.before, d.last
	d.before, d.last = d.last, d.now
	if before.ticks == 0 || d.now.peak <= before.peak*3/4 {
		return
	}
	part, least := int64(shortWay), int64(shortWay)
	if min(before.ticks, last.ticks, d.now.ticks) >= shortRun {
		if d.now.went < d.now.peak*9/10 || last.went < last.peak*9/10 {
			return // the load went its own way
		}
		part, least = wholeWay/(before.ticks+last.ticks), leastWay
	}
	if d.part > 0 && d.part <= part {
		part = d.part / 2
	}
	if d.part == 0 || d.part > least {
		d.part = max(part, least)
	}
	d.calm, d.patience = 0, min(max(2*d.patience, leastCalm), mostCalm)
	d.before, d.last = course{}, course{}
}
