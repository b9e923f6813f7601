// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// reads are the methods that change nothing; [Store], [Snapshot] and [Reader]
// have them in common. They implement [ledger.Log].
type reads struct{ q querier }

var (
	_ ledger.Log = (*Store)(nil)
	_ ledger.Log = (*Reader)(nil)
	_ ledger.Log = (*Snapshot)(nil)
)

const (
	leafPage = 200 // leaves held at a time
	// MaxPage bounds the intervals of one SettledPage call.
	MaxPage = 1000
)

// Size is the number of leaves.
func (r reads) Size(ctx context.Context) (int64, error) {
	n, err := nextLeaf(ctx, r.q)
	if err != nil {
		return 0, fmt.Errorf("ledger size: %w", classify(err))
	}
	return n, nil
}

// Leaves hands out the leaves from the given index on, in order.
func (r reads) Leaves(ctx context.Context, from int64, fn func(index int64, leaf []byte) error) error {
	for {
		page, err := collect(ctx, r.q, func(rows *sql.Rows, l *indexed) error { return rows.Scan(&l.index, &l.body) },
			`SELECT idx, body FROM leaf WHERE idx >= ? ORDER BY idx LIMIT ?`, from, leafPage)
		if err != nil {
			return fmt.Errorf("leaves from %d: %w", from, err)
		}
		for _, l := range page {
			if err := fn(l.index, l.body); err != nil {
				return err
			}
			from = l.index + 1
		}
		if len(page) < leafPage {
			return nil
		}
	}
}

type indexed struct {
	index int64
	body  []byte
}

// Rows are what the annex still has of a leaf.
func (r reads) Rows(ctx context.Context, leaf int64) ([]ledger.StoredRow, error) {
	rows, err := collect(ctx, r.q, scanRow,
		`SELECT idx, kind, row_key, subject, body, salt FROM annex_row WHERE leaf = ? ORDER BY idx`, leaf)
	if err != nil {
		return nil, fmt.Errorf("annex of leaf %d: %w", leaf, err)
	}
	return rows, nil
}

func scanRow(rows *sql.Rows, s *ledger.StoredRow) error {
	var body, salt []byte
	if err := rows.Scan(&s.Index, &s.Row.Kind, &s.Row.Key, &s.Row.Subject, &body, &salt); err != nil {
		return err
	}
	s.Row.Body = body
	copy(s.Salt[:], salt) // of another length: the commitment will not open
	return nil
}

// Entries are a leaf's postings.
func (r reads) Entries(ctx context.Context, leaf int64) ([]ledger.Entry, error) {
	entries, err := collect(ctx, r.q,
		func(rows *sql.Rows, e *ledger.Entry) error { return rows.Scan(&e.Pool, &e.Account, &e.Amount) },
		`SELECT pool, account, amount_mwh FROM entry WHERE leaf = ? ORDER BY idx`, leaf)
	if err != nil {
		return nil, fmt.Errorf("entries of leaf %d: %w", leaf, err)
	}
	return entries, nil
}

// Checkpoint is the newest signed checkpoint; nil while the ledger is empty.
func (r reads) Checkpoint(ctx context.Context) ([]byte, error) {
	var note []byte
	err := r.q.QueryRowContext(ctx, `SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1`).Scan(&note)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("checkpoint: %w", classify(err))
	}
	return note, nil
}

// CheckpointAt is the checkpoint that was signed at a size; nil where none was.
func (r reads) CheckpointAt(ctx context.Context, size int64) ([]byte, error) {
	var note []byte
	err := r.q.QueryRowContext(ctx, `SELECT note FROM checkpoint WHERE size = ?`, size).Scan(&note)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("checkpoint of %d leaves: %w", size, classify(err))
	}
	return note, nil
}

// TreeHashes reads stored hashes of the tree, at indexes as package tlog counts them.
func (r reads) TreeHashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, 0, len(indexes))
	for len(indexes) > 0 {
		n := min(len(indexes), 500)
		part, err := r.treeHashes(ctx, indexes[:n])
		if err != nil {
			return nil, fmt.Errorf("tree hashes: %w", err)
		}
		out = append(out, part...)
		indexes = indexes[n:]
	}
	return out, nil
}

