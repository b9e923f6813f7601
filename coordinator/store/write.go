// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// askFor bounds how long a write waits to learn what became of a commit that
	// had no answer, and askEvery how often it asks.
	askFor   = 10 * time.Second
	askEvery = 250 * time.Millisecond
)

// write runs fn in one transaction on the write connection. When it returns
// nil, everything is durable. Otherwise nothing is, unless the connection broke
// at the commit and stayed so: then the error is a [*noAnswer] beside
// [ErrUnreachable], and whoever could do harm by trying again asks first.
// It runs fn at most once, and refuses with [ErrEpoch] when another process has
// raised the epoch above ours.
func (s *Store) write(ctx context.Context, fn func(context.Context, *txn) error) error {
	if failed := s.failed.Load(); failed != nil {
		return *failed
	}
	err := s.transact(ctx, fn)
	if lost, ok := errors.AsType[*noAnswer](err); ok {
		s.stats.unanswered.Add(1)
		if err = classify(lost.err); !errors.Is(err, ErrDurability) {
			err = s.settle(ctx, lost)
		}
	}
	switch {
	case err == nil:
		s.stats.writes.Add(1)
	case Passing(err):
		s.stats.refused.Add(1)
	}
	if errors.Is(err, ErrDurability) {
		s.failed.CompareAndSwap(nil, &err)
	}
	return err
}

func (s *Store) transact(ctx context.Context, fn func(context.Context, *txn) error) error {
	conn, b, err := s.begin(ctx)
	if err != nil {
		return s.overtaken(ctx, classify(err))
	}
	defer b.end()
	defer conn.Close() //nolint:errcheck // gives the connection back
	ctx = b.ctx
	s.open.resolve(b.last)
	if b.session != s.session {
		s.forget()
		s.session = b.session
		s.stats.sessions.Add(1)
	}
	t := &txn{bound: bound{b.tx, s.engine}, tx: b.tx, epoch: b.epoch}
	err = func() error {
		defer b.tx.Rollback() // after Commit it does nothing
		if ours := s.epoch.Load(); ours != 0 && ours != b.epoch {
			return fmt.Errorf("%w: ours is %d, in force is %d", ErrEpoch, ours, b.epoch)
		}
		if err := fn(ctx, t); err != nil {
			return err
		}
		err := b.tx.Commit()
		if err != nil && b.mark != "" && !refused(err) {
			return &noAnswer{b.mark, err}
		}
		return err
	}()
	if err == nil {
		if t.raised != 0 {
			s.epoch.Store(t.raised) // before the next write, which compares
		}
		return nil
	}
	s.forget()
	if lost, ok := errors.AsType[*noAnswer](err); ok {
		s.open.wait(lost.mark)
		return err
	}
	if ctx.Err() != nil {
		return kind(ErrUnreachable, err) // the time of one write is over
	}
	return classify(err)
}

// begin gets hold of the connection and begins. A connection that broke since
// the last write shows it only now, so it tries a second one.
func (s *Store) begin(ctx context.Context) (conn *sql.Conn, b begun, err error) {
	for range 2 {
		if conn, err = s.w.Conn(ctx); err != nil {
			return nil, begun{}, err
		}
		if b, err = s.beginOn(ctx, conn); err == nil {
			return conn, b, nil
		}
		_ = conn.Close() // it gives the connection back
		if !errors.Is(classify(err), ErrUnreachable) {
			break
		}
	}
	return nil, begun{}, err
}

func (s *Store) beginOn(ctx context.Context, conn *sql.Conn) (begun, error) {
	// From here on nothing is interrupted: half a commit has no answer.
	ctx, end := context.WithoutCancel(ctx), func() {}
	if limit := s.engine.limit(); limit > 0 {
		ctx, end = context.WithTimeout(ctx, limit)
	}
	b, err := s.engine.begin(ctx, conn)
	if err != nil {
		end()
		return begun{}, err
	}
	b.ctx, b.end = ctx, end
	return b, nil
}

// overtaken makes of "another process holds the database" the final refusal
// that it is when that process has raised the epoch.
func (s *Store) overtaken(ctx context.Context, err error) error {
	ours := s.epoch.Load()
	if ours == 0 || !errors.Is(err, ErrBusy) {
		return err
	}
	if inForce, failed := getMetaInt(ctx, s.q, metaEpoch); failed == nil && inForce != ours {
		return fmt.Errorf("%w: ours is %d, in force is %d", ErrEpoch, ours, inForce)
	}
	return err
}

