// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import "github.com/allmende-energy/allmende/energy"

// Budget counts the writes to a register that lies in flash memory. What was
// spent drains away evenly, the whole of it in a day; the last fifth is kept
// for writes that only take away, which are never refused.
//
// It counts in world time and outlives the process: whoever stores it between
// runs keeps a gateway that starts over and over from wearing a device out. A
// clock that is set back drains nothing.
type Budget struct {
	Most  int // writes a day, 0: without a limit
	Spent int64
	// Rest is the part of a write that has not drained yet, in write-milliseconds.
	Rest int64
	At   energy.Instant
}

// drain lets go what a day's share allows since the last time.
func (b *Budget) drain(at energy.Instant) {
	if b.Most <= 0 || at <= b.At {
		return
	}
	if b.At == 0 {
		b.At = at
		return
	}
	passed := int64(min(at.Sub(b.At), energy.Day)) * int64(b.Most)
	b.At = at
	b.Rest += passed
	gone := min(b.Rest/int64(energy.Day), b.Spent)
	b.Spent -= gone
	b.Rest = min(b.Rest-gone*int64(energy.Day), int64(energy.Day)-1)
}

// Spend counts a write.
func (b *Budget) Spend(at energy.Instant) {
	if b.Most > 0 {
		b.drain(at)
		b.Spent++
	}
}

// Allows says whether a write may be made that could as well be left out.
func (b *Budget) Allows(at energy.Instant) bool {
	if b.Most <= 0 {
		return true
	}
	b.drain(at)
	return b.Spent < max(int64(b.Most)*4/5, 1)
}
