// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series/embedded/block"
)

// keep is the keeper: a pass every FlushEvery, until the store is closed.
func (s *Store) keep() {
	defer close(s.done)
	k := keeper{Store: s, checkpointed: time.Now(), fill: mostFill}
	ticker := time.NewTicker(s.options.flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			k.pass(false)
		case passed := <-s.wake:
			k.pass(false)
			close(passed)
		case <-s.stop:
			k.pass(true)
			return
		}
	}
}

// settle asks for a pass and waits for it; tests and benchmarks do.
func (s *Store) settle() {
	passed := make(chan struct{})
	select {
	case s.wake <- passed:
		<-passed
	case <-s.done:
	}
}

// keeper is what the keeper has of its own.
type keeper struct {
	*Store
	coder        block.Coder
	body         []byte
	checkpointed time.Time
	rolling      int   // series of the period under way that are summed up
	fill         int64 // percent of the cap that may be in use
}

// pass writes what is new, and does what is due, slice by slice.
func (k *keeper) pass(last bool) {
	ctx := context.Background()
	if k.db == nil && (last || k.open(ctx) != nil) {
		k.overflow(last)
		return
	}
	err := k.flush(ctx)
	if errors.Is(err, errFull) {
		k.fill = max(k.fill-lessFill, leastFill)
	} else if err == nil {
		k.fill = mostFill
	}
	if !last && !errors.Is(err, errDamaged) { // a file that is full is the more in need of it
		err = errors.Join(err, k.slices(ctx))
	}
	if err == nil && (last || time.Since(k.checkpointed) >= checkpointEvery) {
		err = k.checkpoint(ctx)
	}
	k.judge(ctx, err)
}

// slices does what is due, until the store is closed: the rest is done after
// the next start. New points are written in between.
func (k *keeper) slices(ctx context.Context) error {
	began := time.Now()
	for {
		more, err := k.slice(ctx)
		if !more || err != nil {
			return err
		}
		if time.Since(began) >= k.options.flushEvery {
			if err := k.flush(ctx); err != nil {
				return err
			}
			began = time.Now()
		}
		select {
		case <-k.stop:
			return nil
		default:
		}
	}
}

// judge shows how a pass went, and begins anew where the file is damaged.
func (k *keeper) judge(ctx context.Context, err error) {
	switch {
	case err == nil:
		k.trouble.set(troubleWriting, "")
		return
	case errors.Is(err, errDamaged):
		k.failures.Add(1)
		if err := k.begin(ctx, err); err == nil {
			k.open(ctx) //nolint:errcheck // it is shown, and tried again
			return
		}
	}
	k.failures.Add(1)
	k.trouble.set(troubleWriting, fmt.Sprintf("writing the time series fails: %v: free space or mend the disk under %s; the newest values wait in memory", err, k.path))
	k.overflow(false)
}

// overflow gives up the oldest blocks where nothing can be written for long, so
// that the newest find room; at the end it counts what is lost.
func (k *keeper) overflow(last bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if last {
		k.lost.Add(uint64(k.memory))
		return
	}
	for k.memory > maxMemory/4*3 && len(k.full) > 0 {
		n := k.full[0].points.Len()
		k.lost.Add(uint64(n))
		k.memory -= n
		k.full = k.full[1:]
	}
}

// flush writes what is new of the heads to the journal, and the full blocks.
func (k *keeper) flush(ctx context.Context) error {
	k.mu.Lock()
	k.sealIdle()
	pieces, blocks := k.pieces(), k.full
	k.mu.Unlock()
	if err := k.identify(ctx, pieces, blocks); err != nil {
		return err
	}
	if err := k.journal(ctx, pieces); err != nil {
		return err
	}
	for len(blocks) > 0 {
		n := min(len(blocks), blocksAtOnce)
		if err := k.store(ctx, blocks[:n]); err != nil {
			return err
		}
		blocks = blocks[n:]
	}
	return nil
}

