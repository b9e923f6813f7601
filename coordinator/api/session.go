// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler"
)

// ErrReplaced ends a session whose gateway opened another stream.
var ErrReplaced = errors.New("this gateway has connected anew")

// ErrClosing ends the sessions of a coordinator that stops.
var ErrClosing = errors.New("the coordinator is stopping")

// Session is one gateway's stream. What goes down waits in a mailbox of one
// place a kind, where the newer takes the older's place: a slow link delays a
// gateway, never the community.
type Session struct {
	Identity
	Number uint64 // of the gateway's streams since the start, given by the fleet
	Hello  Hello

	mu        sync.Mutex
	ack       *allmendev1.Ack
	clock     *allmendev1.ClockReply
	setpoints map[roll.AssetID]scheduler.Setpoint
	held      *MeterBatch // could not be stored; see gatewayServer
	cause     error

	wake chan struct{} // one place: something is in the mailbox
	done chan struct{} // closed by End
}

// NewSession returns a session of a gateway that has said hello.
func NewSession(identity Identity, hello Hello) *Session {
	return &Session{
		Identity: identity, Hello: hello, setpoints: map[roll.AssetID]scheduler.Setpoint{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Command puts setpoints into the mailbox; it never waits.
func (s *Session) Command(setpoints []scheduler.Setpoint) {
	s.mu.Lock()
	for _, sp := range setpoints {
		s.setpoints[sp.Asset] = sp
	}
	s.mu.Unlock()
	s.notify()
}

// Waiting are the setpoints that were not sent yet, in no order.
func (s *Session) Waiting() []scheduler.Setpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.setpoints))
}

// End asks the stream to end for a reason; the first reason counts.
func (s *Session) End(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.cause = cause
		close(s.done)
	}
}

// Ended says whether End was called.
func (s *Session) Ended() bool { return s.reason() != nil }

func (s *Session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

func (s *Session) acknowledge(spoolID string, sequence uint64) {
	s.mu.Lock()
	s.ack = &allmendev1.Ack{SpoolId: spoolID, Sequence: sequence}
	s.mu.Unlock()
	s.notify()
}

func (s *Session) replyClock(r *allmendev1.ClockReply) {
	s.mu.Lock()
	s.clock = r
	s.mu.Unlock()
	s.notify()
}

// hold keeps the batch that could not be stored, unless one is kept already.
func (s *Session) hold(b *MeterBatch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = b
	}
}

func (s *Session) holding() *MeterBatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

func (s *Session) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox: acknowledgements first, so that a spool empties
// even where commands come fast.
func (s *Session) take() []*allmendev1.Downlink {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*allmendev1.Downlink
	if s.ack != nil {
		out = append(out, &allmendev1.Downlink{Message: &allmendev1.Downlink_Ack{Ack: s.ack}})
		s.ack = nil
	}
	if s.clock != nil {
		out = append(out, &allmendev1.Downlink{Message: &allmendev1.Downlink_ClockReply{ClockReply: s.clock}})
		s.clock = nil
	}
	if len(s.setpoints) > 0 {
		batch := &allmendev1.SetpointBatch{Setpoints: make([]*allmendev1.Setpoint, 0, len(s.setpoints))}
		for _, sp := range s.setpoints {
			batch.Setpoints = append(batch.Setpoints, &allmendev1.Setpoint{
				AssetId: string(sp.Asset), PowerMilliwatts: int64(sp.Power), StampMs: sp.StampMS,
				TimeToLiveMs: int64(sp.TTL), Epoch: uint64(sp.Epoch), Sequence: uint64(sp.Sequence),
			})
		}
		slices.SortFunc(batch.Setpoints, func(a, b *allmendev1.Setpoint) int { return cmp.Compare(a.GetSequence(), b.GetSequence()) })
		out = append(out, &allmendev1.Downlink{Message: &allmendev1.Downlink_Setpoints{Setpoints: batch}})
		clear(s.setpoints)
	}
	return out
}
