// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// ErrRevision: somebody else has changed the register in between.
var ErrRevision = errors.New("the register was changed by somebody else meanwhile: look at it again, then repeat")

// AppendRegister records a revision behind the newest one, whose number it
// must name: rev.Number − 1. Otherwise the error wraps [ErrRevision], and nothing
// is recorded.
func (s *Store) AppendRegister(ctx context.Context, rev roll.Revision) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		var newest int64
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(revision), 0) FROM register_revision`).Scan(&newest); err != nil {
			return err
		}
		if newest != rev.Number-1 {
			return fmt.Errorf("%w (it is at revision %d, not %d)", ErrRevision, newest, rev.Number-1)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO register_revision (revision, actor, note, recorded_ms, world_ms) VALUES (?, ?, ?, ?, ?)`,
			rev.Number, rev.Actor, rev.Note, rev.Recorded.UnixMilli(), int64(rev.World))
		if err != nil {
			return err
		}
		for i, c := range rev.Changes {
			body, err := encodeChange(c)
			if err != nil {
				return err
			}
			ref := c.Entry.Ref()
			_, err = tx.ExecContext(ctx, `INSERT INTO register_change (revision, idx, from_ms, op, kind, id, body) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				rev.Number, i, int64(c.From), string(c.Op), string(ref.Kind), ref.ID, body)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording revision %d of the register: %w", rev.Number, err)
	}
	return nil
}

// Register are all revisions, oldest first; none in a database whose community
// was not founded yet.
func (r reads) Register(ctx context.Context) ([]roll.Revision, error) {
	revisions, err := r.registerRevisions(ctx)
	if err == nil {
		err = r.registerChanges(ctx, revisions)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the register: %w", classify(err))
	}
	return revisions, nil
}

func (r reads) registerRevisions(ctx context.Context) (out []roll.Revision, err error) {
	rows, err := r.q.QueryContext(ctx, `SELECT revision, actor, note, recorded_ms, world_ms FROM register_revision ORDER BY revision`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var rev roll.Revision
		var recorded, world int64
		if err := rows.Scan(&rev.Number, &rev.Actor, &rev.Note, &recorded, &world); err != nil {
			return nil, err
		}
		rev.Recorded, rev.World = time.UnixMilli(recorded).UTC(), energy.Instant(world)
		if rev.Number != int64(len(out))+1 {
			return nil, fmt.Errorf("%w: revision %d of the register is missing", ErrDamaged, len(out)+1)
		}
		out = append(out, rev)
	}
	return out, rows.Err()
}

func (r reads) registerChanges(ctx context.Context, revisions []roll.Revision) error {
	rows, err := r.q.QueryContext(ctx, `SELECT revision, from_ms, op, kind, id, body FROM register_change ORDER BY revision, idx`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number, from int64
		var op, kind, id, body string
		if err := rows.Scan(&number, &from, &op, &kind, &id, &body); err != nil {
			return err
		}
		c, err := decodeChange(roll.Ref{Kind: roll.Kind(kind), ID: id}, body)
		if err == nil && (number < 1 || number > int64(len(revisions))) {
			err = errors.New("it belongs to no revision")
		}
		if err != nil {
			return fmt.Errorf("%w: a change of %s %s in revision %d of the register: %w", ErrDamaged, kind, id, number, err)
		}
		c.From, c.Op = energy.Instant(from), roll.Op(op)
		rev := &revisions[number-1]
		rev.Changes = append(rev.Changes, c)
	}
	return rows.Err()
}

// eraseNames takes a member's names, and what she bid and offered, out of the
// register's history.
func eraseNames(ctx context.Context, tx *txn, member roll.MemberID) error {
	type row struct {
		revision, idx int64
		body          string
	}
	var found []row
	rows, err := tx.QueryContext(ctx, `SELECT revision, idx, body FROM register_change WHERE kind = ? AND id = ? ORDER BY revision, idx`, string(roll.KindMember), string(member))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var x row
		if err := rows.Scan(&x.revision, &x.idx, &x.body); err != nil {
			return err
		}
		found = append(found, x)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, x := range found {
		c, err := decodeChange(roll.Ref{Kind: roll.KindMember, ID: string(member)}, x.body)
		if err != nil {
			return err
		}
		c.Entry.Member.Name, c.Entry.Member.Bid, c.Entry.Member.Offer = "", nil, nil
		body, err := encodeChange(c)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE register_change SET body = ? WHERE revision = ? AND idx = ?`, body, x.revision, x.idx); err != nil {
			return err
		}
	}
	return nil
}
