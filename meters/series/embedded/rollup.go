// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/embedded/block"
)

// slice does a bounded part of what is due: it sums up some series, or lets go
// of some of the oldest rows. It says whether there is more to do.
func (k *keeper) slice(ctx context.Context) (more bool, err error) {
	k.mu.Lock()
	newest, ids := k.newest, make([]int64, 0, len(k.order))
	for _, h := range k.order {
		if h.id != 0 {
			ids = append(ids, h.id)
		}
	}
	k.mu.Unlock()
	if newest == 0 {
		return false, nil
	}
	m := *k.marks.Load()
	for _, due := range []func(context.Context, marks, energy.Instant, []int64) (bool, error){
		k.dropOld, k.dropBeyondCap, k.sumMinutes, k.sumQuarters, // letting go first: the sums need room
	} {
		if did, err := due(ctx, m, newest, ids); did || err != nil {
			return true, err
		}
	}
	return false, nil
}

// sumMinutes sums up the points of the next period by the minute.
func (k *keeper) sumMinutes(ctx context.Context, m marks, newest energy.Instant, ids []int64) (bool, error) {
	from, t := m.minuteUntil, minutes()
	oldest, found, err := k.oldest(ctx, raw(), from)
	if err != nil || !found {
		return false, err
	}
	from = max(from, t.floor(oldest)) // periods without points are passed over
	end := from.Add(t.length)
	if end.Add(lag) > newest || !k.closeTo(end) {
		return false, nil
	}
	sum := func(ctx context.Context, tx *sql.Tx, id int64) ([]series.Bucket, error) {
		into := series.NewCollector(series.Span{From: from, To: end}, series.Resolution(t.bucket))
		err := k.collectPoints(ctx, tx, &k.coder, id, series.Span{From: from, To: end}, into)
		return into.Buckets(), err
	}
	m.minuteUntil = end
	if m.quarterUntil == 0 {
		m.quarterUntil = quarters().floor(from)
	}
	return true, k.sum(ctx, t, from, ids, sum, m)
}

// closeTo takes no point before end any more, and says whether all there are
// stand in rows.
func (k *keeper) closeTo(end energy.Instant) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cut = max(k.cut, end)
	return k.oldestUnwritten() >= end
}

// sumQuarters sums up the minutes of the next day by the quarter-hour.
func (k *keeper) sumQuarters(ctx context.Context, m marks, _ energy.Instant, ids []int64) (bool, error) {
	from, t := m.quarterUntil, quarters()
	oldest, found, err := k.oldest(ctx, minutes(), from)
	if err != nil || !found {
		return false, err
	}
	from = max(from, t.floor(oldest))
	end := from.Add(t.length)
	if end > m.minuteUntil {
		return false, nil
	}
	sum := func(ctx context.Context, tx *sql.Tx, id int64) ([]series.Bucket, error) {
		into := series.NewCollector(series.Span{From: from, To: end}, series.Resolution(t.bucket))
		err := k.collectSums(ctx, tx, &k.coder, minutes(), id, series.Span{From: from, To: end}, into)
		return into.Buckets(), err
	}
	m.quarterUntil = end
	return true, k.sum(ctx, t, from, ids, sum, m)
}

