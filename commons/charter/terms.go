// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"cmp"
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Terms are what a charter's expressions gave for a weighting period: the core
// settles by these and knows no expressions. They are recorded in the ledger when
// the period begins, so that whoever settles again in ten years needs no
// interpreter. A member who joins during the period gets her terms when she joins.
type Terms struct {
	CharterHash string         `json:"charter_hash"`
	From        energy.Instant `json:"from"`  // the period's first instant
	Until       energy.Instant `json:"until"` // and the first after it
	Terms       []Term         `json:"terms"` // sorted by expression, then member
}

// Term is what one expression gave for one member.
type Term struct {
	Expression Name          `json:"expression"`
	Member     roll.MemberID `json:"member"`
	Value      int64         `json:"value"` // a weight in millionths; of eligibility 1 or 0
}

// CompareTerm orders terms by expression, then member.
func CompareTerm(a, b Term) int {
	return cmp.Or(cmp.Compare(a.Expression, b.Expression), cmp.Compare(a.Member, b.Member))
}

// Of is what an expression gave for a member. One of whom nothing is recorded
// counts 0: she takes no part where it is asked.
func (t *Terms) Of(expression Name, member roll.MemberID) int64 {
	if t == nil {
		return 0
	}
	i, found := slices.BinarySearchFunc(t.Terms, Term{Expression: expression, Member: member}, CompareTerm)
	if !found {
		return 0
	}
	return t.Terms[i].Value
}

// MemberTerm is what one expression gave for the member whose row it stands in.
type MemberTerm struct {
	Expression Name  `json:"expression"`
	Value      int64 `json:"value"` // as in [Term]
}

// For is a member's own terms, as the ledger keeps them in her row of every
// interval of the period: she can check her share with them, and when her rows
// are erased they go too.
func (t *Terms) For(member roll.MemberID) []MemberTerm {
	if t == nil {
		return nil
	}
	var own []MemberTerm
	for _, term := range t.Terms {
		if term.Member == member {
			own = append(own, MemberTerm{term.Expression, term.Value})
		}
	}
	return own
}
