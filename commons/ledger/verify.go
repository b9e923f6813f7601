// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// Log is the read side of a ledger. An error that wraps [ErrDamaged] speaks of
// the record asked for; any other ends a verification without a verdict.
type Log interface {
	// Leaves hands out the leaves from the given index on, in order.
	Leaves(ctx context.Context, from int64, fn func(index int64, leaf []byte) error) error
	// Rows are what the annex still has of a leaf; erased rows are absent.
	Rows(ctx context.Context, leaf int64) ([]StoredRow, error)
	// Entries are a leaf's postings.
	Entries(ctx context.Context, leaf int64) ([]Entry, error)
	// TreeHashes are stored hashes of the tree, at indexes as package tlog counts them.
	TreeHashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error)
	// Checkpoint is the newest signed checkpoint; nil while the ledger is empty.
	Checkpoint(ctx context.Context) ([]byte, error)
	// CheckpointAt is the checkpoint that was signed at a size; nil where none was.
	CheckpointAt(ctx context.Context, size int64) ([]byte, error)
}

// ErrDamaged is wrapped by a [Log] where a record is missing or is not what it should be.
var ErrDamaged = errors.New("a record is missing or damaged")

var errNoCheckpoint = fmt.Errorf("%w: there is none", ErrCheckpoint)

// Recompute settles an interval again from the inputs in its annex rows, under
// the charter it was settled by. It returns the leaf's totals and the full rows.
// Where fewer rows are there than the leaf commits to, the others are erased: it
// checks then that each member's row which remains follows from the rounds'
// certificates, and returns nothing. Of rules version 1 it is not asked that.
type Recompute func(ch charter.Charter, settled IntervalSettled, rows []Row) ([]PoolTotals, []Row, error)

// State is what a verification says of one settled interval.
type State string

// States of a settled interval.
const (
	StateHolds    State = "holds"
	StateErased   State = "erased"   // rows were erased; what remains holds
	StateReversed State = "reversed" // taken back by a later leaf; it held
	// StatePending: a battery's account was corrected in the interval before, and
	// this one is yet to be settled again with it.
	StatePending State = "pending"
)

// IntervalState is one settled interval in a [Report].
type IntervalState struct {
	Leaf     int64
	Interval energy.Interval
	Revision int
	State    State
	Rows     int // that the leaf commits to
	Erased   int // of these
}

// NoLeaf is the leaf of a fault that lies in no single one: the checkpoint's.
const NoLeaf int64 = -1

// Fault is the first thing that does not hold.
type Fault struct {
	Leaf   int64 // NoLeaf: the checkpoint
	Reason string
}

// Error says which leaf and why.
func (f *Fault) Error() string {
	if f.Leaf == NoLeaf {
		return f.Reason
	}
	return fmt.Sprintf("leaf %d does not hold: %s", f.Leaf, f.Reason)
}

// Report is the result of a verification.
type Report struct {
	Checkpoint Checkpoint // zero where it could not be read
	Leaves     int64      // that hold, from the first on
	Charters   int64
	Intervals  int64 // settled, reversed ones included
	Reversals  int64
	Rows       int64 // of the annex that were checked
	Erased     int64
	Fault      *Fault // nil: everything holds
	States     []IntervalState
}

// Holds says whether nothing was found wrong. Erased rows are not wrong.
func (r Report) Holds() bool { return r.Fault == nil }

// Verify checks a ledger from its first leaf to its checkpoint, trusting nothing
// but the verifiers' keys: that every leaf is the one that was recorded, under a
// charter that was activated before and in force, settled once unless reversed;
// that the annex is what the leaf commits to; that totals, postings and storage
// accounts follow from it; and, by settling again with re, that the shares are
// what the charter gives. Where rows were erased it checks what remains,
// against the commitments, the totals and the rounds' certificates.
//
// What does not hold is in the report, its first leaf by index. An error means
// that there is no verdict: the log could not be read, or ctx ended. re and
// progress may be nil; without re shares are checked against certificates only.
func Verify(ctx context.Context, log Log, verifiers note.Verifiers, re Recompute, progress func(done, total int64)) (Report, error) {
	v := newVerification(log, verifiers, re, progress)
	err := v.run(ctx)
	if fault, ok := errors.AsType[*Fault](err); ok {
		v.report.Fault = fault
		return v.report, nil
	}
	if err != nil {
		return v.report, fmt.Errorf("verifying the ledger, after %d leaves: %w", v.report.Leaves, err)
	}
	return v.report, nil
}

// verification is one pass over a log.
type verification struct {
	log       Log
	verifiers note.Verifiers
	re        Recompute
	progress  func(done, total int64)
	report    Report
	tree      Frontier
	chain     chain
	last      closings
	headErr   error // why the checkpoint does not hold
}

func newVerification(log Log, verifiers note.Verifiers, re Recompute, progress func(done, total int64)) *verification {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	return &verification{log: log, verifiers: verifiers, re: re, progress: progress, chain: newChain(), last: closings{leaf: NoLeaf}}
}