// identify gives the series that have none an id in the file.
func (k *keeper) identify(ctx context.Context, pieces []piece, blocks []sealed) error {
	var unknown []*head
	seen := map[*head]bool{}
	note := func(h *head) {
		if h.id == 0 && !seen[h] {
			seen[h] = true
			unknown = append(unknown, h)
		}
	}
	for i := range pieces {
		note(pieces[i].head)
	}
	for i := range blocks {
		note(blocks[i].head)
	}
	if len(unknown) == 0 {
		return nil
	}
	ids := make([]int64, len(unknown))
	err := k.db.write(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, `INSERT INTO series (kind, name, quantity) VALUES (?, ?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close() //nolint:errcheck // with the transaction
		for i, h := range unknown {
			r, err := insert.ExecContext(ctx, h.of.Kind, h.of.Name, h.of.Quantity)
			if err != nil {
				return err
			}
			if ids[i], err = r.LastInsertId(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	for i, h := range unknown {
		h.id = ids[i]
	}
	k.mu.Unlock()
	return nil
}

// journal writes pieces as one row, and deletes rows whose points are in raw.
func (k *keeper) journal(ctx context.Context, pieces []piece) error {
	first, newest, points := latest, energy.Instant(0), 0
	for i := range pieces {
		first, newest = min(first, pieces[i].start), max(newest, pieces[i].start)
		points += pieces[i].points.Len()
	}
	k.body = appendJournal(&k.coder, k.body[:0], pieces)
	k.mu.Lock()
	oldest := k.oldestUnwritten()
	k.mu.Unlock()
	err := k.db.write(ctx, func(tx *sql.Tx) error {
		if len(pieces) > 0 {
			if _, err := tx.ExecContext(ctx, `INSERT INTO journal (oldest_block_ms, newest_block_ms, body) VALUES (?, ?, ?)`, first, newest, k.body); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM journal WHERE newest_block_ms < ?`, oldest)
		return err
	})
	if err != nil {
		return err
	}
	k.written.Add(uint64(points))
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range pieces {
		if p := &pieces[i]; p.head.start == p.start && p.head.points.Len() >= p.until {
			p.journaled = p.until
		} else {
			k.sealedSince(p)
		}
	}
	return nil
}

// sealedSince notes on a block that was a head a moment ago what is in the journal.
func (k *keeper) sealedSince(p *piece) {
	for i := range k.full {
		if b := &k.full[i]; b.head == p.head && b.start == p.start {
			b.journaled = p.until
		}
	}
}

// store writes full blocks as rows.
func (k *keeper) store(ctx context.Context, blocks []sealed) error {
	points, memory := 0, 0
	err := k.db.write(ctx, func(tx *sql.Tx) error {
		points, memory = 0, 0
		insert, err := tx.PrepareContext(ctx, `INSERT INTO raw (key, body) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`)
		if err != nil {
			return err
		}
		defer insert.Close() //nolint:errcheck // with the transaction
		for i := range blocks {
			b := &blocks[i]
			k.body = k.coder.AppendPoints(k.body[:0], &b.points)
			r, err := insert.ExecContext(ctx, raw().key(b.start, b.id), k.body)
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil || n == 0 {
				if err := errors.Join(err, k.extend(ctx, tx, b)); err != nil {
					return err
				}
			}
			points += b.points.Len() - b.journaled
			memory += b.points.Len()
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.written.Add(uint64(points))
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(blocks)
	k.full = k.full[len(blocks):] // new ones are appended behind
	k.memory -= memory
	return nil
}

// extend appends a block to the row of the same ten minutes: points that came
// when the head had become a block already.
func (k *keeper) extend(ctx context.Context, tx *sql.Tx, b *sealed) error {
	var body []byte
	if err := tx.QueryRowContext(ctx, `SELECT body FROM raw WHERE key = ?`, raw().key(b.start, b.id)).Scan(&body); err != nil {
		return err
	}
	var all block.Points
	if err := k.coder.ReadPoints(body, &all); err != nil {
		k.damagedRow()
		all = block.Points{FirstSpan: b.points.FirstSpan}
	}
	for i, offset := range b.points.Offsets {
		if n := all.Len(); n == 0 || offset > all.Offsets[n-1] {
			all.Add(offset, b.points.Values[i], b.points.Qualities[i])
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE raw SET body = ? WHERE key = ?`, k.coder.AppendPoints(nil, &all), raw().key(b.start, b.id))
	return err
}

// checkpoint brings what is in the write-ahead log to the disk.
func (k *keeper) checkpoint(ctx context.Context) error {
	k.checkpointed = time.Now()
	_, err := k.db.w.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
	return classify(err)
}
