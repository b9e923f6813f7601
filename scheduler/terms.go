// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"maps"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// NeedTerms asks for what the charter's expressions give in a weighting period,
// with what is known of the members at an instant: when the period begins, and
// for who comes later, when she comes. Everything before At is settled by then. At most
// one is under way: it is answered by [TermsEvaluated].
type NeedTerms struct {
	From, Until energy.Instant // the period
	At          energy.Instant
}

func (NeedTerms) effect() {}

// TermsEvaluated answers [NeedTerms]. Of members who have terms in that period
// already, it changes nothing: they hold until it ends.
type TermsEvaluated struct{ Terms charter.Terms }

// weighting is what the expressions gave, by the first instant of the weighting
// period. What was used stands in the rows of the ledger and is read back from them.
type weighting struct {
	periods map[energy.Instant]*weights
	asked   bool      // a NeedTerms is under way
	late    NeedTerms // for an interval that is settled again; zero: none
}

type weights struct {
	until energy.Instant
	of    map[roll.MemberID][]charter.MemberTerm
}

func (w *weighting) in(from, until energy.Instant) *weights {
	p := w.periods[from]
	if p == nil {
		p = &weights{until, map[roll.MemberID][]charter.MemberTerm{}}
		if w.periods == nil {
			w.periods = map[energy.Instant]*weights{}
		}
		w.periods[from] = p
	}
	return p
}

// forget drops periods that ended before the horizon.
func (w *weighting) forget(before energy.Instant) {
	for from, p := range w.periods {
		if p.until < before {
			delete(w.periods, from)
		}
	}
}

// weighs says whether the charter has expressions.
func (s *State) weighs() bool { return len(s.cfg.Charter.Expressions) > 0 }

// period is the weighting period of an instant.
func (s *State) period(at energy.Instant) (from, until energy.Instant) {
	return s.cfg.Calendar(s.cfg.Charter.WeightingPeriod, at)
}

func (e TermsEvaluated) apply(s *State, _ *effects) {
	s.weighting.asked = false
	if !s.weighs() || e.Terms.CharterHash != s.cfg.CharterHash {
		return
	}
	p, fresh := s.weighting.in(e.Terms.From, e.Terms.Until), map[roll.MemberID][]charter.MemberTerm{}
	for _, t := range e.Terms.Terms { // sorted by expression, so hers are too
		if p.of[t.Member] == nil {
			fresh[t.Member] = append(fresh[t.Member], charter.MemberTerm{Expression: t.Expression, Value: t.Value})
		}
	}
	maps.Copy(p.of, fresh)
	s.live.replan()
}

// readTerms takes up the terms that an interval of the ledger was settled by.
func (s *State) readTerms(settled ledger.IntervalSettled, rows []ledger.Row) {
	if !s.weighs() || settled.CharterHash != s.cfg.CharterHash {
		return
	}
	in, err := settlement.FromRows(settled, rows)
	if err != nil {
		return // see newSettledInterval
	}
	from, until := s.period(settled.Interval.Start)
	p := s.weighting.in(from, until)
	for _, m := range in.Members {
		if m.TermsFrom == from && len(m.Terms) > 0 && p.of[m.Member] == nil {
			p.of[m.Member] = m.Terms
		}
	}
}

// addTerms fills in what the expressions gave for each member; it is false where
// something is not known yet.
func (s *State) addTerms(iv energy.Interval, members []ledger.MemberRow) bool {
	if !s.weighs() {
		return true
	}
	from, until := s.period(iv.Start)
	p := s.weighting.in(from, until)
	for i := range members {
		m := &members[i]
		m.Terms, m.TermsFrom = p.of[m.Member], from
		if len(m.Terms) != len(s.cfg.Charter.Expressions) {
			return false
		}
	}
	return true
}

// askTerms asks for what the next interval will need, so that live shares have it
// too, and else for what an interval to be settled again waits for.
func (s *State) askTerms(out *effects) {
	if !s.weighs() || s.weighting.asked {
		return
	}
	at := s.ledger.next.Start
	from, until := s.period(at)
	need := NeedTerms{from, until, at}
	p, book := s.weighting.in(from, until), s.books.at(at)
	if !slices.ContainsFunc(book.sites, func(site siteEntry) bool { return p.of[site.member] == nil }) {
		need, s.weighting.late = s.weighting.late, NeedTerms{}
	}
	if need != (NeedTerms{}) {
		s.weighting.asked = true
		out.add(need)
	}
}

// lateTerms notes that an interval which is to be settled again lacks terms, for
// example of who turned out to have been there.
func (s *State) lateTerms(iv energy.Interval) {
	from, until := s.period(iv.Start)
	s.weighting.late = NeedTerms{from, until, iv.Start}
}

// liveTerms are those of the present, or of the newest period that has any: until
// everything before a period is settled, its own are not known.
func (s *State) liveTerms() *charter.Terms {
	var newest *weights
	var since energy.Instant
	for from, p := range s.weighting.periods {
		if len(p.of) > 0 && from <= s.now && (newest == nil || from > since) {
			newest, since = p, from
		}
	}
	if newest == nil {
		return nil
	}
	t := &charter.Terms{CharterHash: s.cfg.CharterHash, From: since, Until: newest.until}
	for m, terms := range newest.of {
		for _, term := range terms {
			t.Terms = append(t.Terms, charter.Term{Expression: term.Expression, Member: m, Value: term.Value})
		}
	}
	slices.SortFunc(t.Terms, charter.CompareTerm)
	return t
}
