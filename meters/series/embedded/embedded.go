// SPDX-License-Identifier: AGPL-3.0-or-later

// Package embedded keeps time series in a SQLite file of their own, beside the
// ledger's and independent of it.
package embedded

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// Options bound a store.
type Options struct {
	MaxBytes int64 // of the file
}

// Store is an open store. It implements [series.Store].
type Store struct {
	options Options
	lost    atomic.Uint64
}

var _ series.Store = (*Store)(nil)

// Open opens or creates the file at path.
func Open(_ context.Context, _ string, o Options) (*Store, error) { return &Store{options: o}, nil }

// Append implements [series.Store].
func (s *Store) Append(records []series.Record) {
	for i := range records {
		s.lost.Add(uint64(len(records[i].Values)))
	}
}

// Query implements [series.Store].
func (s *Store) Query(context.Context, series.Series, series.Span, series.Resolution) ([]series.Bucket, error) {
	return nil, fmt.Errorf("%w: the embedded store keeps nothing yet", series.ErrUnavailable)
}

// Finest implements [series.Store].
func (s *Store) Finest(energy.Instant) series.Resolution { return series.Resolution(energy.Second) }

// Stats implements [series.Store].
func (s *Store) Stats() series.Stats {
	return series.Stats{Store: "embedded", MaxBytes: s.options.MaxBytes, Dropped: map[series.Reason]uint64{series.Lost: s.lost.Load()}}
}

// Close implements [series.Store].
func (s *Store) Close(context.Context) error { return nil }
