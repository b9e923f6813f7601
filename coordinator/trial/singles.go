// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// Singles says what of a charter would let totals show single members, and is
// empty where nothing does. Under a charter that only one member receives by, the
// total of what is received is what she used: who may not see her curve may not
// find it out by trying such a charter either.
//
// Nor by trying several, whose totals are added and subtracted. So who may not see
// curves may try charters for such groups of the register alone that cut the members
// into classes which are never few, see [count.askable]: whatever rounds, tiers and
// reserves such charters have, those who are eligible are whole classes, and so are
// all differences of their totals, also from those of the charter in force.
//
// Small groups are no harm to totals where everybody else receives too: then all that
// is there is shared whoever comes first, and the totals are those of every rule.
// That is only so where nothing is held back or sent away before. What they are to
// the others' own shares, [Few] says.
func Singles(ch, inForce *charter.Charter, register *roll.Community, least int) string {
	if len(ch.Expressions) > 0 {
		return "its expressions could single out a member"
	}
	if ch.Residual.By == charter.ResidualMember {
		return "it names a member in residual.member"
	}
	c := countIn(register, least)
	ask := c.askable(inForce)
	if ch.Tariff != nil {
		for i, a := range ch.Tariff.Areas {
			// What somebody received is charged by how near the givers are, so her own
			// cost says how much of all came from those in her areas.
			if why := ask.refuse(fmt.Sprintf("tariff.areas[%d]", i), a.Group); why != "" {
				return why
			}
		}
	}
	for _, s := range []*charter.Sharing{&ch.Sharing, ch.Island} {
		if s == nil {
			continue
		}
		if why := names(s); why != "" {
			return why
		}
		if s.Market != nil {
			return "its market round trades between those who bid and offer, and the totals of few traders show single ones"
		}
		if allReceive(s) {
			continue
		}
		if why := ask.groupsOf(s); why != "" {
			return why
		}
	}
	if why := Few(ch, inForce, register, least); why != "" && ch.Tariff != nil && len(ch.Tariff.Bands) > 0 {
		return "its prices by the hour tell when what others use lessens one's own share: " + why
	}
	return ""
}

// Few says what of a charter makes a member's own share depend on few others: who
// comes after one neighbour gets less when that one uses something. It may be told
// over such times alone as do not show when.
func Few(ch, inForce *charter.Charter, register *roll.Community, least int) string {
	c := countIn(register, least)
	ask := c.askable(inForce)
	for _, s := range []*charter.Sharing{&ch.Sharing, ch.Island} {
		if s == nil {
			continue
		}
		if why := ask.groupsOf(s); why != "" {
			return why
		}
	}
	return ""
}

// names says where a sharing rule names members.
func names(s *charter.Sharing) string {
	if len(s.Participation) > 0 || len(s.Sources) > 0 {
		return "it names members or sites in sharing.participation or sharing.sources"
	}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		named := len(r.Keys) > 0 || r.Weights != nil && len(r.Weights.Members) > 0
		if named || slices.ContainsFunc(r.Tiers, func(t charter.Tier) bool { return len(t.Members) > 0 }) {
			return fmt.Sprintf("it names members in round %q", r.Name)
		}
	}
	return ""
}

// allReceive says whether all that is there goes to whoever needs it.
func allReceive(s *charter.Sharing) bool {
	away := func(r charter.Round) bool { return r.Rest != "" && r.Rest != charter.RestNext }
	last := max(0, len(s.Rounds)-1)
	return len(s.Reserve) == 0 && slices.ContainsFunc(s.Rounds, isOpen) && !slices.ContainsFunc(s.Rounds[:last], away)
}

// isOpen says whether a round gives everybody who needs it all that is there.
func isOpen(r charter.Round) bool {
	everybody := len(r.Groups) == 0 && len(r.Tags) == 0 && r.Eligible == "" && len(r.Sources) == 0
	whole := r.Cap == nil && r.CapPeriod == nil && (r.Offer == nil || *r.Offer == charter.Whole)
	return everybody && whole && (r.Method == charter.Equal || r.Method == charter.Proportional)
}

// count counts members: those who have a site, as the others use nothing.
type count struct {
	members []roll.Member
	least   int
}

func countIn(register *roll.Community, least int) count {
	c := count{least: least}
	for _, m := range register.Members {
		if slices.ContainsFunc(register.Sites, func(s roll.Site) bool { return s.Member == m.ID }) {
			c.members = append(c.members, m)
		}
	}
	return c
}

// eligible is who receives something by a part of a charter: by place in count.
type eligible struct {
	where string
	who   []bool
	n     int
}

func (c *count) set(where string, is func(*roll.Member) bool) eligible {
	e := eligible{where: where, who: make([]bool, len(c.members))}
	for i := range c.members {
		if is(&c.members[i]) {
			e.who[i] = true
			e.n++
		}
	}
	return e
}

