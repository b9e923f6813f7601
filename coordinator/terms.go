// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/scheduler"
)

// retryTerms is how often it is tried again to read what expressions ask for.
const retryTerms = 5 * time.Second

// evaluator works out a charter's expressions when a weighting period begins: from
// the register, and from what the ledger says of the period before. It runs beside
// the owner, because a year of intervals takes a while to read.
type evaluator struct {
	charter  charter.Charter
	calendar charter.Calendar
	store    trial.Settled
	register func() roll.History
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
	last, err := trial.Before(ctx, e.store, &e.charter, e.calendar, need.From)
	if err != nil {
		return charter.Terms{}, err
	}
	return expr.Evaluate(&e.charter, need.From, need.Until, trial.FactsFrom(e.register())(need.At, last))
}

// past is the register with all its dates.
func (r *register) past() roll.History {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.history
}