// sum writes the sums of some series, and after the last of them how far it has come.
func (k *keeper) sum(ctx context.Context, t tier, from energy.Instant, ids []int64, of func(context.Context, *sql.Tx, int64) ([]series.Bucket, error), after marks) error {
	todo := ids[min(k.rolling, len(ids)):]
	todo = todo[:min(len(todo), seriesAtOnce)]
	done := k.rolling+len(todo) >= len(ids)
	err := k.db.write(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, `INSERT INTO `+t.table+` (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body`)
		if err != nil {
			return err
		}
		defer insert.Close() //nolint:errcheck // with the transaction
		for _, id := range todo {
			buckets, err := of(ctx, tx, id)
			if err != nil {
				return err
			}
			if len(buckets) == 0 {
				continue
			}
			k.body = k.coder.AppendBuckets(k.body[:0], from, t.bucket, buckets)
			if _, err := insert.ExecContext(ctx, t.key(from, id), k.body); err != nil {
				return err
			}
		}
		if done {
			return k.db.mark(ctx, tx, after)
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.rolling += len(todo)
	if done {
		k.rolling = 0
		k.marks.Store(&after)
	}
	return nil
}

// querier is what a database and a transaction have in common.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// rows hands out the rows of a series in a span, in order.
func (t tier) rows(ctx context.Context, q querier, id int64, span series.Span, fn func(start energy.Instant, body []byte) error) error {
	get, err := q.PrepareContext(ctx, `SELECT body FROM `+t.table+` WHERE key = ?`)
	if err != nil {
		return classify(err)
	}
	defer get.Close() //nolint:errcheck // it reads
	for start := t.floor(span.From); start < span.To; start = start.Add(t.length) {
		var body sql.RawBytes
		switch err := scanRaw(ctx, get, t.key(start, id), &body, func() error { return fn(start, body) }); {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return classify(err)
		}
	}
	return nil
}

// scanRaw reads one blob without copying it.
func scanRaw(ctx context.Context, get *sql.Stmt, key int64, body *sql.RawBytes, fn func() error) error {
	rows, err := get.QueryContext(ctx, key)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		return errors.Join(rows.Err(), sql.ErrNoRows)
	}
	if err := rows.Scan(body); err != nil {
		return err
	}
	return errors.Join(fn(), rows.Err())
}

// collectPoints collects the points of rows. A row that is damaged leaves a gap.
func (s *Store) collectPoints(ctx context.Context, q querier, coder *block.Coder, id int64, span series.Span, into *series.Collector) error {
	var points block.Points
	return raw().rows(ctx, q, id, span, func(start energy.Instant, body []byte) error {
		if err := coder.ReadPoints(body, &points); err != nil {
			s.damagedRow()
			return nil //nolint:nilerr // it is counted and shown
		}
		collect(start, &points, span, into)
		return nil
	})
}

// collect hands the points of a block that lie in a span to a collector.
func collect(start energy.Instant, points *block.Points, span series.Span, into *series.Collector) {
	for i, offset := range points.Offsets {
		if at := start.Add(energy.Span(offset)); at >= span.From && at < span.To {
			into.Add(at, points.Values[i], points.Qualities[i], points.Span(i))
		}
	}
}

// collectSums collects the sums of rows. A row that is damaged leaves a gap.
func (s *Store) collectSums(ctx context.Context, q querier, coder *block.Coder, t tier, id int64, span series.Span, into *series.Collector) error {
	var buckets []series.Bucket
	return t.rows(ctx, q, id, span, func(start energy.Instant, body []byte) (err error) {
		if buckets, err = coder.ReadBuckets(body, start, t.bucket, buckets[:0]); err != nil {
			s.damagedRow()
			return nil //nolint:nilerr // it is counted and shown
		}
		for _, b := range buckets {
			if b.Start >= span.From && b.Start < span.To {
				into.Merge(b)
			}
		}
		return nil
	})
}

func (s *Store) damagedRow() {
	n := s.damaged.Add(1)
	s.trouble.set(troubleRows, fmt.Sprintf("%s has rows that are damaged; they were met %d times and are left out: look at the disk (dmesg, smartctl)", s.path, n))
}

// oldest is the start of a tier's oldest row from an instant on.
func (k *keeper) oldest(ctx context.Context, t tier, from energy.Instant) (energy.Instant, bool, error) {
	var key sql.NullInt64
	err := k.db.w.QueryRowContext(ctx, `SELECT MIN(key) FROM `+t.table+` WHERE key >= ?`, t.key(t.floor(from), 0)).Scan(&key)
	if err != nil || !key.Valid {
		return 0, false, classify(err)
	}
	return energy.Instant(key.Int64 >> seriesBits * int64(t.length)), true, nil
}