func (r reads) treeHashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	args := make([]any, len(indexes))
	for i, x := range indexes {
		args[i] = x
	}
	found, err := collect(ctx, r.q, func(rows *sql.Rows, h *indexed) error { return rows.Scan(&h.index, &h.body) },
		`SELECT idx, hash FROM tree_hash WHERE idx IN (`+strings.Repeat("?,", len(args)-1)+`?)`, args...)
	if err != nil {
		return nil, err
	}
	by := make(map[int64]tlog.Hash, len(found))
	for _, h := range found {
		if len(h.body) == tlog.HashSize {
			by[h.index] = tlog.Hash(h.body)
		}
	}
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		h, ok := by[x]
		if !ok {
			return nil, fmt.Errorf("tree hash %d: %w", x, ledger.ErrDamaged)
		}
		out[i] = h
	}
	return out, nil
}

// hashes adapts r to package tlog.
func (r reads) hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return r.TreeHashes(ctx, indexes) })
}

// SettledRecord is a settled interval with what the annex still has of it.
type SettledRecord struct {
	Index   int64 // of its leaf
	Settled ledger.IntervalSettled
	Rows    []ledger.Row // fewer than Settled.Commitments where some were erased
}

// LatestSettled are the intervals that start at or after from and are not
// reversed, in order of time.
func (r reads) LatestSettled(ctx context.Context, from energy.Instant) ([]SettledRecord, error) {
	records, err := r.settled(ctx, `SELECT l.idx, l.body FROM settled s JOIN leaf l ON l.idx = s.leaf
		WHERE s.reversed_by IS NULL AND s.start_ms >= ? ORDER BY s.start_ms`, int64(from))
	if err != nil {
		return nil, fmt.Errorf("settled intervals from %s: %w", from, err)
	}
	return records, nil
}

// SettledPage are at most limit intervals that start before the given instant
// and are not reversed, the latest first.
func (r reads) SettledPage(ctx context.Context, before energy.Instant, limit int) ([]SettledRecord, error) {
	records, err := r.settled(ctx, `SELECT l.idx, l.body FROM settled s JOIN leaf l ON l.idx = s.leaf
		WHERE s.reversed_by IS NULL AND s.start_ms < ? ORDER BY s.start_ms DESC LIMIT ?`, int64(before), max(0, min(limit, MaxPage)))
	if err != nil {
		return nil, fmt.Errorf("settled intervals before %s: %w", before, err)
	}
	return records, nil
}

// SettledFrom are at most limit intervals that start in [from, until) and are not
// reversed, in order of time.
func (r reads) SettledFrom(ctx context.Context, from, until energy.Instant, limit int) ([]SettledRecord, error) {
	records, err := r.settled(ctx, `SELECT l.idx, l.body FROM settled s JOIN leaf l ON l.idx = s.leaf
		WHERE s.reversed_by IS NULL AND s.start_ms >= ? AND s.start_ms < ? ORDER BY s.start_ms LIMIT ?`, int64(from), int64(until), max(0, min(limit, MaxPage)))
	if err != nil {
		return nil, fmt.Errorf("settled intervals from %s: %w", from, err)
	}
	return records, nil
}

// SettledCount is how many intervals SettledFrom has for a span in all.
func (r reads) SettledCount(ctx context.Context, from, until energy.Instant) (n int64, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT COUNT(*) FROM settled
		WHERE reversed_by IS NULL AND start_ms >= ? AND start_ms < ?`, int64(from), int64(until)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting settled intervals: %w", classify(err))
	}
	return n, nil
}

func (r reads) settled(ctx context.Context, query string, args ...any) ([]SettledRecord, error) {
	leaves, err := collect(ctx, r.q, func(rows *sql.Rows, l *indexed) error { return rows.Scan(&l.index, &l.body) }, query, args...)
	if err != nil {
		return nil, err
	}
	out := make([]SettledRecord, 0, len(leaves))
	for _, l := range leaves {
		leaf, err := ledger.DecodeLeaf(l.body)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", l.index, err)
		}
		if leaf.Settled == nil {
			return nil, fmt.Errorf("leaf %d: %w: it settles nothing", l.index, ErrChain)
		}
		stored, err := r.Rows(ctx, l.index)
		if err != nil {
			return nil, err
		}
		rec := SettledRecord{Index: l.index, Settled: *leaf.Settled, Rows: make([]ledger.Row, len(stored))}
		for i, s := range stored {
			rec.Rows[i] = s.Row
		}
		out = append(out, rec)
	}
	return out, nil
}

// FirstInterval is the earliest interval that is settled; ok is false where there is none.
func (r reads) FirstInterval(ctx context.Context) (i energy.Interval, ok bool, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT start_ms, length_ms FROM settled
		WHERE reversed_by IS NULL ORDER BY start_ms LIMIT 1`).Scan(&i.Start, &i.Length)
	if errors.Is(err, sql.ErrNoRows) {
		return energy.Interval{}, false, nil
	}
	if err != nil {
		return energy.Interval{}, false, fmt.Errorf("first interval: %w", classify(err))
	}
	return i, true, nil
}

