// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Bounds of a desk.
const (
	maxOpen  = 6 // that run or wait; one runs at a time
	maxEach  = 2 // of them, of one caller
	maxKept  = 24
	keptFor  = 24 * time.Hour
	restOver = 3 // a page that took so long is followed by a rest of this part of it
	restMost = 100 * time.Millisecond
)

// State is how far an operation is.
type State int

// States.
const (
	Waiting State = iota
	Running
	Done
	Failed
	Cancelled
)

// Operation is a comparison as it stands; it is a copy.
type Operation struct {
	ID       string
	By       string // who began it
	Singles  string // why its totals could show single members, see [Singles]
	Question Question
	State    State
	Started  time.Time
	Ended    time.Time
	Kept     time.Time // until when, once it has ended

	Intervals, Total int64
	Err              error   // of a failed one
	Answer           *Answer // of one that is done; not to be changed
}

var errCancelled = errors.New("somebody cancelled it")

// Desk runs comparisons one after the other, and keeps what came out for a day.
// They are in memory alone: with the coordinator they end.
type Desk struct {
	book Book
	now  func() time.Time
	// Failed is told what is not the question's fault, for the log; nil: nobody is.
	Failed func(error)
	// paused is called before each page, by tests; nil: nothing.
	paused func(ctx context.Context)

	ctx   context.Context //nolint:containedctx // of all that runs here, until Close
	close context.CancelFunc
	place chan struct{} // who runs
	work  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	all    []*operation // in order of their start
}

type operation struct {
	Operation
	cancel context.CancelCauseFunc
}

// NewDesk returns a desk; Close ends what runs.
func NewDesk(book Book, now func() time.Time) *Desk {
	d := &Desk{book: book, now: now, place: make(chan struct{}, 1)}
	d.ctx, d.close = context.WithCancel(context.Background())
	return d
}

// Close cancels what runs, and waits for it.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.close()
	d.work.Wait()
}

// Start begins a comparison, or has it wait for the one before. The error wraps
// [ErrFull] where too many wait.
func (d *Desk) Start(by, singles string, q Question) (Operation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	open, own := 0, 0
	for _, o := range d.all {
		if o.State > Running {
			continue
		}
		open++
		if o.By == by {
			own++
		}
	}
	switch {
	case d.closed:
		return Operation{}, fmt.Errorf("%w: the coordinator is stopping", ErrFull)
	case own >= maxEach:
		return Operation{}, fmt.Errorf("%w: %d of yours run or wait; wait for them, or cancel one", ErrFull, own)
	case open >= maxOpen:
		return Operation{}, fmt.Errorf("%w: %d run or wait; try again in a few minutes", ErrFull, open)
	}
	ctx, cancel := context.WithCancelCause(d.ctx)
	o := &operation{cancel: cancel, Operation: Operation{ID: newID(), By: by, Singles: singles, Question: q, Started: d.now()}}
	d.all = append(d.all, o)
	d.work.Go(func() {
		defer cancel(nil)
		d.run(ctx, o)
	})
	return o.Operation, nil
}

func newID() string {
	var b [9]byte
	rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// run waits for its turn, and compares.
func (d *Desk) run(ctx context.Context, o *operation) {
	select {
	case d.place <- struct{}{}:
		defer func() { <-d.place }()
	case <-ctx.Done():
		d.end(o, nil, context.Cause(ctx))
		return
	}
	// Never unlocked: the thread, which stands behind all others now, ends with this.
	runtime.LockOSThread()
	yieldToOthers()
	d.set(o, func() { o.State = Running })
	began := time.Now()
	answer, err := Run(ctx, d.book, &o.Question, func(done, total int64) error {
		d.set(o, func() { o.Intervals, o.Total = done, total })
		if d.paused != nil {
			d.paused(ctx)
		}
		rest(ctx, time.Since(began))
		began = time.Now()
		return context.Cause(ctx)
	})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	d.end(o, &answer, err)
}

// rest leaves the processor to others, in proportion to what was taken of it.
func rest(ctx context.Context, took time.Duration) {
	timer := time.NewTimer(min(took/restOver, restMost))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (d *Desk) set(o *operation, change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *Desk) end(o *operation, answer *Answer, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.Ended = d.now()
	o.Kept = o.Ended.Add(keptFor)
	switch {
	case err == nil:
		o.State, o.Answer = Done, answer
	case errors.Is(err, errCancelled), errors.Is(err, context.Canceled):
		o.State = Cancelled
	default:
		o.State, o.Err = Failed, err
		if d.Failed != nil && !errors.Is(err, ErrQuestion) {
			d.Failed(err)
		}
	}
}

// forget drops what ended long ago, and the oldest of what ended where there are
// too many. mu is held.
func (d *Desk) forget() {
	now, ended := d.now(), 0
	for _, o := range slices.Backward(d.all) {
		if o.State > Running {
			ended++
			if ended > maxKept {
				o.Kept = now
			}
		}
	}
	d.all = slices.DeleteFunc(d.all, func(o *operation) bool { return o.State > Running && !now.Before(o.Kept) })
}

// Get is an operation; false where there is none, or no longer.
func (d *Desk) Get(id string) (Operation, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	for _, o := range d.all {
		if o.ID == id {
			return o.Operation, true
		}
	}
	return Operation{}, false
}

// List is all of them, the newest first.
func (d *Desk) List() []Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	out := make([]Operation, 0, len(d.all))
	for _, o := range slices.Backward(d.all) {
		out = append(out, o.Operation)
	}
	return out
}

// Cancel ends one that runs or waits; what has ended stays as it is.
func (d *Desk) Cancel(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.all {
		if o.ID == id {
			o.cancel(errCancelled)
		}
	}
}
