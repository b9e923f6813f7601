// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// counter follows one energy register and picks the samples that settlement
// needs: the first, those around each interval boundary, those around a reset,
// and the last. Everything between them is told by the register itself.
//
// A count that runs backwards began anew or was misread, now or the time before.
// The samples beside it tell: where they fit each other, it was misread, and is
// passed over.
type counter struct {
	interval energy.Span
	before   pick // the sample before last
	last     pick
	doubt    *meters.Sample // it ran backwards behind last; the next one tells
	restart  bool           // the device was replaced: the next sample begins anew
	reached  energy.Energy  // the count before the latest reset, 0 if there was none
}

// pick is a sample that was believed.
type pick struct {
	meters.Sample
	known   bool
	spooled bool
}

// take is handed every sample in the order of time and returns those to keep.
func (c *counter) take(s meters.Sample) []meters.Sample {
	if c.last.known && s.At <= c.last.At || c.doubt != nil && s.At <= c.doubt.At {
		return nil // world time does not move back; the same instant tells nothing new
	}
	doubt := c.doubt
	c.doubt = nil
	switch {
	case !c.last.known || c.restart:
		return c.accept(s, c.last.known)
	case doubt == nil:
		return c.judge(s)
	case s.Value < c.last.Value: // lower again: it did begin anew
		return append(c.accept(*doubt, true), c.judge(s)...)
	case s.At.Sub(doubt.At) > c.interval: // nobody knows what it did meanwhile
		return append(c.accept(*doubt, true), c.accept(s, true)...)
	default:
		return c.judge(s)
	}
}

// judge takes a sample in that follows on last.
func (c *counter) judge(s meters.Sample) []meters.Sample {
	switch {
	case s.Value >= c.last.Value:
		// Back in one step at what it had reached before it "began anew": it
		// showed nothing for a while. That rise is no energy.
		back := c.reached > 0 && c.last.Value < c.reached && s.Value >= c.reached
		return c.accept(s, back)
	case c.before.known && !c.last.Reset && s.Value >= c.before.Value:
		// The last one was misread. Where it was kept already, this one shows it.
		misread := c.last
		c.last = c.before
		kept := c.accept(s, false)
		if misread.spooled && !c.last.spooled {
			c.last.spooled = true
			kept = append(kept, s)
		}
		return kept
	default:
		c.doubt = &s
		return nil
	}
}

// accept believes a sample and returns what is to be kept by it.
func (c *counter) accept(s meters.Sample, reset bool) []meters.Sample {
	last := c.last
	s.Reset = reset
	keepLast := last.known && !last.spooled && (reset || needsLast(last.At, s.At, c.interval))
	keep := !last.known || reset || boundaries(last.At, s.At, c.interval) > 0
	if reset {
		c.reached = 0
		if s.Value < last.Value {
			c.reached = last.Value
		}
	}
	last.spooled = last.spooled || keepLast
	c.before, c.last, c.restart = last, pick{s, true, keep}, false
	var kept []meters.Sample
	if keepLast {
		kept = append(kept, last.Sample)
	}
	if keep {
		kept = append(kept, s)
	}
	return kept
}

// rest is what is to be kept when reading ends: the last sample. One in doubt
// stays out: the next start's first sample tells as much, and surely.
func (c *counter) rest() []meters.Sample {
	if !c.last.known || c.last.spooled {
		return nil
	}
	c.last.spooled = true
	return []meters.Sample{c.last.Sample}
}

// needsLast says that some boundary after last and up to now is not hit by a
// sample exactly: its value then lies between the two.
func needsLast(last, now energy.Instant, interval energy.Span) bool {
	n := boundaries(last, now, interval)
	return n > 1 || n == 1 && energy.IntervalAt(now, interval).Start != now
}

// boundaries counts the interval boundaries in (last, now].
func boundaries(last, now energy.Instant, interval energy.Span) int64 {
	return int64(energy.IntervalAt(now, interval).Start.Sub(energy.IntervalAt(last, interval).Start) / interval)
}
