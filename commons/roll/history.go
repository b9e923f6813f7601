// SPDX-License-Identifier: AGPL-3.0-or-later

package roll

import (
	"cmp"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Op is what a change does to an entry.
type Op string

// Operations.
const (
	OpAdd    Op = "add"    // the entry is there from now on, as a whole
	OpChange Op = "change" // some of its fields are different from now on
	OpRetire Op = "retire" // it is no longer there; what it was stays known
)

// Change is one thing that is different in the register from an instant on.
// Changes are never taken back: a mistake is mended by another change, which may
// take effect from the same instant or an earlier one.
type Change struct {
	From  energy.Instant
	Op    Op
	Entry Entry // of a retirement only the name is read
	// Fields are those that an OpChange sets; the others of Entry are not read.
	Fields []string
	// Again: an OpAdd of something that was there before and was retired. Without
	// it an id that was once used is not used again, so that nobody's history
	// becomes another's.
	Again bool
}

// Revision is one act of administration: changes that were recorded together.
type Revision struct {
	Number   int64  // 1 is the founding
	Actor    string // who did it
	Note     string // why, in her own words
	Recorded time.Time
	World    energy.Instant // world time then
	Changes  []Change
}

// Dated is a register and the instant from which it is in force.
type Dated struct {
	From      energy.Instant
	Community Community
}

// Always is a register that never changes.
func Always(c Community) []Dated { return []Dated{{From: 0, Community: c}} }

// History is all changes of a register since the community's founding. It is a
// value: [History.Plan] returns a longer one and leaves this one as it is.
//
// Invariant: changes are in the order in which they take effect, and where that
// is the same instant, in the order in which they were recorded.
type History struct {
	changes []Change
}

// Found is the history of a community that begins with a register.
func Found(c Community, from energy.Instant) History {
	var h History
	for _, e := range c.Entries() {
		h.changes = append(h.changes, Change{From: from, Op: OpAdd, Entry: e.clone()})
	}
	return h
}

// Recorded is the history that consists of changes in the order in which they
// were recorded. They were checked when they were: it checks nothing.
func Recorded(changes []Change) History { return History{}.and(changes) }

// HistoryOf is what all revisions come to, the oldest first.
func HistoryOf(revisions []Revision) History {
	var all []Change
	for _, rev := range revisions {
		all = append(all, rev.Changes...)
	}
	return Recorded(all)
}

// and is h with more changes recorded behind it.
func (h History) and(more []Change) History {
	all := slices.Concat(h.changes, more)
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(a.From, b.From) })
	return History{all}
}

// Founded is when the first change took effect; ok is false where there is none.
func (h History) Founded() (at energy.Instant, ok bool) {
	if len(h.changes) == 0 {
		return 0, false
	}
	return h.changes[0].From, true
}

// Joined is when a member came who is there at an instant: the last time, where
// she left and came back.
func (h History) Joined(m MemberID, at energy.Instant) (since energy.Instant, ok bool) {
	for _, c := range h.changes {
		if c.From <= at && c.Op == OpAdd && c.Entry.Member != nil && c.Entry.Member.ID == m {
			since, ok = c.From, true
		}
	}
	return since, ok
}

// At is the register that is in force at an instant: every change that took
// effect by then, applied in order. Before the founding it is empty.
func (h History) At(t energy.Instant) Community {
	f := newFold()
	for _, c := range h.changes {
		if c.From > t {
			break
		}
		f.apply(c)
	}
	return f.community()
}

// Since are the register in force at t and each one after it, in order. The
// first is dated t or, where t lies before the founding, with the founding.
func (h History) Since(t energy.Instant) []Dated {
	if founded, ok := h.Founded(); ok {
		t = max(t, founded)
	}
	var out []Dated
	h.walk(t, func(from energy.Instant, f *fold) {
		out = append(out, Dated{from, f.community()})
	})
	return out
}

// Next is when the register changes next after an instant, as far as is known.
func (h History) Next(t energy.Instant) (at energy.Instant, ok bool) {
	i, _ := slices.BinarySearchFunc(h.changes, t, func(c Change, t energy.Instant) int {
		if c.From <= t {
			return -1
		}
		return 1
	})
	if i == len(h.changes) {
		return 0, false
	}
	return h.changes[i].From, true
}

// WithoutOrders is the same history without anybody's bids and offers: they change
// more often than all else, and are few readers' affair.
func (h History) WithoutOrders() History {
	out := make([]Change, 0, len(h.changes))
	for _, c := range h.changes {
		set := c.orders()
		if len(set) == 0 {
			out = append(out, c)
			continue
		}
		c.Fields = slices.DeleteFunc(slices.Clone(c.Fields), func(f string) bool { return f == FieldBid || f == FieldOffer })
		if c.Op == OpChange && len(c.Fields) == 0 {
			continue
		}
		c.Entry = c.Entry.clone()
		c.Entry.Member.Bid, c.Entry.Member.Offer = nil, nil
		out = append(out, c)
	}
	return History{out}
}

