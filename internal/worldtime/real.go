// SPDX-License-Identifier: AGPL-3.0-or-later

package worldtime

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Real is the computer's clock as world time.
type Real struct{ latest atomic.Int64 }

// NewReal returns the clock that service runs on.
func NewReal() *Real { return &Real{} }

// Now is the computer's time, held where it would move back.
func (r *Real) Now() energy.Instant {
	now := int64(energy.InstantOf(time.Now()))
	for {
		latest := r.latest.Load()
		if now <= latest {
			return energy.Instant(latest)
		}
		if r.latest.CompareAndSwap(latest, now) {
			return energy.Instant(now)
		}
	}
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
