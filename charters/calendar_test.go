// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// TestCalendar: days are cut where people live, also when the clocks change.
func TestCalendar(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	cal := CalendarOf(vienna)
	for _, try := range []struct {
		per             charter.Period
		at, from, until string
	}{
		{charter.PerDay, "2026-03-28T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{charter.PerDay, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{charter.PerMonth, "2026-02-28T23:30:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		{charter.PerMonth, "2026-12-31T22:59:59Z", "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z"},
		{charter.PerYear, "2026-07-01T00:00:00Z", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"},
	} {
		at := func(s string) energy.Instant {
			parsed, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			return energy.InstantOf(parsed)
		}
		if from, until := cal(try.per, at(try.at)); from != at(try.from) || until != at(try.until) {
			t.Errorf("the %s of %s goes from %v to %v, want %s to %s", try.per, try.at, from, until, try.from, try.until)
		}
	}
}