// walk folds all changes, and shows the state in force at t and then after each
// later instant at which something changes.
func (h History) walk(t energy.Instant, show func(energy.Instant, *fold)) {
	f := newFold()
	i := 0
	for ; i < len(h.changes) && h.changes[i].From <= t; i++ {
		f.apply(h.changes[i])
	}
	show(t, f)
	for ; i < len(h.changes); i++ {
		f.apply(h.changes[i])
		if i+1 == len(h.changes) || h.changes[i+1].From != h.changes[i].From {
			show(h.changes[i].From, f)
		}
	}
}

// Stay is a time during which an entry was in the register without a break.
type Stay struct {
	From, Until energy.Instant // Until: 0 where no end is known
	First, Last Entry          // as it was at its beginning and at its end
}

// Stays are the times of every entry that ever was in the register or will be.
func (h History) Stays() map[Ref][]Stay {
	out := map[Ref][]Stay{}
	f := newFold()
	for _, c := range h.changes {
		ref := c.Entry.Ref()
		f.apply(c)
		e, there := f.get(ref)
		stays := out[ref]
		last := len(stays) - 1
		open := last >= 0 && stays[last].Until == 0
		switch {
		case there && open:
			stays[last].Last = e
		case there && last >= 0 && stays[last].Until == c.From: // it left and came back at once
			stays[last].Until, stays[last].Last = 0, e
		case there:
			stays = append(stays, Stay{From: c.From, First: e, Last: e})
		case open && stays[last].From == c.From: // it came and left at once
			stays = stays[:last]
		case open:
			stays[last].Until = c.From
		}
		out[ref] = stays
	}
	return out
}

// fold is a register that is being put together from changes. Entries keep the
// order in which they first appeared.
type fold struct {
	head        Head
	members     shelf[Member]
	connections shelf[Connection]
	sites       shelf[Site]
	assets      shelf[Asset]
	gateways    shelf[Gateway]
}

func newFold() *fold {
	return &fold{
		members: newShelf[Member](), connections: newShelf[Connection](), sites: newShelf[Site](),
		assets: newShelf[Asset](), gateways: newShelf[Gateway](),
	}
}

// shelf holds the entries of one kind.
type shelf[T any] struct {
	order []string
	place map[string]int
	items []*T // by place; nil: retired
	shown []T  // what list returned, until something changes; nil: it has changed
}

func newShelf[T any]() shelf[T] { return shelf[T]{place: map[string]int{}} }

func (s *shelf[T]) get(id string) *T {
	if i, ok := s.place[id]; ok {
		return s.items[i]
	}
	return nil
}

func (s *shelf[T]) put(id string, v *T) {
	i, known := s.place[id]
	if !known {
		i = len(s.items)
		s.place[id] = i
		s.order, s.items = append(s.order, id), append(s.items, nil)
	}
	s.items[i], s.shown = v, nil
}

// list are the entries that are there. Registers in a row share the list of a kind
// of which nothing changed: a year of bids is not a year of copies of all meters.
func (s *shelf[T]) list() []T {
	if s.shown != nil {
		return s.shown
	}
	for _, v := range s.items {
		if v != nil {
			s.shown = append(s.shown, *v)
		}
	}
	s.shown = slices.Clip(s.shown)
	return s.shown
}

// get is the entry of that name, and false where there is none at present.
func (f *fold) get(r Ref) (Entry, bool) {
	var e Entry
	switch r.Kind {
	case KindCommunity:
		if f.head.ID == CommunityID(r.ID) {
			head := f.head
			e.Head = &head
		}
	case KindMember:
		e.Member = f.members.get(r.ID)
	case KindConnection:
		e.Connection = f.connections.get(r.ID)
	case KindSite:
		e.Site = f.sites.get(r.ID)
	case KindAsset:
		e.Asset = f.assets.get(r.ID)
	case KindGateway:
		e.Gateway = f.gateways.get(r.ID)
	}
	return e, e.Ref().Kind != ""
}

// put makes e the entry of its name; without one it takes it away.
func (f *fold) put(r Ref, e Entry) {
	switch r.Kind {
	case KindCommunity:
		if e.Head != nil {
			f.head = *e.Head
		}
	case KindMember:
		f.members.put(r.ID, e.Member)
	case KindConnection:
		f.connections.put(r.ID, e.Connection)
	case KindSite:
		f.sites.put(r.ID, e.Site)
	case KindAsset:
		f.assets.put(r.ID, e.Asset)
	case KindGateway:
		f.gateways.put(r.ID, e.Gateway)
	}
}

// apply makes a change. It refuses nothing: changes that were in order when they
// were recorded may meet others that were recorded later and take effect
// earlier. An entry that is there already is added anew, as a whole; one that is
// not there cannot change and need not be retired.
func (f *fold) apply(c Change) {
	ref := c.Entry.Ref()
	switch c.Op {
	case OpAdd:
		f.put(ref, c.Entry)
	case OpChange:
		if have, ok := f.get(ref); ok {
			f.put(ref, have.With(c.Entry, c.Fields))
		}
	case OpRetire:
		if _, ok := f.get(ref); ok {
			f.put(ref, Entry{})
		}
	}
}

func (f *fold) community() Community {
	return Community{
		ID: f.head.ID, Name: f.head.Name, Timezone: f.head.Timezone,
		Members: f.members.list(), Connections: f.connections.list(), Sites: f.sites.list(),
		Assets: f.assets.list(), Gateways: f.gateways.list(),
	}
}
