// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
)

// keys checks who holds which percentage of what.
func (k *checker) keys(r *Round, path string) {
	if len(r.Keys) > MaxKeyed {
		k.add(path, "names %d members; at most %d are allowed", len(r.Keys), MaxKeyed)
		return
	}
	sums := map[Name]Percent{}
	members := make(map[roll.MemberID]bool, len(r.Keys))
	for i, mk := range r.Keys {
		at := fmt.Sprintf("%s[%d]", path, i)
		if k.id(string(mk.Member), at+".member") && members[mk.Member] {
			k.add(at+".member", "%q has keys already; write all of a member's keys in one place", mk.Member)
		}
		members[mk.Member] = true
		if len(mk.Keys) == 0 {
			k.add(at+".keys", "is missing; write a percentage, or remove the member")
		}
		k.ofMember(r, mk.Keys, at, sums)
	}
	for _, s := range k.sharing.Sources { // in the order of the file
		if sum := sums[s.Name]; sum > Whole {
			k.add(path, "give away %s %% of source %q; the keys of a source may add up to 100 %% at most, so lower some", sum, s.Name)
		}
	}
	if sum := sums[""]; sum > Whole {
		k.add(path, "add up to %s %%; the parts of one pool may add up to 100 %% at most, so lower some", sum)
	}
}

// ofMember checks one member's keys and adds them to the sums by source.
func (k *checker) ofMember(r *Round, keys []Key, path string, sums map[Name]Percent) {
	seen := make(map[Name]bool, len(keys))
	bySource := len(r.Keys[0].Keys) > 0 && r.Keys[0].Keys[0].Source != ""
	for j, key := range keys {
		at := fmt.Sprintf("%s.keys[%d]", path, j)
		switch {
		case key.Percent <= 0:
			k.add(at+".percent", "is missing or 0, which gives nothing; write a percentage over 0, or remove the key")
		case r.Method == Static && key.Source != "":
			k.add(at+".source", "static divides the pool as a whole; remove the source, or write method: pairs")
		case (key.Source != "") != bySource:
			k.add(at+".source", "one key of this round names a source and another the whole pool; write all of them in one way")
		case key.Source != "" && !k.source(key.Source, at+".source"):
		case seen[key.Source]:
			k.add(at+".source", "this member has a key to it already; add the two up")
		case key.Source != "" && len(r.Sources) > 0 && !slices.Contains(r.Sources, key.Source):
			k.add(at+".source", "%.40q is not among the sources of this round; add it there, or remove the key", key.Source)
		default:
			if sums[key.Source] <= Whole {
				sums[key.Source] += key.Percent
			}
		}
		seen[key.Source] = true
	}
}

// weights refuses weights that leave nobody to divide by.
func (k *checker) weights(w *Weights, path string) {
	fixed := len(w.Members) > 0 || len(w.Groups) > 0 || w.Default != nil
	switch {
	case w.Expression != "" && fixed:
		k.used[w.Expression] = true // one mistake is enough
		k.add(path+".expression", "contradicts the weights beside it; use the expression alone, or fixed weights alone")
		return
	case w.Expression != "":
		k.expression(w.Expression, GivesWeight, path+".expression")
		return
	case !fixed:
		k.add(path, "are empty; write default: 1, or weights of groups or members, or name an expression")
		return
	case len(w.Members) > MaxKeyed || len(w.Groups) > MaxGroups:
		k.add(path, "name too many; at most %d members and %d groups are allowed", MaxKeyed, MaxGroups)
		return
	}
	const zero = "0 divides by zero where nobody else needs energy; write a weight over 0, and say with groups or eligible who takes no part"
	members := make(map[roll.MemberID]bool, len(w.Members))
	for i, m := range w.Members {
		at := fmt.Sprintf("%s.members[%d]", path, i)
		if k.id(string(m.Member), at+".member") && members[m.Member] {
			k.add(at+".member", "%q has a weight already; remove one", m.Member)
		}
		members[m.Member] = true
		if m.Weight <= 0 {
			k.add(at+".weight", zero)
		}
	}
	groups := make(map[roll.Group]bool, len(w.Groups))
	for i, g := range w.Groups {
		at := fmt.Sprintf("%s.groups[%d]", path, i)
		if k.id(string(g.Group), at+".group") && groups[g.Group] {
			k.add(at+".group", "%q has a weight already; remove one", g.Group)
		}
		groups[g.Group] = true
		if g.Weight <= 0 {
			k.add(at+".weight", zero)
		}
	}
	if w.Default != nil && *w.Default <= 0 {
		k.add(path+".default", zero)
	}
}
