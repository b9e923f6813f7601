// SPDX-License-Identifier: AGPL-3.0-or-later

package worldtime

import (
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// A computer's clock that is set back, as at the first NTP answer after a start
// without a battery-backed clock, must stop neither polls nor ticks.
func TestRealClockGoesOnWhenSetBack(t *testing.T) {
	set, ran := energy.Instant(1_780_000_000_000), time.Duration(0)
	wall := func() energy.Instant { return set.Add(energy.SpanOf(ran)) }
	clock := newReal(wall, func() time.Duration { return ran })
	last := clock.Now()
	pass := func(d time.Duration) (world energy.Span) {
		const step = 700 * time.Microsecond // more often than the world's milliseconds
		before := last
		for left := d; left > 0; left -= step {
			ran += min(step, left)
			now := clock.Now()
			if now < last {
				t.Fatalf("moved back from %v to %v", last, now)
			}
			last = now
		}
		return last.Sub(before)
	}
	set = set.Add(-energy.Hour)
	if moved := pass(10 * time.Second); moved != 8*energy.Second {
		t.Fatalf("set back by an hour, the world moves %v in 10 s, want 8 s", moved)
	}
	// The wall comes again, five hours later, and is followed from then on.
	ran += 5 * time.Hour
	if now := clock.Now(); now < last || now != wall() {
		t.Fatalf("the world stands at %v, the wall at %v", now, wall())
	}
	set = set.Add(energy.Day)
	if now := clock.Now(); now != wall() {
		t.Fatalf("set forward by a day, the world stands at %v, the wall at %v", now, wall())
	}
}
