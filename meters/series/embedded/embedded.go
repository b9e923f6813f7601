// SPDX-License-Identifier: AGPL-3.0-or-later

// Package embedded keeps time series in a SQLite file of their own, beside the
// ledger's and independent of it: points for two days, the sums of each minute
// for three months, of each quarter-hour for ever, all within a cap.
//
// # How points travel
//
// A point goes into its series' head, in memory, and Append is done. The keeper, one goroutine,
// does everything else. Every few seconds it writes what is new of all heads as
// one row of a journal, so that a process that is killed loses at most that
// much ([FlushEvery]). A head holds ten minutes; then it becomes a block of package block,
// one row, and the journal's rows that it replaces go. Six hours of blocks become sums by the
// minute, a day of those becomes sums by the quarter-hour. Blocks and minutes
// go when they are old. All of it is done in bounded slices, and nobody waits
// for any of it.
//
// Rows are ordered by time, then by series: writing appends, and what is old
// goes as whole pages. A query knows the keys of the rows that it needs.
//
// # What may be lost
//
// The file is in write-ahead mode with synchronous=NORMAL and is brought to the
// disk each minute: a killed process loses at most FlushEvery of points, a computer that
// loses power a minute more. A file that is damaged is moved aside and a new
// one begins, with what was in memory.
//
// Where the cap is reached, the finest and oldest goes first: points that are
// summed up already, then minutes, then quarter-hours.
package embedded

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// FlushEvery is how often what is new goes to the file, on the wall clock: what
// a process that is killed loses at most, and the time of one write.
const FlushEvery = 10 * time.Second

const (
	checkpointEvery = time.Minute // what a loss of power may take, besides FlushEvery

	blockLength = 10 * energy.Minute
	// lag is how long after its end a span is summed up, by the newest point of
	// all: longer than any gateway's clock may be ahead of another's.
	lag = 2 * energy.Hour
	// idle is how long after its end a head becomes a block without a newer point.
	idle = energy.Minute

	rawKept    = 2 * energy.Day
	minuteKept = 92 * energy.Day

	maxSeries    = 50_000
	maxMemory    = 4 << 20 // points in memory: some 60 MB
	maxBlock     = 6_000   // points of a series in ten minutes
	latest       = energy.Instant(4_102_444_800_000)
	blocksAtOnce = 256 // written in one transaction
	seriesAtOnce = 64  // summed up in one transaction
	defaultBytes = 4 << 30
)

// Options bound a store.
type Options struct {
	MaxBytes int64 // of the file; 0: 4 GiB

	flushEvery time.Duration // for tests
}

// Store is an open store. It implements [series.Store].
type Store struct {
	path    string
	options Options
	db      *database // the keeper's, and queries' under dbMu
	dbMu    sync.RWMutex

	mu     sync.Mutex
	heads  map[series.Series]*head
	order  []*head
	full   []sealed // blocks not yet written
	newest energy.Instant
	cut    energy.Instant // before it everything is summed up; nothing is taken
	memory int            // points in heads and full blocks
	closed bool

	taken, written, failures atomic.Uint64
	late, outOfRange         atomic.Uint64
	noRoom, tooMany, lost    atomic.Uint64
	damaged                  atomic.Uint64
	bytes                    atomic.Int64
	marks                    atomic.Pointer[marks]
	trouble                  trouble

	wake chan chan struct{} // asks the keeper for a pass; closed when it has passed
	stop chan struct{}
	done chan struct{}
}

var _ series.Store = (*Store)(nil)

// Open opens or creates the file at path. It does not fail: a file that is
// damaged is moved aside and a new one begins; one that cannot be opened is
// tried again, while memory takes what it can. Stats says so.
func Open(ctx context.Context, path string, o Options) *Store {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultBytes
	}
	if o.flushEvery == 0 {
		o.flushEvery = FlushEvery
	}
	s := &Store{
		path: path, options: o, heads: map[series.Series]*head{},
		wake: make(chan chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	s.marks.Store(&marks{})
	s.open(ctx) //nolint:errcheck // it is shown, and tried again
	go s.keep()
	return s
}

// Append implements [series.Store].
func (s *Store) Append(records []series.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		r := &records[i]
		for _, v := range r.Values {
			if counter := s.add(series.Series{Subject: r.Subject, Quantity: v.Quantity}, r.At, v.Value, r.Quality); counter != nil {
				counter.Add(1)
				continue
			}
			s.taken.Add(1)
		}
	}
}

// add takes a point, or says as what it is dropped.
func (s *Store) add(of series.Series, at energy.Instant, value int64, q energy.Quality) *atomic.Uint64 {
	if value > series.MaxValue || value < -series.MaxValue || at < 0 || at >= latest || q > energy.NotImplemented {
		return &s.outOfRange
	}
	if s.closed {
		return &s.lost
	}
	h := s.heads[of]
	if h == nil {
		if len(s.order) >= maxSeries {
			return &s.tooMany
		}
		h = s.newHead(of)
	}
	if at < max(s.cut, h.from) || h.known && at <= h.newest {
		return &s.late
	}
	if s.memory >= maxMemory {
		return &s.noRoom
	}
	start := blockOf(at)
	if h.points.Len() > 0 && h.start != start {
		s.seal(h)
	}
	if h.points.Len() >= maxBlock {
		return &s.tooMany
	}
	if h.points.Len() == 0 {
		h.start = start
		h.points.FirstSpan = series.SpanOf(h.newest, h.known, at)
	}
	h.points.Add(int32(at.Sub(start)), value, q)
	h.newest, h.known = at, true
	s.newest = max(s.newest, at)
	s.memory++
	return nil
}

// Stats implements [series.Store].
func (s *Store) Stats() series.Stats {
	s.mu.Lock()
	known := len(s.order)
	s.mu.Unlock()
	taken, written, lost := s.taken.Load(), s.written.Load(), s.lost.Load()
	return series.Stats{
		Store: "embedded", Taken: taken, Written: written, Queued: max(int64(taken-written-lost), 0),
		Dropped: map[series.Reason]uint64{
			series.Late: s.late.Load(), series.OutOfRange: s.outOfRange.Load(), series.Full: s.noRoom.Load(),
			series.TooMany: s.tooMany.Load(), series.Lost: lost,
		},
		Failures: s.failures.Load(), Series: int64(known), Bytes: s.bytes.Load(), MaxBytes: s.options.MaxBytes,
		Problems: s.trouble.list(),
	}
}

// Close implements [series.Store]. What is in memory goes to the file first.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if !again {
		close(s.stop)
	}
	select {
	case <-s.done:
		s.dbMu.Lock()
		defer s.dbMu.Unlock()
		db := s.db
		s.db = nil
		return db.close()
	case <-ctx.Done():
		return fmt.Errorf("the time series were still writing: %w", ctx.Err())
	}
}

// trouble is what is wrong now, by what it is about.
type trouble struct {
	mu   sync.Mutex
	what [nTroubles]string
}

const (
	troubleAside = iota
	troubleWriting
	troubleRows
	troubleCap
	nTroubles
)

func (t *trouble) set(kind int, what string) {
	t.mu.Lock()
	t.what[kind] = what
	t.mu.Unlock()
}

func (t *trouble) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, w := range t.what {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}
