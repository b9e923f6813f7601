// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/allmende-energy/allmende/energy"
)

// refillFor is how long, in world time, the gateways have after a restored
// ledger's first start to bring what came after the backup. Until then no
// interval is settled without data that are still on their way.
const refillFor = energy.Day

const (
	metaRestored = "restored"     // set by a restore, taken by the first start after it
	metaRefill   = "refill_until" // world time
)

// MarkRestored notes in a database of this program's schema that it comes from a
// backup, and closes the doors that may have been closed since: sessions,
// invitations and enrolment tokens end, because somebody may have signed out, or
// used one, after the backup was made. Nothing else may have it open.
func MarkRestored(ctx context.Context, database string) (err error) {
	e, err := engineAt(database, Options{})
	if err != nil {
		return err
	}
	db, err := e.connect(forWriting)
	if err != nil {
		return fmt.Errorf("store %s: %w", e, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, statement := range []string{
		`INSERT INTO meta (name, value) VALUES ('` + metaRestored + `', 'true') ON CONFLICT (name) DO NOTHING`,
		`DELETE FROM web_session`, `DELETE FROM invitation`, `DELETE FROM enrolment_token`,
	} {
		if _, err = db.ExecContext(ctx, statement); err != nil {
			break
		}
	}
	if err == nil {
		err = oneFile(ctx, e, db)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", e, classify(err))
	}
	return nil
}

// RefillUntil is the world time until which gateways fill the gap behind a
// backup that was restored; ok is false where none was, or that is over at now.
func (s *Store) RefillUntil(ctx context.Context, now energy.Instant) (until energy.Instant, ok bool, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *txn) error {
		_, first, err := getMeta(ctx, tx, metaRestored)
		if err != nil {
			return err
		}
		if first {
			if err := setMeta(ctx, tx, metaRefill, strconv.FormatInt(int64(now.Add(refillFor)), 10)); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM meta WHERE name = ?`, metaRestored); err != nil {
				return err
			}
		}
		v, err := getMetaInt(ctx, tx, metaRefill)
		until = energy.Instant(v)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("looking for a restored backup: %w", err)
	}
	return until, until > now, nil
}
