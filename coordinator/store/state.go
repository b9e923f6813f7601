// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// RaiseEpoch raises the fencing number and returns it: from now on no other
// holder of a lower one can write.
func (s *Store) RaiseEpoch(ctx context.Context) (int64, error) {
	var epoch int64
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		epoch = tx.epoch + 1
		return setMeta(ctx, tx, metaEpoch, strconv.FormatInt(epoch, 10))
	})
	if err != nil {
		return 0, fmt.Errorf("raising the epoch: %w", err)
	}
	s.epoch.Store(epoch)
	return epoch, nil
}

// SaveWorldTime remembers how far world time has come. A lower value changes nothing.
func (s *Store) SaveWorldTime(ctx context.Context, at energy.Instant) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		have, err := getMetaInt(ctx, tx, metaWorldTime)
		if err != nil || have >= int64(at) {
			return err
		}
		return setMeta(ctx, tx, metaWorldTime, strconv.FormatInt(int64(at), 10))
	})
	if err != nil {
		return fmt.Errorf("saving world time: %w", err)
	}
	return nil
}

// WorldTime is the highest world time saved; ok is false where there is none.
func (r reads) WorldTime(ctx context.Context) (at energy.Instant, ok bool, err error) {
	_, ok, err = getMeta(ctx, r.q, metaWorldTime)
	if err == nil && ok {
		var v int64
		v, err = getMetaInt(ctx, r.q, metaWorldTime)
		at = energy.Instant(v)
	}
	if err != nil {
		return 0, false, fmt.Errorf("world time: %w", classify(err))
	}
	return at, ok, nil
}

// CreateToken stores the hash of an enrolment token's secret.
func (s *Store) CreateToken(ctx context.Context, gateway roll.GatewayID, hash [32]byte, expires time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO enrolment_token (hash, gateway, expires_ms) VALUES (?, ?, ?)`,
			hash[:], string(gateway), expires.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("enrolment token of gateway %q: %w", gateway, err)
	}
	return nil
}

// UseToken takes a token, once, and says whose it is. The errors wrap [ErrToken].
func (s *Store) UseToken(ctx context.Context, hash [32]byte, now time.Time) (roll.GatewayID, error) {
	var gateway string
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		res, err := tx.ExecContext(ctx, `UPDATE enrolment_token SET used_ms = ?
			WHERE hash = ? AND used_ms IS NULL AND expires_ms > ?`, now.UnixMilli(), hash[:], now.UnixMilli())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(ErrToken, err)
		}
		return tx.QueryRowContext(ctx, `SELECT gateway FROM enrolment_token WHERE hash = ?`, hash[:]).Scan(&gateway)
	})
	if err != nil {
		return "", fmt.Errorf("using an enrolment token: %w", err)
	}
	return roll.GatewayID(gateway), nil
}

// SaveCertificate remembers that a gateway was given a certificate.
func (s *Store) SaveCertificate(ctx context.Context, gateway roll.GatewayID, serial string, notAfter time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO gateway_certificate (gateway, serial, not_after_ms) VALUES (?, ?, ?)
			ON CONFLICT (gateway, serial) DO UPDATE SET not_after_ms = excluded.not_after_ms`,
			string(gateway), serial, notAfter.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("certificate of gateway %q: %w", gateway, err)
	}
	return nil
}

// GatewayEnrolled says whether a gateway holds a certificate that is good at now.
func (r reads) GatewayEnrolled(ctx context.Context, gateway roll.GatewayID, now time.Time) (bool, error) {
	var n int
	err := r.q.QueryRowContext(ctx, `SELECT COUNT(*) FROM gateway_certificate WHERE gateway = ? AND not_after_ms > ?`,
		string(gateway), now.UnixMilli()).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("gateway %q: %w", gateway, classify(err))
	}
	return n > 0, nil
}
