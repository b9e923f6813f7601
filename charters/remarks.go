// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// fewest is how many members must share a figure, at least, so that none of them
// knows another's from it and her own: of two, each knows the other's.
const fewest = 3

// Remarks say where a valid charter would tell about single members. The ledger has
// a certificate of each round, for good and for all members to read, with what those
// who take part needed together, and with what each source that keys divide gave.
// Where so few are behind it that a neighbour can tell whose it is, somebody should
// know before the members decide. The register may be nil: then nobody knows how
// many are in a group. Only who has a site counts, because the others use nothing.
func Remarks(c *charter.Charter, r *roll.Community) charter.Problems {
	m := remarks{register: r}
	if r != nil {
		for _, member := range r.Members {
			if slices.ContainsFunc(r.Sites, func(s roll.Site) bool { return s.Member == member.ID }) {
				m.members = append(m.members, member)
			}
		}
	}
	m.sharing(&c.Sharing, "sharing")
	if c.Island != nil {
		m.sharing(c.Island, "island")
	}
	return m.found
}

type remarks struct {
	register *roll.Community
	members  []roll.Member
	found    charter.Problems
}

func (m *remarks) add(path, format string, args ...any) {
	m.found = append(m.found, charter.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (m *remarks) sharing(s *charter.Sharing, base string) {
	for i, x := range s.Reserve {
		if x.For == charter.ReserveSolidarity && len(x.Groups) > 0 {
			m.few(fmt.Sprintf("%s.reserve[%d].groups", base, i), "this reserve", func(who *roll.Member) bool { return inAnyOf(who, x.Groups) })
		}
	}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		path := fmt.Sprintf("%s.rounds[%d]", base, i)
		m.round(r, path)
		m.sources(s, r, path)
	}
}

func (m *remarks) round(r *charter.Round, path string) {
	what := fmt.Sprintf("round %q", r.Name)
	in := func(who *roll.Member) bool {
		return (len(r.Groups) == 0 || inAnyOf(who, r.Groups)) && !slices.ContainsFunc(r.Tags, func(t roll.Group) bool { return !slices.Contains(who.Groups, t) })
	}
	switch {
	case r.Eligible != "":
		m.add(path+".eligible", "who takes part in %s an expression says, anew in each weighting period: where that are fewer than %d, the ledger's certificate of the round tells neighbours what they needed", what, fewest)
	case len(r.Keys) > 0:
		m.few(path+".keys", what, func(who *roll.Member) bool {
			return in(who) && slices.ContainsFunc(r.Keys, func(k charter.MemberKeys) bool { return k.Member == who.ID })
		})
	case len(r.Tags) > 0:
		m.few(path+".tags", what, in)
	case len(r.Groups) > 0:
		m.few(path+".groups", what, in)
	}
	for k, t := range r.Tiers {
		m.few(fmt.Sprintf("%s.tiers[%d]", path, k), fmt.Sprintf("tier %d of %s", k+1, what), func(who *roll.Member) bool {
			before := slices.ContainsFunc(r.Tiers[:k], func(t charter.Tier) bool { return inTier(who, t) })
			return in(who) && inTier(who, t) && !before
		})
	}
}

func inTier(who *roll.Member, t charter.Tier) bool {
	return inAnyOf(who, t.Groups) || slices.Contains(t.Members, who.ID)
}

func inAnyOf(who *roll.Member, groups []roll.Group) bool {
	return slices.ContainsFunc(groups, func(g roll.Group) bool { return slices.Contains(who.Groups, g) })
}

// few remarks on a part of a charter that is for few members, or for all but few.
func (m *remarks) few(path, what string, in func(*roll.Member) bool) {
	if m.register == nil {
		m.add(path, "how many members %s is for, the register says (--dir): where they are fewer than %d, the ledger's certificate of it tells neighbours what they needed", what, fewest)
		return
	}
	n := 0
	for i := range m.members {
		if in(&m.members[i]) {
			n++
		}
	}
	switch left := len(m.members) - n; {
	case n < fewest:
		m.add(path, "%s is for %s: the ledger's certificate of it tells neighbours what they needed, for good; write it for %d or more, or ask them", what, countOf(n), fewest)
	case left > 0 && left < fewest:
		m.add(path, "%s is for all but %s: its certificate, and what all needed, tell neighbours what the others needed, for good; write it for everybody or for fewer, or ask them", what, countOf(left))
	}
}

func countOf(n int) string {
	return []string{"no member yet", "one member", "two members"}[n]
}

// sources remarks on a round that divides one member's source by itself: its
// certificate has what she fed in.
func (m *remarks) sources(s *charter.Sharing, r *charter.Round, path string) {
	var named []charter.Name
	for _, k := range r.Keys {
		for _, key := range k.Keys {
			if key.Source != "" && !slices.Contains(named, key.Source) {
				named = append(named, key.Source)
			}
		}
	}
	for _, name := range named {
		if s.Sources == nil || slices.ContainsFunc(s.Sources, func(x charter.Source) bool { return x.Name == name }) {
			m.add(path+".keys", "source %q is one member's, and keys divide it: the ledger's certificate of round %q tells neighbours what she feeds in, for good; ask her", name, r.Name)
		}
	}
	if len(named) == 0 && len(r.Sources) > 0 {
		owners := map[string]bool{}
		for _, x := range s.Sources {
			if slices.Contains(r.Sources, x.Name) {
				owners[m.owner(&x)] = true
			}
		}
		if n := len(owners); n > 0 && n < fewest {
			m.add(path+".sources", "round %q divides the feed-in of %s alone (%s): the ledger's certificate of it tells neighbours what they feed in, for good; ask them", r.Name, countOf(n), joined(r.Sources))
		}
	}
}

// owner is whose a source is; a site that no register is there for is one by itself.
func (m *remarks) owner(s *charter.Source) string {
	if s.Member != "" {
		return string(s.Member)
	}
	if m.register != nil {
		for _, site := range m.register.Sites {
			if site.ID == s.Site {
				return string(site.Member)
			}
		}
	}
	return "site " + string(s.Site)
}

func joined(names []charter.Name) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = string(n)
	}
	return strings.Join(all, ", ")
}
