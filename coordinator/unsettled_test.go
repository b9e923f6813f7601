// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler"
)

// What could not be settled is a problem until it is settled, and no longer.
func TestUnsettledUntilMended(t *testing.T) {
	p := newProblems(slog.New(slog.DiscardHandler))
	u := &unsettled{problems: p, log: p.log, why: map[energy.Instant]string{}}
	at := func(n int64) energy.Interval {
		return energy.IntervalAt(dawn.Add(quarter*energy.Span(n)), quarter)
	}
	says := func(want ...string) {
		t.Helper()
		list := p.list()
		if len(want) == 0 && len(list) == 0 {
			return
		}
		for _, w := range want {
			if len(list) != 1 || !strings.Contains(list[0], w) {
				t.Errorf("%q, want %q", list, w)
			}
		}
		if len(want) == 0 {
			t.Errorf("%q, want nothing", list)
		}
	}
	u.failed(scheduler.Failed{Interval: at(1), Err: errors.New("a battery is too full")})
	says("settlement: ", "a battery is too full")
	u.failed(scheduler.Failed{Interval: at(1), Err: errors.New("it still is")})
	u.failed(scheduler.Failed{Interval: at(0), Err: errors.New("another reason")})
	says("it still is (and 1 before it)")
	u.mended(scheduler.Mended{Interval: at(1)})
	says("another reason")
	u.mended(scheduler.Mended{Interval: at(5)}) // nothing was wrong with it
	says("another reason")
	u.mended(scheduler.Mended{Interval: at(0)})
	says()
}
