// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// Singles says what of a charter would let totals show single members, and is
// empty where nothing does. Under a charter that only one member receives by, the
// total of what is received is what she used: who may not see her curve may not
// find it out by trying such a charter either. All that a charter makes eligible
// together are counted, in each round and tier and for each reserve, and those it
// leaves out as well: everybody's need is known, so the rest's follows.
//
// Small groups are no harm where everybody else receives too: then all that is
// there is shared whoever comes first, and the totals are those of every rule.
// That is only so where nothing is held back or sent away before.
//
// What several questions together show is looked at no further than this: who is
// eligible may not differ by few members from a group that others may ask about.
func Singles(ch *charter.Charter, register *roll.Community, least int) string {
	if len(ch.Expressions) > 0 {
		return "its expressions could single out a member"
	}
	if ch.Residual.By == charter.ResidualMember {
		return "it names a member in residual.member"
	}
	c := countIn(register, least)
	if why := c.near(ch.Tariff); why != "" {
		return why
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
		sets := c.eligible(s)
		for _, e := range sets {
			if why := c.tooFew(&e); why != "" {
				return why
			}
		}
		if why := c.apart(sets, c.groups()); why != "" {
			return why
		}
	}
	return ""
}

// Apart says whether two charters together show single members, who are eligible
// under one and not under the other: the difference of the totals is theirs.
func Apart(a, b *charter.Charter, register *roll.Community, least int) string {
	c := countIn(register, least)
	if allReceive(&a.Sharing) {
		return ""
	}
	return c.apart(c.eligible(&a.Sharing), c.eligible(&b.Sharing))
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

// near says whether the charge for the grid tells who gave: what somebody received is
// charged by how near the givers are, so her own cost says how much of all came from
// those who are in the same areas.
func (c *count) near(t *charter.Tariff) string {
	if t == nil || len(t.Areas) == 0 {
		return ""
	}
	classes := map[string]int{}
	for i := range c.members {
		var in []byte
		for _, a := range t.Areas {
			if slices.Contains(c.members[i].Groups, a.Group) {
				in = append(in, '1')
			} else {
				in = append(in, '0')
			}
		}
		classes[string(in)]++
	}
	for _, n := range classes {
		if n < c.least {
			return fmt.Sprintf("tariff.areas tells whose energy it was, and fewer than %d members are in some of them alone, or in none", c.least)
		}
	}
	return ""
}

// tiers are those of a round who are in each tier, and not in one before.
func (c *count) tiers(where string, tiers []charter.Tier, in func(*roll.Member) bool) []eligible {
	var sets []eligible
	for k, t := range tiers {
		sets = append(sets, c.set(fmt.Sprintf("%s, group %d", where, k+1), func(m *roll.Member) bool {
			before := slices.ContainsFunc(tiers[:k], func(t charter.Tier) bool { return inAny(m, t.Groups) })
			return in(m) && inAny(m, t.Groups) && !before
		}))
	}
	return sets
}

// groups are the register's, as far as a question may be about them alone.
func (c *count) groups() []eligible {
	var sets []eligible
	known := map[roll.Group]bool{}
	for _, m := range c.members {
		for _, g := range m.Groups {
			if known[g] {
				continue
			}
			known[g] = true
			e := c.set(fmt.Sprintf("group %q", g), func(m *roll.Member) bool { return slices.Contains(m.Groups, g) })
			if e.n >= c.least {
				sets = append(sets, e)
			}
		}
	}
	return sets
}

func (c *count) tooFew(e *eligible) string {
	switch left := len(c.members) - e.n; {
	case e.n < c.least:
		return fmt.Sprintf("%s is for fewer than %d members, and not all that is there goes to whoever needs it", e.where, c.least)
	case left > 0 && left < c.least:
		return fmt.Sprintf("%s is for all but fewer than %d members, and not all that is there goes to whoever needs it", e.where, c.least)
	}
	return ""
}

// apart says which of the sets differ by few members.
func (c *count) apart(as, bs []eligible) string {
	for _, a := range as {
		for _, b := range slices.Concat(as, bs) {
			n := 0
			for i := range c.members {
				if a.who[i] != b.who[i] {
					n++
				}
			}
			if n > 0 && n < c.least {
				return fmt.Sprintf("who is eligible in %s and %s differs by fewer than %d members", a.where, b.where, c.least)
			}
		}
	}
	return ""
}

func inAny(m *roll.Member, groups []roll.Group) bool {
	return slices.ContainsFunc(groups, func(g roll.Group) bool { return slices.Contains(m.Groups, g) })
}
