// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler"
)

// unsettled are the intervals that could not be booked, for as long as that is so.
// Only the owner of the state machine speaks to it.
type unsettled struct {
	problems *problems
	log      *slog.Logger
	why      map[energy.Instant]string
}

// maxUnsettled bounds the intervals that are remembered one by one; where more fail,
// something is wrong with all of them.
const maxUnsettled = 10_000

func (u *unsettled) failed(f scheduler.Failed) {
	u.log.Error("an interval could not be settled and is left out; it is tried again when data for it come, and at each start", "interval", f.Interval, "error", f.Err)
	if _, known := u.why[f.Interval.Start]; known || len(u.why) < maxUnsettled {
		u.why[f.Interval.Start] = fmt.Sprintf("%v could not be settled: %v", f.Interval, f.Err)
	}
	u.tell()
}

func (u *unsettled) mended(m scheduler.Mended) {
	u.log.Info("an interval that could not be settled is settled after all", "interval", m.Interval)
	delete(u.why, m.Interval.Start)
	u.tell()
}

// tell shows the newest, and how many there are.
func (u *unsettled) tell() {
	if len(u.why) == 0 {
		u.problems.clear(problemBooks)
		return
	}
	what := u.why[slices.Max(slices.Collect(maps.Keys(u.why)))]
	if n := len(u.why) - 1; n > 0 {
		what += fmt.Sprintf(" (and %d before it)", n)
	}
	u.problems.warn(problemBooks, what)
}
