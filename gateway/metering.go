// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// counter follows one energy register and picks the samples that settlement
// needs: the first, those around each interval boundary, those around a reset,
// and the last. Everything between them is told by the register itself.
type counter struct {
	interval energy.Span
	last     meters.Sample
	known    bool // there is a last
	spooled  bool // and it was picked
	restart  bool // the device was replaced: the next sample begins anew
}

// take is handed every sample in the order of time and returns those to keep.
func (c *counter) take(s meters.Sample) []meters.Sample {
	if c.known && s.At <= c.last.At {
		return nil // world time does not move back; the same instant tells nothing new
	}
	last, first := c.last, !c.known
	s.Reset = c.known && (c.restart || s.Value < last.Value)
	keepLast := c.known && !c.spooled && (s.Reset || needsLast(last.At, s.At, c.interval))
	keep := first || s.Reset || boundaries(last.At, s.At, c.interval) > 0
	c.last, c.known, c.spooled, c.restart = s, true, keep, false
	switch {
	case keep && keepLast:
		return []meters.Sample{last, s}
	case keep:
		return []meters.Sample{s}
	default:
		return nil
	}
}

// rest is what is to be kept when reading ends: the last sample.
func (c *counter) rest() []meters.Sample {
	if !c.known || c.spooled {
		return nil
	}
	c.spooled = true
	return []meters.Sample{c.last}
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
