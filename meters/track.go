// SPDX-License-Identifier: AGPL-3.0-or-later

package meters

import (
	"cmp"
	"slices"

	"github.com/allmende-energy/allmende/energy"
)

// Limits say what a register may plausibly do.
type Limits struct {
	// MaxGap is the longest span between the two samples around an instant over
	// which a straight line is still a measurement. Beyond it the value is
	// estimated.
	MaxGap energy.Span
	// MaxPower is the most that can flow through the register. A faster rise
	// is a jump, and no energy.
	MaxPower energy.Power
}

// slack is what a register may rise beyond MaxPower · time: coarse registers
// step by tens of watt-hours at once.
const slack = 100 * energy.WattHour

// State says how much of an interval a register's samples cover.
type State uint8

// States.
const (
	Missing  State = iota // no sample in or after the interval's start
	Partial               // samples end inside the interval: more may come
	Complete              // there is a sample at or after the interval's end
)

// Value is a register's difference over an interval.
type Value struct {
	Energy  energy.Energy
	Quality energy.Quality
	State   State
	Reason  string // why the quality is not good
}

// Track holds the samples of one register in time order and answers for
// intervals. It is a value of the core: it reads no clock and drops nothing by
// itself. Invariant: samples are sorted by At, no two of the same instant.
type Track struct {
	samples []Sample
}

// Add takes a sample in, at its place in time. It returns the span of time
// whose values may have changed, and false if the track knew the sample. A
// second sample of the same instant replaces the first only if it is of better
// quality: replay and duplicates change nothing.
func (t *Track) Add(s Sample) (from, to energy.Instant, changed bool) {
	i, found := slices.BinarySearchFunc(t.samples, s.At, func(x Sample, at energy.Instant) int { return cmp.Compare(x.At, at) })
	switch {
	case !found:
		t.samples = slices.Insert(t.samples, i, s)
	case s.Quality < t.samples[i].Quality:
		t.samples[i] = s
	default:
		return 0, 0, false
	}
	// A glitch can be recognised only by its neighbours' neighbours.
	from, to = t.samples[max(i-2, 0)].At, t.samples[min(i+2, len(t.samples)-1)].At
	return from, to, true
}

// Len is the number of samples held.
func (t *Track) Len() int { return len(t.samples) }

// Prune drops samples before at, but keeps the three newest of them, from which
// the value at the cut is interpolated and glitches are told.
func (t *Track) Prune(at energy.Instant) {
	i := t.firstAtOrAfter(at)
	if i > 3 {
		t.samples = slices.Delete(t.samples, 0, i-3)
	}
}

// Last is the newest sample.
func (t *Track) Last() (Sample, bool) {
	if len(t.samples) == 0 {
		return Sample{}, false
	}
	return t.samples[len(t.samples)-1], true
}

// SoCAt is the state of charge in permille that came with the sample nearest
// to at, if one lies within the gap, else -1.
func (t *Track) SoCAt(at energy.Instant, gap energy.Span) int64 {
	i := t.firstAtOrAfter(at)
	best, soc := gap+1, int64(-1)
	for _, j := range [2]int{i - 1, i} {
		if j < 0 || j >= len(t.samples) || t.samples[j].SoC < 0 {
			continue
		}
		d := t.samples[j].At.Sub(at)
		if d < 0 {
			d = -d
		}
		if d < best {
			best, soc = d, t.samples[j].SoC
		}
	}
	return soc
}

func (t *Track) firstAtOrAfter(at energy.Instant) int {
	i, _ := slices.BinarySearchFunc(t.samples, at, func(x Sample, at energy.Instant) int { return cmp.Compare(x.At, at) })
	return i
}

// Difference is what flowed through the register during iv: the difference of
// its values at both ends, each interpolated on a straight line between the two
// nearest samples, rounded down. A value at a boundary serves both intervals
// beside it, so that differences add up to the register's, whatever the rounding.
//
// Across a reset, a register that runs backwards or one that jumps, nothing is
// counted: the energy in between is unknown, and the quality says so. A single
// sample that is off the line of its neighbours is passed over.
func (t *Track) Difference(iv energy.Interval, lim Limits) Value {
	n := len(t.samples)
	first := max(t.firstAtOrAfter(iv.Start+1)-1, 0)
	if n == 0 || t.samples[n-1].At <= iv.Start {
		return Value{Quality: energy.Stale, State: Missing, Reason: "no reading in this interval"}
	}
	v := Value{State: Complete}
	if t.samples[first].At > iv.Start {
		v.worsen(energy.Estimated, "readings begin inside the interval")
	}
	// Two samples earlier, so that a glitch at the very start is seen as one.
	for i := max(first-2, 0); i < n-1 && t.samples[i].At < iv.End(); {
		next, skipped := t.follow(i, lim)
		t.count(&v, t.samples[i], t.samples[next], iv, lim)
		if skipped && t.samples[next].At > iv.Start {
			v.worsen(energy.Estimated, "a reading off the line of its neighbours was passed over")
		}
		i = next
	}
	if t.samples[n-1].At < iv.End() {
		v.State = Partial
		v.worsen(energy.Estimated, "readings end inside the interval")
	}
	return v
}

// follow is the sample that continues the line from i: the next one, or the
// one after it where the next is a glitch between two that fit. Too high a count
// is one even where it could be true: the next one shows that it was not.
func (t *Track) follow(i int, lim Limits) (next int, skipped bool) {
	next = i + 1
	if next+1 >= len(t.samples) || t.samples[next].Reset || t.samples[next+1].Reset {
		return next, false
	}
	a, b, c := t.samples[i], t.samples[next], t.samples[next+1]
	if (fault(a, b, lim) != "" || c.Value < b.Value) && fault(a, c, lim) == "" {
		return next + 1, true
	}
	return next, false
}

// count adds the part of the segment a–b that lies in iv.
func (t *Track) count(v *Value, a, b Sample, iv energy.Interval, lim Limits) {
	from, to := max(a.At, iv.Start), min(b.At, iv.End())
	if from >= to {
		return
	}
	if reason := fault(a, b, lim); reason != "" {
		v.worsen(energy.Estimated, reason)
		return
	}
	v.Energy += line(a, b, to) - line(a, b, from)
	if (from > a.At || to < b.At) && b.At.Sub(a.At) > lim.MaxGap {
		v.worsen(energy.Estimated, "a boundary was interpolated over a gap")
	}
	if q := a.Quality.Worse(b.Quality); q != energy.Good {
		v.worsen(q, "a register reading was "+q.String())
	}
}

// line is the value at an instant between two samples, rounded down.
func line(a, b Sample, at energy.Instant) energy.Energy {
	if at == b.At {
		return b.Value
	}
	return a.Value + energy.Energy(energy.MulDiv(int64(b.Value-a.Value), int64(at-a.At), int64(b.At-a.At)))
}

// fault says why no difference may be taken from a to b, or "".
func fault(a, b Sample, lim Limits) string {
	switch {
	case b.Reset:
		return "the counter started anew"
	case b.Value < a.Value:
		return "the register ran backwards"
	case lim.MaxPower > 0 && b.Value-a.Value > lim.MaxPower.Over(b.At.Sub(a.At))+slack:
		return "the register jumped"
	}
	return ""
}

func (v *Value) worsen(q energy.Quality, reason string) {
	if q > v.Quality {
		v.Quality, v.Reason = q, reason
	}
}
