// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// closings are the accounts at the end of a settled leaf: the batteries' stocks,
// and what members received in rounds with a cap over a period.
type closings struct {
	leaf  int64
	start energy.Instant // of the leaf's interval
	whole bool           // no row is erased
	of    map[roll.AssetID]Stock
	uses  map[useKey]PeriodUse
	// Who has terms, for them; anyTerms is one of them.
	terms    map[roll.MemberID]*MemberRow
	anyTerms *MemberRow
}

type useKey struct {
	member roll.MemberID
	pool   roll.PoolID
	round  charter.PeriodRound
}

func closingsOf(leaf int64, start energy.Instant, sheet *Sheet, whole bool) closings {
	c := closings{leaf: leaf, start: start, whole: whole, of: make(map[roll.AssetID]Stock, len(sheet.Storage))}
	for _, s := range sheet.Storage {
		c.of[s.Asset] = s.Closing
	}
	for i := range sheet.Members {
		m := &sheet.Members[i]
		if len(m.Terms) > 0 {
			if c.terms == nil {
				c.terms = map[roll.MemberID]*MemberRow{}
			}
			c.terms[m.Member], c.anyTerms = m, m
		}
		for _, p := range m.Periods {
			if c.uses == nil {
				c.uses = map[useKey]PeriodUse{}
			}
			c.uses[useKey{m.Member, m.Pool, charter.PeriodRound{Round: p.Round, Per: p.Per}}] = p
		}
	}
	return c
}

// closings are those of the last leaf most often, and read again otherwise.
func (v *verification) closings(ctx context.Context, s *IntervalState) (closings, error) {
	if v.last.leaf == s.Leaf {
		return v.last, nil
	}
	sheet, err := v.sheet(ctx, s.Leaf)
	if err != nil {
		return closings{}, err
	}
	return closingsOf(s.Leaf, s.Interval.Start, sheet, s.Erased == 0), nil
}

// brokenUse is the first account of a member that does not go on from here. Of who
// has none here it is not known how it should, where rows are erased.
func (c *closings) brokenUse(members []MemberRow) (*MemberRow, PeriodUse, energy.Energy) {
	for i := range members {
		m := &members[i]
		for _, u := range m.Periods {
			least, _ := lasts(u.Per)
			was, had := c.uses[useKey{m.Member, m.Pool, charter.PeriodRound{Round: u.Round, Per: u.Per}}]
			want := energy.Energy(0)
			switch {
			case !had && !c.whole:
				continue
			case !had:
			case was.From == u.From:
				want = was.Before + was.Got
			case u.From <= c.start, u.From.Sub(was.From) < least: // no period begins anew in the middle of itself
				return m, u, was.Before + was.Got
			}
			if u.Before != want {
				return m, u, want
			}
		}
	}
	return nil, PeriodUse{}, 0
}

// brokenTerms is the first member whose terms are others than in this interval,
// though the weighting period is the same, or begins anew where none can: in the
// middle of itself. All members' terms are of one period, see checkTerms; so of
// who comes now it is known when hers began, too.
func (c *closings) brokenTerms(members []MemberRow, per charter.Period) *MemberRow {
	least, _ := lasts(per)
	for i := range members {
		m := &members[i]
		was := c.terms[m.Member]
		if was == nil {
			was = c.anyTerms
		}
		switch {
		case was == nil || len(m.Terms) == 0:
		case was.TermsFrom != m.TermsFrom:
			if m.TermsFrom <= c.start || m.TermsFrom.Sub(was.TermsFrom) < least {
				return m
			}
		case was.Member == m.Member && !slices.Equal(was.Terms, m.Terms):
			return m
		}
	}
	return nil
}

// checkTerms says whether each member has a result of each expression, all of one
// weighting period that has begun and not ended.
func checkTerms(i energy.Interval, sheet *Sheet, ch *charter.Charter) error {
	_, most := lasts(ch.WeightingPeriod)
	for k := range sheet.Members {
		m := &sheet.Members[k]
		if len(m.Terms) != len(ch.Expressions) || m.TermsFrom != sheet.Members[0].TermsFrom || m.TermsFrom > i.Start {
			return findingf("member %q in pool %q: what the expressions gave for her is missing, or of another weighting period", m.Member, m.Pool)
		}
		if len(m.Terms) > 0 && i.Start.Sub(m.TermsFrom) >= most {
			return findingf("member %q in pool %q: what the expressions gave for her is of a weighting period that has ended: it began at %v", m.Member, m.Pool, m.TermsFrom)
		}
		for _, e := range ch.Expressions {
			if !slices.ContainsFunc(m.Terms, func(t charter.MemberTerm) bool { return t.Expression == e.Name }) {
				return findingf("member %q in pool %q: what expression %q gave for her is missing", m.Member, m.Pool, e.Name)
			}
		}
	}
	return nil
}

// lasts is how long a period of the calendar lasts at least and at most, with some
// hours to spare for summer time: verification knows no time zone.
func lasts(p charter.Period) (least, most energy.Span) {
	switch p {
	case charter.PerYear:
		return 364 * energy.Day, 367 * energy.Day
	case charter.PerMonth:
		return 27 * energy.Day, 32 * energy.Day
	case charter.PerDay:
	}
	return 22 * energy.Hour, 26 * energy.Hour
}

// checkPeriods says whether each member has an account of each round with a cap
// over a period, in a period that has begun.
func checkPeriods(i energy.Interval, sheet *Sheet, rounds []charter.PeriodRound) error {
	began := map[charter.Period]energy.Instant{}
	for k := range sheet.Members {
		m := &sheet.Members[k]
		if len(m.Periods) != len(rounds) {
			return findingf("member %q in pool %q has %d accounts of rounds with a cap over a period, the charter has %d such rounds", m.Member, m.Pool, len(m.Periods), len(rounds))
		}
		for n, r := range rounds {
			u := &m.Periods[n]
			_, most := lasts(r.Per)
			if (charter.PeriodRound{Round: u.Round, Per: u.Per}) != r || u.From > i.Start || i.Start.Sub(u.From) >= most || u.Before < 0 || u.Got < 0 {
				return findingf("member %q in pool %q: her account of round %q is not one of this charter and interval", m.Member, m.Pool, u.Round)
			}
			if from, known := began[u.Per]; known && from != u.From {
				return findingf("the %s began at %v for one member and at %v for member %q", u.Per, from, u.From, m.Member)
			}
			began[u.Per] = u.From
		}
	}
	return nil
}

// sheet reads the rows of a leaf that was checked before.
func (v *verification) sheet(ctx context.Context, leaf int64) (*Sheet, error) {
	stored, err := v.log.Rows(ctx, leaf)
	if err != nil {
		return nil, fmt.Errorf("annex of leaf %d: %w", leaf, err)
	}
	rows := make([]Row, len(stored))
	for i := range stored {
		rows[i] = stored[i].Row
	}
	sheet, err := ReadRows(rows)
	if err != nil {
		return nil, finding{err}
	}
	return sheet, nil
}
