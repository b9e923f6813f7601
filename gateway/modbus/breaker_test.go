// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A dead unit on a shared line: its neighbours get all their answers, and it is
// asked a few times only. Counted in exchanges, as the slave saw them.
func TestDeadUnitDoesNotStarveItsNeighbours(t *testing.T) {
	for _, w := range wires() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := &slave{silent: map[byte]bool{2: true}}
			url := w.open(t, s.answering(nil))
			b := run(t, Config{URL: url + "?baud=230400", Timeout: 2 * time.Second, Quiet: 10 * time.Millisecond}) // of a busy computer's neighbours
			const rounds = 60
			for range rounds {
				for unit := uint8(1); unit <= 3; unit++ {
					got, err := b.ReadHolding(t.Context(), unit, 10, 2)
					if unit == 2 {
						if err == nil {
							t.Fatalf("the dead unit answered %v", got)
						}
						continue
					}
					if err != nil || got[0] != tableValue(unit, 3, 10) {
						t.Fatalf("unit %d: %v, %v", unit, got, err)
					}
				}
			}
			// Twice as many with the question that goes between: without the
			// breaker there would be one or two a round.
			if n := s.asks(2); n < patience || n > rounds/3 {
				t.Errorf("the dead unit was asked %d times in %d rounds", n, rounds)
			}
			if one, three := s.asks(1), s.asks(3); one != rounds || three != rounds {
				t.Errorf("the neighbours were asked %d and %d times, want %d", one, three, rounds)
			}
			_, err := b.ReadHolding(t.Context(), 2, 10, 2)
			if err != nil && errors.Is(err, ErrUnavailable) && !strings.Contains(err.Error(), "wiring") {
				t.Errorf("it is not said what to do: %v", err)
			}
		})
	}
}

// A gateway that takes long to say that nobody answers behind it holds up the
// line as much as silence does.
func TestSlowRefusalsCount(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		code  uint8
		took  time.Duration
		waits bool
	}{
		{TargetSilent, time.Second, true}, {PathUnavailable, time.Second, true},
		{TargetSilent, time.Millisecond, false}, {IllegalDataAddress, time.Second, false},
	} {
		b := breaker{}
		for range 2 * patience {
			b.note(5, now, c.took, ErrException{Code: c.code})
		}
		err := b.refusal(5, now)
		if (err != nil) != c.waits {
			t.Errorf("exception %d in %s: %v", c.code, c.took, err)
		}
		if _, refused := errors.AsType[ErrException](err); refused {
			t.Error("a unit that was not asked is said to have refused")
		}
	}
}

// However many units are dead, they take a bounded part of a line on which one
// lives: no exchange of theirs begins while they have had more than their share.
func TestDeadUnitsTakeABoundedShare(t *testing.T) {
	const span = 20 * time.Minute
	rapid.Check(t, func(r *rapid.T) {
		dead := rapid.IntRange(1, 12).Draw(r, "dead")
		cost := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(2*time.Second)).Draw(r, "cost"))
		b := breaker{}
		now := time.Unix(1e9, 0)
		begun, wasted := now, time.Duration(0)
		for now.Sub(begun) < span {
			for unit := 1; unit <= dead; unit++ {
				if b.refusal(uint8(unit), now) == nil {
					now = now.Add(cost)
					wasted += cost
					b.note(uint8(unit), now, cost, ErrTimeout)
				}
			}
			now = now.Add(time.Second)
			b.note(200, now, time.Second, nil)
		}
		// What is spent before the breaker opens, and where the most pause
		// bounds it, comes on top.
		before := time.Duration(dead*(patience+2)) * cost
		asks := int64(span/(mostDeadPause/2)) + 1 // of each unit, at the longest pause
		share := max(span/deadShare, cost*time.Duration(int64(dead)*asks))
		if wasted > before+share {
			r.Fatalf("%d dead units of %s took %s of %s", dead, cost, wasted, span)
		}
		// One that comes back is asked, and then as often as anybody likes.
		now = now.Add(mostDeadPause)
		if err := b.refusal(1, now); err != nil {
			r.Fatalf("after the longest pause: %v", err)
		}
		b.note(1, now, time.Millisecond, nil)
		if err := b.refusal(1, now); err != nil {
			r.Fatalf("after an answer: %v", err)
		}
	})
}

func TestPauseGrowsWithinItsBounds(t *testing.T) {
	for failures := range patience {
		if d := longestPause(failures); d != 0 {
			t.Errorf("a pause of %s after %d failures", d, failures)
		}
	}
	last := time.Duration(0)
	for failures := patience; failures < 100; failures++ {
		d := longestPause(failures)
		if d < last || d < firstPause || d > mostPause {
			t.Errorf("a pause of %s after %d failures", d, failures)
		}
		last = d
	}
	if last != mostPause {
		t.Errorf("the pause grew to %s only", last)
	}
}
