// SPDX-License-Identifier: AGPL-3.0-or-later

package roll

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/energy"
)

// MaxChanges bounds what is done in one step: a whole register of the largest size.
const MaxChanges = MaxMembers + MaxSites + MaxAssets + MaxGateways

// ErrNothing is what a plan returns that changes nothing.
var ErrNothing = errors.New("that is how the register is already: there is nothing to change")

// Rules are what new changes must keep to.
type Rules struct {
	// Interval is the length of a settlement interval: a change takes effect
	// between two of them.
	Interval energy.Span
	// Earliest is the first instant from which a change may take effect.
	Earliest energy.Instant
	// Why says why none may be earlier, and what to do; it ends a sentence.
	Why string
	// Orders is the first instant from which a bid or an offer may change: the
	// beginning of an interval that has not begun.
	Orders energy.Instant
	// Order says why the charter takes no such bid or offer, and what to do; nil: it
	// takes all.
	Order func(Order) error
	// Also is what else must hold of a register, such as what the charter names.
	Also func(Community) Problems
	// Say writes an instant for people; nil: RFC 3339.
	Say func(energy.Instant) string
}

// Planned is what came of a plan.
type Planned struct {
	History History
	From    energy.Instant // the first instant at which the register differs
	Dated   []Dated        // the registers in force from then on
}

// Plan checks changes that are to be recorded together, and returns the history
// with them. They hold or fail as a whole: every register from the earliest of
// them on must be valid. What is wrong comes back as [Problems], each with the
// entry, the field and what to do; h stays as it is either way.
func (h History) Plan(changes []Change, rules Rules) (Planned, error) {
	if len(changes) == 0 {
		return Planned{}, ErrNothing
	}
	if len(changes) > MaxChanges {
		return Planned{}, Problems{{"changes", fmt.Sprintf("%d in one step, at most %d: do them in several", len(changes), MaxChanges)}}
	}
	if rules.Say == nil {
		rules.Say = energy.Instant.String
	}
	p := planner{h: h, rules: rules, known: h.known()}
	mine := make([]Change, len(changes))
	for i, c := range changes {
		mine[i] = c
		mine[i].Entry = c.Entry.clone()
		mine[i].Fields = slices.Clone(c.Fields)
		p.shape(mine[i])
	}
	if len(p.found) > 0 {
		return Planned{}, p.found
	}
	from := mine[0].From
	for _, c := range mine {
		from = min(from, c.From)
	}
	p.check(mine)
	next := h.and(mine)
	dated := p.validate(next, from)
	before := h.Since(from)
	p.stood(before, dated)
	if len(p.found) > 0 {
		return Planned{}, p.found
	}
	first := firstDifference(before, dated)
	if first < 0 {
		return Planned{}, ErrNothing
	}
	return Planned{next, dated[first].From, dated[first:]}, nil
}

// planner carries what the checks share.
type planner struct {
	h     History
	rules Rules
	found Problems
	known map[Ref]Entry // every entry that was ever added, as it was first recorded
}

// known are all entries that were ever added: an id is one thing for good.
func (h History) known() map[Ref]Entry {
	known := map[Ref]Entry{}
	for _, c := range h.changes {
		if ref := c.Entry.Ref(); c.Op == OpAdd {
			if _, there := known[ref]; !there {
				known[ref] = c.Entry
			}
		}
	}
	return known
}

func (p *planner) addf(ref Ref, field, format string, args ...any) {
	at := ref.String()
	if field != "" {
		at += ": " + field
	}
	p.found = append(p.found, Problem{at, fmt.Sprintf(format, args...)})
}

// shape checks a change by itself.
func (p *planner) shape(c Change) {
	ref := c.Entry.Ref()
	switch {
	case ref.Kind == "":
		p.found = append(p.found, Problem{"changes", "one names no entry: say which member, connection, site, asset or gateway"})
		return
	case c.From < p.rules.Earliest:
		p.addf(ref, "", "it cannot change from %s on: %s", p.rules.Say(c.From), p.rules.Why)
	case p.rules.Interval > 0 && energy.IntervalAt(c.From, p.rules.Interval).Start != c.From:
		p.addf(ref, "", "%s lies inside a settlement interval: changes take effect at the beginning of one, every %s", p.rules.Say(c.From), p.rules.Interval)
	}
	if err := CheckID(ref.ID); err != nil {
		p.addf(ref, "id", "%v", err)
	}
	p.orders(c)
	switch c.Op {
	case OpAdd, OpRetire:
		if ref.Kind == KindCommunity {
			p.addf(ref, "", "the community itself is there from its founding on: only its name may change")
		}
	case OpChange:
		if len(c.Fields) == 0 {
			p.addf(ref, "", "the change names no field: say what is to be different")
		}
		for _, f := range c.Fields {
			if !slices.Contains(FieldsOf(c.Entry), f) {
				p.addf(ref, f, "this cannot change while it stays the same %s: retire it, and add the other one under a new id", ref.Kind)
			}
		}
	default:
		p.addf(ref, "", "%q is no operation: write %s, %s or %s", c.Op, OpAdd, OpChange, OpRetire)
	}
}

