// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/energy"
)

// record is what was settled until an instant, of seven members.
type record struct {
	until energy.Instant
	zone  *time.Location
	rolls []roll.Dated
}

func (r record) SettledAt(context.Context, energy.Instant) (Account, error) {
	return Account{Settled: Settled{IntervalSettled: ledger.IntervalSettled{Interval: energy.IntervalAt(r.until.Add(-1), energy.QuarterHour)}}}, nil
}
func (r record) Rolls(energy.Instant) []roll.Dated { return r.rolls }
func (r record) Zone() *time.Location              { return r.zone }

// Where few come first, who sees no curves tries a charter over whole weeks, whatever
// she asks for: two questions never differ by a quarter-hour.
func TestFewAreTriedOverWholeWeeks(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute int) energy.Instant { // of March 2026; on Sunday 29 the clocks go forward
		return energy.Instant(time.Date(2026, time.March, day, hour, minute, 0, 0, vienna).UnixMilli())
	}
	var seven roll.Community
	for _, id := range []roll.MemberID{"a", "b", "c", "d", "e", "f", "g"} {
		m := roll.Member{ID: id}
		if id == "a" {
			m.Groups = []roll.Group{"first"}
		}
		seven.Members, seven.Sites = append(seven.Members, m), append(seven.Sites, roll.Site{ID: roll.SiteID(id), Member: id})
	}
	everybody := charter.Round{Name: "all", Method: charter.Equal}
	few := charter.Charter{Sharing: charter.Sharing{Rounds: []charter.Round{{Name: "first", Method: charter.Equal, Groups: []roll.Group{"first"}}, everybody}}}
	s := &Sharing{least: 5}
	for name, c := range map[string]struct {
		from, until, settled energy.Instant
		wantFrom, wantUntil  energy.Instant
		rounds               int // of few, from its end
		refused              bool
	}{
		"everything":                {0, ever, at(25, 10, 15), at(9, 0, 0), at(23, 0, 0), 2, false},
		"a quarter-hour more":       {0, ever, at(25, 10, 30), at(9, 0, 0), at(23, 0, 0), 2, false},
		"from a Tuesday to another": {at(10, 9, 15), at(31, 9, 15), at(31, 20, 0), at(16, 0, 0), at(30, 0, 0), 2, false},
		"just so":                   {at(16, 0, 0), at(30, 0, 0), at(31, 20, 0), at(16, 0, 0), at(30, 0, 0), 2, false},
		"less than a week":          {at(17, 0, 0), at(29, 0, 0), at(31, 20, 0), 0, 0, 2, true},
		"nobody comes first":        {0, ever, at(25, 10, 15), 0, ever, 1, false},
	} {
		s.books = record{c.settled, vienna, []roll.Dated{{From: max(at(4, 7, 30), c.from), Community: seven}}}
		ch := few
		ch.Sharing.Rounds = few.Sharing.Rounds[len(few.Sharing.Rounds)-c.rounds:]
		q := trial.Question{Proposed: ch, From: c.from, Until: c.until}
		err := s.wholeWeeks(t.Context(), &q, s.books.Rolls(0))
		if c.refused {
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || q.From != c.wantFrom || q.Until != c.wantUntil {
			t.Errorf("%s: from %v until %v, %v", name, q.From, q.Until, err)
		}
	}
}
