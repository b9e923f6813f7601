// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/meters"
)

// loadSegments reads every segment once: it cuts off a torn tail, repairs rot
// and checks that the sequences are without a gap.
func (s *Spool) loadSegments() error {
	names, err := s.segmentNames()
	if err != nil {
		return err
	}
	var before *meters.Sample
	for i, name := range names {
		first, _ := parseSegmentName(name)
		var limit uint64
		if i+1 < len(names) {
			// A later segment wins: this one may end in records whose fsync
			// failed and that were then written again into the next.
			next, _ := parseSegmentName(names[i+1])
			limit = next - 1
		}
		if n := len(s.segs); n > 0 && first != s.segs[n-1].last+1 {
			return fmt.Errorf("%w: the samples %d to %d are missing before %s; put the missing file back, or move the folder away and a new spool begins", ErrBroken, s.segs[n-1].last+1, first-1, name)
		}
		g, last, err := s.loadSegment(name, first, limit, before)
		if err != nil {
			return err
		}
		if g.last < g.first { // nothing in it: a crash right after it was created
			if err := s.disk.remove(name); err != nil {
				return fmt.Errorf("removing the empty segment %s: %w", name, err)
			}
			continue
		}
		before = last
		s.segs = append(s.segs, g)
		s.bytes += g.end
		s.newest = max(s.newest, g.newest)
	}
	return nil
}

// segmentNames lists the segments in order and removes leftovers of replace.
func (s *Spool) segmentNames() ([]string, error) {
	all, err := s.disk.list()
	if err != nil {
		return nil, fmt.Errorf("listing the spool: %w", err)
	}
	var names []string
	for _, name := range all {
		if _, ok := parseSegmentName(name); ok {
			names = append(names, name)
		}
		if strings.HasSuffix(name, ".tmp") {
			if err := s.disk.remove(name); err != nil {
				return nil, fmt.Errorf("removing the leftover %s: %w", name, err)
			}
		}
	}
	slices.Sort(names) // zero-padded: the order of sequences
	return names, nil
}

func (s *Spool) loadSegment(name string, first, limit uint64, before *meters.Sample) (g segment, last *meters.Sample, err error) {
	b, err := s.disk.read(name)
	if err != nil {
		return g, nil, fmt.Errorf("reading the segment %s: %w", name, err)
	}
	if limit != 0 && limit < first {
		return g, nil, nil // wholly written again by the next one
	}
	found := scan(b, first, limit, before)
	g = segment{name: name, first: first, last: first - 1 + uint64(len(found.samples)), end: found.end, newest: found.newest}
	if len(found.samples) > 0 {
		last = &found.samples[len(found.samples)-1]
	}
	intactHead := len(b) >= segmentHead && checkSegmentHead(b, first)
	if found.damaged > 0 || (!intactHead && len(found.samples) > 0) {
		s.opt.Log.Error("a spool segment was damaged on disk; its unreadable samples are replaced by their neighbours", "file", name, "samples", found.damaged)
		g.end, err = s.rewrite(g, found.samples)
		return g, last, err
	}
	if limit == 0 && int64(len(b)) > g.end {
		s.opt.Log.Info("cutting off what a crash left unfinished at the spool's end", "file", name, "bytes", int64(len(b))-g.end)
		if err := s.truncate(g); err != nil {
			return g, nil, err
		}
	}
	return g, last, nil
}

// rewrite writes a repaired segment in one step.
func (s *Spool) rewrite(g segment, samples []meters.Sample) (end int64, err error) {
	b := appendSegmentHead(nil, g.first)
	for i, sample := range samples {
		if b, err = appendRecord(b, g.first+uint64(i), sample); err != nil {
			return 0, err
		}
	}
	if err := s.disk.replace(g.name, b); err != nil {
		return 0, fmt.Errorf("repairing the segment %s: %w", g.name, classify(err))
	}
	return int64(len(b)), nil
}

func (s *Spool) truncate(g segment) error {
	f, err := s.disk.open(g.name, false)
	if err != nil {
		return fmt.Errorf("opening the segment %s: %w", g.name, err)
	}
	err = f.Truncate(g.end)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("cutting off the tail of %s: %w", g.name, classify(err))
	}
	return nil
}
