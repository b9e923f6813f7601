// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"math"
	"time"
)

// AuditRow is an entry of the audit log.
type AuditRow struct {
	ID      int64 // rises with each row
	At      time.Time
	Kind    string // of caller
	Who     string // by id, empty for who has none
	Origin  string // address
	Act     string
	Object  string
	Outcome string
	Why     string
	Times   int64 // that it happened, until At
}

// AppendAudit adds rows in their order; their ids are given here.
func (s *Store) AppendAudit(ctx context.Context, rows []AuditRow) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		var last int64
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(id), 0) FROM audit`).Scan(&last); err != nil {
			return err
		}
		for i, r := range rows {
			_, err := tx.ExecContext(ctx, `INSERT INTO audit (id, at_ms, kind, who, origin, act, object, outcome, why, times) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				last+1+int64(i), stamp(r.At), r.Kind, r.Who, r.Origin, r.Act, r.Object, r.Outcome, r.Why, r.Times)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// AuditPage are rows before an id, newest first; 0 begins with the newest. An
// outcome that is not empty chooses those that ended so.
func (r reads) AuditPage(ctx context.Context, before int64, outcome string, limit int) ([]AuditRow, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	query, args := `SELECT id, at_ms, kind, who, origin, act, object, outcome, why, times FROM audit WHERE id < ?`, []any{before}
	if outcome != "" {
		query, args = query+` AND outcome = ?`, append(args, outcome)
	}
	out, err := list(ctx, r.q, func(row scanner) (a AuditRow, err error) {
		var at int64
		err = row.Scan(&a.ID, &at, &a.Kind, &a.Who, &a.Origin, &a.Act, &a.Object, &a.Outcome, &a.Why, &a.Times)
		a.At = unstamp(at)
		return a, err
	}, query+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", classify(err))
	}
	return out, nil
}

// SweepAudit forgets rows of an outcome that are older than an instant, and the
// oldest of those beyond most.
func (s *Store) SweepAudit(ctx context.Context, outcome string, before time.Time, most int) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM audit WHERE outcome = ? AND at_ms < ?`, outcome, stamp(before)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM audit WHERE outcome = ? AND id <=
			COALESCE((SELECT id FROM audit WHERE outcome = ? ORDER BY id DESC LIMIT 1 OFFSET ?), 0)`, outcome, outcome, most)
		return err
	})
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}
