// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the policy's tables into docs/access.md")

func load(t *testing.T) *Policy {
	t.Helper()
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const document = "../../docs/access.md"

// What a board reads is what the program does.
func TestDocumentShowsThePolicy(t *testing.T) {
	const begin, end = "<!-- policy: begin -->\n", "<!-- policy: end -->"
	doc, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(doc, []byte(begin))
	shown, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the tables, between %q and %q", document, begin, end)
	}
	table := "\n" + load(t).Document() + "\n"
	if string(shown) == table {
		return
	}
	if !*update {
		t.Fatalf("%s does not show the policy: run go test ./coordinator/access -update", document)
	}
	if err := os.WriteFile(document, slices.Concat(before, []byte(begin), []byte(table), []byte(end), after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhoMay(t *testing.T) {
	p := load(t)
	anna := Principal{ID: "p1", Kind: Person, Roles: []Role{RoleMember}, Member: "anna"}
	for _, c := range []struct {
		who  Principal
		what Permission
		may  bool
	}{
		{Principal{}, Anyone, false}, // not from Grant: nothing at all
		{p.Anonymous(false), Anyone, true},
		{p.Anonymous(false), "community.read", false},
		{p.Anonymous(false), SignedIn, false},
		{p.Anonymous(true), "live.read", true},
		{p.Anonymous(true), "gateways.enrol", false},
		{p.Anonymous(true), SignedIn, false},
		{p.Local(), "gateways.enrol", true},
		{p.Local(), SignedIn, false},
		{p.Grant(anna), "live.read", true},
		{p.Grant(anna), SignedIn, true},
		{p.Grant(anna), ReadCurves, false},
		{p.Grant(anna), "gateways.read", false},
		{p.Grant(Principal{Kind: Person, Roles: []Role{RoleObserver}}), ReadRoll, false},
		{p.Grant(Principal{Kind: Person, Roles: []Role{RoleObserver, RoleInstaller}}), "gateways.read", true},
		{p.Grant(Principal{Kind: Person, Roles: []Role{"emperor"}}), "community.read", false},
		{p.Grant(Principal{Kind: Token, Roles: []Role{RoleIntegration}}), "live.read", false},
		{p.Grant(Principal{Kind: Token, Roles: []Role{RoleIntegration}, Scopes: []Scope{"live"}}), "live.read", true},
		{p.Grant(Principal{Kind: Token, Roles: []Role{RoleIntegration}, Scopes: []Scope{"live"}}), "metrics.read", false},
		// A scope gives nothing that the role has not.
		{p.Grant(Principal{Kind: Token, Roles: []Role{RoleObserver}, Scopes: []Scope{"curves"}}), ReadCurves, false},
	} {
		if c.who.May(c.what) != c.may {
			t.Errorf("%v with roles %v and scopes %v may %s: %v", c.who, c.who.Roles, c.who.Scopes, c.what, !c.may)
		}
	}
	if !p.Grant(anna).SeesCurvesOf("anna") || p.Grant(anna).SeesCurvesOf("ben") || p.Grant(anna).SeesCurvesOf("") {
		t.Error("anna sees other curves than her own")
	}
	// Her own orders she sets, and others' who may change the register; who sees all
	// curves sets none for that.
	for _, c := range []struct {
		who        Principal
		own, other bool
	}{
		{p.Grant(anna), true, false},
		{p.Grant(Principal{Kind: Person, Roles: []Role{RoleMember}}), false, false},
		{p.Grant(Principal{Kind: Person, Roles: []Role{RoleSteward}}), true, true},
		{p.Grant(Principal{Kind: Person, Roles: []Role{RoleTreasurer}, Member: "anna"}), true, false},
		{p.Grant(Principal{Kind: Person, Roles: []Role{RoleObserver}, Member: "anna"}), false, false},
		{p.Grant(Principal{Kind: Token, Roles: []Role{RoleIntegration}, Scopes: []Scope{"register"}}), true, true},
		{p.Grant(Principal{Kind: Token, Roles: []Role{RoleIntegration}, Scopes: []Scope{"curves"}}), false, false},
		{p.Anonymous(true), false, false},
		{Principal{}, false, false},
		{p.Local(), true, true},
	} {
		if c.who.SetsOrdersOf("anna") != c.own || c.who.SetsOrdersOf("ben") != c.other || c.who.SetsOrdersOf("") != c.other {
			t.Errorf("%v with roles %v, member %q sets orders of anna %v, of ben %v", c.who, c.who.Roles, c.who.Member, c.who.SetsOrdersOf("anna"), c.who.SetsOrdersOf("ben"))
		}
	}
	// The community's own batteries belong to nobody, and so does an account without a member.
	if p.Grant(Principal{Kind: Person, Roles: []Role{RoleMember}}).SeesCurvesOf("") {
		t.Error("who is tied to no member sees the curves of no member's assets")
	}
	if observer := p.Grant(Principal{Kind: Person, Roles: []Role{RoleObserver}, Member: "anna"}); observer.SeesCurvesOf("anna") {
		t.Error("an observer sees curves")
	}
}

// Who only looks changes nothing, whatever is added to the policy; a member sets
// her own bid and offer.
func TestWhoLooksChangesNothing(t *testing.T) {
	p := load(t)
	changing := 0
	for _, row := range p.Permissions {
		if !row.Changes {
			continue
		}
		changing++
		for _, r := range []Role{RoleVisitor, RoleObserver, RoleMember} {
			hers := r == RoleMember && row.Name == "orders.set"
			if p.Grant(Principal{Kind: Person, Roles: []Role{r}}).May(row.Name) != hers {
				t.Errorf("%s may %s: %v, want %v", r, row.Name, !hers, hers)
			}
		}
		if !p.Local().May(row.Name) {
			t.Errorf("the operator may not %s", row.Name)
		}
	}
	if changing == 0 {
		t.Error("no permission changes anything: the test says nothing")
	}
	for _, s := range p.Scopes {
		for _, perm := range s.May {
			// The commands that administer, from another computer, and no other program.
			if p.Changes(perm) && s.Scope != "register" {
				t.Errorf("a token with scope %s may %s", s.Scope, perm)
			}
			if !p.Grant(Principal{Kind: Token, Roles: []Role{RoleIntegration}, Scopes: []Scope{s.Scope}}).May(perm) {
				t.Errorf("scope %s promises %s, which the role integration does not allow", s.Scope, perm)
			}
		}
	}
	for _, r := range []Role{RoleLocal, RoleVisitor, RoleIntegration, "emperor"} {
		if p.HasRole(r) {
			t.Errorf("people may be given the role %s", r)
		}
	}
}

func TestPolicyIsChecked(t *testing.T) {
	for name, c := range map[string]struct{ yaml, says string }{
		"a permission nobody explained": {"roles: [{role: member, may: [fly]}]\n", "fly"},
		"a permission twice":            {"permissions: [{name: fly, means: to fly}, {name: fly, means: again}]\n", "twice"},
		"a method's unknown need":       {"services: [{service: s, methods: [{method: M, needs: fly}]}]\n", "fly"},
		"a method twice":                {"services: [{service: s, methods: [{method: M, needs: anyone}, {method: M, needs: anyone}]}]\n", "twice"},
		"an unknown field":              {"rolls: []\n", "rolls"},
	} {
		if _, err := decode("test.yaml", []byte(c.yaml)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
