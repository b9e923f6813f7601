// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

// Backlog is what a community has still to book.
type Backlog struct {
	Waiting int // intervals that have ended and are not settled yet
	Again   int // settled intervals that are to be looked at again
}

// Backlog is what waits now. It belongs to the goroutine that steps the state.
func (s *State) Backlog() Backlog {
	b := Backlog{Again: len(s.ledger.dirty)}
	if ended := s.now.Sub(s.ledger.next.Start); ended > 0 {
		b.Waiting = int(ended / s.ledger.length)
	}
	return b
}