func (c *count) eligible(s *charter.Sharing) []eligible {
	var sets []eligible
	for i := range s.Rounds {
		r := &s.Rounds[i]
		in := func(m *roll.Member) bool {
			none := slices.ContainsFunc(r.Tags, func(tag roll.Group) bool { return !slices.Contains(m.Groups, tag) })
			return (len(r.Groups) == 0 || inAny(m, r.Groups)) && !none
		}
		where := fmt.Sprintf("round %q", r.Name)
		sets = append(sets, c.set(where, in))
		sets = append(sets, c.tiers(where, r.Tiers, in)...)
		if r.Weights != nil {
			tiers := make([]charter.Tier, len(r.Weights.Groups))
			for k, w := range r.Weights.Groups {
				tiers[k].Groups = []roll.Group{w.Group}
			}
			sets = append(sets, c.tiers(where+", by weight", tiers, in)...)
		}
	}
	for _, r := range s.Reserve {
		if r.For == charter.ReserveSolidarity {
			sets = append(sets, c.set("the reserve for solidarity", func(m *roll.Member) bool { return inAny(m, r.Groups) }))
		}
	}
	return sets
}

// tiers are those of a round who are in each tier, and not in one before.
func (c *count) tiers(where string, tiers []charter.Tier, in func(*roll.Member) bool) []eligible {
	var sets []eligible
	for k, t := range tiers {
		sets = append(sets, c.set(fmt.Sprintf("%s, group %d", where, k+1), func(m *roll.Member) bool {
			before := slices.ContainsFunc(tiers[:k], func(t charter.Tier) bool { return inAny(m, t.Groups) })
			return in(m) && (inAny(m, t.Groups) || slices.Contains(t.Members, m.ID)) && !before
		}))
	}
	return sets
}

// askable are groups of the register that cut the members into classes none of
// which is few.
type askable struct {
	groups map[roll.Group]bool
	least  int
}

// askable chooses them: one after the other in the order of their names, leaving out
// what would cut a small class off. It is the same for all questions. Of the charter
// in force everybody knows the totals, and so no group may cut a small class off of
// those that it has, either.
func (c *count) askable(inForce *charter.Charter) askable {
	asked, known := newCut(len(c.members)), newCut(len(c.members))
	if inForce != nil {
		for _, s := range []*charter.Sharing{&inForce.Sharing, inForce.Island} {
			if s == nil {
				continue
			}
			for _, e := range c.eligible(s) {
				known.by(e.who)
			}
		}
	}
	all := map[roll.Group]bool{}
	for _, m := range c.members {
		for _, g := range m.Groups {
			all[g] = true
		}
	}
	out := askable{map[roll.Group]bool{}, c.least}
	for _, g := range slices.Sorted(maps.Keys(all)) {
		e := c.set("", func(m *roll.Member) bool { return slices.Contains(m.Groups, g) })
		out.groups[g] = asked.smallest(e.who) >= c.least && known.smallest(e.who) >= c.least
		if out.groups[g] {
			asked.by(e.who)
			known.by(e.who)
		}
	}
	return out
}

// cut is a partition of members.
type cut struct {
	class []int // of each member
	n     int   // of classes
}

func newCut(members int) *cut { return &cut{make([]int, members), 1} }

// parts are how many of each class are in a set, and how many are not.
func (c *cut) parts(who []bool) (inside, outside []int) {
	inside, outside = make([]int, c.n), make([]int, c.n)
	for i, k := range c.class {
		if who[i] {
			inside[k]++
		} else {
			outside[k]++
		}
	}
	return inside, outside
}

// smallest is the smallest class that a set would make by cutting one in two.
func (c *cut) smallest(who []bool) int {
	inside, outside := c.parts(who)
	least := math.MaxInt
	for k := range c.n {
		if inside[k] > 0 && outside[k] > 0 {
			least = min(least, inside[k], outside[k])
		}
	}
	return least
}

// by cuts each class in two.
func (c *cut) by(who []bool) {
	inside, outside := c.parts(who)
	next := make([]int, c.n)
	classes := c.n
	for k := range c.n {
		next[k] = k
		if inside[k] > 0 && outside[k] > 0 {
			next[k], classes = classes, classes+1
		}
	}
	for i, k := range c.class {
		if who[i] {
			c.class[i] = next[k]
		}
	}
	c.n = classes
}

// refuse says why a group may not be asked about; one that nobody is in tells nothing.
func (a *askable) refuse(where string, g roll.Group) string {
	if may, known := a.groups[g]; known && !may {
		return fmt.Sprintf("%s is for group %q, and with the other groups that may be asked about that tells of fewer than %d members", where, g, a.least)
	}
	return ""
}

// groupsOf says which group of a sharing rule may not be asked about.
func (a *askable) groupsOf(s *charter.Sharing) string {
	for i := range s.Rounds {
		r := &s.Rounds[i]
		groups := slices.Concat(r.Groups, r.Tags)
		for _, t := range r.Tiers {
			groups = append(groups, t.Groups...)
		}
		if r.Weights != nil {
			for _, w := range r.Weights.Groups {
				groups = append(groups, w.Group)
			}
		}
		for _, g := range groups {
			if why := a.refuse(fmt.Sprintf("round %q", r.Name), g); why != "" {
				return why
			}
		}
	}
	for _, r := range s.Reserve {
		for _, g := range r.Groups {
			if why := a.refuse("a reserve", g); why != "" {
				return why
			}
		}
	}
	return ""
}

func inAny(m *roll.Member, groups []roll.Group) bool {
	return slices.ContainsFunc(groups, func(g roll.Group) bool { return slices.Contains(m.Groups, g) })
}
