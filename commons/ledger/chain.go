// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// chain is what the leaves so far say together: which charters were activated
// and which interval is settled by which leaf.
type chain struct {
	origin   roll.CommunityID
	charters []CharterActivated
	slots    map[energy.Instant]*slot // by start of interval
	lengths  []energy.Span            // of the intervals seen
	until    energy.Instant           // the end of the latest interval settled
}

// slot is an interval's history.
type slot struct {
	interval energy.Interval
	leaf     int64 // that settled it last
	revision int
	reversed int64 // by this leaf; NoLeaf: it is in force
	state    int   // its place in the report
}

func newChain() chain { return chain{slots: make(map[energy.Instant]*slot)} }

func (c *chain) community(id roll.CommunityID) error {
	if c.origin == "" {
		c.origin = id
	}
	if c.origin != id {
		return findingf("it is of community %q, the ledger of %q", id, c.origin)
	}
	return nil
}

func (c *chain) activate(a CharterActivated) error {
	hash, err := a.Charter.Hash()
	switch {
	case err != nil:
		return findingf("the charter: %w", err)
	case hash != a.Hash:
		return findingf("the charter's hash is %s, not %s", hash, a.Hash)
	case len(c.charters) > 0 && a.Effective < c.until:
		return findingf("the charter would take effect at %s, but intervals are settled until %s", a.Effective, c.until)
	}
	c.charters = append(c.charters, a)
	return nil
}

// inForce is the charter in force at an instant: of those that have taken
// effect, the one that was activated last.
func (c *chain) inForce(at energy.Instant) (CharterActivated, bool) {
	for _, a := range slices.Backward(c.charters) {
		if a.Effective <= at {
			return a, true
		}
	}
	return CharterActivated{}, false
}

// live is the settlement in force of exactly this interval, or nil.
func (c *chain) live(i energy.Interval) *slot {
	s := c.slots[i.Start]
	if s == nil || s.reversed != NoLeaf || s.interval != i {
		return nil
	}
	return s
}

// settle takes a settled interval up: nothing may be settled twice, and revisions count.
func (c *chain) settle(leaf int64, set *IntervalSettled, state int) error {
	iv, want := set.Interval, 0
	if other := c.overlapping(iv); other != nil {
		return findingf("interval %s is settled by leaf %d already", iv, other.leaf)
	}
	if before := c.slots[iv.Start]; before != nil {
		want = before.revision + 1
	}
	if set.Revision != want {
		return findingf("interval %s has revision %d, the next is %d", iv, set.Revision, want)
	}
	ch, ok := c.inForce(iv.Start)
	switch {
	case !ok || ch.Hash != set.CharterHash:
		return findingf("interval %s is settled under charter %.12s, which was not in force then", iv, set.CharterHash)
	case ch.Charter.RulesVersion != set.RulesVersion:
		return findingf("interval %s is settled by rules version %d, its charter asks for %d", iv, set.RulesVersion, ch.Charter.RulesVersion)
	}
	c.slots[iv.Start] = &slot{interval: iv, leaf: leaf, revision: set.Revision, reversed: NoLeaf, state: state}
	c.until = max(c.until, iv.End())
	if !slices.Contains(c.lengths, iv.Length) {
		c.lengths = append(c.lengths, iv.Length)
	}
	return nil
}

// overlapping finds a settlement in force that shares time with i. Intervals
// are aligned, so that for each length there are few places to look.
func (c *chain) overlapping(i energy.Interval) *slot {
	for _, length := range c.lengths {
		for j := energy.IntervalAt(i.Start, length); j.Start < i.End(); j = j.Next() {
			if s := c.live(j); s != nil {
				return s
			}
		}
	}
	return nil
}

func (c *chain) reverse(leaf int64, r Reversal) (*slot, error) {
	s := c.live(r.Interval)
	if s == nil || s.leaf != r.Leaf {
		return nil, findingf("it takes back leaf %d, which does not settle interval %s or is taken back already", r.Leaf, r.Interval)
	}
	s.reversed = leaf
	return s, nil
}

// open names the first reversal that nothing followed.
func (c *chain) open() error {
	first := NoLeaf
	for _, s := range c.slots {
		if s.reversed != NoLeaf && (first == NoLeaf || s.reversed < first) {
			first = s.reversed
		}
	}
	if first == NoLeaf {
		return nil
	}
	return &Fault{first, "it takes an interval back that is not settled again"}
}
