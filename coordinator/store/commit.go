// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/energy"
)

// MaxLeaves bounds the leaves of one Commit call.
const MaxLeaves = 10_000

// NewLeaf is a leaf to append. Rows are those of a settled interval; Commit
// sorts them and fills the leaf's commitments.
type NewLeaf struct {
	Leaf ledger.Leaf
	Rows []ledger.Row
}

// Commit appends leaves to the ledger in one transaction: the leaves, the
// tree, the annex, the postings and the signed checkpoint. It returns the index
// of the first and the ledger's size after them. A reversal and its successor
// belong into one call.
//
// It refuses an epoch that is not the one in force ([ErrEpoch]), leaves that do
// not follow from those before ([ErrChain]) and rows whose sums are not the
// leaf's totals ([ledger.ErrBalance]). After [ErrUnreachable] it may be called
// again with the same leaves: they are stored once.
func (s *Store) Commit(ctx context.Context, epoch int64, leaves []NewLeaf) (firstIndex, size int64, err error) {
	if len(leaves) == 0 || len(leaves) > MaxLeaves {
		return 0, 0, fmt.Errorf("ledger: a commit of %d leaves, 1 to %d are possible", len(leaves), MaxLeaves)
	}
	if first, size, done, err := s.answer(ctx, leaves); err != nil || done {
		return first, size, ledgerError(err)
	}
	err = s.write(ctx, func(ctx context.Context, tx *txn) (err error) {
		if epoch != tx.epoch {
			return fmt.Errorf("%w: it is %d, in force is %d", ErrEpoch, epoch, tx.epoch)
		}
		if firstIndex, err = nextLeaf(ctx, tx); err != nil {
			return err
		}
		c := committer{s: s, tx: tx, epoch: epoch, index: firstIndex}
		for i, l := range leaves {
			if err := c.append(ctx, l); err != nil {
				return fmt.Errorf("leaf %d of %d: %w", i+1, len(leaves), err)
			}
		}
		size = c.index
		if err := c.checkReversed(ctx, firstIndex); err != nil {
			return err
		}
		return c.checkpoint(ctx)
	})
	if lost, ok := errors.AsType[*noAnswer](err); ok {
		err = errors.Join(err, s.open.leave(lost.mark, leaves, firstIndex, size))
	}
	if err != nil {
		return 0, 0, ledgerError(err)
	}
	return firstIndex, size, nil
}

func ledgerError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ledger: %w", err)
}

// nextLeaf is the index of the next leaf, which is the ledger's size.
func nextLeaf(ctx context.Context, q querier) (int64, error) {
	var highest sql.NullInt64
	if err := q.QueryRowContext(ctx, `SELECT MAX(idx) FROM leaf`).Scan(&highest); err != nil || !highest.Valid {
		return 0, err
	}
	return highest.Int64 + 1, nil
}

// committer appends leaves within one transaction.
type committer struct {
	s     *Store
	tx    *txn
	epoch int64
	index int64 // of the leaf that comes next
}

func (c *committer) append(ctx context.Context, l NewLeaf) error {
	if l.Leaf.Community != c.s.community {
		return fmt.Errorf("%w: it is of community %q, the ledger of %q", ErrChain, l.Leaf.Community, c.s.community)
	}
	if l.Leaf.Settled == nil && len(l.Rows) > 0 {
		return fmt.Errorf("%w: only a settled interval has rows", ErrChain)
	}
	var private annex
	if l.Leaf.Settled != nil {
		settled := *l.Leaf.Settled // the caller's stays as it is
		l.Leaf.Settled = &settled
		l.Rows = slices.Clone(l.Rows)
		var err error
		if private, err = c.commitments(ctx, &settled, l.Rows); err != nil {
			return err
		}
	}
	body, err := ledger.EncodeLeaf(l.Leaf)
	if err != nil {
		return err
	}
	if err := c.insertLeaf(ctx, string(l.Leaf.Kind), body); err != nil {
		return err
	}
	switch l.Leaf.Kind {
	case ledger.KindCharterActivated:
		err = c.activate(ctx, *l.Leaf.Charter)
	case ledger.KindIntervalSettled:
		err = c.settle(ctx, *l.Leaf.Settled, private)
	case ledger.KindReversal:
		err = c.reverse(ctx, *l.Leaf.Reversal)
	}
	c.index++
	return err
}

