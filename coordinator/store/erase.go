// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Erase forgets a member: her annex rows with their salts, her entries, her
// sums, the secret behind her salts, and the samples of the assets named. The
// leaves stay as they are; what they hold of her is commitments that nobody can
// open any more. It returns how many annex rows went.
//
// What is deleted is overwritten in the database and in its write-ahead log.
// Backups are the operator's to forget.
func (s *Store) Erase(ctx context.Context, member roll.MemberID, assets ...roll.AssetID) (rows int64, err error) {
	if member == "" {
		return 0, fmt.Errorf("erasing: a member is needed, the community's own records stay")
	}
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM annex_row WHERE subject = ?`, string(member))
		if err != nil {
			return err
		}
		if rows, err = res.RowsAffected(); err != nil {
			return err
		}
		for _, q := range []string{
			`DELETE FROM entry WHERE subject = ?`,
			`DELETE FROM member_interval WHERE member = ?`,
			`DELETE FROM subject_secret WHERE subject = ?`,
		} {
			if _, err := tx.ExecContext(ctx, q, string(member)); err != nil {
				return err
			}
		}
		for _, a := range assets {
			if _, err := tx.ExecContext(ctx, `DELETE FROM inbox WHERE series IN (SELECT id FROM series WHERE asset = ?)`, string(a)); err != nil {
				return err
			}
		}
		delete(s.secrets, member)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("erasing member %q: %w", member, err)
	}
	if err := s.truncateLog(ctx); err != nil {
		return rows, fmt.Errorf("erasing member %q: the records are gone, but the write-ahead log still holds them; erase again later: %w", member, err)
	}
	return rows, nil
}

// truncateLog moves the write-ahead log into the database and empties it.
func (s *Store) truncateLog(ctx context.Context) error {
	var busy, pages, moved int64
	err := s.w.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved)
	if err != nil {
		return classify(err)
	}
	if busy != 0 {
		return ErrBusy
	}
	return nil
}
