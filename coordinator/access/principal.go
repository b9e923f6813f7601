// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Kind is how a caller was recognised.
type Kind string

// Kinds of principal.
const (
	None    Kind = "none"    // nobody that we know
	Visitor Kind = "visitor" // nobody that we know, in a simulated world
	Person  Kind = "person"  // signed in
	Token   Kind = "token"   // an integration's token
	Local   Kind = "local"   // the operator, on the coordinator's own computer
)

// Role is what a person is in the community, by the policy's names.
type Role string

// Roles that the program itself gives; the policy has all of them.
const (
	RoleMember      Role = "member"
	RoleSteward     Role = "steward"
	RoleTreasurer   Role = "treasurer"
	RoleInstaller   Role = "installer"
	RoleObserver    Role = "observer"
	RoleIntegration Role = "integration"
	RoleLocal       Role = "local"
	RoleVisitor     Role = "visitor"
)

// Scope is a part of what integrations may do, by the policy's names.
type Scope string

// Permission is one thing that may be allowed, by the policy's names.
type Permission string

// Permissions that code asks for by name; the policy explains them. Those that
// only a method needs stand in the policy alone.
const (
	ReadRoll    Permission = "roll.read"
	ReadCurves  Permission = "curves.read"
	ReadHealth  Permission = "health.read"
	ReadGateway Permission = "gateways.read"
	// ChangeRegister is needed to set the orders of other members than one's own.
	ChangeRegister Permission = "register.change"
)

// Permissions that every policy has.
const (
	Anyone   Permission = "anyone"    // needs nobody to be known
	SignedIn Permission = "signed-in" // needs a person, whatever her roles
)

// Principal is who calls.
type Principal struct {
	ID     string // of the person or token; empty for the other kinds
	Kind   Kind
	Roles  []Role
	Member roll.MemberID // whose own curves these are, empty if nobody's
	Scopes []Scope       // of a token
	// Ends is when the session or token is over whatever happens until then;
	// zero: never. Streams end with it.
	Ends time.Time

	may map[Permission]bool // what the policy grants; see Policy.Grant
}

// May says whether the policy grants a permission. It is false for a principal
// that did not come from [Policy.Grant].
func (p Principal) May(what Permission) bool { return p.may[what] }

// Is says whether the principal has a role.
func (p Principal) Is(r Role) bool { return slices.Contains(p.Roles, r) }

// Permissions are all that the principal has, by name.
func (p Principal) Permissions() []Permission {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p.may)), func(perm Permission) bool { return !p.may[perm] })
}

// SeesCurvesOf says whether the principal may see what a single member
// produces, consumes or receives: her own, or everybody's with the permission.
// Who may not see it is not told that it exists: answer "not found".
func (p Principal) SeesCurvesOf(m roll.MemberID) bool {
	return p.May(ReadCurves) || m != "" && p.Member == m && p.may[ownCurves]
}

// SetsOrdersOf says whether the principal may set what a single member bids and
// offers: her own, or everybody's with the permission to change the register.
func (p Principal) SetsOrdersOf(m roll.MemberID) bool {
	return p.may[setOrders] && (p.May(ChangeRegister) || m != "" && p.Member == m)
}

// setOrders is asked for by SetsOrdersOf alone, with the member.
const setOrders Permission = "orders.set"

// ownCurves is asked for by SeesCurvesOf alone, with the member.
const ownCurves Permission = "curves.own"

// String names the principal as the audit log does.
func (p Principal) String() string {
	if p.ID == "" {
		return string(p.Kind)
	}
	return string(p.Kind) + " " + p.ID
}

type principalKey struct{}

// With puts the caller into the context.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From is the caller; where nobody put one in, it is of kind [None] and may nothing.
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(principalKey{}).(Principal); ok {
		return p
	}
	return Principal{Kind: None}
}
