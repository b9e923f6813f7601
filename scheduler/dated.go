// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// books are the registers of a community by the instant from which they are in
// force, as far back as anything may be settled again. There is at least one;
// the first one also holds for what came before it.
type books []datedBook

type datedBook struct {
	from energy.Instant
	*book
}

// newBooks are the books of registers that follow on a book, or on none.
func newBooks(cfg Config, last *book, registers []roll.Dated) books {
	out := make(books, len(registers))
	for i, d := range registers {
		if last != nil && onlyOrders(&last.of, &d.Community) {
			last = &book{holdings: last.holdings}
			last.enter(d.Community.Members)
		} else {
			last = newBook(cfg, d.Community)
		}
		out[i] = datedBook{d.From, last}
	}
	return out
}

// onlyOrders says whether two registers are the same but for names, bids and offers.
func onlyOrders(a, b *roll.Community) bool {
	return sameList(a.Connections, b.Connections, func(x, y roll.Connection) bool { return x == y }) &&
		sameList(a.Sites, b.Sites, func(x, y roll.Site) bool { return x == y }) &&
		sameList(a.Assets, b.Assets, func(x, y roll.Asset) bool { return roll.Equal(roll.Entry{Asset: &x}, roll.Entry{Asset: &y}) }) &&
		sameList(a.Members, b.Members, func(x, y roll.Member) bool { return x.ID == y.ID && slices.Equal(x.Groups, y.Groups) })
}

// sameList compares two lists, which a history's registers share where nothing of
// that kind changed.
func sameList[T any](a, b []T, same func(x, y T) bool) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.EqualFunc(a, b, same))
}

// at is the book in force at an instant. An interval is settled under the one
// at its start: a change inside an interval counts from its end on.
func (b books) at(t energy.Instant) *book {
	i := len(b) - 1
	for i > 0 && b[i].from > t {
		i--
	}
	return b[i].book
}

// before is the last book that came into force before an instant; nil: none did.
func (b books) before(t energy.Instant) *book {
	for _, d := range slices.Backward(b) {
		if d.from < t {
			return d.book
		}
	}
	return nil
}

// replaced is b with other books from an instant on.
func (b books) replaced(from energy.Instant, by books) books {
	keep := 0
	for keep < len(b) && b[keep].from < from {
		keep++
	}
	return slices.Concat(b[:keep], by)
}

// forget drops the books that were in force before an instant only.
func (b books) forget(before energy.Instant) books {
	first := 0
	for first+1 < len(b) && b[first+1].from <= before {
		first++
	}
	return b[first:]
}

// speaker is a gateway and an asset that it reads.
type speaker struct {
	gateway roll.GatewayID
	asset   roll.AssetID
}

// speakers are the kinds of the assets that a gateway reads, has read or will
// read, in any of the books. Which of their samples count is decided when an
// interval is settled, by the book in force then: so a sample may arrive late,
// and a register may be corrected, in either order.
func (b books) speakers() map[speaker]roll.AssetKind {
	out := map[speaker]roll.AssetKind{}
	for i, d := range b {
		if i > 0 && d.holdings == b[i-1].holdings {
			continue
		}
		for asset, gateway := range d.gateway {
			out[speaker{gateway, asset}] = d.kind[asset]
		}
	}
	return out
}

// source is one register of one asset as one gateway reads it. When another
// gateway takes an asset over, its readings stand beside the first one's.
type source struct {
	gateway roll.GatewayID
	meters.Key
}

// Amended is a stretch of time whose intervals may have been settled before a
// change of the register that reaches back to them was known.
type Amended struct{ From, Until energy.Instant }

// RollChanged says that the register is another one from an instant on, that of
// a past or a coming interval's start. What is settled already from there on is
// settled again.
type RollChanged struct {
	From      energy.Instant
	Registers []roll.Dated // all that are in force from From on; the first one is dated From
}

func (e RollChanged) apply(s *State, _ *effects) {
	if len(e.Registers) == 0 {
		return
	}
	s.books = s.books.replaced(e.From, newBooks(s.cfg, s.books.before(e.From), e.Registers))
	s.speakers = s.books.speakers()
	s.turnTo(s.now)
	s.ledger.amend(Amended{e.From, s.ledger.next.Start}, s.now)
}

// turnTo makes the book in force at an instant the present one.
func (s *State) turnTo(now energy.Instant) {
	b := s.books.at(now)
	if b == s.book {
		return
	}
	same := s.book != nil && b.holdings == s.book.holdings
	if s.book = b; !same {
		s.live.resize(b)
	}
}

// amend notes that intervals may have been settled under a register that was
// corrected since.
func (l *settledIntervals) amend(a Amended, now energy.Instant) {
	for start := range l.byStart {
		if start >= a.From && start < a.Until {
			l.touched(start, now, true)
		}
	}
	for start := range l.holes {
		if start >= a.From && start < a.Until {
			l.touched(start, now, true)
		}
	}
}
