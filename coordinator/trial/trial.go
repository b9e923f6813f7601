// SPDX-License-Identifier: AGPL-3.0-or-later

// Package trial tries a charter out on what a community's ledger has recorded,
// before anybody votes on it. [Run] does it once, from a file or beside a
// coordinator at work; a [Desk] does it for callers who come back for the answer,
// one after the other, behind everything that the coordinator does otherwise.
package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// Refusals, which say what to do.
var (
	// ErrQuestion is wrapped by what is wrong with a question.
	ErrQuestion = errors.New("this cannot be compared")
	// ErrFull is wrapped where too many compare at once.
	ErrFull = errors.New("too many comparisons at once")
)

// Book is the part of a ledger that is read. [store.Store] and [store.Reader] are books.
type Book interface {
	Settled
	Register(ctx context.Context) ([]roll.Revision, error)
	SettledCount(ctx context.Context, from, until energy.Instant) (int64, error)
	Activations(ctx context.Context) ([]store.Activation, error)
}

// Question is what to compare.
type Question struct {
	Proposed    charter.Charter
	Against     *charter.Charter // nil: the one that the newest of the intervals was settled by
	From, Until energy.Instant   // of the intervals' starts, half open
	Grid        whatif.Grid
	Zone        *time.Location // where prices by the hour are looked up, and days, months and years are cut
}

// Answer is what came out.
type Answer struct {
	whatif.Report
	Against charter.Charter
	LeftOut int64 // intervals in which rows are erased
}

// Bounds of a comparison.
const (
	maxIntervals = 8 * 366 * 96 // eight years of quarter-hours
	page         = 24           // intervals that are in memory at a time
)

// Run settles what was recorded under both charters. progress hears how many
// intervals of all are done, after each page; where it returns an error, Run does.
func Run(ctx context.Context, book Book, q *Question, progress func(done, total int64) error) (Answer, error) {
	total, err := book.SettledCount(ctx, q.From, q.Until)
	switch {
	case err != nil:
		return Answer{}, err
	case total == 0:
		return Answer{}, fmt.Errorf("%w: no settled interval lies in that time; choose an earlier beginning or a later end", ErrQuestion)
	case total > maxIntervals:
		return Answer{}, fmt.Errorf("%w: %d intervals lie in that time, at most %d are compared at once; choose a shorter time", ErrQuestion, total, maxIntervals)
	}
	r := runner{book: book, q: q, total: total, progress: progress}
	if err := r.begin(ctx); err != nil {
		return Answer{}, err
	}
	err = Each(ctx, book, q.From, q.Until, r.add, func(n int) error {
		r.done += int64(n)
		return progress(r.done, max(total, r.done))
	})
	if err != nil {
		return Answer{}, err
	}
	r.run.WithoutPast(r.weighings.WithoutPast())
	rep, err := r.run.Report()
	return Answer{Report: rep, Against: r.old, LeftOut: r.leftOut}, err
}

// runner is a comparison at work.
type runner struct {
	book        Book
	q           *Question
	old         charter.Charter
	own         string // hash of the old charter, where it is the community's
	run         *whatif.Run
	weighings   *Weighings
	total, done int64
	leftOut     int64
	owners      map[roll.AssetID]roll.MemberID // of batteries
	progress    func(done, total int64) error
}

// begin finds the charters and what their expressions ask of the time before.
func (r *runner) begin(ctx context.Context) error {
	if r.q.Against == nil {
		all, err := r.book.Activations(ctx)
		if err != nil {
			return err
		}
		for _, a := range all {
			if a.Effective < r.q.Until {
				r.old, r.own = a.Charter, a.Hash
			}
		}
	} else {
		r.old = *r.q.Against
	}
	var err error
	if r.run, err = whatif.New(&r.old, &r.q.Proposed, statement.In(r.q.Zone)); err != nil {
		return fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	cal := charters.CalendarOf(r.q.Zone)
	r.run.Calendar(cal)
	if err := r.weigh(ctx, cal); err != nil {
		return err
	}
	r.owners = map[roll.AssetID]roll.MemberID{}
	r.run.Owners(r.owners)
	return nil
}

// weigh tells what was settled before the compared time, as far as expressions ask for it.
func (r *runner) weigh(ctx context.Context, cal charter.Calendar) error {
	revisions, err := r.book.Register(ctx)
	if err != nil {
		return err
	}
	r.weighings = Weigh(r.run, &r.old, &r.q.Proposed, cal, FactsFrom(roll.HistoryOf(revisions)))
	if *r.weighings == (Weighings{}) {
		return nil
	}
	first, err := r.book.SettledFrom(ctx, r.q.From, r.q.Until, 1)
	if err != nil || len(first) == 0 {
		return err
	}
	begins := first[0].Settled.Interval.Start
	return Each(ctx, r.book, r.weighings.Begins(begins), begins, func(rec *store.SettledRecord) error {
		members := MembersOf(rec)
		r.weighings.Tell(rec.Settled.Interval.Start, members)
		return r.run.Note(members)
	}, func(int) error { return r.progress(0, r.total) })
}

func (r *runner) add(rec *store.SettledRecord) error {
	if len(rec.Rows) < len(rec.Settled.Commitments) {
		r.leftOut++
		r.weighings.Tell(rec.Settled.Interval.Start, MembersOf(rec))
		return nil
	}
	for _, row := range rec.Rows {
		if row.Kind == ledger.RowStorage {
			r.owners[roll.AssetID(row.Key)] = row.Subject
		}
	}
	in, err := settlement.FromRows(rec.Settled, rec.Rows)
	if err != nil {
		return err
	}
	terms, err := r.weighings.Terms(in.Interval.Start, in.Members, r.own != "" && rec.Settled.CharterHash == r.own)
	if err != nil {
		return err
	}
	r.run.Terms(terms[0], terms[1])
	return r.run.Add(in, r.q.Grid)
}

// Text is a charter as somebody hands it in: one of the two.
type Text struct{ Template, YAML string }

// Decode reads it for a community: what it names must be in its register.
func (t Text) Decode(register *roll.Community) (charter.Charter, error) {
	src := []byte(t.YAML)
	switch {
	case t.Template != "" && t.YAML != "":
		return charter.Charter{}, fmt.Errorf("%w: give a template's name or a charter's text, not both", ErrQuestion)
	case t.Template != "":
		src = nil
		for _, one := range charters.Templates() {
			if one.Name == t.Template {
				src = one.YAML
			}
		}
		if src == nil {
			return charter.Charter{}, fmt.Errorf("%w: there is no template %.60q; \"allmende charter templates\" lists them", ErrQuestion, t.Template)
		}
	case t.YAML == "":
		return charter.Charter{}, fmt.Errorf("%w: which charter? Give a template's name or a charter's text", ErrQuestion)
	}
	ch, err := charters.DecodeFor(src, register)
	if err != nil {
		return ch, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	return ch, nil
}
