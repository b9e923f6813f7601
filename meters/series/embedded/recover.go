// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series/embedded/block"
)

// open takes the file, a new one where the old one is damaged. What is in
// memory stays, and what the journal holds comes before it.
func (s *Store) open(ctx context.Context) error {
	err := s.take(ctx)
	if errors.Is(err, errDamaged) {
		if err = s.begin(ctx, err); err == nil {
			err = s.take(ctx)
		}
	}
	switch {
	case errors.Is(err, errNewer):
		s.trouble.set(troubleWriting, fmt.Sprintf("%s was written by a newer allmende: start that one, or move the file away; until then no time series are kept", s.path))
	case err != nil:
		s.failures.Add(1)
		s.trouble.set(troubleWriting, fmt.Sprintf("%s cannot be opened: %v: mend that; it is tried again by itself", s.path, err))
	default:
		s.trouble.set(troubleWriting, "")
	}
	return err
}

// begin moves a damaged file aside.
func (s *Store) begin(_ context.Context, why error) error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if err := s.db.close(); err != nil {
		slog.Debug("closing a damaged file", "error", err)
	}
	s.db = nil
	if err := moveAside(s.path); err != nil {
		return err
	}
	s.trouble.set(troubleAside, fmt.Sprintf("%s was damaged (%v) and is now %s; a new one has begun: look at the disk (dmesg, smartctl), and delete the old file when nobody wants to look into it", s.path, why, s.path+aside))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.order {
		h.id, h.journaled = 0, 0
	}
	s.cut = 0
	return nil
}

// take opens the file and reads what a start needs of it.
func (s *Store) take(ctx context.Context) error {
	db, err := openDatabase(ctx, s.path, s.options.MaxBytes)
	if err != nil {
		return err
	}
	err = s.load(ctx, db)
	if err == nil {
		used, _, sizeErr := db.size(ctx)
		s.bytes.Store(used)
		err = sizeErr
	}
	if err != nil {
		return errors.Join(err, db.close())
	}
	s.dbMu.Lock()
	s.db = db
	s.dbMu.Unlock()
	return nil
}

func (s *Store) load(ctx context.Context, db *database) error {
	names, err := db.names(ctx)
	if err != nil {
		return err
	}
	from, last, err := lastPoints(ctx, db)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	byID := make(map[int64]*head, len(names))
	for of, id := range names {
		h := s.heads[of]
		if h == nil {
			h = s.newHead(of)
		}
		h.id = id
		byID[id] = h
		h.from = from
		if at, ok := last[id]; ok && !h.known {
			h.newest, h.known = at, true
			s.newest = max(s.newest, at)
		}
	}
	s.cut = db.minuteUntil
	s.marks.Store(&db.marks)
	return s.replay(ctx, db, byID, last)
}

// lastPoints are the newest points in rows of the series that had any from an
// instant on, so that none is taken twice and the next one knows what it stands
// for. That instant is before everything that the journal holds.
func lastPoints(ctx context.Context, db *database) (energy.Instant, map[int64]energy.Instant, error) {
	const lookBack = 2 * blockLength // longer than series.MaxGap
	var newest, journaled sql.NullInt64
	err := db.w.QueryRowContext(ctx, `SELECT (SELECT MAX(key) FROM raw), (SELECT MIN(oldest_block_ms) FROM journal)`).Scan(&newest, &journaled)
	if err != nil || !newest.Valid {
		return 0, nil, classify(err)
	}
	from := energy.Instant(newest.Int64 >> seriesBits * int64(blockLength)).Add(-lookBack)
	if journaled.Valid {
		from = min(from, energy.Instant(journaled.Int64))
	}
	rows, err := db.w.QueryContext(ctx, `SELECT key, body FROM raw WHERE key >= ? ORDER BY key`, raw().key(from, 0))
	if err != nil {
		return 0, nil, classify(err)
	}
	defer rows.Close()
	out := map[int64]energy.Instant{}
	var coder block.Coder
	var points block.Points
	for rows.Next() {
		var key int64
		var body []byte
		if err := rows.Scan(&key, &body); err != nil {
			return 0, nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		if coder.ReadPoints(body, &points) != nil {
			continue // a query will say so
		}
		out[key&(1<<seriesBits-1)] = energy.Instant(key >> seriesBits * int64(blockLength)).Add(energy.Span(points.Offsets[points.Len()-1]))
	}
	return from, out, classify(rows.Err())
}

// replay puts the journal's points back into their heads.
func (s *Store) replay(ctx context.Context, db *database, byID map[int64]*head, last map[int64]energy.Instant) error {
	rows, err := db.w.QueryContext(ctx, `SELECT body FROM journal ORDER BY id`)
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	empty := map[*head]bool{} // before; what others have is in no journal
	for _, h := range s.order {
		empty[h] = h.points.Len() == 0
	}
	var coder block.Coder
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		err := readJournal(&coder, body, func(id int64, start energy.Instant, points *block.Points) {
			if h := byID[id]; h != nil {
				s.again(h, start, points)
			}
		})
		if err != nil {
			s.failures.Add(1) // the rest of a damaged row is lost, no more
		}
	}
	for h := range empty {
		if empty[h] {
			h.journaled = h.points.Len()
		}
	}
	return classify(rows.Err())
}

// again takes points of the journal, if their series has none as late.
func (s *Store) again(h *head, start energy.Instant, points *block.Points) {
	for i, offset := range points.Offsets {
		at := start.Add(energy.Span(offset))
		fresh := !h.known
		if s.add(h.of, at, points.Values[i], points.Qualities[i]) == nil && fresh {
			h.points.FirstSpan = points.Span(i)
		}
	}
}

// appendJournal writes pieces as one row: of each the id, its block's start
// in block lengths and its points.
func appendJournal(coder *block.Coder, out []byte, pieces []piece) []byte {
	var body []byte
	for i := range pieces {
		p := &pieces[i]
		body = coder.AppendPoints(body[:0], &p.points)
		out = binary.AppendUvarint(out, uint64(p.id))
		out = binary.AppendUvarint(out, uint64(int64(p.start)/int64(blockLength)))
		out = binary.AppendUvarint(out, uint64(len(body)))
		out = append(out, body...)
	}
	return out
}

// readJournal hands out what appendJournal wrote.
func readJournal(coder *block.Coder, in []byte, fn func(id int64, start energy.Instant, points *block.Points)) error {
	var points block.Points
	for len(in) > 0 {
		var head [3]uint64
		for i := range head {
			v, n := binary.Uvarint(in)
			if n <= 0 {
				return errDamaged
			}
			head[i], in = v, in[n:]
		}
		if head[0] >= 1<<seriesBits || head[1] > uint64(latest)/uint64(blockLength) || head[2] > uint64(len(in)) {
			return errDamaged
		}
		if err := coder.ReadPoints(in[:head[2]], &points); err != nil {
			return err
		}
		in = in[head[2]:]
		fn(int64(head[0]), energy.Instant(head[1]*uint64(blockLength)), &points)
	}
	return nil
}