func (v *verification) run(ctx context.Context) error {
	signed, err := v.log.Checkpoint(ctx)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	switch {
	case err != nil:
		v.headErr = err
	case signed == nil:
		v.headErr = errNoCheckpoint
	default:
		v.report.Checkpoint, v.headErr = OpenCheckpoint(signed, v.verifiers)
	}
	err = v.log.Leaves(ctx, 0, func(index int64, b []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.leaf(ctx, index, b); err != nil {
			return err
		}
		v.report.Leaves++
		v.progress(v.report.Leaves, max(v.report.Leaves, v.report.Checkpoint.Size))
		return nil
	})
	if err != nil {
		return asFault(v.tree.Size(), err)
	}
	return asFault(NoLeaf, v.finish(ctx))
}

// leaf checks one leaf, its rows and its entries.
func (v *verification) leaf(ctx context.Context, index int64, b []byte) error {
	switch {
	case index != v.tree.Size():
		return &Fault{v.tree.Size(), fmt.Sprintf("it is missing; the next one there is %d", index)}
	case v.headErr == nil && index >= v.report.Checkpoint.Size:
		return &Fault{index, fmt.Sprintf("the checkpoint ends before it, at %d leaves", v.report.Checkpoint.Size)}
	}
	if err := v.hashes(ctx, index, b); err != nil {
		return asFault(index, err)
	}
	l, err := DecodeLeaf(b)
	if err != nil {
		return &Fault{index, err.Error()}
	}
	if err := v.chain.community(l.Community); err != nil {
		return asFault(index, err)
	}
	switch l.Kind {
	case KindCharterActivated:
		v.report.Charters++
		err = v.chain.activate(*l.Charter)
	case KindIntervalSettled:
		v.report.Intervals++
		err = v.settled(ctx, index, l)
	case KindReversal:
		v.report.Reversals++
		err = v.reversal(ctx, index, *l.Reversal)
	}
	return asFault(index, err)
}

// hashes compares the tree that grows here with the one that was stored. An
// inner hash that differs under leaves that agree tells that a leaf and its own
// hash were changed together.
func (v *verification) hashes(ctx context.Context, index int64, b []byte) error {
	fresh := v.tree.Append(b)
	at := make([]int64, len(fresh))
	for i := range at {
		at[i] = tlog.StoredHashIndex(0, index) + int64(i)
	}
	stored, err := v.log.TreeHashes(ctx, at)
	if err != nil {
		return err
	}
	for level := range fresh {
		switch {
		case level >= len(stored) || fresh[level] == stored[level]:
		case level == 0:
			return &Fault{index, "its bytes are not those that were recorded"}
		default:
			first := index + 1 - 1<<level
			return &Fault{first, fmt.Sprintf("one of the leaves %d to %d is not as recorded: their tree hash differs", first, index)}
		}
	}
	return nil
}

// finish checks what only the end tells: the root, the signature, and that
// nothing was taken back without a successor.
func (v *verification) finish(ctx context.Context) error {
	size, head := v.tree.Size(), v.report.Checkpoint
	switch {
	case size == 0 && errors.Is(v.headErr, errNoCheckpoint):
		return nil // nothing was written yet
	case v.headErr != nil:
		return &Fault{NoLeaf, v.headErr.Error()}
	case size < head.Size:
		return &Fault{size, fmt.Sprintf("it is missing; the checkpoint covers %d leaves", head.Size)}
	case v.tree.Root() != head.Root:
		return v.locate(ctx)
	case size > 0 && v.chain.origin != head.Origin:
		return &Fault{NoLeaf, fmt.Sprintf("%v: it speaks for %q, the leaves for %q", ErrCheckpoint, head.Origin, v.chain.origin)}
	}
	if err := v.chain.open(); err != nil {
		return err
	}
	return v.pending(ctx)
}

// locate names the first leaf that an older checkpoint does not agree with,
// after the newest was found not to: leaves and stored hashes were changed
// together, but nobody without the key can change what was signed.
func (v *verification) locate(ctx context.Context) error {
	var tree Frontier
	good := int64(0)
	err := v.log.Leaves(ctx, 0, func(_ int64, b []byte) error {
		tree.Append(b)
		signed, err := v.log.CheckpointAt(ctx, tree.Size())
		if err != nil || signed == nil {
			return err
		}
		c, damaged := OpenCheckpoint(signed, v.verifiers)
		switch told := damaged == nil && c.Size == tree.Size(); {
		case told && c.Root != tree.Root():
			return &Fault{good, fmt.Sprintf("one of the leaves %d to %d is not the one that was signed", good, c.Size-1)}
		case told:
			good = c.Size
		}
		return nil
	})
	if err != nil {
		return err
	}
	return &Fault{NoLeaf, fmt.Sprintf("%v: its root is not that of the %d leaves", ErrCheckpoint, tree.Size())}
}

// asFault makes what was found about a leaf a fault, and leaves alone what is
// only about reading it.
func asFault(leaf int64, err error) error {
	var fault *Fault
	var found finding
	switch {
	case err == nil || errors.As(err, &fault):
		return err
	case errors.As(err, &found), errors.Is(err, ErrDamaged):
		return &Fault{leaf, err.Error()}
	}
	return err
}

// finding is something wrong with a leaf, told apart from failures to read.
type finding struct{ error }

func findingf(format string, args ...any) error { return finding{fmt.Errorf(format, args...)} }
