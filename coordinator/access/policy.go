// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	_ "embed" // the policy
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

//go:embed policy.yaml
var policyYAML []byte

// Policy is who may do what. It is never changed once it is loaded.
type Policy struct {
	Permissions []PermissionRow
	Roles       []RoleRow
	Scopes      []ScopeRow
	Services    []ServiceRow
	Routes      []RouteRow

	methods map[string]MethodRow
	routes  map[string]RouteRow
	roles   map[Role]map[Permission]bool
	scopes  map[Scope]map[Permission]bool
}

// The rows of policy.yaml.
type (
	// PermissionRow explains a permission.
	PermissionRow struct {
		Name  Permission `yaml:"name"`
		Means string     `yaml:"means"`
		// Changes: it changes something, so each use goes into the audit log.
		Changes bool `yaml:"changes"`
	}
	// RoleRow is what a role may.
	RoleRow struct {
		Role  Role         `yaml:"role"`
		Means string       `yaml:"means"`
		May   []Permission `yaml:"may"`
		// Gives are the roles that it may give to people, and take from them.
		Gives []Role `yaml:"gives"`
	}
	// ScopeRow is what a token with a scope may, within what its role may.
	ScopeRow struct {
		Scope Scope        `yaml:"scope"`
		Means string       `yaml:"means"`
		May   []Permission `yaml:"may"`
	}
	// ServiceRow lists a service's methods.
	ServiceRow struct {
		Service string      `yaml:"service"`
		Methods []MethodRow `yaml:"methods"`
	}
	// MethodRow is what a method needs.
	MethodRow struct {
		Method string     `yaml:"method"`
		Needs  Permission `yaml:"needs"`
		// Recorded: each use goes into the audit log, also where the permission
		// changes nothing of others.
		Recorded bool `yaml:"recorded"`
	}
	// RouteRow is what a path of the web listener needs that is no method.
	RouteRow struct {
		Route string     `yaml:"route"`
		Needs Permission `yaml:"needs"`
	}
)

// policyFile is policy.yaml.
type policyFile struct {
	Permissions []PermissionRow `yaml:"permissions"`
	Roles       []RoleRow       `yaml:"roles"`
	Scopes      []ScopeRow      `yaml:"scopes"`
	Services    []ServiceRow    `yaml:"services"`
	Routes      []RouteRow      `yaml:"routes"`
}

// Load is the policy that is built into the program.
func Load() (*Policy, error) { return decode("policy.yaml", policyYAML) }

func decode(name string, src []byte) (*Policy, error) {
	var f policyFile
	doc := strictyaml.Read(name, src, &f, strictyaml.Options{})
	p := &Policy{
		Permissions: f.Permissions, Roles: f.Roles, Scopes: f.Scopes, Services: f.Services, Routes: f.Routes,
		methods: map[string]MethodRow{}, routes: map[string]RouteRow{},
		roles: map[Role]map[Permission]bool{}, scopes: map[Scope]map[Permission]bool{},
	}
	p.index(doc.Problemf)
	if err := doc.Err(); err != nil {
		return nil, fmt.Errorf("access policy: %w", err)
	}
	return p, nil
}

// index fills the maps, and hands what is wrong to addf.
func (p *Policy) index(addf func(field, format string, args ...any)) {
	known := map[Permission]bool{Anyone: true, SignedIn: true}
	for i, row := range p.Permissions {
		if known[row.Name] || row.Means == "" {
			addf(fmt.Sprintf("permissions[%d]", i), "%q is there twice, or is not explained", row.Name)
		}
		known[row.Name] = true
	}
	set := func(field string, may []Permission) map[Permission]bool {
		out := map[Permission]bool{}
		for i, perm := range may {
			if !known[perm] || out[perm] {
				addf(fmt.Sprintf("%s.may[%d]", field, i), "%q is no permission of this file, or is there twice", perm)
			}
			out[perm] = true
		}
		return out
	}
	for i, row := range p.Roles {
		p.roles[row.Role] = set(fmt.Sprintf("roles[%d]", i), row.May)
	}
	for i, row := range p.Roles {
		for j, gives := range row.Gives {
			if !p.HasRole(gives) {
				addf(fmt.Sprintf("roles[%d].gives[%d]", i, j), "%q is no role of this file that people may be given", gives)
			}
		}
	}
	for i, row := range p.Scopes {
		p.scopes[row.Scope] = set(fmt.Sprintf("scopes[%d]", i), row.May)
	}
	for i, service := range p.Services {
		for j, row := range service.Methods {
			field := fmt.Sprintf("services[%d].methods[%d]", i, j)
			full := "/" + service.Service + "/" + row.Method
			if _, twice := p.methods[full]; twice || !known[row.Needs] {
				addf(field, "%s is there twice, or needs %q, which is no permission of this file", full, row.Needs)
			}
			p.methods[full] = row
		}
	}
	for i, row := range p.Routes {
		if _, twice := p.routes[row.Route]; twice || !known[row.Needs] {
			addf(fmt.Sprintf("routes[%d]", i), "%s is there twice, or needs %q, which is no permission of this file", row.Route, row.Needs)
		}
		p.routes[row.Route] = row
	}
}

