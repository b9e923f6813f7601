// SPDX-License-Identifier: AGPL-3.0-or-later

package worldtime

import (
	"context"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Stepped is a world that moves only while every participant waits. It then
// jumps to the earliest instant that anybody waits for, no sooner than its pace
// allows. Work that takes long makes the world slower, never wrong.
type Stepped struct {
	mu     sync.Mutex
	now    energy.Instant
	pace   float64 // world per wall; 0: as fast as the participants
	hold   int     // participants that must have joined before the first step
	parts  map[*steppedParticipant]struct{}
	timer  *time.Timer
	anchor struct { // the world was at world when the wall was at wall
		world energy.Instant
		wall  time.Time
	}
	meter struct { // for Speed
		world energy.Instant
		wall  time.Time
		speed float64
	}
}

// NewStepped returns a world that stands at start. It runs at most pace times
// as fast as the wall clock (0: as fast as its participants) and waits for the
// first hold participants before it moves at all.
func NewStepped(start energy.Instant, pace float64, hold int) *Stepped {
	s := &Stepped{now: start, pace: pace, hold: hold, parts: map[*steppedParticipant]struct{}{}}
	s.anchor.world, s.anchor.wall = start, time.Now()
	s.meter.world, s.meter.wall, s.meter.speed = start, time.Now(), pace
	return s
}

// Now is the present world time.
func (s *Stepped) Now() energy.Instant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Speed is what the world reached over the latest second or two.
func (s *Stepped) Speed() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meter.speed
}

// Join takes part. The world stands until the new participant waits.
func (s *Stepped) Join(name string) Participant {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &steppedParticipant{world: s, name: name, wake: make(chan energy.Instant, 1)}
	s.parts[p] = struct{}{}
	return p
}

// Running names the participants that the world waits for at this moment.
func (s *Stepped) Running() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for p := range s.parts {
		if !p.waiting {
			names = append(names, p.name)
		}
	}
	return names
}

type steppedParticipant struct {
	world   *Stepped
	name    string
	wake    chan energy.Instant
	waiting bool
	until   energy.Instant
}

func (p *steppedParticipant) WaitUntil(ctx context.Context, at energy.Instant) (energy.Instant, error) {
	s := p.world
	s.mu.Lock()
	if _, joined := s.parts[p]; !joined || at <= s.now {
		now := s.now
		s.mu.Unlock()
		return now, ctx.Err()
	}
	p.waiting, p.until = true, at
	s.step()
	s.mu.Unlock()
	select {
	case now := <-p.wake:
		return now, ctx.Err()
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		p.waiting = false
		select { // woken at the same moment: leave no stale wake-up behind
		case <-p.wake:
		default:
		}
		return s.now, ctx.Err()
	}
}

func (p *steppedParticipant) Leave() {
	s := p.world
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.parts, p)
	s.step()
}

// step moves the world as far as it may go now. The caller holds mu.
func (s *Stepped) step() {
	for {
		target, ok := s.earliest()
		if !ok {
			return
		}
		if wait := s.paceWait(target); wait > 0 {
			s.stepLater(wait)
			return
		}
		s.moveTo(target)
	}
}

// earliest is the next instant to move to, if everybody waits.
func (s *Stepped) earliest() (energy.Instant, bool) {
	if len(s.parts) == 0 || len(s.parts) < s.hold {
		return 0, false
	}
	var target energy.Instant
	first := true
	for p := range s.parts {
		if !p.waiting {
			return 0, false
		}
		if first || p.until < target {
			target, first = p.until, false
		}
	}
	return target, true
}

// paceWait is how long the wall clock must still run before the world may stand at target.
func (s *Stepped) paceWait(target energy.Instant) time.Duration {
	if s.pace <= 0 {
		return 0
	}
	wall := time.Duration(float64(target.Sub(s.anchor.world).Duration()) / s.pace)
	wait := time.Until(s.anchor.wall.Add(wall))
	// A world that fell behind goes on from here instead of racing to catch up.
	const slack = 500 * time.Millisecond
	if wait < -slack {
		s.anchor.world, s.anchor.wall = s.now, time.Now()
	}
	return wait
}

func (s *Stepped) stepLater(wait time.Duration) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.step()
	})
}

func (s *Stepped) moveTo(target energy.Instant) {
	s.hold = 0
	if target > s.now {
		s.now = target
	}
	for p := range s.parts {
		if p.waiting && p.until <= s.now {
			p.waiting = false
			p.wake <- s.now
		}
	}
	if wall := time.Since(s.meter.wall); wall > time.Second {
		s.meter.speed = float64(s.now.Sub(s.meter.world).Duration()) / float64(wall)
		s.meter.world, s.meter.wall = s.now, time.Now()
	}
}
