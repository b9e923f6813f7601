// SPDX-License-Identifier: AGPL-3.0-or-later

// Package worldtime is the clock of the energy world: intervals, time-to-live,
// "today". In service it is the computer's clock. In a demo it runs faster, and
// in tests it moves only when everybody who takes part is waiting for it, so
// that nothing depends on how fast the machine is. TLS, sessions and back-off
// stay on wall time and never come here.
package worldtime

import (
	"context"

	"github.com/allmende-energy/allmende/energy"
)

// Clock tells world time and lets participants wait for it.
type Clock interface {
	// Now is the present world time. It never moves back.
	Now() energy.Instant
	// Join registers somebody whose work the world waits for: between
	// WaitUntil calls of a participant, a stepped world stands still.
	Join(name string) Participant
	// Speed is world seconds per wall second, 1 in service; a stepped world
	// reports what it reached lately.
	Speed() float64
}

// Participant is one loop that lives in world time.
type Participant interface {
	// WaitUntil blocks until world time is at least at, and returns the
	// present. It returns early with ctx's error when ctx ends.
	WaitUntil(ctx context.Context, at energy.Instant) (energy.Instant, error)
	// Leave ends the participation; the world no longer waits for it.
	Leave()
}