// check walks through time and holds each new change against the register that
// it meets.
func (p *planner) check(mine []Change) {
	all := slices.Concat(p.h.changes, mine)
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].From, all[b].From) })
	f := newFold()
	for _, i := range order {
		if i >= len(p.h.changes) {
			p.meets(all[i], f)
		}
		f.apply(all[i])
	}
}

// meets checks a new change against the register right before it.
func (p *planner) meets(c Change, f *fold) {
	ref := c.Entry.Ref()
	have, there := f.get(ref)
	first, known := p.known[ref]
	switch c.Op {
	case OpAdd:
		switch {
		case there:
			p.addf(ref, "", "it is in the register already: change it, or add the other one under an id of its own")
		case known && !sameThing(first, c.Entry):
			p.addf(ref, "kind", "the id belongs to something of another kind, for good: choose another id")
		case known && !c.Again && p.seen(ref, c.From):
			p.addf(ref, "", "the id was used before %s and retired: an id stays with what had it, so choose another; if it is the same %s that comes back, say so (again)", p.rules.Say(c.From), ref.Kind)
		}
		if !known {
			p.known[ref] = c.Entry
		}
	case OpChange:
		if !there {
			p.absent(ref, c.From)
		} else if c.Entry.Asset != nil && c.Entry.Asset.Battery != nil && have.Asset.Battery == nil {
			p.addf(ref, "battery", "a %s has no battery data: leave them out", have.Asset.Kind)
		}
	case OpRetire:
		if !there {
			p.absent(ref, c.From)
		}
	}
}

func (p *planner) absent(ref Ref, from energy.Instant) {
	if _, known := p.known[ref]; !known {
		p.addf(ref, "", "there is no such %s: list them to see the ids", ref.Kind)
		return
	}
	p.addf(ref, "", "it is not in the register at %s: its history says from when to when it was", p.rules.Say(from))
}

// seen says whether an entry was in the register at some time before an instant.
func (p *planner) seen(ref Ref, before energy.Instant) bool {
	for _, c := range p.h.changes {
		if c.From >= before {
			return false
		}
		if c.Op == OpAdd && c.Entry.Ref() == ref {
			return true
		}
	}
	return false
}

// sameThing says whether an entry may be the one that was added before.
func sameThing(a, b Entry) bool {
	switch {
	case a.Connection != nil && b.Connection != nil:
		return a.Connection.Kind == b.Connection.Kind
	case a.Asset != nil && b.Asset != nil:
		return a.Asset.Kind == b.Asset.Kind
	}
	return true
}

// validate checks every register from an instant on, and returns them.
func (p *planner) validate(next History, from energy.Instant) []Dated {
	dated := next.Since(from)
	told := map[Problem]bool{}
	for _, d := range dated {
		c := d.Community
		found, _ := errors.AsType[Problems](c.Validate())
		if p.rules.Also != nil {
			found = append(found, p.rules.Also(c)...)
		}
		for _, problem := range found {
			if ref, rest, ok := c.entryOf(problem.Field); ok {
				problem.Field = ref.String()
				if rest != "" {
					problem.Field += ": " + rest
				}
			}
			if told[problem] {
				continue // it began at an earlier instant
			}
			told[problem] = true
			if d.From != from {
				problem.Reason = "from " + p.rules.Say(d.From) + " on: " + problem.Reason
			}
			p.found = append(p.found, problem)
		}
	}
	return dated
}

// firstDifference is the index of the first register in after that differs from
// the one in force at its time in before; -1 where all are the same.
func firstDifference(before, after []Dated) int {
	for i, d := range after {
		if !same(inForce(before, d.From), d.Community) {
			return i
		}
	}
	return -1
}

// inForce is the register in force at an instant.
func inForce(dated []Dated, t energy.Instant) (c Community) {
	for _, d := range dated {
		if d.From > t {
			break
		}
		c = d.Community
	}
	return c
}

// same says whether two registers say the same.
func same(a, b Community) bool {
	x, y := a.Entries(), b.Entries()
	return len(x) == len(y) && slices.EqualFunc(x, y, Equal)
}

// Dependents are what hangs from an entry and cannot stay without it: a
// member's sites with what stands there, a connection's sites and its binding
// meter, a site's devices. Nearest last.
func (c Community) Dependents(r Ref) []Ref {
	var out []Ref
	sites := map[SiteID]bool{}
	for _, s := range c.Sites {
		if r.Kind == KindMember && s.Member == MemberID(r.ID) || r.Kind == KindConnection && s.Connection == ConnectionID(r.ID) {
			sites[s.ID] = true
			out = append(out, Ref{KindSite, string(s.ID)})
		}
	}
	if r.Kind == KindSite {
		sites[SiteID(r.ID)] = true
	}
	for _, a := range c.Assets {
		if sites[a.Site] || r.Kind == KindConnection && a.Connection == ConnectionID(r.ID) {
			out = append(out, Ref{KindAsset, string(a.ID)})
		}
	}
	slices.Reverse(out)
	return out
}
