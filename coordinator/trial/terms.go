// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import (
	"context"
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// Settled is the part of a ledger that tells what was settled.
type Settled interface {
	SettledFrom(ctx context.Context, from, until energy.Instant, limit int) ([]store.SettledRecord, error)
}

// Each hands out what was settled in [from, until) in order, a page at a time: no
// transaction is open for longer. turned is called after each page with how many it had.
func Each(ctx context.Context, book Settled, from, until energy.Instant, fn func(*store.SettledRecord) error, turned func(n int) error) error {
	for {
		records, err := book.SettledFrom(ctx, from, until, page)
		if err != nil {
			return err
		}
		for i := range records {
			if err := fn(&records[i]); err != nil {
				return err
			}
			from = records[i].Settled.Interval.Start.Add(1)
		}
		if err := turned(len(records)); err != nil {
			return err
		}
		if len(records) < page {
			return nil
		}
	}
}

// MembersOf are the members' rows of a record, as far as they are not erased. What
// is damaged is left out, and verification says so.
func MembersOf(rec *store.SettledRecord) []ledger.MemberRow {
	var out []ledger.MemberRow
	for _, row := range rec.Rows {
		if row.Kind != ledger.RowMember {
			continue
		}
		if m, err := row.Member(); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// Before adds up the weighting period before the one that begins at an instant, for
// expressions that look back.
func Before(ctx context.Context, book Settled, ch *charter.Charter, cal charter.Calendar, begins energy.Instant) (expr.Tally, error) {
	last := expr.Tally{}
	if !expr.LooksBack(ch) {
		return last, nil
	}
	from, _ := cal(ch.WeightingPeriod, begins-1)
	err := Each(ctx, book, from, begins, func(rec *store.SettledRecord) error {
		last.AddAll(MembersOf(rec))
		return nil
	}, func(int) error { return ctx.Err() })
	return last, err
}

// Facts are what expressions ask about all members at an instant, with what is
// known of the weighting period before.
type Facts func(at energy.Instant, last expr.Tally) []expr.Facts

// FactsFrom are those that a register says.
func FactsFrom(history roll.History) Facts {
	return func(at energy.Instant, last expr.Tally) []expr.Facts {
		register := history.At(at)
		joined := func(m roll.MemberID) (energy.Instant, bool) { return history.Joined(m, at) }
		return expr.FactsOf(&register, joined, at, last)
	}
}

// Weighing works out a charter's expressions as a coordinator does while it goes
// from interval to interval: once for each weighting period, from the register as the
// period begins and from the period before; for a member who comes later, when she
// comes. Intervals are told in order.
type Weighing struct {
	charter *charter.Charter
	cal     charter.Calendar
	facts   Facts
	since   energy.Instant           // from when on it matters that nothing is known of a past
	asked   func([]expr.Facts) error // hears the facts that terms were worked out from; nil: nobody does

	from, until energy.Instant // the period under way; until 0: none
	now, last   expr.Tally     // of it so far, and of the one before
	had, past   bool           // anything was settled in it, in the one before
	terms       map[roll.MemberID][]charter.MemberTerm
	known       map[roll.MemberID]bool // who was looked up, with terms or not
	counted     bool                   // in without, as far as it belongs there
	without     int
}

// NewWeighing is nil for a charter without expressions.
func NewWeighing(ch *charter.Charter, cal charter.Calendar, facts Facts) *Weighing {
	if len(ch.Expressions) == 0 {
		return nil
	}
	return &Weighing{charter: ch, cal: cal, facts: facts}
}

// Begins is from when on it must be told what was settled, so that an interval's
// period is weighed by the whole of the one before.
func (w *Weighing) Begins(at energy.Instant) energy.Instant {
	from, _ := w.cal(w.charter.WeightingPeriod, at)
	if expr.LooksBack(w.charter) {
		from, _ = w.cal(w.charter.WeightingPeriod, from-1)
	}
	return from
}

// WithoutPast is how many weighting periods were weighed though nothing is recorded
// of the one before, and an expression asks for it: what it asks for counted 0.
func (w *Weighing) WithoutPast() int { return w.without }

// enter goes on to the period of an instant.
func (w *Weighing) enter(at energy.Instant) {
	if w.until != 0 && at < w.until {
		return
	}
	from, until := w.cal(w.charter.WeightingPeriod, at)
	if w.until == 0 || w.until != from {
		w.now, w.had = nil, false
	}
	w.last, w.past, w.now, w.had = w.now, w.had, expr.Tally{}, false
	w.from, w.until, w.terms, w.known, w.counted = from, until, nil, nil, false
}

// Add tells it what was settled.
func (w *Weighing) Add(at energy.Instant, members []ledger.MemberRow) {
	w.enter(at)
	w.now.AddAll(members)
	w.had = true
}

// Terms are what the expressions give in an interval for its members.
func (w *Weighing) Terms(at energy.Instant, members []ledger.MemberRow) (map[roll.MemberID][]charter.MemberTerm, error) {
	w.enter(at)
	if !w.counted && at >= w.since {
		w.counted = true
		if !w.past && expr.LooksBack(w.charter) {
			w.without++
		}
	}
	if w.known == nil {
		w.terms, w.known = map[roll.MemberID][]charter.MemberTerm{}, map[roll.MemberID]bool{}
		if err := w.evaluate(w.from); err != nil {
			return nil, err
		}
	}
	for i := range members {
		if w.known[members[i].Member] {
			continue
		}
		if err := w.evaluate(at); err != nil {
			return nil, err
		}
		for k := range members { // who is not in the register has no terms, and is not asked for again
			w.known[members[k].Member] = true
		}
	}
	return w.terms, nil
}

// evaluate adds the terms of those who have none yet; the others' hold.
func (w *Weighing) evaluate(at energy.Instant) error {
	facts := w.facts(at, w.last)
	if w.asked != nil {
		if err := w.asked(facts); err != nil {
			return err
		}
	}
	got, err := expr.Evaluate(w.charter, w.from, w.until, facts)
	if err != nil {
		return err
	}
	fresh := map[roll.MemberID][]charter.MemberTerm{}
	for _, t := range got.Terms { // sorted by expression, so hers are too
		if !w.known[t.Member] {
			fresh[t.Member] = append(fresh[t.Member], charter.MemberTerm{Expression: t.Expression, Value: t.Value})
		}
	}
	for m, terms := range fresh {
		w.terms[m], w.known[m] = terms, true
	}
	return nil
}

// Weighings are those of the two charters of a comparison; nil where a charter has
// no expressions.
type Weighings [2]*Weighing

// Weigh prepares to weigh two charters that are compared: what each interval comes
// to under a charter is what its expressions look back at in the next period.
func Weigh(run *whatif.Run, old, proposed *charter.Charter, cal charter.Calendar, facts Facts) *Weighings {
	both := &Weighings{NewWeighing(old, cal, facts), NewWeighing(proposed, cal, facts)}
	for _, w := range both {
		if w != nil {
			w.asked = func(facts []expr.Facts) error { return run.Note(ofRegister(facts)) }
		}
	}
	both.follow(run)
	return both
}

// Before has another run count, over what comes before the compared time: what it
// settles is looked back at, and its own past does not matter.
func (b *Weighings) Before(run *whatif.Run, compared energy.Instant) {
	for _, w := range b {
		if w != nil {
			w.since = compared
		}
	}
	b.follow(run)
}

func (b *Weighings) follow(run *whatif.Run) {
	run.Settled(func(side int, at energy.Interval, members []ledger.MemberRow) {
		if w := b[side]; w != nil {
			w.Add(at.Start, members)
		}
	})
}

// ofRegister are facts without those of the period before, which the intervals say.
func ofRegister(all []expr.Facts) []expr.Facts {
	out := slices.Clone(all)
	for i := range out {
		f := &out[i]
		f.UsedWh, f.FedInWh, f.GaveWh, f.ReceivedWh = 0, 0, 0, 0
	}
	return out
}

// Begins is from when on intervals are told before a comparison that begins at an
// instant; that instant where no expression looks back.
func (b *Weighings) Begins(at energy.Instant) energy.Instant {
	begins := at
	for _, w := range b {
		if w != nil {
			begins = min(begins, w.Begins(at))
		}
	}
	return begins
}

// Tell adds what was settled and is not compared.
func (b *Weighings) Tell(at energy.Instant, members []ledger.MemberRow) {
	for _, w := range b {
		if w != nil {
			w.Add(at, members)
		}
	}
}

// Terms are those of both charters for an interval that is compared. With own, the
// interval was settled by the old one, and what its expressions gave stands in the rows.
func (b *Weighings) Terms(at energy.Instant, members []ledger.MemberRow, own bool) (terms [2]whatif.Terms, err error) {
	for i, w := range b {
		if w == nil || i == 0 && own {
			continue
		}
		if terms[i], err = w.Terms(at, members); err != nil {
			return terms, fmt.Errorf("%w: charter “%s”: %w", ErrQuestion, w.charter.Name, err)
		}
	}
	return terms, nil
}

// WithoutPast is that of each.
func (b *Weighings) WithoutPast() (old, proposed int) {
	if b[0] != nil {
		old = b[0].WithoutPast()
	}
	if b[1] != nil {
		proposed = b[1].WithoutPast()
	}
	return old, proposed
}
