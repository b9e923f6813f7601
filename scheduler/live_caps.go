// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// What caps over a day, month or year leave for the present is an estimate: what the
// newest settled interval says of the period so far, and for the intervals since,
// what ticks came to. It is worked out as the interval begins, and is a power
// then, the one that uses it up exactly over the interval, as a cap over an interval
// is: where powers stay as they are, ticks come to what the interval will. After a
// restart nothing is known of ticks before, so that more may seem to be left than
// is; settlement, which counts registers, is not concerned.

// maxDrawn bounds the unsettled intervals of which it is remembered what ticks came
// to; of older ones nothing is.
const maxDrawn = 192

// periodCaps is the part of a plan that counts for caps over a period.
type periodCaps struct {
	left   [][]int64         // of each round with such a cap: what each taker may get, as a power; nil elsewhere
	got    [][]energy.Energy // in this interval, by ticks; as left
	of     energy.Interval
	behind *settledInterval // what left goes on from
	next   energy.Instant
}

// settledLast is the interval that ended when the next one to be settled begins; nil
// where it could not be settled.
func (s *State) settledLast() *settledInterval {
	return s.ledger.byStart[s.ledger.next.Start.Add(-s.ledger.length)]
}

// newPeriodCaps is nil for rules without caps over a period.
func newPeriodCaps(rounds []charter.Round, takers int) *periodCaps {
	if !slices.ContainsFunc(rounds, func(r charter.Round) bool { return r.CapPeriod != nil }) {
		return nil
	}
	c := &periodCaps{left: make([][]int64, len(rounds)), got: make([][]energy.Energy, len(rounds))}
	for i := range rounds {
		if rounds[i].CapPeriod != nil {
			c.left[i], c.got[i] = make([]int64, takers), make([]energy.Energy, takers)
		}
	}
	return c
}

// estimate works out what is left, once an interval and whenever one was settled.
func (s *State) estimate(l *livePlan, pool roll.PoolID) {
	c, now, last := l.caps, s.live.interval, s.settledLast()
	if c.of == now && c.behind == last && c.next == s.ledger.next.Start {
		return
	}
	c.of, c.behind, c.next = now, last, s.ledger.next.Start
	for i := range l.sharing.Rounds {
		r := &l.sharing.Rounds[i]
		if r.CapPeriod == nil {
			continue
		}
		from, _ := s.cfg.Calendar(r.CapPeriod.Per, now.Start)
		for k := range l.takers {
			key := settlement.UseKey{Member: l.takers[k].ID, Pool: pool, Round: r.Name, Per: r.CapPeriod.Per}
			left := r.CapPeriod.Energy
			if last != nil {
				if u, ok := last.uses[key]; ok && u.From == from {
					left -= u.Before + u.Got
				}
			}
			for start, got := range s.live.drawn {
				if start >= from && start >= c.next && start < now.Start {
					left -= got[key]
				}
			}
			c.left[i][k] = int64(max(0, left).MeanPower(now.Length))
			if r.Cap != nil {
				c.left[i][k] = min(c.left[i][k], int64(*r.Cap))
			}
		}
	}
}

// count adds what a tick gave in rounds with a cap over a period.
func (c *periodCaps) count(gave [][]int64, span energy.Span) {
	for i, got := range c.got {
		for k := range got {
			got[k] += energy.Power(gave[i][k]).Over(span)
		}
	}
}

// turn begins another interval: what ticks came to in the one before is kept until
// it is settled.
func (l *liveState) turn(to energy.Interval, settled energy.Instant) {
	if to == l.interval {
		return
	}
	l.keepDrawn()
	l.interval = to
	clear(l.toDate)
	for start := range l.drawn {
		if start < settled || start < to.Start.Add(-maxDrawn*to.Length) {
			delete(l.drawn, start)
		}
	}
	for b, start := range l.fromGrid {
		if start < settled || start < to.Start.Add(-maxDrawn*to.Length) {
			delete(l.fromGrid, b)
		}
	}
}

// replan forgets the plans, and keeps what they counted.
func (l *liveState) replan() {
	l.keepDrawn()
	clear(l.plans)
}

func (l *liveState) keepDrawn() {
	for pool, p := range l.plans {
		if p == nil || p.caps == nil {
			continue
		}
		for i, got := range p.caps.got {
			for k, e := range got {
				if e == 0 {
					continue
				}
				if l.drawn == nil {
					l.drawn = map[energy.Instant]map[settlement.UseKey]energy.Energy{}
				}
				if l.drawn[l.interval.Start] == nil {
					l.drawn[l.interval.Start] = map[settlement.UseKey]energy.Energy{}
				}
				r := &p.sharing.Rounds[i]
				l.drawn[l.interval.Start][settlement.UseKey{Member: p.takers[k].ID, Pool: pool, Round: r.Name, Per: r.CapPeriod.Per}] += e
			}
			clear(got)
		}
	}
}

// charging is what a pool's batteries took in the interval to date, and what there
// was for them that was not the grid's.
type charging struct {
	of             energy.Interval
	charged, spare energy.Energy
	batteries      map[roll.AssetID]bool // that charged
}

// chargedNow adds a tick to it, where energy from the grid forfeits a battery: netted
// over the interval, as settlement does it, because meters are read one after the other.
func (p *poolPower) chargedNow(spare energy.Power) {
	s := p.state
	if s.cfg.Charter.Storage.GridCharging != charter.GridForfeits {
		return
	}
	c := s.live.charging[p.pool]
	if c == nil {
		c = &charging{batteries: map[roll.AssetID]bool{}}
		if s.live.charging == nil {
			s.live.charging, s.live.fromGrid = map[roll.PoolID]*charging{}, map[roll.AssetID]energy.Instant{}
		}
		s.live.charging[p.pool] = c
	}
	if c.of != s.live.interval {
		if c.charged > c.spare && c.of.Start >= s.ledger.next.Start {
			for b := range c.batteries {
				s.live.fromGrid[b] = c.of.Start
			}
		}
		clear(c.batteries)
		*c = charging{of: s.live.interval, batteries: c.batteries}
	}
	c.charged += p.charge.Over(s.live.span)
	c.spare += spare.Over(s.live.span)
	for i, b := range s.book.batteries {
		if b.pool == p.pool && p.live.Batteries[i].Power < 0 {
			c.batteries[b.id] = true
		}
	}
}

// given is what storage gives to the pool now: all that it discharges, but for
// batteries that hold energy from the grid, where the charter says that this
// forfeits it. What a battery holds the newest settled interval says, and since then
// whether it charged more than the members left of the sun.
func (p *poolPower) given() energy.Power {
	s := p.state
	if s.cfg.Charter.Storage.GridCharging != charter.GridForfeits {
		return p.discharge
	}
	var sum energy.Power
	for i, b := range s.book.batteries {
		if b.pool == p.pool && p.live.Batteries[i].Power > 0 && !p.forfeits(b, p.live.Batteries[i].SoC) {
			sum += p.live.Batteries[i].Power
		}
	}
	return sum
}

func (p *poolPower) forfeits(b batteryEntry, soc int64) bool {
	s := p.state
	if start, ok := s.live.fromGrid[b.id]; ok && start >= s.ledger.next.Start {
		return true
	}
	if c := s.live.charging[p.pool]; c != nil && c.charged > c.spare && c.batteries[b.id] {
		return true
	}
	if last := s.settledLast(); last != nil {
		if stock, known := last.closing[b.id]; known {
			return stock.Grid != 0
		}
	}
	return settlement.Opening(b.Capacity, soc, b.ReserveSoC).Grid != 0 // its account begins with what is in it
}
