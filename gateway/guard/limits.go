// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"fmt"
	"math"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// NoLimit leaves a power to the device's own rating.
const NoLimit = energy.Power(math.MaxInt64)

// Limits are what equipment and fuse allow, whoever asks. No power is negative.
type Limits struct {
	// Of a battery, on top of its rating, whenever it is commanded.
	MaxCharge    energy.Power
	MaxDischarge energy.Power
	MinSoC       int64 // permille: at or below, no discharge
	MaxSoC       int64 // permille: at or above, no charge
	// Hysteresis: a guard that has stopped the battery lets go only so many
	// permille further in, so that it does not switch to and fro.
	Hysteresis int64
	// Capacity lets the guards look ahead; 0: it is taken for an hour of what
	// the battery may be commanded to.
	Capacity energy.Energy
	// Of an inverter and of a load: held at all times, not only under command.
	MaxFeedIn energy.Power
	MaxLoad   energy.Power
	// The share of the connection's limit that this device may take while no
	// coordinator looks after the connection as a whole.
	OfflineFeedIn energy.Power
	OfflineLoad   energy.Power
	Rated         energy.Power // of an inverter, the base of its percentages; 0: not known
	// Of a load: below LeastLoad it pauses; once it runs or pauses it does so
	// for these times at least.
	LeastLoad energy.Power
	MinRun    energy.Span
	MinPause  energy.Span
	// Ramp is how much a command may grow in a second; 0: at once. What takes
	// away is never delayed.
	Ramp energy.Power
}

// DeviceLimits leave everything to the device's own rating.
func DeviceLimits() Limits {
	return Limits{
		MaxCharge: NoLimit, MaxDischarge: NoLimit, MaxSoC: full, Hysteresis: defaultHysteresis,
		MaxFeedIn: NoLimit, MaxLoad: NoLimit, OfflineFeedIn: NoLimit, OfflineLoad: NoLimit,
	}
}

const defaultHysteresis = 20

// bounded keeps the hysteresis inside what it is for.
func (l Limits) bounded() Limits {
	l.Hysteresis = min(max(l.Hysteresis, 0), max(l.MaxSoC-l.MinSoC, 0)/2)
	return l
}

// GridLimit is what the grid operator allows at a moment. It holds for the
// device alone.
type GridLimit struct {
	Draw energy.Power // most that a load or a charging battery may take
	// Feed is the most an inverter or a discharging battery may give, FeedPermille
	// the same as a share of the rating.
	Feed         energy.Power
	FeedPermille int64
	Why          string
}

// FreeGrid is a grid operator who asks for nothing.
func FreeGrid() GridLimit { return GridLimit{Draw: NoLimit, Feed: NoLimit, FeedPermille: full} }

// interval is what a value may be, low ≤ high.
type interval struct{ low, high int64 }

func everything() interval { return interval{math.MinInt64, math.MaxInt64} }

// within is the part of i that outer leaves. Where they do not meet, outer
// wins: what is left is its point nearest to i.
func (i interval) within(outer interval) interval {
	switch {
	case i.low > outer.high:
		return interval{outer.high, outer.high}
	case i.high < outer.low:
		return interval{outer.low, outer.low}
	}
	return interval{max(i.low, outer.low), min(i.high, outer.high)}
}

// with widens i so that it holds v.
func (i interval) with(v int64) interval { return interval{min(i.low, v), max(i.high, v)} }

func (i interval) clamp(v int64) int64 { return min(max(v, i.low), i.high) }

// want is what a place shall be commanded to.
type want struct {
	on    bool
	value int64
	stop  bool
	must  bool  // equipment or grid operator ask for it
	until Stamp // when the setpoint behind it ends
	// standing: no setpoint is behind it, it holds until it is lifted.
	standing bool
	// horizon bounds how long it may be in force without a new decision; 0: as
	// long as it likes.
	horizon energy.Span
	note    string
}

// newest is the order in force for a place.
func (g *Guard) held(at place, from Authority) (order, bool) {
	o := g.orders[at][from]
	return o, o.held
}

func (g *Guard) want(at place, now Stamp, in Input) want {
	switch at {
	case battery:
		return g.wantBattery(now, in)
	case charge, discharge:
		return g.wantBatteryLimit(at, in)
	case feed:
		return g.wantFeed(in)
	case load:
		return g.wantLoad(now, in)
	case places:
	}
	return want{}
}

// batteryBounds are what equipment, grid operator and charter leave of a
// battery's power, narrowed in this order.
func (g *Guard) batteryBounds(in Input) (bounds interval, why string) {
	l := g.cfg.Limits
	bounds = interval{-int64(l.MaxCharge), int64(l.MaxDischarge)}
	if c := g.slots[battery]; c != nil && (c.control.Least != 0 || c.control.Most != 0) {
		bounds = interval{c.control.Least, c.control.Most}.within(bounds)
	}
	grid := interval{-int64(in.Grid.Draw), int64(g.gridFeed(in.Grid))}
	for _, from := range []Authority{GridOperator, Charter} {
		i := everything()
		if from == GridOperator {
			i = grid
		}
		if o, ok := g.held(charge, from); ok {
			i.low = max(i.low, -o.value)
		}
		if o, ok := g.held(discharge, from); ok {
			i.high = min(i.high, o.value)
		}
		bounds = i.within(bounds)
	}
	return bounds, "power limit"
}