// annex is what an interval's leaf only commits to, ready to be stored.
type annex struct {
	rows  []ledger.Row
	salts [][32]byte
	sheet *ledger.Sheet
}

// commitments sorts the rows, salts them and fills the leaf's commitments.
func (c *committer) commitments(ctx context.Context, settled *ledger.IntervalSettled, rows []ledger.Row) (annex, error) {
	ledger.SortRows(rows)
	sheet, err := ledger.ReadRows(rows)
	if err != nil {
		return annex{}, err
	}
	if err := sheet.CheckTotals(settled.Pools); err != nil {
		return annex{}, err
	}
	a := annex{rows, make([][32]byte, len(rows)), sheet}
	settled.Commitments = make([]string, len(rows))
	for i, r := range rows {
		secret, err := c.secret(ctx, r.Subject)
		if err != nil {
			return annex{}, err
		}
		a.salts[i] = ledger.Salt(secret, ledger.SaltKey(*settled, r))
		if settled.Commitments[i], err = ledger.Commit(a.salts[i], r); err != nil {
			return annex{}, err
		}
	}
	return a, nil
}

func (c *committer) insertLeaf(ctx context.Context, kind string, body []byte) error {
	hashes, err := ledger.TreeHashes(c.index, body, reads{c.tx}.hashes(ctx))
	if err != nil {
		return err
	}
	if _, err := c.tx.ExecContext(ctx, `INSERT INTO leaf (idx, kind, epoch, body) VALUES (?, ?, ?, ?)`, c.index, kind, c.epoch, body); err != nil {
		return err
	}
	at := tlog.StoredHashIndex(0, c.index)
	args := make([]any, 0, 2*len(hashes))
	for i, h := range hashes {
		args = append(args, at+int64(i), h[:])
	}
	_, err = c.tx.ExecContext(ctx, `INSERT INTO tree_hash (idx, hash) VALUES `+tuples(len(hashes), 2), args...)
	return err
}

func (c *committer) activate(ctx context.Context, a ledger.CharterActivated) error {
	hash, err := a.Charter.Hash()
	if err != nil {
		return err
	}
	if hash != a.Hash {
		return fmt.Errorf("%w: the charter's hash is %s, not %s", ErrChain, hash, a.Hash)
	}
	_, err = c.tx.ExecContext(ctx, `INSERT INTO charter_activation (leaf, hash, effective_ms) VALUES (?, ?, ?)`,
		c.index, a.Hash, int64(a.Effective))
	return err
}

func (c *committer) settle(ctx context.Context, settled ledger.IntervalSettled, a annex) error {
	if err := c.checkSettled(ctx, settled); err != nil {
		return err
	}
	_, err := c.tx.ExecContext(ctx, `INSERT INTO settled (leaf, start_ms, length_ms, revision) VALUES (?, ?, ?, ?)`,
		c.index, int64(settled.Interval.Start), int64(settled.Interval.Length), settled.Revision)
	if err != nil {
		return err
	}
	args := make([]any, 0, 7*len(a.rows))
	for i, r := range a.rows {
		args = append(args, c.index, i, string(r.Kind), r.Key, string(r.Subject), []byte(r.Body), a.salts[i][:])
	}
	if err := c.insert(ctx, `INSERT INTO annex_row (leaf, idx, kind, row_key, subject, body, salt) VALUES `, 7, args); err != nil {
		return err
	}
	if err := c.book(ctx, a); err != nil {
		return err
	}
	return c.sums(ctx, a.sheet.Members)
}

