// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// Against checks what a charter names against a community's register: a group
// that nobody is in, a member or a site that is not there. Such a charter is
// valid, but would not do here what it seems to say.
func Against(c *charter.Charter, r *roll.Community) charter.Problems {
	a := against{groups: map[roll.Group]bool{}, members: map[roll.MemberID]bool{}, sites: map[roll.SiteID]bool{}}
	for _, m := range r.Members {
		a.members[m.ID] = true
		for _, g := range m.Groups {
			a.groups[g] = true
		}
	}
	for _, s := range r.Sites {
		a.sites[s.ID] = true
	}
	a.sharing(&c.Sharing, "sharing")
	if c.Island != nil {
		a.sharing(c.Island, "island")
	}
	if c.Tariff != nil {
		for i, x := range c.Tariff.Areas {
			a.group(x.Group, fmt.Sprintf("tariff.areas[%d].group", i))
		}
	}
	if c.Residual.By == charter.ResidualMember {
		a.member(c.Residual.Member, "residual.member")
	}
	return a.found
}

type against struct {
	groups  map[roll.Group]bool
	members map[roll.MemberID]bool
	sites   map[roll.SiteID]bool
	found   charter.Problems
}

func (a *against) add(path, format string, args ...any) {
	a.found = append(a.found, charter.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (a *against) group(g roll.Group, path string) {
	if !a.groups[g] {
		a.add(path, "no member is in the group %q; give it to members, or correct its name", g)
	}
}

func (a *against) member(m roll.MemberID, path string) {
	if !a.members[m] {
		a.add(path, "there is no member %q in the register; add her, or correct the id", m)
	}
}

func (a *against) sharing(s *charter.Sharing, base string) {
	for i, x := range s.Sources {
		at := fmt.Sprintf("%s.sources[%d]", base, i)
		switch {
		case x.Member != "":
			a.member(x.Member, at+".member")
		case !a.sites[x.Site]:
			a.add(at+".site", "there is no site %q in the register; add it, or correct the id", x.Site)
		}
	}
	for i, x := range s.Participation {
		a.member(x.Member, fmt.Sprintf("%s.participation[%d].member", base, i))
	}
	for i, x := range s.Reserve {
		for j, g := range x.Groups {
			a.group(g, fmt.Sprintf("%s.reserve[%d].groups[%d]", base, i, j))
		}
	}
	for i := range s.Rounds {
		a.round(&s.Rounds[i], fmt.Sprintf("%s.rounds[%d]", base, i))
	}
}

func (a *against) round(r *charter.Round, path string) {
	for i, g := range r.Groups {
		a.group(g, fmt.Sprintf("%s.groups[%d]", path, i))
	}
	for i, g := range r.Tags {
		a.group(g, fmt.Sprintf("%s.tags[%d]", path, i))
	}
	for i, k := range r.Keys {
		a.member(k.Member, fmt.Sprintf("%s.keys[%d].member", path, i))
	}
	for i, t := range r.Tiers {
		for j, g := range t.Groups {
			a.group(g, fmt.Sprintf("%s.tiers[%d].groups[%d]", path, i, j))
		}
		for j, m := range t.Members {
			a.member(m, fmt.Sprintf("%s.tiers[%d].members[%d]", path, i, j))
		}
	}
	if r.Weights == nil {
		return
	}
	for i, m := range r.Weights.Members {
		a.member(m.Member, fmt.Sprintf("%s.weights.members[%d].member", path, i))
	}
	for i, g := range r.Weights.Groups {
		a.group(g.Group, fmt.Sprintf("%s.weights.groups[%d].group", path, i))
	}
}