// gridFeed is the operator's limit of feeding in as a power of the battery. A
// share of a rating that nobody told is nothing: a limit that must hold is not
// left out.
func (g *Guard) gridFeed(l GridLimit) energy.Power {
	if l.FeedPermille >= full {
		return l.Feed
	}
	rated := int64(g.cfg.Limits.Rated)
	for _, at := range []place{battery, discharge} {
		if s := g.slots[at]; s != nil && rated <= 0 {
			rated = s.control.Most
		}
	}
	return min(l.Feed, energy.Power(energy.MulDiv(max(rated, 0), l.FeedPermille, full)))
}

func (g *Guard) wantBattery(now Stamp, in Input) want {
	o, ok := g.held(battery, Charter)
	w := want{on: ok, until: o.expires}
	if !ok {
		if g.cfg.Fallback != Rest {
			return want{}
		}
		return want{on: true, standing: true, note: "no setpoint in force: it rests"}
	}
	bounds, why := g.batteryBounds(in)
	w.value = bounds.clamp(o.value)
	if w.value != o.value {
		w.note = why
	}
	s := g.slots[battery]
	verdict := g.soc.judge(g.cfg.Limits, s, energy.Power(w.value), now, in, g.cfg.Poll, g.shortest(s))
	if verdict.release {
		g.note = noteNear
		return want{}
	}
	w.value, w.horizon = int64(verdict.power), verdict.horizon
	if verdict.note != "" {
		w.note = verdict.note
	}
	return w
}

// shortest is the least time that a device's timer can be armed with and yet
// not run out between two decisions.
func (g *Guard) shortest(s *slot) energy.Span {
	return ceilSecond(max(2*g.cfg.Poll, energy.SpanOf(s.control.LeastReversion)))
}

// wantBatteryLimit holds a limit of a battery that follows itself. Where its
// power is commanded the limit is part of that.
func (g *Guard) wantBatteryLimit(at place, in Input) want {
	if b := g.slots[battery]; b != nil {
		if _, ok := g.held(battery, Charter); ok || g.cfg.Fallback == Rest {
			return want{}
		}
	}
	most, op := g.cfg.Limits.MaxCharge, in.Grid.Draw
	if at == discharge {
		most, op = g.cfg.Limits.MaxDischarge, g.gridFeed(in.Grid)
	}
	w := g.limit(at, int64(op), NoLimit)
	if !w.on {
		return w
	}
	w.value = min(w.value, int64(most))
	if stop := g.soc.stops(g.cfg.Limits, in.SoC, at); stop != "" && w.value > 0 {
		w.value, w.note = 0, stop
	}
	if s := g.slots[at]; w.value < s.control.Least {
		w.must = true // a battery is rather stopped than let go further than asked
		return s.fit(w)
	}
	return g.slots[at].fit(w)
}

// limit narrows an upper bound: equipment's, which stands at all times, then
// the operator's, then the charter's. It is off where none of them asks.
func (g *Guard) limit(at place, operator int64, equipment energy.Power) want {
	w := want{value: int64(equipment), on: equipment != NoLimit, must: equipment != NoLimit, standing: true}
	take := func(v int64, note string) {
		w.on = true
		if v < w.value {
			w.value, w.note = v, note
		}
	}
	if operator != int64(NoLimit) {
		take(operator, "grid operator")
		w.must = true
	}
	for _, from := range []Authority{GridOperator, Charter} {
		o, ok := g.held(at, from)
		if !ok {
			continue
		}
		note := ""
		if from == GridOperator {
			w.must, note = true, "grid operator"
		} else if o.value > w.value {
			note = "a limit above the charter's holds"
		}
		take(o.value, note)
		if note != "" && from == Charter && w.note == "" {
			w.note = note
		}
		w.until = max(w.until, o.expires)
		w.standing = false
	}
	return w
}

