// SPDX-License-Identifier: AGPL-3.0-or-later

// Package influx keeps time series in InfluxDB: 2.x with a token, an
// organisation and a bucket, or 1.8 with its 2.x-compatible API, where the bucket
// is database/retention and the token is empty or user:password. It is the only
// importer of influxdb-client-go.
//
// # What is written
//
// Each record is a line of measurement asset, member or community, with the tags
// community and asset or member, a field for each quantity (its name ends with
// the unit, such as power_mw) and the field quality, from 0 (good) to 6, as
// package energy ranks them. All fields are integers, times have milliseconds.
//
// Beside them stand sums, from which long spans are answered without reading
// each second: measurements asset_1m, asset_15m and so on, with the tag
// quantity and the fields count, sum, min, max, work (value times
// milliseconds), covered_ms and quality, and mean for dashboards. Their time is
// that of the first point that they sum up, so that a minute that was cut by a
// restart has two parts, which add up.
//
// What the server keeps for how long is the server's affair. Of sums, what was
// not written when the process was killed, up to a minute, is lost.
//
// # What may be lost
//
// Append never waits for the server. Lines wait in a queue that is bounded in
// points and bytes; where it is full the oldest go, counted and shown. What the
// server refuses for good is dropped too, everything else is tried again with
// back-off and jitter.
package influx

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// Bounds of what waits for the server.
const (
	maxQueuePoints = 1 << 20
	maxQueueBytes  = 96 << 20
	batchPoints    = 5_000
	batchBytes     = 1 << 20
	sendEvery      = time.Second
	requestWithin  = 15 * time.Second
	maxSubjects    = 20_000
	showRefusal    = 5 * time.Minute
	latest         = energy.Instant(4_102_444_800_000)
	// idle is how long after its end a sum is written without a newer point of its series.
	idle = 2 * energy.Minute
)

// Options say which server, and whose series.
type Options struct {
	URL          string
	Organisation string // 2.x
	Bucket       string // 1.8: database/retention
	Token        string // 1.8: empty or user:password
	Community    string // the tag of everything

	queuePoints int // for tests
}

// Store writes to a server. It implements [series.Store].
type Store struct {
	options Options
	client  influxdb2.Client
	http    *http.Client
	write   api.WriteAPIBlocking
	query   api.QueryAPI

	mu       sync.Mutex
	subjects map[series.Subject]*subject
	current  batch
	queue    []batch
	points   int // in queue and current
	bytes    int
	newest   energy.Instant
	closed   bool
	line     []byte // a buffer

	taken, written, failures atomic.Uint64
	late, outOfRange         atomic.Uint64
	full, tooMany            atomic.Uint64
	refused, lost            atomic.Uint64
	flying                   atomic.Int64 // points that are being sent
	trouble                  atomic.Pointer[string]
	refusal                  atomic.Pointer[refusal]

	wake chan struct{} // one place: something is due
	stop chan *ending  // one place: the end is near
	done chan struct{} // the sender has ended
}

// batch is lines that are sent together.
type batch struct {
	body   []byte
	points int
}

// refusal is what a server would not have.
type refusal struct {
	why string
	at  time.Time
}

var _ series.Store = (*Store)(nil)

// Open returns a store that writes to a server, which need not be there yet.
func Open(o Options) *Store {
	if o.queuePoints == 0 {
		o.queuePoints = maxQueuePoints
	}
	if !strings.HasSuffix(o.URL, "/") {
		o.URL += "/" // the client replaces what follows the last one
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	client := &http.Client{Transport: transport} // requests end with their contexts
	c := influxdb2.NewClientWithOptions(o.URL, o.Token, influxdb2.DefaultOptions().
		SetPrecision(time.Millisecond).SetUseGZip(true).SetHTTPClient(client))
	s := &Store{
		options: o, client: c, http: client, write: c.WriteAPIBlocking(o.Organisation, o.Bucket), query: c.QueryAPI(o.Organisation),
		subjects: map[series.Subject]*subject{},
		wake:     make(chan struct{}, 1), stop: make(chan *ending, 1), done: make(chan struct{}),
	}
	go s.send()
	return s
}

// Append implements [series.Store].
func (s *Store) Append(records []series.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		s.add(&records[i])
	}
}

