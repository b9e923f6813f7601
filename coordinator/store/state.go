// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/allmende-energy/allmende/energy"
)

// RaiseEpoch raises the fencing number and returns it: from now on no other
// holder of a lower one can write.
func (s *Store) RaiseEpoch(ctx context.Context) (int64, error) { return s.RaiseEpochAbove(ctx, 0) }

// RaiseEpochAbove raises the fencing number above the one it has and above the
// floor: a database that was restored has seen less than the gateways have.
func (s *Store) RaiseEpochAbove(ctx context.Context, floor int64) (int64, error) {
	var epoch int64
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		epoch = max(tx.epoch, floor) + 1
		tx.raised = epoch
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
