// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/meters"
)

// refusals remember what the coordinator will not take: a sample of an asset
// that its register does not know, of a clock that was wrong. Sequences have no
// holes, so without this one mistyped id would hold up every sample behind it
// for ever. A refused sample is stood in for by a neighbour, which changes
// nothing; it stays in the spool, and people are told.
//
// Who is to blame is found out by being careful: one thing at a time, each
// confirmed before the next.
type refusals struct {
	mu      sync.Mutex
	careful bool
	spoolID string
	samples map[uint64]bool
	strikes map[roll.AssetID]int
	live    map[roll.AssetID]bool
	reason  string
}

const (
	// strikesOut: so many refused samples, and the asset as a whole is.
	strikesOut = 3
	// maxRefused bounds the memory; beyond it the stream stands still and says why.
	maxRefused = 10_000
)

// takes says whether the coordinator took, or may take, a sample.
func (r *refusals) takes(id string, seq uint64, asset roll.AssetID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused := r.spoolID == id && r.samples[seq]
	return !refused && r.strikes[asset] < strikesOut
}

func (r *refusals) takesLive(asset roll.AssetID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.live[asset] && r.strikes[asset] < strikesOut
}

// suspect is the one thing that was sent and not confirmed.
type suspect struct {
	seq   uint64 // a sample; 0: a live reading
	asset roll.AssetID
}

// blame notes a refusal. Without a suspect the next stream is careful.
func (r *refusals) blame(id string, s *suspect, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.careful = true
	if s == nil || len(r.samples) >= maxRefused {
		return
	}
	if r.spoolID != id {
		r.spoolID, r.samples = id, map[uint64]bool{}
	}
	if s.seq > 0 {
		r.samples[s.seq] = true
		r.strikes[s.asset]++
	} else {
		r.live[s.asset] = true
	}
	r.reason = plain(err).Error()
}

func (r *refusals) isCareful() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.careful
}

func (r *refusals) relax() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.careful = false
}

// problem is what people are told; empty if nothing was refused.
func (r *refusals) problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var assets []string
	for a := range r.strikes {
		assets = append(assets, string(a))
	}
	for a := range r.live {
		if r.strikes[a] == 0 {
			assets = append(assets, string(a))
		}
	}
	if len(assets) == 0 {
		return ""
	}
	slices.Sort(assets)
	return fmt.Sprintf("the coordinator refuses values of %s (%s); after the correction restart the gateway", strings.Join(assets, ", "), r.reason)
}

// numbered is a sample with its sequence.
type numbered struct {
	seq    uint64
	sample meters.Sample
}

// standIn replaces refused samples by their neighbours. Those at the end that
// have no neighbour yet are cut off and wait.
func (s *session) standIn(first uint64, samples []meters.Sample) ([]meters.Sample, error) {
	out := slices.Clone(samples)
	for i := range out {
		if s.link.refused.takes(s.id, first+uint64(i), out[i].Asset) {
			continue
		}
		if i > 0 {
			out[i] = out[i-1]
			continue
		}
		n, ok, err := s.neighbour(first)
		if err != nil || !ok {
			return nil, err
		}
		out[i] = n.sample
	}
	return out, nil
}

// neighbour is the nearest sample that was not refused: before seq, else behind it.
func (s *session) neighbour(seq uint64) (numbered, bool, error) {
	const back, chunks = 500, 20
	source := s.link.cfg.Source
	from := seq - min(back, seq-1)
	before, err := source.Read(s.id, from, int(seq-from))
	if err == nil { // an error: they are past their retention
		for i, sample := range slices.Backward(before) {
			if at := from + uint64(i); at < seq && s.link.refused.takes(s.id, at, sample.Asset) {
				return numbered{at, sample}, true, nil
			}
		}
	}
	from = seq
	for range chunks {
		behind, err := source.Read(s.id, from, back)
		if err != nil {
			return numbered{}, false, fmt.Errorf("reading the spool: %w", err)
		}
		for i, sample := range behind {
			if at := from + uint64(i); s.link.refused.takes(s.id, at, sample.Asset) {
				return numbered{at, sample}, true, nil
			}
		}
		if len(behind) == 0 {
			break
		}
		from += uint64(len(behind))
	}
	return numbered{}, false, nil
}

// sendCarefully sends one thing at a time until all that waits has been taken.
// It returns nil when the stream may go on as usual.
func (s *session) sendCarefully(ctx context.Context) error {
	for {
		n, ok, err := s.nextSample()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		s.suspect = &suspect{n.seq, n.sample.Asset}
		if err := s.put(encodeMeter(s.id, s.next, []meters.Sample{n.sample})); err != nil {
			return err
		}
		if err := s.await(ctx, func() bool { return s.acked >= s.next }); err != nil {
			return err
		}
		s.next++
	}
	stamp, readings := s.link.takeLive()
	for _, reading := range readings {
		if !s.link.refused.takesLive(reading.Asset) {
			continue
		}
		s.suspect = &suspect{0, reading.Asset}
		if err := s.put(encodeLive(stamp, []meters.Reading{reading})); err != nil {
			return err
		}
		// Messages are answered in order: the time, then the reading was taken.
		if err := s.sendProbe(time.Now(), 0, true); err != nil {
			return err
		}
		if err := s.await(ctx, func() bool { return !s.probing }); err != nil {
			return err
		}
	}
	s.suspect = nil
	s.link.refused.relax()
	return nil
}

// nextSample is the sample to send, or what stands in for it.
func (s *session) nextSample() (numbered, bool, error) {
	samples, err := s.link.cfg.Source.Read(s.id, s.next, 1)
	if err != nil {
		return numbered{}, false, fmt.Errorf("reading the spool: %w", err)
	}
	if len(samples) == 0 {
		return numbered{}, false, nil
	}
	if s.link.refused.takes(s.id, s.next, samples[0].Asset) {
		return numbered{s.next, samples[0]}, true, nil
	}
	return s.neighbour(s.next)
}

// await blocks until done, which is called with mu held, or the stream ends.
func (s *session) await(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		ok := done()
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.link.wake:
		}
	}
}

func isRefusal(err error) bool { return status.Code(err) == codes.InvalidArgument }
