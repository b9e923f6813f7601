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
// find it out by trying such a charter either.
//
// Small groups are no harm where everybody else receives too: then all that is
// there is shared whoever comes first, and the totals are those of every rule.
func Singles(ch *charter.Charter, register *roll.Community, least int) string {
	if len(ch.Expressions) > 0 {
		return "its expressions could single out a member"
	}
	if ch.Residual.By == charter.ResidualMember {
		return "it names a member in residual.member"
	}
	for _, s := range []*charter.Sharing{&ch.Sharing, ch.Island} {
		if s == nil {
			continue
		}
		if why := singles(s, register, least); why != "" {
			return why
		}
	}
	return ""
}

func singles(s *charter.Sharing, register *roll.Community, least int) string {
	if len(s.Participation) > 0 || len(s.Sources) > 0 {
		return "it names members or sites in sharing.participation or sharing.sources"
	}
	open := slices.ContainsFunc(s.Rounds, isOpen)
	small := func(groups []roll.Group) string {
		for _, g := range groups {
			n := 0
			for _, m := range register.Members {
				if slices.Contains(m.Groups, g) {
					n++
				}
			}
			if n < least && !open {
				return fmt.Sprintf("the group %q has fewer than %d members, and no round is for everybody", g, least)
			}
		}
		return ""
	}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		if len(r.Keys) > 0 || r.Weights != nil && len(r.Weights.Members) > 0 {
			return fmt.Sprintf("it names members in round %q", r.Name)
		}
		groups := slices.Concat(r.Groups, r.Tags)
		for _, t := range r.Tiers {
			if len(t.Members) > 0 {
				return fmt.Sprintf("it names members in round %q", r.Name)
			}
			groups = append(groups, t.Groups...)
		}
		if r.Weights != nil {
			for _, w := range r.Weights.Groups {
				groups = append(groups, w.Group)
			}
		}
		if why := small(groups); why != "" {
			return why
		}
	}
	return ""
}

// isOpen says whether a round gives everybody who needs it all that is there.
func isOpen(r charter.Round) bool {
	everybody := len(r.Groups) == 0 && len(r.Tags) == 0 && r.Eligible == "" && len(r.Sources) == 0
	whole := r.Cap == nil && r.CapPeriod == nil && (r.Offer == nil || *r.Offer == charter.Whole)
	return everybody && whole && (r.Method == charter.Equal || r.Method == charter.Proportional)
}
