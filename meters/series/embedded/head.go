// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/embedded/block"
)

// head is what is in memory of a series: the points of its newest block.
type head struct {
	id        int64 // in the file, 0: none yet; the keeper gives it
	of        series.Series
	known     bool // newest is
	newest    energy.Instant
	from      energy.Instant // before it the file may have points that nobody has looked at
	start     energy.Instant // of the block
	points    block.Points
	journaled int // so many of the points are in the journal
}

// sealed is a block that gets no more points. Its columns do not change.
type sealed struct {
	*head
	start     energy.Instant
	points    block.Points
	journaled int
}

func blockOf(at energy.Instant) energy.Instant { return energy.IntervalAt(at, blockLength).Start }

func (s *Store) newHead(of series.Series) *head {
	h := &head{of: of}
	s.heads[of] = h
	s.order = append(s.order, h)
	return h
}

// seal makes a block of a head's points.
func (s *Store) seal(h *head) {
	size := h.points.Len()
	s.full = append(s.full, sealed{h, h.start, h.points, h.journaled})
	h.points, h.journaled = block.Points{
		Offsets: make([]int32, 0, size), Values: make([]int64, 0, size), Qualities: make([]energy.Quality, 0, size),
	}, 0
}

// sealIdle makes blocks of the heads whose time has passed.
func (s *Store) sealIdle() {
	for _, h := range s.order {
		if h.points.Len() > 0 && h.start.Add(blockLength+idle) <= s.newest {
			s.seal(h)
		}
	}
}

// piece is a part of a head that is new since the last flush. Its columns are
// shared with the head, which only appends behind them.
type piece struct {
	*head
	start  energy.Instant
	points block.Points
	until  int // so many of the head's points are in the journal after this
}

// first is the instant of a piece's first point.
func (p *piece) first() energy.Instant { return p.start.Add(energy.Span(p.points.Offsets[0])) }

// pieces are what is new of all heads.
func (s *Store) pieces() []piece {
	var out []piece
	for _, h := range s.order {
		n := h.points.Len()
		if n == h.journaled {
			continue
		}
		out = append(out, piece{h, h.start, slice(&h.points, h.journaled), n})
	}
	return out
}

// slice is p from i on.
func slice(p *block.Points, i int) block.Points {
	return block.Points{Offsets: p.Offsets[i:], Values: p.Values[i:], Qualities: p.Qualities[i:], FirstSpan: p.Span(i)}
}

// held is what is in memory of a series, oldest first, for a query.
func (s *Store) held(of series.Series) (id int64, out []piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heads[of]
	if h == nil {
		return 0, nil
	}
	for _, b := range s.full {
		if b.head == h {
			out = append(out, piece{h, b.start, b.points, 0})
		}
	}
	if h.points.Len() > 0 {
		out = append(out, piece{h, h.start, h.points, 0})
	}
	return h.id, out
}

// oldestUnwritten is the start of the oldest block that is not in the file as
// one; everything in the journal before it is.
func (s *Store) oldestUnwritten() energy.Instant {
	oldest := latest
	for _, b := range s.full {
		oldest = min(oldest, b.start)
	}
	for _, h := range s.order {
		if h.points.Len() > 0 {
			oldest = min(oldest, h.start)
		}
	}
	return oldest
}
