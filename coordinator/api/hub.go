// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Bounds of the hub.
const (
	ringSize       = 120 // frames that a returning reader can catch up on: two minutes of ticks
	backlog        = 16  // frames beyond the ring that a reader may be behind
	maxSubscribers = 1_000
)

// ErrCrowded refuses one reader too many.
var ErrCrowded = errors.New("too many live readers")

// Frame is one tick's picture. It is shared by all readers and never changed.
type Frame struct {
	Live *allmendev1.Live
	json func() ([]byte, error)
}

// JSON is the frame as REST and events show it, made once for all readers.
func (f *Frame) JSON() ([]byte, error) { return f.json() }

// Hub gives each tick's picture to whoever reads along. A reader that cannot
// keep up loses its subscription, and the hub never waits.
type Hub struct {
	mu     sync.Mutex
	ring   []*Frame // oldest first
	subs   map[*Subscription]struct{}
	slow   uint64 // readers that were dropped
	closed bool
}

// HubStats is how many read along.
type HubStats struct {
	Readers int
	Dropped uint64 // since the start, because they were too slow
}

// Stats is how many read along now.
func (h *Hub) Stats() HubStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return HubStats{len(h.subs), h.slow}
}

// NewHub returns a hub without a picture.
func NewHub() *Hub { return &Hub{subs: map[*Subscription]struct{}{}} }

// Subscription is one reader. C is closed when the reader was too slow or the
// hub has closed; a reader then comes again with the last sequence it saw.
type Subscription struct {
	C   <-chan *Frame
	c   chan *Frame
	hub *Hub
}

// marshal is the JSON of everything that REST and events answer.
func marshal() protojson.MarshalOptions { return protojson.MarshalOptions{EmitUnpopulated: true} }

// Publish makes live the latest picture. The caller must not change it any more.
func (h *Hub) Publish(live *allmendev1.Live) {
	f := &Frame{Live: live, json: sync.OnceValues(func() ([]byte, error) {
		b, err := marshal().Marshal(live)
		if err != nil {
			return nil, fmt.Errorf("encoding the live picture: %w", err)
		}
		return b, nil
	})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if len(h.ring) == ringSize {
		copy(h.ring, h.ring[1:])
		h.ring = h.ring[:ringSize-1]
	}
	h.ring = append(h.ring, f)
	for s := range h.subs {
		select {
		case s.c <- f:
		default:
			h.slow++
			h.drop(s)
		}
	}
}

// Latest is the newest picture, nil before the first.
func (h *Hub) Latest() *Frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) == 0 {
		return nil
	}
	return h.ring[len(h.ring)-1]
}

// Subscribe begins behind sequence `after`, as far back as the ring reaches. A
// sequence that the ring does not know, such as 0 or one of another run, begins
// with the newest picture.
func (h *Hub) Subscribe(after uint64) (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosing
	}
	if len(h.subs) >= maxSubscribers {
		return nil, fmt.Errorf("%w: %d already, try again later", ErrCrowded, maxSubscribers)
	}
	s := &Subscription{c: make(chan *Frame, ringSize+backlog), hub: h}
	s.C = s.c
	for _, f := range h.behind(after) {
		s.c <- f
	}
	h.subs[s] = struct{}{}
	return s, nil
}

func (h *Hub) behind(after uint64) []*Frame {
	n := len(h.ring)
	if n == 0 {
		return nil
	}
	newest := h.ring[n-1].Live.GetSequence()
	if after == 0 || after > newest {
		return h.ring[n-1:]
	}
	for i, f := range h.ring {
		if f.Live.GetSequence() > after {
			return h.ring[i:]
		}
	}
	return nil
}

// Close ends the subscription; it may be called twice.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.drop(s)
}

func (h *Hub) drop(s *Subscription) {
	if _, there := h.subs[s]; there {
		delete(h.subs, s)
		close(s.c)
	}
}

// Close ends all subscriptions and refuses new ones.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		h.drop(s)
	}
}
