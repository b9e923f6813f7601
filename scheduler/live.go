// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"maps"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler/allocation"
	"github.com/allmende-energy/allmende/scheduler/dispatch"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// Live is the present of a community: indicative, never booked.
type Live struct {
	Sequence     uint64
	At           energy.Instant
	Interval     energy.Interval
	SettledUntil energy.Instant // end of the newest settled interval that is stored, 0 if there is none
	Flow         Flow
	Members      []MemberLive  // by member
	Batteries    []BatteryLive // by asset
}

// Flow is the power balance, no value negative. It closes exactly:
// Production + Discharge + GridImport = Consumption + Charge + GridExport + what meters don't explain,
// and Consumption = OwnUse + Shared + FromStorage + the members' part of GridImport.
type Flow struct {
	Production, OwnUse, Consumption energy.Power
	Shared, FromStorage             energy.Power
	Charge, Discharge               energy.Power
	GridImport, GridExport          energy.Power
	Quality                         energy.Quality
	Missing                         int // assets without a fresh value
}

// MemberLive is one member's present.
type MemberLive struct {
	Member                                      roll.MemberID
	Production, Consumption, Import, Export     energy.Power
	Share                                       energy.Power  // from sun and storage
	ShareInterval, ShareToday, ConsumptionToday energy.Energy // interval: from ticks; today: settled, and the interval to date
	Quality                                     energy.Quality
}

// BatteryLive is one battery's present.
type BatteryLive struct {
	Asset     roll.AssetID
	Power     energy.Power // discharge positive
	SoC       int64        // permille, -1 unknown
	Setpoint  energy.Power
	Commanded bool // a setpoint was sent this tick
	Quality   energy.Quality
}

// stamp is the newest of a gateway's monotonic clock. That clock starts anew
// with its gateway, so a new stream's first one counts even if it is lower.
type stamp struct {
	session uint64
	ms      int64
}

// liveState is what the live loop keeps from tick to tick, buffers included.
type liveState struct {
	latest   map[roll.AssetID]meters.Reading
	stamp    map[roll.GatewayID]stamp
	lastTick energy.Instant
	interval energy.Interval
	span     energy.Span // of this tick, within the interval
	toDate   map[roll.MemberID]sums
	sequence uint64 // of Live
	setpoint int64  // sequence of setpoints within the epoch

	rules     charter.Sharing // the charter's rounds with their caps as powers
	island    charter.Sharing // and those for a pool that is cut off from the grid
	work      allocation.Workspace
	plans     map[roll.PoolID]*livePlan                              // rules version 2 only
	drawn     map[energy.Instant]map[settlement.UseKey]energy.Energy // by ticks, in intervals that are not settled
	charging  map[roll.PoolID]*charging
	fromGrid  map[roll.AssetID]energy.Instant // batteries that charged from the grid since what is settled: the last interval
	sharers   []allocation.Member
	indices   []int // of batteries under command, into book.batteries
	batteries []dispatch.Battery
	powers    []energy.Power
	loops     map[roll.PoolID]*poolLoop
}

// poolLoop is what steering a pool's batteries keeps from tick to tick.
type poolLoop struct {
	damper dispatch.Damper
	told   energy.Power // all batteries together, discharge positive
}

func newLiveState(cfg Config) liveState {
	l := liveState{
		latest: map[roll.AssetID]meters.Reading{}, stamp: map[roll.GatewayID]stamp{}, toDate: map[roll.MemberID]sums{},
		rules: cfg.Charter.InPower(), island: cfg.Charter.Islanded().InPower(), loops: map[roll.PoolID]*poolLoop{},
	}
	if cfg.Charter.RulesVersion > 1 {
		l.plans = map[roll.PoolID]*livePlan{}
	}
	return l
}

// resize makes the buffers fit a book, and forgets the readings of assets that
// it does not have.
func (l *liveState) resize(b *book) {
	l.sharers = make([]allocation.Member, len(b.members))
	l.replan()
	maps.DeleteFunc(l.latest, func(a roll.AssetID, _ meters.Reading) bool { return b.gateway[a] == "" })
}

