// SPDX-License-Identifier: AGPL-3.0-or-later

package worldtime

import (
	"context"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Real is the computer's clock as world time. Where that clock is set back, the
// world does not stand still until it has come again, which would end polling,
// ticks and the release of batteries: it goes on, a fifth slower, until both
// agree. A register then seems to rise by a quarter faster than it did, which is
// what meters.Limits allow above a fuse.
type Real struct {
	wall  func() energy.Instant // may jump
	since func() time.Duration  // monotonic

	mu    sync.Mutex
	world energy.Instant // what was shown
	at    time.Duration  // when; moved on only while world follows the wall
}

// NewReal returns the clock that service runs on.
func NewReal() *Real {
	start := time.Now()
	return newReal(
		func() energy.Instant { return energy.InstantOf(time.Now()) },
		func() time.Duration { return time.Since(start) },
	)
}

func newReal(wall func() energy.Instant, since func() time.Duration) *Real {
	return &Real{wall: wall, since: since, world: wall(), at: since()}
}

// Now is the computer's time, or the world's own while that is behind it.
func (r *Real) Now() energy.Instant {
	r.mu.Lock()
	defer r.mu.Unlock()
	wall, since := r.wall(), r.since()
	slow := r.world.Add(energy.SpanOf((since - r.at) / 5 * 4))
	if wall < slow {
		return slow
	}
	r.world, r.at = wall, since
	return wall
}

// Join takes part; real time waits for nobody.
func (r *Real) Join(string) Participant { return realParticipant{r} }

// Speed is 1.
func (r *Real) Speed() float64 { return 1 }

type realParticipant struct{ clock *Real }

func (p realParticipant) WaitUntil(ctx context.Context, at energy.Instant) (energy.Instant, error) {
	// A wait is cut into pieces, so that a computer that slept or whose clock
	// was set notices within seconds.
	const piece = 2 * time.Second
	for {
		now := p.clock.Now()
		if now >= at {
			return now, ctx.Err()
		}
		timer := time.NewTimer(min(at.Sub(now).Duration(), piece))
		select {
		case <-ctx.Done():
			timer.Stop()
			return p.clock.Now(), ctx.Err()
		case <-timer.C:
		}
	}
}

func (p realParticipant) Leave() {}