// MemberSum is what a member got and used over a span of time.
type MemberSum struct {
	Share       energy.Energy // from the sun
	FromStorage energy.Energy
	Consumption energy.Energy // own use and demand
}

// MemberSums adds up the unreversed intervals that start in [from, to).
func (r reads) MemberSums(ctx context.Context, from, to energy.Instant) (map[roll.MemberID]MemberSum, error) {
	type line struct {
		member roll.MemberID
		sum    MemberSum
	}
	lines, err := collect(ctx, r.q, func(rows *sql.Rows, l *line) error {
		return rows.Scan(&l.member, &l.sum.Share, &l.sum.FromStorage, &l.sum.Consumption)
	}, `SELECT m.member, CAST(SUM(m.share_mwh) AS BIGINT), CAST(SUM(m.from_storage_mwh) AS BIGINT), CAST(SUM(m.consumption_mwh) AS BIGINT)
		FROM settled s JOIN member_interval m ON m.leaf = s.leaf
		WHERE s.reversed_by IS NULL AND s.start_ms >= ? AND s.start_ms < ?
		GROUP BY m.member`, int64(from), int64(to))
	if err != nil {
		return nil, fmt.Errorf("member sums: %w", err)
	}
	out := make(map[roll.MemberID]MemberSum, len(lines))
	for _, l := range lines {
		out[l.member] = l.sum
	}
	return out, nil
}

// Activation is a charter that was put in force, and the leaf that says so.
type Activation struct {
	Index int64
	ledger.CharterActivated
}

// ActiveCharter is the charter that was activated last; ok is false before the first.
// It may take effect later, see Effective.
func (r reads) ActiveCharter(ctx context.Context) (a Activation, ok bool, err error) {
	var l indexed
	err = r.q.QueryRowContext(ctx, `SELECT l.idx, l.body FROM charter_activation c JOIN leaf l ON l.idx = c.leaf
		ORDER BY c.leaf DESC LIMIT 1`).Scan(&l.index, &l.body)
	if errors.Is(err, sql.ErrNoRows) {
		return Activation{}, false, nil
	}
	if err != nil {
		return Activation{}, false, fmt.Errorf("charter in force: %w", classify(err))
	}
	leaf, err := ledger.DecodeLeaf(l.body)
	if err != nil || leaf.Charter == nil {
		return Activation{}, false, fmt.Errorf("charter in force, leaf %d: %w", l.index, errors.Join(ledger.ErrDamaged, err))
	}
	return Activation{l.index, *leaf.Charter}, true, nil
}

// Activations are all charters that were ever put in force, in their order. They
// are few: each was decided by people.
func (r reads) Activations(ctx context.Context) ([]Activation, error) {
	leaves, err := collect(ctx, r.q, func(rows *sql.Rows, l *indexed) error { return rows.Scan(&l.index, &l.body) },
		`SELECT l.idx, l.body FROM charter_activation c JOIN leaf l ON l.idx = c.leaf ORDER BY c.leaf`)
	if err != nil {
		return nil, fmt.Errorf("charters: %w", err)
	}
	out := make([]Activation, len(leaves))
	for i, l := range leaves {
		leaf, err := ledger.DecodeLeaf(l.body)
		if err != nil || leaf.Charter == nil {
			return nil, fmt.Errorf("charter, leaf %d: %w", l.index, errors.Join(ledger.ErrDamaged, err))
		}
		out[i] = Activation{l.index, *leaf.Charter}
	}
	return out, nil
}

// CharterOf is the charter that a settlement was made by.
func (r reads) CharterOf(ctx context.Context, settled *ledger.IntervalSettled) (charter.Charter, error) {
	all, err := r.Activations(ctx)
	if err != nil {
		return charter.Charter{}, err
	}
	for _, a := range slices.Backward(all) {
		if a.Hash == settled.CharterHash {
			return a.Charter, nil
		}
	}
	return charter.Charter{}, fmt.Errorf("the charter %.12s that %v was settled by: %w", settled.CharterHash, settled.Interval, ledger.ErrDamaged)
}

// collect runs a query to its end, so that no two are open at a time.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows, *T) error, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close() // rows.Err says what went wrong
	var out []T
	for rows.Next() {
		var v T
		if err := scan(rows, &v); err != nil {
			return nil, fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		out = append(out, v)
	}
	return out, classify(rows.Err())
}