func (e Readings) apply(s *State, _ *effects) {
	for _, r := range e.Readings {
		if s.book.gateway[r.Asset] != e.Gateway || r.At < s.live.latest[r.Asset].At {
			continue
		}
		s.live.latest[r.Asset] = r
	}
	last := s.live.stamp[e.Gateway]
	if e.Session > last.session || e.Session == last.session && e.StampMS > last.ms {
		s.live.stamp[e.Gateway] = stamp{e.Session, e.StampMS}
	}
}

// fresh is an asset's latest reading if it is young and usable.
func (s *State) fresh(a roll.AssetID) (meters.Reading, bool) {
	r, known := s.live.latest[a]
	if !known || s.now.Sub(r.At) > s.cfg.StaleAfter || r.Quality >= energy.Stale {
		return r, false
	}
	return r, true
}

// tick is one pass of the live loop: what each site and battery does now, the
// indicative shares, the batteries' next setpoints, and the picture for pages.
func (s *State) tick(e Tick, out *effects) {
	s.live.sequence++
	live := Live{
		Sequence: s.live.sequence, At: s.now,
		Interval:     energy.IntervalAt(s.now, s.cfg.Charter.Interval),
		SettledUntil: s.ledger.durable,
	}
	live.Members = make([]MemberLive, len(s.book.members))
	for i, m := range s.book.members {
		live.Members[i].Member = m
	}
	live.Batteries = s.batteriesNow(&live.Flow)
	s.live.turn(live.Interval, s.ledger.next.Start)
	s.live.span = min(s.now.Sub(s.live.lastTick), s.cfg.StaleAfter, s.now.Sub(live.Interval.Start))
	s.live.lastTick = s.now
	setpoints := map[roll.GatewayID][]Setpoint{}
	for _, id := range s.book.pools {
		pool := s.poolNow(id, &live)
		if s.cfg.Charter.Storage.Use == charter.StorageShared {
			pool.command(setpoints)
		}
	}
	s.accumulate(e, &live)
	for _, gateway := range slices.Sorted(maps.Keys(setpoints)) {
		out.add(Setpoints{gateway, setpoints[gateway]})
	}
	out.add(Publish{live})
}

// accumulate adds this tick's shares to the interval to date and fills in
// today's sums: settled intervals since the day began, then the ticks behind them.
func (s *State) accumulate(e Tick, live *Live) {
	l := &s.live
	for i := range live.Members {
		m := &live.Members[i]
		sum := l.toDate[m.Member]
		sum.share += m.Share.Over(l.span)
		sum.consumption += m.Consumption.Over(l.span)
		l.toDate[m.Member] = sum
		m.ShareInterval = sum.share
		m.ShareToday, m.ConsumptionToday = sum.share, sum.consumption
	}
	for iv := energy.IntervalAt(e.DayStart, l.interval.Length); iv.Start < s.ledger.next.Start; iv = iv.Next() {
		settled := s.ledger.byStart[iv.Start]
		if settled == nil || iv.Start < e.DayStart {
			continue
		}
		for i := range live.Members {
			sum := settled.members[live.Members[i].Member]
			live.Members[i].ShareToday += sum.share
			live.Members[i].ConsumptionToday += sum.consumption
		}
	}
}

func (s *State) batteriesNow(flow *Flow) []BatteryLive {
	now := make([]BatteryLive, len(s.book.batteries))
	for i, b := range s.book.batteries {
		r, ok := s.fresh(b.id)
		now[i] = BatteryLive{Asset: b.id, SoC: -1, Quality: energy.Stale}
		if !ok {
			flow.Missing++
			flow.Quality = flow.Quality.Worse(energy.Stale)
			continue
		}
		now[i].Power, now[i].SoC, now[i].Quality = r.Power, r.SoC, r.Quality
	}
	return now
}
