// SPDX-License-Identifier: AGPL-3.0-or-later

package logs

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"
)

// Bounds of what is repeated, on the wall clock.
const (
	each    = time.Minute
	atMost  = 10    // of the same message about the same thing, in that time
	maxKept = 4_096 // messages that are counted; beyond that all pass
)

// sparing leaves out what is repeated. The same are messages with the same text
// and the same words as attributes: the same gateway, the same device. Errors and
// numbers may differ. What is searched for at debug level is never left out.
type sparing struct {
	next slog.Handler
	seen *seen
	with uint64 // of the attributes that belong to each message
}

// seen is shared by a handler and those derived from it.
type seen struct {
	seed maphash.Seed

	mu     sync.Mutex
	count  map[uint64]*repeated
	forgot time.Time // when place was last made
}

type repeated struct {
	since time.Time
	n     int // passed
	left  int // left out
}

func newSparing(next slog.Handler) *sparing {
	return &sparing{next: next, seen: &seen{seed: maphash.MakeSeed(), count: map[uint64]*repeated{}}}
}

// Enabled implements [slog.Handler].
func (s *sparing) Enabled(ctx context.Context, l slog.Level) bool { return s.next.Enabled(ctx, l) }

// WithAttrs implements [slog.Handler].
func (s *sparing) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *s
	c.next = s.next.WithAttrs(attrs)
	for _, a := range attrs {
		c.with = s.seen.mix(c.with, a)
	}
	return &c
}

// WithGroup implements [slog.Handler].
func (s *sparing) WithGroup(name string) slog.Handler {
	c := *s
	c.next = s.next.WithGroup(name)
	return &c
}

// Handle implements [slog.Handler].
func (s *sparing) Handle(ctx context.Context, r slog.Record) error {
	if r.Level <= slog.LevelDebug {
		return s.next.Handle(ctx, r)
	}
	key := s.with ^ maphash.String(s.seen.seed, r.Message) ^ uint64(r.Level)
	r.Attrs(func(a slog.Attr) bool {
		key = s.seen.mix(key, a)
		return true
	})
	pass, left := s.seen.pass(key, r.Time)
	if !pass {
		return nil
	}
	if left > 0 {
		r.AddAttrs(slog.Int("left_out_before", left))
	}
	return s.next.Handle(ctx, r)
}

func (s *seen) mix(key uint64, a slog.Attr) uint64 {
	if v := a.Value.Resolve(); v.Kind() == slog.KindString {
		key = key*31 + maphash.String(s.seed, v.String())
	}
	return key
}

// pass says whether a message may pass, and how many like it were left out
// since the last that passed.
func (s *seen) pass(key uint64, at time.Time) (ok bool, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count[key]
	switch {
	case c != nil && at.Sub(c.since) < each && at.Sub(c.since) >= 0:
		if c.n++; c.n > atMost {
			c.left++
			return false, 0
		}
		return true, 0
	case c != nil:
		left, c.left = c.left, 0
		c.since, c.n = at, 1
		return true, left
	}
	if len(s.count) >= maxKept && (at.Sub(s.forgot) >= each || at.Before(s.forgot)) {
		s.forgot = at
		s.forget(at)
	}
	if len(s.count) < maxKept {
		s.count[key] = &repeated{since: at, n: 1}
	}
	return true, 0
}

// forget makes place for others.
func (s *seen) forget(at time.Time) {
	for key, c := range s.count {
		if at.Sub(c.since) >= each {
			delete(s.count, key)
		}
	}
}