func (g *Guard) wantFeed(in Input) want {
	s := g.slots[feed]
	unit := func(p energy.Power) int64 { return g.feedUnit(s, p) }
	equipment := g.cfg.Limits.MaxFeedIn
	if _, ok := g.held(feed, Charter); !ok {
		equipment = min(equipment, g.cfg.Limits.OfflineFeedIn)
	}
	operator := unit(in.Grid.Feed)
	if in.Grid.FeedPermille < full {
		operator = min(operator, g.permilleUnit(s, in.Grid.FeedPermille))
	}
	w := g.limit(feed, operator, energy.Power(unit(equipment)))
	if !w.on {
		return w
	}
	// A charter dims an inverter and does not switch it off: at 0 some go into
	// standby. Only the grid operator may, by the device's own way to stop.
	asked, ok := g.held(feed, GridOperator)
	least, hard, why := g.leastFeed(s), min(operator, unit(equipment)), "grid operator"
	if ok {
		hard = min(hard, asked.value)
	}
	if unit(equipment) < operator && (!ok || unit(equipment) < asked.value) {
		why = "equipment"
	}
	if hard == 0 || hard < least { // what must hold is never widened to what the device can be told
		w.value, w.stop, w.note = 0, true, why
		return w
	}
	if w.value < least {
		w.value, w.note = least, fmt.Sprintf("not below a hundredth: %s", orWhy(w.note, "charter"))
	}
	return s.fit(w)
}

// offline is what a device may take or give while no coordinator looks after
// its connection, in the unit of its control.
func (g *Guard) offline(at place) int64 {
	switch at {
	case feed:
		return g.feedUnit(g.slots[feed], g.cfg.Limits.OfflineFeedIn)
	case load:
		return int64(g.cfg.Limits.OfflineLoad)
	default:
		return int64(NoLimit)
	}
}

// fit keeps a limit within what the device can be told. A limit below that
// becomes its least value where only the charter asks, and a stop otherwise: a
// limit that must hold is never widened.
func (s *slot) fit(w want) want {
	least, most := s.control.Least, s.control.Most
	switch {
	case least == 0 && most == 0:
	case w.value > most:
		w.value = most
	case w.value < least && w.must:
		w.value, w.stop = 0, true
	case w.value < least:
		w.value, w.note = least, "the least that the device can be told"
	}
	return w
}

func orWhy(note, otherwise string) string {
	if note == "" {
		return otherwise
	}
	return note
}

// feedUnit is a power in the unit of the control; more than the device can say
// is no limit.
func (g *Guard) feedUnit(s *slot, p energy.Power) int64 {
	if p == NoLimit || s.control.Quantity == device.ActivePower {
		return int64(p)
	}
	rated := int64(g.cfg.Limits.Rated)
	if rated <= 0 {
		return 0 // validated before: a limit in watts needs the rating
	}
	return energy.MulDiv(min(int64(p), rated), full, rated)
}

// permilleUnit is a share of the rating in the unit of the control.
func (g *Guard) permilleUnit(s *slot, permille int64) int64 {
	if s.control.Quantity == device.ActivePowerPct {
		return permille
	}
	switch rated := int64(g.cfg.Limits.Rated); {
	case permille == 0:
		return 0
	case rated > 0:
		return energy.MulDiv(rated, permille, full)
	case s.control.Most > 0:
		return energy.MulDiv(s.control.Most, permille, full)
	}
	return 0
}

// leastFeed is a hundredth of the rating.
func (g *Guard) leastFeed(s *slot) int64 {
	switch {
	case s.control.Quantity == device.ActivePowerPct:
		return full / 100
	case g.cfg.Limits.Rated > 0:
		return int64(g.cfg.Limits.Rated) / 100
	}
	return max(s.control.Most/100, int64(energy.Watt))
}

func (g *Guard) wantLoad(now Stamp, in Input) want {
	l := g.cfg.Limits
	equipment := l.MaxLoad
	if _, ok := g.held(load, Charter); !ok {
		equipment = min(equipment, l.OfflineLoad)
	}
	w := g.limit(load, int64(in.Grid.Draw), equipment)
	if !w.on {
		return w
	}
	above := min(int64(equipment), int64(in.Grid.Draw)) // what ranks above the charter
	if o, ok := g.held(load, GridOperator); ok {
		above = min(above, o.value)
	}
	control := g.slots[load].control
	least := max(int64(l.LeastLoad), control.Least)
	if control.Most > 0 && !control.Switch {
		w.value = min(w.value, control.Most)
	}
	if w.value < least {
		w.value, w.note = 0, orWhy(w.note, "below its least power")
		if control.Switch {
			w.note += fmt.Sprintf("; let go it draws up to %s", energy.Power(control.Least))
		}
	}
	switch paused, since := g.cycle.paused, energy.Span(now-g.cycle.since); {
	case w.value == 0 && !paused && since < l.MinRun && above >= max(least, 1):
		w.value, w.note = min(max(least, 1), above), "its least run time"
	case w.value > 0 && paused && since < l.MinPause:
		w.value, w.note = 0, "its least pause time"
	}
	if control.Switch && w.value > 0 {
		return want{} // to let it go is to release it: what it then draws, it may
	}
	return w
}

// cycle is since when a load may run or is paused, as far as we command it.
type cycle struct {
	paused bool
	since  Stamp
}

func (c *cycle) pause(now Stamp) {
	if !c.paused {
		c.paused, c.since = true, now
	}
}

func (c *cycle) run(now Stamp) {
	if c.paused {
		c.paused, c.since = false, now
	}
}
