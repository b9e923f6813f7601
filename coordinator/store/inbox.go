// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

const (
	// MaxBatch bounds the samples of one AppendInbox call.
	MaxBatch = 5000
	// maxName bounds the names that a gateway may make us store.
	maxName = 64
	// inboxRows go into one statement.
	inboxRows = 50
	// inboxPage is how many samples InboxSince holds at a time.
	inboxPage = 2000
)

// AppendInbox stores a gateway's metering samples; samples[i] has the sequence
// firstSeq+i in the named spool, and sequences count from 1. It returns the
// highest sequence up to which everything is durable, which is what may be
// acknowledged. What is there already is passed over, so that a batch may come
// twice or overlap. A batch that leaves sequences out is refused with [ErrGap],
// and the durable sequence beside it says where to go on.
func (s *Store) AppendInbox(ctx context.Context, gateway roll.GatewayID, spoolID string, firstSeq uint64, samples []meters.Sample) (durable uint64, err error) {
	if err := checkBatch(gateway, spoolID, firstSeq, samples); err != nil {
		return 0, fmt.Errorf("inbox of gateway %q: %w", gateway, err)
	}
	var gap error
	err = s.write(ctx, func(ctx context.Context, tx *txn) error {
		id, have, err := s.spool(ctx, tx, gateway, spoolID)
		if err != nil {
			return err
		}
		durable = have
		if firstSeq > have+1 {
			gap = fmt.Errorf("inbox of gateway %q: %w: expected %d, got %d", gateway, ErrGap, have+1, firstSeq)
			return nil
		}
		known := have + 1 - firstSeq
		if known >= uint64(len(samples)) {
			return nil
		}
		if err := s.insertSamples(ctx, tx, id, have+1, samples[known:]); err != nil {
			return err
		}
		durable = firstSeq + uint64(len(samples)) - 1
		_, err = tx.ExecContext(ctx, `UPDATE spool SET durable = ? WHERE id = ?`, int64(durable), id)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("inbox of gateway %q: %w", gateway, err)
	}
	return durable, gap
}

// AdmitGap gives up the samples of a spool before firstSeq, because the gateway
// no longer has them: intervals that needed them keep their quality mark. It
// never moves back.
func (s *Store) AdmitGap(ctx context.Context, gateway roll.GatewayID, spoolID string, firstSeq uint64) error {
	if err := checkBatch(gateway, spoolID, firstSeq, nil); err != nil {
		return fmt.Errorf("inbox of gateway %q: %w", gateway, err)
	}
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		id, have, err := s.spool(ctx, tx, gateway, spoolID)
		if err != nil || have+1 >= firstSeq {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE spool SET durable = ? WHERE id = ?`, int64(firstSeq-1), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("inbox of gateway %q: %w", gateway, err)
	}
	return nil
}

func checkBatch(gateway roll.GatewayID, spoolID string, firstSeq uint64, samples []meters.Sample) error {
	switch {
	case !isName(string(gateway)):
		return errors.New("gateway id is empty, too long or no text")
	case !isName(spoolID):
		return errors.New("spool id is empty, too long or no text")
	case firstSeq == 0 || firstSeq > math.MaxInt64-MaxBatch:
		return fmt.Errorf("sequence %d: sequences count from 1", firstSeq)
	case len(samples) > MaxBatch:
		return fmt.Errorf("%d samples in a batch are more than %d", len(samples), MaxBatch)
	}
	for i, m := range samples {
		switch {
		case !isName(string(m.Asset)) || !isName(string(m.Register)):
			return fmt.Errorf("sample %d: asset or register is empty, too long or no text", firstSeq+uint64(i))
		case m.Quality > energy.NotImplemented:
			return fmt.Errorf("sample %d: unknown %s", firstSeq+uint64(i), m.Quality)
		}
	}
	return nil
}

// isName says whether a text from outside may be stored as a name: both engines
// keep it as it is.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && isText(s)
}

// spool finds or adds a spool and says how far it is durable.
func (s *Store) spool(ctx context.Context, tx *txn, gateway roll.GatewayID, spoolID string) (id int64, durable uint64, err error) {
	var have int64
	err = tx.QueryRowContext(ctx, `SELECT id, durable FROM spool WHERE gateway = ? AND name = ?`, string(gateway), spoolID).Scan(&id, &have)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, uint64(have), err
	}
	if id, err = nextID(ctx, tx, `SELECT MAX(id) FROM spool`); err != nil {
		return 0, 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO spool (id, gateway, name, durable) VALUES (?, ?, ?, 0)`, id, string(gateway), spoolID)
	return id, 0, err
}

func (s *Store) insertSamples(ctx context.Context, tx *txn, spool int64, seq uint64, samples []meters.Sample) error {
	id, err := nextID(ctx, tx, `SELECT MAX(id) FROM inbox`)
	if err != nil {
		return err
	}
	const columns = 9
	args := make([]any, 0, columns*min(len(samples), inboxRows))
	for len(samples) > 0 {
		n := min(len(samples), inboxRows)
		args = args[:0]
		for _, m := range samples[:n] {
			series, err := s.seriesID(ctx, tx, m.Key)
			if err != nil {
				return err
			}
			reset := 0
			if m.Reset {
				reset = 1
			}
			args = append(args, id, spool, int64(seq), series, int64(m.At), int64(m.Value), int64(m.Quality), reset, m.SoC)
			id++
			seq++
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO inbox (id, spool, seq, series, at_ms, value_mwh, quality, reset, soc) VALUES `+
			tuples(n, columns), args...)
		if err != nil {
			return err
		}
		samples = samples[n:]
	}
	return nil
}

// seriesID finds or adds the number of a register.
func (s *Store) seriesID(ctx context.Context, tx *txn, key meters.Key) (int64, error) {
	if id, ok := s.series[key]; ok {
		return id, nil
	}
	var id int64
	err := tx.QueryRowContext(ctx, `SELECT id FROM series WHERE asset = ? AND register = ?`, string(key.Asset), string(key.Register)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		if id, err = nextID(ctx, tx, `SELECT MAX(id) FROM series`); err != nil {
			return 0, err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO series (id, asset, register) VALUES (?, ?, ?)`, id, string(key.Asset), string(key.Register))
	}
	if err != nil {
		return 0, err
	}
	s.series[key] = id
	return id, nil
}

// Acknowledged is the highest sequence of a spool up to which everything is durable.
func (r reads) Acknowledged(ctx context.Context, gateway roll.GatewayID, spoolID string) (uint64, error) {
	var durable int64
	err := r.q.QueryRowContext(ctx, `SELECT durable FROM spool WHERE gateway = ? AND name = ?`, string(gateway), spoolID).Scan(&durable)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("inbox of gateway %q: %w", gateway, classify(err))
	}
	return uint64(durable), nil
}

