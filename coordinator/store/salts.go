// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Salts come from a secret for each member, so that leaves commit to what she
// used and say nothing of it. A member's secret is made of the community's salt
// seed when she is settled first, and kept: a ledger that was restored from a
// backup, in which she is not yet, makes the same one, and the leaves that are
// settled again are the same bytes.
//
// To erase a member her secret is deleted, and the seed is replaced by a hash of
// itself: from the new one nobody finds the old one, and without that nobody
// makes her secret again. Everybody else's is kept, or was never made.
const (
	metaSeed = "salt_seed"

	seedBytes   = 32
	secretLabel = "allmende member secret/1\x00"
	erasedLabel = "allmende seed after erasure/1\x00"
)

// claimSeed makes the community's salt seed, once.
func (s *Store) claimSeed(ctx context.Context, tx *txn) error {
	_, ok, err := getMeta(ctx, tx, metaSeed)
	if err != nil || ok {
		return err
	}
	seed := make([]byte, seedBytes)
	if _, err := io.ReadFull(s.rand, seed); err != nil {
		return fmt.Errorf("seed for salts: %w", err)
	}
	return setMeta(ctx, tx, metaSeed, hex.EncodeToString(seed))
}

func readSeed(ctx context.Context, q querier) ([]byte, error) {
	text, ok, err := getMeta(ctx, q, metaSeed)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(text)
	if !ok || err != nil || len(seed) != seedBytes {
		return nil, fmt.Errorf("%w: the seed for salts is gone", ErrDamaged)
	}
	return seed, nil
}

// secret finds a subject's secret, or makes it at first use.
func (c *committer) secret(ctx context.Context, subject roll.MemberID) (secret [32]byte, err error) {
	if secret, ok := c.s.secrets[subject]; ok {
		return secret, nil
	}
	var stored []byte
	err = c.tx.QueryRowContext(ctx, `SELECT secret FROM subject_secret WHERE subject = ?`, string(subject)).Scan(&stored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		seed, err := readSeed(ctx, c.tx)
		if err != nil {
			return secret, err
		}
		secret = [32]byte(keyed(seed, secretLabel+string(subject)))
		if _, err := c.tx.ExecContext(ctx, `INSERT INTO subject_secret (subject, secret) VALUES (?, ?)`, string(subject), secret[:]); err != nil {
			return secret, err
		}
	case err != nil:
		return secret, err
	case copy(secret[:], stored) != len(secret):
		return secret, fmt.Errorf("secret of %q is damaged: %d bytes", subject, len(stored))
	}
	c.s.secrets[subject] = secret
	return secret, nil
}

// turnSeed replaces the seed, so that the secret of a member who was erased
// cannot be made again. The same erasure, done again on a restored ledger,
// leads to the same seed.
func turnSeed(ctx context.Context, tx *txn, erased roll.MemberID) error {
	seed, err := readSeed(ctx, tx)
	if err != nil {
		return err
	}
	return setMeta(ctx, tx, metaSeed, hex.EncodeToString(keyed(seed, erasedLabel+string(erased))))
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
