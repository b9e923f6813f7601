// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/embedded/block"
)

// Finest implements [series.Store].
func (s *Store) Finest(from energy.Instant) series.Resolution {
	m := s.marks.Load()
	switch {
	case from < m.minuteFrom:
		return series.Resolution(energy.QuarterHour)
	case from < m.rawFrom:
		return series.Resolution(energy.Minute)
	}
	return series.Resolution(energy.Second)
}

// Query implements [series.Store]. It puts sums, blocks and heads together: the
// coarsest there is of each part of the span.
func (s *Store) Query(ctx context.Context, of series.Series, span series.Span, r series.Resolution) ([]series.Bucket, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	span.From, span.To = max(span.From, 0), min(span.To, latest)
	into := series.NewCollector(span, r)
	if err := s.tooFine(into.Span(), r); err != nil {
		return nil, err
	}
	// First what is in memory, then the file: what moves from one to the other
	// meanwhile is in both, and is passed over in the file.
	id, held := s.held(of)
	if id != 0 {
		if err := s.stored(ctx, id, &held, into, r); err != nil {
			return nil, err
		}
	}
	for i := range held {
		collect(held[i].start, &held[i].points, into.Span(), into)
	}
	return into.Buckets(), nil
}

// tooFine refuses what was asked for more finely than it is kept.
func (s *Store) tooFine(span series.Span, r series.Resolution) error {
	finest := s.Finest(span.From)
	if r%finest == 0 || span.From == span.To {
		return nil
	}
	m := s.marks.Load()
	since := m.rawFrom
	if r%series.Resolution(energy.Minute) == 0 {
		since = m.minuteFrom
	}
	return &series.TooFineError{Finest: finest, Since: since}
}

// stored collects from the file, in one state of it, and takes out of held what
// it found there.
func (s *Store) stored(ctx context.Context, id int64, held *[]piece, into *series.Collector, r series.Resolution) error {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	if s.db == nil {
		return nil // everything is in memory
	}
	tx, err := s.db.r.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return unreadable(err)
	}
	defer tx.Rollback()
	var m marks
	if err := tx.QueryRowContext(ctx, `SELECT minute_until_ms, quarter_until_ms, raw_from_ms, minute_from_ms FROM marks`).
		Scan(&m.minuteUntil, &m.quarterUntil, &m.rawFrom, &m.minuteFrom); err != nil {
		return unreadable(err)
	}
	var coder block.Coder
	span := into.Span()
	at, summed := span.From, energy.Instant(0)
	for _, t := range []struct {
		tier
		until energy.Instant
	}{{quarters(), m.quarterUntil}, {minutes(), m.minuteUntil}} {
		if end := min(span.To, t.until); int64(r)%int64(t.bucket) == 0 && at < end {
			if err := s.collectSums(ctx, tx, &coder, t.tier, id, series.Span{From: at, To: end}, into); err != nil {
				return unreadable(err)
			}
			at, summed = end, t.until
		}
	}
	// What was in memory and is summed up by now has been collected already.
	for len(*held) > 0 && (*held)[0].start < summed {
		*held = (*held)[1:]
	}
	end := span.To
	if len(*held) > 0 {
		end = min(end, (*held)[0].first())
	}
	if at < end {
		if err := s.collectPoints(ctx, tx, &coder, id, series.Span{From: at, To: end}, into); err != nil {
			return unreadable(err)
		}
	}
	return nil
}

func unreadable(err error) error { return fmt.Errorf("%w: %w", series.ErrUnavailable, err) }