// checkSettled refuses an interval that is settled already, a revision that
// does not count up and a charter that is not in force.
func (c *committer) checkSettled(ctx context.Context, settled ledger.IntervalSettled) error {
	start, end := int64(settled.Interval.Start), int64(settled.Interval.End())
	var other sql.NullInt64
	err := c.tx.QueryRowContext(ctx, `SELECT MIN(leaf) FROM settled
		WHERE reversed_by IS NULL AND start_ms < ? AND start_ms + length_ms > ? AND start_ms > ?`,
		end, start, start-int64(energy.Day)).Scan(&other)
	if err != nil {
		return err
	}
	if other.Valid {
		return fmt.Errorf("%w: interval %s is settled by leaf %d; reverse that first", ErrChain, settled.Interval, other.Int64)
	}
	var latest sql.NullInt64
	if err := c.tx.QueryRowContext(ctx, `SELECT MAX(revision) FROM settled WHERE start_ms = ?`, start).Scan(&latest); err != nil {
		return err
	}
	want := int64(0)
	if latest.Valid {
		want = latest.Int64 + 1
	}
	if int64(settled.Revision) != want {
		return fmt.Errorf("%w: interval %s has revision %d, next is %d", ErrChain, settled.Interval, settled.Revision, want)
	}
	var hash string
	err = c.tx.QueryRowContext(ctx, `SELECT hash FROM charter_activation WHERE effective_ms <= ? ORDER BY leaf DESC LIMIT 1`, start).Scan(&hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if hash != settled.CharterHash {
		return fmt.Errorf("%w: interval %s is settled under charter %.12s, in force then was %.12q", ErrChain, settled.Interval, settled.CharterHash, hash)
	}
	return nil
}

func (c *committer) book(ctx context.Context, a annex) error {
	bookings, err := a.sheet.Book()
	if err != nil {
		return err
	}
	args := make([]any, 0, 6*len(bookings))
	for i, b := range bookings {
		subject := ""
		if b.Row >= 0 {
			subject = string(a.rows[b.Row].Subject)
		}
		args = append(args, c.index, i, subject, string(b.Pool), b.Account, int64(b.Amount))
	}
	return c.insert(ctx, `INSERT INTO entry (leaf, idx, subject, pool, account, amount_mwh) VALUES `, 6, args)
}

// sums keeps what pages ask for often in columns.
func (c *committer) sums(ctx context.Context, members []ledger.MemberRow) error {
	args := make([]any, 0, 6*len(members))
	for _, m := range members {
		args = append(args, c.index, string(m.Member), string(m.Pool), int64(m.Share), int64(m.FromStorage), int64(m.OwnUse+m.Demand))
	}
	return c.insert(ctx, `INSERT INTO member_interval (leaf, member, pool, share_mwh, from_storage_mwh, consumption_mwh) VALUES `, 6, args)
}

func (c *committer) reverse(ctx context.Context, r ledger.Reversal) error {
	res, err := c.tx.ExecContext(ctx, `UPDATE settled SET reversed_by = ?
		WHERE leaf = ? AND reversed_by IS NULL AND start_ms = ? AND length_ms = ?`,
		c.index, r.Leaf, int64(r.Interval.Start), int64(r.Interval.Length))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("%w: leaf %d does not settle interval %s, or is reversed already", ErrChain, r.Leaf, r.Interval), err)
	}
	_, err = c.tx.ExecContext(ctx, `INSERT INTO entry (leaf, idx, subject, pool, account, amount_mwh)
		SELECT CAST(? AS BIGINT), idx, subject, pool, account, -amount_mwh FROM entry WHERE leaf = ?`, c.index, r.Leaf)
	return err
}

// checkReversed refuses a commit that takes an interval back and leaves it unsettled.
func (c *committer) checkReversed(ctx context.Context, firstIndex int64) error {
	var start sql.NullInt64
	err := c.tx.QueryRowContext(ctx, `SELECT MIN(r.start_ms) FROM settled r WHERE r.reversed_by >= ? AND NOT EXISTS
		(SELECT 1 FROM settled s WHERE s.start_ms = r.start_ms AND s.reversed_by IS NULL)`, firstIndex).Scan(&start)
	if err == nil && start.Valid {
		err = fmt.Errorf("%w: the interval at %s is taken back and not settled again in the same commit", ErrChain, energy.Instant(start.Int64))
	}
	return err
}

func (c *committer) checkpoint(ctx context.Context) error {
	root, err := tlog.TreeHash(c.index, reads{c.tx}.hashes(ctx))
	if err != nil {
		return err
	}
	signed, err := ledger.SignCheckpoint(ledger.Checkpoint{
		Origin: c.s.community, Size: c.index, Root: root, Simulated: c.s.simulated,
	}, c.s.signer)
	if err != nil {
		return err
	}
	_, err = c.tx.ExecContext(ctx, `INSERT INTO checkpoint (size, note) VALUES (?, ?)`, c.index, signed)
	return err
}

// insert writes rows of so many columns, a bounded number with each statement.
func (c *committer) insert(ctx context.Context, into string, columns int, args []any) error {
	const most = 50
	for len(args) > 0 {
		n := min(len(args)/columns, most)
		if _, err := c.tx.ExecContext(ctx, into+tuples(n, columns), args[:n*columns]...); err != nil {
			return err
		}
		args = args[n*columns:]
	}
	return nil
}
