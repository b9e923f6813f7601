// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Pauses between attempts that failed, in wall time.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 10 * time.Second
	// patience is how many exchanges in a row may fail before there is a pause:
	// the first failure must not delay the next request.
	patience = 3
	// deadShare bounds what units that do not answer may take of a line on which
	// others do: together at most one part in so many.
	deadShare = 10
	// mostDeadPause bounds the pause that follows from it, so that a unit that
	// comes back is noticed.
	mostDeadPause = 5 * time.Minute
	// costly is how long a gateway's "the target does not answer" must take to
	// count as a failure: one that comes at once holds nobody up.
	costly = 100 * time.Millisecond
)

// breaker remembers which units do not answer, and when to ask them again. It
// holds at most one entry for each of the 256 units.
type breaker map[uint8]*condition

type condition struct {
	failures int // in a row
	alive    bool
	resume   time.Time // no attempt before
	cause    error     // why there is a pause
}

// refusal is why unit is not asked at now, nil if it may be.
func (b breaker) refusal(unit uint8, now time.Time) error {
	c := b[unit]
	if c == nil || !now.Before(c.resume) {
		return nil
	}
	// The cause is told in words only: an exception of then is no answer to
	// the request of now.
	return fmt.Errorf("%w: unit %d failed %d times in a row and is asked again in %s (check its address, wiring and speed); last: %s",
		ErrUnavailable, unit, c.failures, c.resume.Sub(now).Round(time.Millisecond), c.cause.Error())
}

func (b breaker) at(unit uint8) *condition {
	c := b[unit]
	if c == nil {
		c = &condition{}
		b[unit] = c
	}
	return c
}

// note takes the outcome of an exchange that took so long.
func (b breaker) note(unit uint8, now time.Time, took time.Duration, err error) {
	c := b.at(unit)
	if !unitFailed(err, took) {
		*c = condition{alive: true}
		return
	}
	c.failures++
	pause := longestPause(c.failures)
	if pause == 0 {
		return
	}
	c.alive = false
	if b.othersLive(unit) { // the jitter takes at most half away, hence twice
		pause = min(mostDeadPause, max(pause, 2*deadShare*time.Duration(b.dead())*took))
	}
	c.cause = err
	c.resume = now.Add(jittered(pause))
}

// dead counts the units that are paused or were when last asked.
func (b breaker) dead() int {
	n := 0
	for _, c := range b {
		if c.failures >= patience {
			n++
		}
	}
	return n
}

func (b breaker) othersLive(unit uint8) bool {
	for other, c := range b {
		if other != unit && c.alive {
			return true
		}
	}
	return false
}

// unitFailed says whether an outcome speaks against the unit that was asked. A
// refusal is an answer, except where something in between says that it has none.
func unitFailed(err error, took time.Duration) bool {
	if refused, ok := errors.AsType[ErrException](err); ok {
		return took >= costly && (refused.Code == PathUnavailable || refused.Code == TargetSilent)
	}
	return err != nil
}

// longestPause is the pause after so many failures in a row, before its jitter.
func longestPause(failures int) time.Duration {
	n := failures - patience
	switch {
	case n < 0:
		return 0
	case n > 6: // 100 ms · 2⁷ is past the most
		return mostPause
	}
	return firstPause << n
}

// jittered is between half of d and d: gateways must not knock in step.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2) }
