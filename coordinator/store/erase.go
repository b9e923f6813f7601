// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Erase forgets a member: her annex rows with their salts, her entries, her
// sums, the secret behind her salts, her names in the register's history, and the
// samples of the assets named. The
// leaves stay as they are; what they hold of her is commitments that nobody can
// open any more. It returns how many annex rows went.
//
// In a file, what is deleted is overwritten, also in the write-ahead log. A
// server frees it and overwrites it by and by. Backups are the operator's to
// forget.
func (s *Store) Erase(ctx context.Context, member roll.MemberID, assets ...roll.AssetID) (rows int64, err error) {
	if member == "" {
		return 0, fmt.Errorf("erasing: a member is needed, the community's own records stay")
	}
	err = s.write(ctx, func(ctx context.Context, tx *txn) error {
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
		if err := eraseNames(ctx, tx, member); err != nil {
			return err
		}
		return turnSeed(ctx, tx, member)
	})
	if err != nil {
		return 0, fmt.Errorf("erasing member %q: %w", member, err)
	}
	if err := s.engine.scrub(ctx, s.w); err != nil {
		return rows, fmt.Errorf("erasing member %q: the records are gone, but their bytes are still on the disk; erase again later: %w", member, classify(err))
	}
	return rows, nil
}
