// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// CalendarOf cuts days, months and years in a time zone. A day in spring has 23
// hours, one in autumn 25.
func CalendarOf(zone *time.Location) charter.Calendar {
	return func(p charter.Period, at energy.Instant) (from, until energy.Instant) {
		y, m, d := at.Time().In(zone).Date()
		years, months, days := 0, 0, 0
		switch p {
		case charter.PerYear:
			m, d, years = 1, 1, 1
		case charter.PerMonth:
			d, months = 1, 1
		case charter.PerDay:
			days = 1
		}
		cut := func(y int, m time.Month, d int) energy.Instant {
			return energy.InstantOf(time.Date(y, m, d, 0, 0, 0, 0, zone))
		}
		return cut(y, m, d), cut(y+years, m+time.Month(months), d+days)
	}
}
