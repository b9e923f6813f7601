// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/scheduler"
)

// retryCommit is how often a commit is tried again while the disk is full or
// the database server away, on the wall clock.
const retryCommit = 5 * time.Second

// commits is the part of the store that the committer writes to.
type commits interface {
	Commit(ctx context.Context, epoch int64, leaves []store.NewLeaf) (first, size int64, err error)
}

// committer stores for the one community, one job after the other.
type committer struct {
	store    commits
	fence    *fence
	problems *problems
	retry    time.Duration
	grown    func(size int64) // the ledger has so many leaves now
	measures *measures
}

// run commits what comes in until ctx ends, and says so. What passes, such as
// a full disk, is waited out, with the job unchanged; every other failure is final.
func (c *committer) run(ctx context.Context, jobs <-chan scheduler.Store, committed chan<- scheduler.Committed) error {
	for {
		select {
		case job := <-jobs:
			traced, span := c.measures.committing(ctx, len(job.Leaves))
			first, err := c.commit(traced, job)
			span.End(failureOf(err))
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			if err != nil {
				return err
			}
			committed <- scheduler.Committed{FirstIndex: first}
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *committer) commit(ctx context.Context, job scheduler.Store) (first int64, err error) {
	leaves := make([]store.NewLeaf, len(job.Leaves))
	for i, l := range job.Leaves {
		leaves[i] = store.NewLeaf{Leaf: l.Leaf, Rows: l.Rows}
	}
	begun := time.Now()
	for {
		var size int64
		err := c.fence.under(func(epoch int64) (err error) {
			first, size, err = c.store.Commit(ctx, epoch, leaves)
			return err
		})
		if err == nil {
			c.problems.clear(problemLedger)
			c.grown(size)
			c.measures.stored(job, time.Since(begun))
			return first, nil
		}
		if !passing(err) {
			return 0, fmt.Errorf("storing the ledger: %w", err)
		}
		c.problems.set(problemLedger, err)
		c.measures.again()
		timer := time.NewTimer(c.retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
	}
}

// passing says whether a failure to store ends by itself or by somebody's
// freeing space or starting a server; the others, such as a failed fsync, are final.
func passing(err error) bool { return store.Passing(err) }