// Stats count what a store has done since it was opened.
type Stats struct {
	Writes     int64 // transactions that were stored
	Refused    int64 // that the disk or the server had no room or time for
	Sessions   int64 // connections to a server that have written
	Unanswered int64 // commits whose connection broke before the answer
}

type counters struct{ writes, refused, sessions, unanswered atomic.Int64 }

// Stats are the counters of this moment.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{c.writes.Load(), c.refused.Load(), c.sessions.Load(), c.unanswered.Load()}
}

// forget empties the caches: a transaction that failed may have filled them.
func (s *Store) forget() {
	clear(s.series)
	clear(s.secrets)
}

// noAnswer is a commit of which nobody knows whether it happened.
type noAnswer struct {
	mark string
	err  error
}

func (n *noAnswer) Error() string { return n.err.Error() }

func (n *noAnswer) Unwrap() error { return n.err }

// settle finds out what became of a commit. It returns nil when the commit
// happened.
func (s *Store) settle(ctx context.Context, lost *noAnswer) error {
	ctx, cancel := context.WithTimeout(ctx, s.ask)
	defer cancel()
	for {
		happened, err := s.happened(ctx, lost.mark)
		switch {
		case err == nil && happened:
			return nil
		case err == nil:
			return kind(ErrUnreachable, fmt.Errorf("it went away, and nothing was stored: %w", lost.err))
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return kind(ErrUnreachable, fmt.Errorf("it went away during a commit: %w", lost))
		}
	}
}

// errLook ends a transaction that only looks.
var errLook = errors.New("nothing to write")

// happened says whether the transaction with that mark was committed. The next
// transaction finds out at its beginning; where there is none yet, it begins one.
func (s *Store) happened(ctx context.Context, mark string) (bool, error) {
	if happened, known := s.open.outcome(mark); known {
		return happened, nil
	}
	err := s.transact(ctx, func(context.Context, *txn) error { return errLook })
	if happened, known := s.open.outcome(mark); known {
		return happened, nil
	}
	if errors.Is(err, errLook) {
		err = nil // nobody knows any more, and what is not known is not acknowledged
	}
	return false, err
}

// unanswered are the commits that had no answer.
type unanswered struct {
	mu sync.Mutex
	// waiting is the mark of the transaction that nobody knows about. There is
	// one at most: the next to begin sees what it has left, or has not.
	waiting string
	known   map[string]bool // what was found out, and not been asked for

	// The ledger commit that may come again; no mark: none.
	mark   string
	leaves [sha256.Size]byte
	first  int64
	size   int64
}

// wait notes that a transaction had no answer. The caller holds the connection
// that writes.
func (u *unanswered) wait(mark string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = mark
}

// resolve is told the mark of the newest transaction that was committed, by one
// that has begun after it, so that it is known what became of the one waiting.
// Should somebody else have written in between, it is taken for lost, which
// acknowledges nothing.
func (u *unanswered) resolve(last string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.waiting == "" {
		return
	}
	const most = 1000
	if u.known == nil || len(u.known) >= most {
		u.known = make(map[string]bool)
	}
	u.known[u.waiting] = u.waiting == last
	u.waiting = ""
}

// outcome takes what is known of a transaction.
func (u *unanswered) outcome(mark string) (happened, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	happened, known = u.known[mark]
	delete(u.known, mark)
	return happened, known
}

// leave remembers a ledger commit whose answer is missing.
func (u *unanswered) leave(mark string, leaves []NewLeaf, first, size int64) error {
	digest, err := digestOf(leaves)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mark, u.leaves, u.first, u.size = mark, digest, first, size
	return nil
}

// left is the ledger commit whose answer is missing.
func (u *unanswered) left() (mark string, leaves [sha256.Size]byte, first, size int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.mark, u.leaves, u.first, u.size
}

// close forgets it.
func (u *unanswered) close(mark string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mark == mark {
		u.mark = ""
	}
}

// answer says whether leaves were committed by the attempt that had no answer,
// and where. The error says that this is not known yet.
func (s *Store) answer(ctx context.Context, leaves []NewLeaf) (first, size int64, done bool, err error) {
	mark, before, first, size := s.open.left()
	if mark == "" {
		return 0, 0, false, nil
	}
	digest, err := digestOf(leaves)
	if err != nil {
		return 0, 0, false, err
	}
	happened, err := s.happened(ctx, mark)
	if err != nil {
		return 0, 0, false, err
	}
	s.open.close(mark)
	return first, size, happened && digest == before, nil
}

func digestOf(leaves []NewLeaf) ([sha256.Size]byte, error) {
	b, err := json.Marshal(leaves)
	return sha256.Sum256(b), err
}