// add takes a record's points.
func (s *Store) add(r *series.Record) {
	n := uint64(len(r.Values))
	switch {
	case s.closed:
		s.lost.Add(n)
		return
	case r.At < 0 || r.At >= latest || r.Quality > energy.NotImplemented:
		s.outOfRange.Add(n)
		return
	}
	sub := s.subjects[r.Subject]
	if sub == nil {
		if len(s.subjects) >= maxSubjects {
			s.tooMany.Add(n)
			return
		}
		sub = newSubject(s.options.Community, r.Subject)
		s.subjects[r.Subject] = sub
	}
	s.newest = max(s.newest, r.At)
	line, points := append(s.line[:0], sub.prefix...), 0
	for _, v := range r.Values {
		if v.Value > series.MaxValue || v.Value < -series.MaxValue {
			s.outOfRange.Add(1)
			continue
		}
		c := sub.curve(v.Quantity)
		if c.known && r.At <= c.newest {
			s.late.Add(1)
			continue
		}
		s.sum(c, r.At, v.Value, r.Quality)
		line = appendField(line, string(v.Quantity), v.Value)
		points++
	}
	s.line = line
	if points == 0 {
		return
	}
	s.taken.Add(uint64(points))
	s.emit(appendEnd(appendField(line, "quality", int64(r.Quality)), r.At), points)
}

// emit puts a line behind those that wait, with so many points.
func (s *Store) emit(line []byte, points int) {
	s.current.body = append(s.current.body, line...)
	s.current.points += points
	s.points += points
	s.bytes += len(line)
	for (s.points > s.options.queuePoints || s.bytes > maxQueueBytes) && len(s.queue) > 0 {
		oldest := s.next()
		s.full.Add(uint64(oldest.points))
	}
	if s.current.points < batchPoints && len(s.current.body) < batchBytes {
		return
	}
	s.enqueue()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// enqueue ends the batch that is being filled.
func (s *Store) enqueue() {
	if len(s.current.body) > 0 {
		s.queue = append(s.queue, s.current)
		s.current = batch{}
	}
}

// next takes the oldest batch from the queue.
func (s *Store) next() batch {
	b := s.queue[0]
	s.queue[0] = batch{}
	s.queue = s.queue[1:]
	s.points -= b.points
	s.bytes -= len(b.body)
	return b
}

// Finest implements [series.Store]: the server says nothing about what it still has.
func (s *Store) Finest(energy.Instant) series.Resolution { return series.Resolution(energy.Second) }

// Stats implements [series.Store].
func (s *Store) Stats() series.Stats {
	s.mu.Lock()
	known, waiting := 0, s.points
	for _, sub := range s.subjects {
		known += len(sub.curves)
	}
	s.mu.Unlock()
	out := series.Stats{
		Store: "influxdb", Taken: s.taken.Load(), Written: s.written.Load(), Queued: int64(waiting) + s.flying.Load(),
		Dropped: map[series.Reason]uint64{
			series.Late: s.late.Load(), series.OutOfRange: s.outOfRange.Load(), series.Full: s.full.Load(),
			series.TooMany: s.tooMany.Load(), series.Refused: s.refused.Load(), series.Lost: s.lost.Load(),
		},
		Failures: s.failures.Load(), Series: int64(known),
	}
	if why := s.trouble.Load(); why != nil {
		out.Problems = append(out.Problems, fmt.Sprintf("%s; %d values wait here, %d found no place and are lost", *why, out.Queued, out.Dropped[series.Full]))
	}
	if r := s.refusal.Load(); r != nil && time.Since(r.at) < showRefusal {
		out.Problems = append(out.Problems, fmt.Sprintf("InfluxDB refused values for good: %s; %d are lost so far", r.why, out.Dropped[series.Refused]))
	}
	return out
}

// Close implements [series.Store]. What waits is sent first, for as long as ctx lasts.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	if !again {
		for _, sub := range s.subjects {
			for _, c := range sub.curves {
				s.emitParts(c)
			}
		}
		s.enqueue()
	}
	s.mu.Unlock()
	if !again {
		s.stop <- &ending{ctx}
	}
	<-s.done // the sender keeps to ctx
	s.client.Close()
	s.http.CloseIdleConnections()
	if n := s.lost.Load(); n > 0 {
		return fmt.Errorf("%d values of the time series found no way to InfluxDB before the end", n)
	}
	return nil
}
