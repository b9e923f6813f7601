// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/allmende-energy/allmende/meters"
)

// MaxAppend bounds the samples of one Append.
const MaxAppend = 100_000

// Append makes the samples durable with one fsync and returns the sequence of
// the last. On an error none of them counts as spooled and all of them may be
// appended again; errors.Is tells [ErrNoSpace] and [ErrFull] from the rest.
func (s *Spool) Append(samples []meters.Sample) (last uint64, err error) {
	if len(samples) == 0 {
		_, last, _ = s.Position()
		return last, nil
	}
	if len(samples) > MaxAppend {
		return 0, fmt.Errorf("spooling %d samples at once: at most %d", len(samples), MaxAppend)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	g, err := s.target()
	if err != nil {
		return 0, err
	}
	b, newest := s.buf[:0], g.newest
	if g.end == 0 {
		b = appendSegmentHead(b, g.first)
	}
	for i, sample := range samples {
		if b, err = appendRecord(b, g.last+1+uint64(i), sample); err != nil {
			return 0, err
		}
		newest = max(newest, sample.At)
	}
	s.buf = b
	if err := s.reserve(int64(len(b))); err != nil {
		return 0, err
	}
	if err := s.write(g, b); err != nil {
		return 0, fmt.Errorf("writing the spool: %w", classify(err))
	}
	g.last += uint64(len(samples))
	g.end += int64(len(b))
	g.newest = newest
	return s.publish(g, int64(len(b))), nil
}

// target is the segment to write to: the last one while it has room.
func (s *Spool) target() (segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return segment{}, ErrClosed
	}
	if n := len(s.segs); n > 0 && s.segs[n-1].end < s.opt.SegmentBytes && !s.segs[n-1].abandoned {
		return s.segs[n-1], nil
	}
	if s.active != nil {
		_ = s.active.Close() // everything in it is durable
		s.active = nil
	}
	first := s.lastOnDisk() + 1
	return segment{name: segmentName(first), first: first, last: first - 1}, nil
}

// reserve refuses what would go over the spool's own bound.
func (s *Spool) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune()
	if s.bytes+n > s.opt.MaxBytes {
		return fmt.Errorf("%w: %d samples wait for the coordinator and fill the %d MiB that it may take; bring the coordinator back or raise spool.max_mb", ErrFull, s.lastOnDisk()-s.state.Acked, s.opt.MaxBytes>>20)
	}
	return nil
}

// write puts b at the end of g and makes it durable. After a failure the file
// is cut back; where even that fails, or an fsync did (after which nobody knows
// what is on the disk), the file is abandoned and the next append begins a new one.
func (s *Spool) write(g segment, b []byte) error {
	fresh := g.end == 0
	if s.active == nil {
		f, err := s.disk.open(g.name, fresh)
		if err != nil {
			return err
		}
		s.active = f
	}
	_, err := s.active.WriteAt(b, g.end)
	synced := false
	if err == nil {
		err = s.active.Sync()
		synced = err != nil
	}
	if err == nil && fresh {
		err = s.disk.sync()
	}
	if err == nil {
		return nil
	}
	if cut := s.active.Truncate(g.end); cut == nil && !synced && !fresh {
		return err
	}
	_ = s.active.Close() // the first error is what matters
	s.active = nil
	if fresh {
		if e := s.disk.remove(g.name); e != nil && !errors.Is(e, os.ErrNotExist) {
			return errors.Join(err, e) // it is emptied when its name is used again
		}
		return err
	}
	s.abandon(g.first)
	return err
}

func (s *Spool) abandon(first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.segs, func(g segment) bool { return g.first == first }); i >= 0 {
		s.segs[i].abandoned = true
	}
}

// publish makes what was written readable.
func (s *Spool) publish(g segment, n int64) (last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := len(s.segs); k > 0 && s.segs[k-1].first == g.first {
		s.segs[k-1] = g
	} else {
		s.segs = append(s.segs, g)
	}
	s.bytes += n
	s.newest = max(s.newest, g.newest)
	select {
	case s.signal <- struct{}{}:
	default:
	}
	return g.last - s.state.Base
}

// Read returns at most n samples with the sequences from, from+1, … of the
// present id. There may be none yet; sequences before the oldest one kept are
// [ErrGone].
func (s *Spool) Read(id string, from uint64, n int) ([]meters.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if id != s.state.ID || from == 0 {
		return nil, fmt.Errorf("%w: sample %d of spool %.40q", ErrGone, from, id)
	}
	seq := s.state.Base + from
	if seq > s.lastOnDisk() {
		return nil, nil
	}
	i := slices.IndexFunc(s.segs, func(g segment) bool { return seq <= g.last })
	if i < 0 || seq < s.segs[i].first {
		return nil, fmt.Errorf("%w: sample %d was removed after its retention", ErrGone, from)
	}
	return s.readSegment(s.segs[i], seq, n)
}

// readSegment reads on from the cursor where it fits, otherwise from the
// segment's beginning.
func (s *Spool) readSegment(g segment, seq uint64, n int) ([]meters.Sample, error) {
	c := s.cursor
	if c.segment != g.first || c.seq != seq {
		c = cursor{segment: g.first, seq: g.first, off: int64(segmentHead)}
	}
	skip := seq - c.seq
	n = int(min(uint64(n), g.last-seq+1))
	length := min(g.end-c.off, int64(skip+uint64(n))*maxRecord)
	b, err := s.readAt(g.name, c.off, length)
	if err != nil {
		return nil, fmt.Errorf("reading the segment %s: %w", g.name, err)
	}
	out := make([]meters.Sample, 0, n)
	for len(out) < n {
		at, sample, size, err := decodeRecord(b)
		if err == nil && at != c.seq {
			err = fmt.Errorf("%w: sequence %d where %d belongs", errRecord, at, c.seq)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s at byte %d (%w); restart the gateway, which repairs it", ErrBroken, g.name, c.off, err)
		}
		if c.seq >= seq {
			out = append(out, sample)
		}
		b, c.seq, c.off = b[size:], c.seq+1, c.off+int64(size)
	}
	s.cursor = c
	return out, nil
}

func (s *Spool) readAt(name string, off, length int64) ([]byte, error) {
	f, err := s.disk.open(name, false)
	if err != nil {
		return nil, err
	}
	b := make([]byte, length)
	_, err = f.ReadAt(b, off)
	if e := f.Close(); err == nil {
		err = e
	}
	return b, err
}
