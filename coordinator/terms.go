// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler"
)

// retryTerms is how often it is tried again to read what expressions ask for.
const retryTerms = 5 * time.Second

// settledPages is the part of the store that tells what was settled.
type settledPages interface {
	SettledPage(ctx context.Context, before energy.Instant, limit int) ([]store.SettledRecord, error)
}

// evaluator works out a charter's expressions when a weighting period begins: from
// the register, and from what the ledger says of the period before. It runs beside
// the owner, because a year of intervals takes a while to read.
type evaluator struct {
	charter  charter.Charter
	calendar charter.Calendar
	store    settledPages
	register func(energy.Instant) (roll.Community, func(roll.MemberID) (energy.Instant, bool))
	problems *problems
	retry    time.Duration
}

// run answers what is asked until ctx ends. What cannot be read is tried again;
// settlement waits for it, and the live loop does not.
func (e *evaluator) run(ctx context.Context, jobs <-chan needed, done chan<- scheduler.TermsEvaluated) error {
	for {
		select {
		case job := <-jobs:
			e.answer(ctx, job, done)
		case <-ctx.Done():
			return nil
		}
	}
}

// needed asks for terms; the world stands still until release.
type needed struct {
	scheduler.NeedTerms
	release func()
}

func (e *evaluator) answer(ctx context.Context, need needed, done chan<- scheduler.TermsEvaluated) {
	defer need.release()
	for {
		terms, err := e.evaluate(ctx, need.NeedTerms)
		if err == nil {
			e.problems.clear(problemTerms)
			done <- scheduler.TermsEvaluated{Terms: terms}
			return
		}
		if ctx.Err() != nil {
			return
		}
		e.problems.warn(problemTerms, fmt.Sprintf("intervals from %v on wait to be settled: the charter's expressions could not be worked out: %v", need.From, err))
		timer := time.NewTimer(e.retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (e *evaluator) evaluate(ctx context.Context, need scheduler.NeedTerms) (charter.Terms, error) {
	last, err := e.before(ctx, need.From)
	if err != nil {
		return charter.Terms{}, err
	}
	register, joined := e.register(need.At)
	return expr.Evaluate(&e.charter, need.From, need.Until, expr.FactsOf(&register, joined, need.At, last))
}

// before adds up the weighting period before the one that begins at an instant.
func (e *evaluator) before(ctx context.Context, end energy.Instant) (expr.Tally, error) {
	last := expr.Tally{}
	if !expr.LooksBack(&e.charter) {
		return last, nil
	}
	begin, _ := e.calendar(e.charter.WeightingPeriod, end-1)
	const page = 100
	for before := end; ; {
		records, err := e.store.SettledPage(ctx, before, page)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			before = r.Settled.Interval.Start
			if before < begin {
				return last, nil
			}
			for _, row := range r.Rows {
				if row.Kind != ledger.RowMember {
					continue
				}
				if m, err := row.Member(); err == nil { // what is damaged, verification says
					last.Add(&m)
				}
			}
		}
		if len(records) < page {
			return last, nil
		}
	}
}

// facts are the register at an instant, and when its members came.
func (r *register) facts(at energy.Instant) (roll.Community, func(roll.MemberID) (energy.Instant, bool)) {
	r.mu.RLock()
	history := r.history
	r.mu.RUnlock()
	return history.At(at), func(m roll.MemberID) (energy.Instant, bool) { return history.Joined(m, at) }
}

// unsettled says which interval could not be booked. It stays on the list until
// the coordinator starts anew and tries it again.
func (c *Coordinator) unsettled(f scheduler.Failed) {
	c.log.Error("an interval could not be settled and is left out; it is tried again when data for it come, and at each start", "interval", f.Interval, "error", f.Err)
	c.problems.warn(problemBooks, fmt.Sprintf("%v could not be settled: %v", f.Interval, f.Err))
}