// Grant returns the principal with what the policy allows it: what one of its
// roles may. A token may only what is also in one of its scopes.
func (p *Policy) Grant(who Principal) Principal {
	may := map[Permission]bool{}
	for _, r := range who.Roles {
		maps.Copy(may, p.roles[r])
	}
	if who.Kind == Token {
		within := map[Permission]bool{}
		for _, s := range who.Scopes {
			maps.Copy(within, p.scopes[s])
		}
		maps.DeleteFunc(may, func(perm Permission, _ bool) bool { return !within[perm] })
	}
	may[Anyone] = true
	may[SignedIn] = who.Kind == Person
	who.may = may
	return who
}

// Local is the operator on the coordinator's own computer.
func (p *Policy) Local() Principal {
	return p.Grant(Principal{Kind: Local, Roles: []Role{RoleLocal}})
}

// Anonymous is a caller that nobody knows: a visitor where visitors are
// welcome, which is in simulated worlds only.
func (p *Policy) Anonymous(visitors bool) Principal {
	if visitors {
		return p.Grant(Principal{Kind: Visitor, Roles: []Role{RoleVisitor}})
	}
	return p.Grant(Principal{Kind: None})
}

// Method is the row of a method by its full name.
func (p *Policy) Method(full string) (MethodRow, bool) {
	row, ok := p.methods[full]
	return row, ok
}

// MayGive says whether somebody may give a role to people, and take it from them.
func (p *Policy) MayGive(who Principal, r Role) bool {
	return slices.ContainsFunc(p.Roles, func(row RoleRow) bool { return who.Is(row.Role) && slices.Contains(row.Gives, r) })
}

// ScopeOf is what a scope may; false where the policy does not know it.
func (p *Policy) ScopeOf(s Scope) ([]Permission, bool) {
	for _, row := range p.Scopes {
		if row.Scope == s {
			return row.May, true
		}
	}
	return nil, false
}

// Changes says whether a permission changes something.
func (p *Policy) Changes(what Permission) bool {
	return slices.ContainsFunc(p.Permissions, func(r PermissionRow) bool { return r.Name == what && r.Changes })
}

// HasRole says whether people may be given a role: one that the policy knows,
// and not one that the program gives by itself.
func (p *Policy) HasRole(r Role) bool {
	return p.roles[r] != nil && r != RoleLocal && r != RoleVisitor && r != RoleIntegration
}

// Missing lists those of the full method names that have no row, and the rows
// that have no method.
func (p *Policy) Missing(registered []string) (noRow, noMethod []string) {
	for _, full := range registered {
		if _, ok := p.methods[full]; !ok {
			noRow = append(noRow, full)
		}
	}
	for full := range p.methods {
		if !slices.Contains(registered, full) {
			noMethod = append(noMethod, full)
		}
	}
	slices.Sort(noRow)
	slices.Sort(noMethod)
	return noRow, noMethod
}

// Document is the policy as Markdown tables, for docs/access.md.
func (p *Policy) Document() string {
	var b strings.Builder
	b.WriteString("### Roles\n\n| role | who that is | gives and takes the roles |\n| --- | --- | --- |\n")
	for _, r := range p.Roles {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Role, r.Means, listed(r.Gives))
	}
	b.WriteString("\n### What a role may\n\n| permission | what it allows |")
	for _, r := range p.Roles {
		fmt.Fprintf(&b, " %s |", r.Role)
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" :-: |", len(p.Roles)) + "\n")
	for _, perm := range p.Permissions {
		means := perm.Means
		if perm.Changes {
			means += " *(recorded)*"
		}
		fmt.Fprintf(&b, "| `%s` | %s |", perm.Name, means)
		for _, r := range p.Roles {
			mark := ""
			if slices.Contains(r.May, perm.Name) {
				mark = "yes"
			}
			fmt.Fprintf(&b, " %s |", mark)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n### Scopes of a token\n\nA token may what both the role `integration` and one of its scopes may.\n\n| scope | what it is for | permissions |\n| --- | --- | --- |\n")
	for _, s := range p.Scopes {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Scope, s.Means, listed(s.May))
	}
	b.WriteString("\n### What each call needs\n\n| service | method | needs |\n| --- | --- | --- |\n")
	for _, s := range p.Services {
		for _, m := range s.Methods {
			recorded := ""
			if m.Recorded {
				recorded = " *(recorded)*"
			}
			fmt.Fprintf(&b, "| %s | %s | `%s`%s |\n", s.Service, m.Method, m.Needs, recorded)
		}
	}
	b.WriteString("\n| path of the web listener | needs |\n| --- | --- |\n")
	for _, r := range p.Routes {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", r.Route, r.Needs)
	}
	return b.String()
}

func listed[T ~string](names []T) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = "`" + string(n) + "`"
	}
	return strings.Join(words, " ")
}
