// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"slices"

	"github.com/allmende-energy/allmende/energy"
)

// Calendar cuts time into periods where a community lives: the first instant of
// the period that an instant lies in, and the first one after it. It is a
// function of its arguments alone; whoever knows time zones makes one
// (charters.CalendarOf), so that what decides by it needs none.
type Calendar func(p Period, at energy.Instant) (from, until energy.Instant)

// PeriodRound names a round whose cap counts over a period.
type PeriodRound struct {
	Round string
	Per   Period
}

// PeriodRounds are the rounds with a cap over a period, of the sharing rule and of
// that for an island: what a member received is counted on while the other rule holds.
func (c *Charter) PeriodRounds() []PeriodRound {
	var out []PeriodRound
	for _, s := range []*Sharing{&c.Sharing, c.Island} {
		if s == nil {
			continue
		}
		for i := range s.Rounds {
			r := &s.Rounds[i]
			if r.CapPeriod == nil {
				continue
			}
			if p := (PeriodRound{r.Name, r.CapPeriod.Per}); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}