// InboxSince hands out every sample taken at or after the given instant, in
// the order of arrival. It ends with fn's first error.
func (r reads) InboxSince(ctx context.Context, at energy.Instant, fn func(roll.GatewayID, meters.Sample) error) error {
	var first sql.NullInt64
	err := r.q.QueryRowContext(ctx, `SELECT MIN(id) FROM inbox WHERE at_ms >= ?`, int64(at)).Scan(&first)
	if err != nil {
		return fmt.Errorf("inbox: %w", classify(err))
	}
	if !first.Valid {
		return nil
	}
	for next := first.Int64; ; {
		page, last, err := r.inboxPage(ctx, next, at)
		if err != nil {
			return fmt.Errorf("inbox: %w", classify(err))
		}
		for _, p := range page {
			if err := fn(p.gateway, p.sample); err != nil {
				return err
			}
		}
		if len(page) < inboxPage {
			return nil
		}
		next = last + 1
	}
}

type arrived struct {
	gateway roll.GatewayID
	sample  meters.Sample
}

func (r reads) inboxPage(ctx context.Context, from int64, at energy.Instant) (page []arrived, last int64, err error) {
	rows, err := r.q.QueryContext(ctx, `
		SELECT i.id, p.gateway, s.asset, s.register, i.at_ms, i.value_mwh, i.quality, i.reset, i.soc
		FROM inbox i JOIN series s ON s.id = i.series JOIN spool p ON p.id = i.spool
		WHERE i.id >= ? AND i.at_ms >= ? ORDER BY i.id LIMIT ?`, from, int64(at), inboxPage)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close() // rows.Err says what went wrong
	for rows.Next() {
		var a arrived
		var quality, reset int64
		m := &a.sample
		if err := rows.Scan(&last, &a.gateway, &m.Asset, &m.Register, &m.At, &m.Value, &quality, &reset, &m.SoC); err != nil {
			return nil, 0, err
		}
		m.Quality, m.Reset = energy.Quality(quality), reset != 0
		page = append(page, a)
	}
	return page, last, rows.Err()
}

// nextID is one more than the highest id that the query finds.
func nextID(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	var highest sql.NullInt64
	if err := q.QueryRowContext(ctx, query, args...).Scan(&highest); err != nil {
		return 0, err
	}
	return highest.Int64 + 1, nil
}

// tuples is "(?,?),(?,?)" for so many rows and columns.
func tuples(rows, columns int) string {
	one := "(" + strings.Repeat("?,", columns-1) + "?)"
	return strings.Repeat(one+",", rows-1) + one
}
