// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// settledIntervals is what the state machine remembers of the ledger: enough
// to go on from it and to notice when late data make an interval differ.
// Invariant: everything before next is settled, or is a hole, and nothing from
// next on is.
type settledIntervals struct {
	length    energy.Span
	next      energy.Interval
	startedAt energy.Instant
	refill    energy.Instant // no deadline falls before, see Started
	byStart   map[energy.Instant]*settledInterval
	dirty     map[energy.Instant]touched
	holes     map[energy.Instant]bool // intervals before next that could not be settled
	failed    map[energy.Instant]bool // intervals that could not be settled, or not again, when that was tried last
	inFlight  []*settledInterval      // leaves under way, in order; nil for a leaf that is no interval
	busy      bool                    // a Store is under way
	durable   energy.Instant          // end of the newest interval that is stored, 0 if there is none
}

// touched is why a settled interval is to be looked at again.
type touched struct {
	since energy.Instant // when that was noticed first
	roll  bool           // the register was corrected; else data came late
}

type settledInterval struct {
	interval energy.Interval
	index    int64 // of its leaf, -1 while under way
	revision int
	complete bool
	digest   [sha256.Size]byte // of its rows
	opening  map[roll.AssetID]ledger.Stock
	closing  map[roll.AssetID]ledger.Stock
	members  map[roll.MemberID]sums
	uses     settlement.Uses // of rounds with a cap over a period
}

// sums are what pages show of a member's settled interval.
type sums struct{ share, consumption energy.Energy }

func newSettledIntervals(cfg Config) settledIntervals {
	first := energy.IntervalAt(cfg.Effective, cfg.Charter.Interval)
	if first.Start < cfg.Effective {
		first = first.Next()
	}
	return settledIntervals{
		length: cfg.Charter.Interval, next: first,
		byStart: map[energy.Instant]*settledInterval{}, holes: map[energy.Instant]bool{}, failed: map[energy.Instant]bool{}, dirty: map[energy.Instant]touched{},
	}
}

// recheck is how much of the newest complete intervals is looked at again after
// a start: a sample may have become durable just before a crash and never have
// been settled. What comes out the same stays as it is.
const recheck = energy.Day

// touch notes that values between two instants may have changed. Samples that
// are read back at start were settled once already, unless the interval was
// incomplete then, or is so young that the crash may have come in between.
func (l *settledIntervals) touch(from, to, now energy.Instant, replayed bool) {
	for iv := energy.IntervalAt(from, l.length); iv.Start <= to && iv.Start < l.next.Start; iv = iv.Next() {
		s := l.byStart[iv.Start]
		if s == nil && !l.holes[iv.Start] || s != nil && (replayed && s.complete && s.interval.End() <= l.durable.Add(-recheck)) {
			continue
		}
		l.touched(iv.Start, now, false)
	}
}

// touched notes that an interval is to be looked at again.
func (l *settledIntervals) touched(start, now energy.Instant, roll bool) {
	d, known := l.dirty[start]
	if !known {
		d.since = now
	}
	d.roll = d.roll || roll
	l.dirty[start] = d
}

// forget drops what lies before the horizon, but not what a correction that is
// under way still goes on from. It returns the instant from which on nothing was
// dropped.
func (l *settledIntervals) forget(before energy.Instant) energy.Instant {
	for start := range l.dirty {
		before = min(before, start.Add(-l.length))
	}
	for start := range l.byStart {
		if start < before {
			delete(l.byStart, start)
		}
	}
	for _, behind := range []map[energy.Instant]bool{l.holes, l.failed} {
		for start := range behind {
			if start < before {
				delete(behind, start)
			}
		}
	}
	return before
}

// findHoles looks, at a start, for intervals that are missing between those of
// the ledger: they are tried again.
func (l *settledIntervals) findHoles(now energy.Instant) {
	if len(l.byStart) == 0 {
		return
	}
	first := l.next.Start
	for start := range l.byStart {
		first = min(first, start)
	}
	for iv := energy.IntervalAt(first, l.length); iv.Start < l.next.Start; iv = iv.Next() {
		if l.byStart[iv.Start] == nil {
			l.holes[iv.Start] = true
			l.touched(iv.Start, now, false)
		}
	}
}

// nextDirty are the oldest n touched intervals: storage accounts run on from
// one to the next. Those that still wait for data are the newest, because
// nothing is complete behind a register that ends; they hold up no others.
func (l *settledIntervals) nextDirty(n int) []energy.Instant {
	starts := slices.Sorted(maps.Keys(l.dirty))
	return starts[:min(n, len(starts))]
}

func newSettledInterval(set ledger.IntervalSettled, rows []ledger.Row, index int64) *settledInterval {
	s := &settledInterval{
		interval: set.Interval, index: index, revision: set.Revision, complete: set.Complete,
		digest: digest(rows), members: map[roll.MemberID]sums{},
		opening: map[roll.AssetID]ledger.Stock{}, closing: map[roll.AssetID]ledger.Stock{},
	}
	// Rows that don't decode were erased or damaged; verification says so, and
	// the present does not depend on them.
	in, err := settlement.FromRows(set, rows)
	if err != nil {
		return s
	}
	for _, b := range in.Storage {
		s.opening[b.Asset], s.closing[b.Asset] = b.Opening, b.Closing
	}
	s.uses = settlement.UsesOf(in.Members)
	for _, m := range in.Members {
		sum := s.members[m.Member]
		sum.share += m.Share + m.FromStorage
		sum.consumption += m.OwnUse + m.Demand
		s.members[m.Member] = sum
	}
	return s
}

// continues says whether every battery opens as it closed before, and whether
// every account of a period goes on from there.
func (s *settledInterval) continues(before *settledInterval) bool {
	for asset, stock := range s.opening {
		if closed, known := before.closing[asset]; known && closed != stock {
			return false
		}
	}
	for key, u := range s.uses {
		want := energy.Energy(0)
		if was, had := before.uses[key]; had && was.From == u.From {
			want = was.Before + was.Got
		}
		if u.Before != want {
			return false
		}
	}
	return true
}

func digest(rows []ledger.Row) [sha256.Size]byte {
	h := sha256.New()
	for _, r := range rows {
		h.Write([]byte(r.Kind))
		h.Write([]byte{0})
		h.Write([]byte(r.Key))
		h.Write([]byte{0})
		h.Write(r.Body)
		h.Write([]byte{0})
	}
	var d [sha256.Size]byte
	h.Sum(d[:0])
	return d
}

func (e Restored) apply(s *State, _ *effects) {
	iv := newSettledInterval(e.Settled, e.Rows, e.Index)
	s.ledger.byStart[iv.interval.Start] = iv
	s.readTerms(e.Settled, e.Rows)
	if before := s.ledger.byStart[iv.interval.Start.Add(-iv.interval.Length)]; before != nil && !iv.continues(before) {
		// A correction was stored up to here when we stopped: it goes on.
		s.ledger.touched(iv.interval.Start, iv.interval.Start, false)
	}
	s.ledger.durable = max(s.ledger.durable, e.Settled.Interval.End())
	if next := e.Settled.Interval.Next(); next.Start > s.ledger.next.Start {
		s.ledger.next = next
	}
}

func (e Committed) apply(s *State, _ *effects) {
	for i, iv := range s.ledger.inFlight {
		if iv != nil {
			iv.index = e.FirstIndex + int64(i)
			s.ledger.durable = max(s.ledger.durable, iv.interval.End())
		}
	}
	s.ledger.inFlight, s.ledger.busy = nil, false
}
