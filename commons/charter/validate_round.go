// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Bounds of version 2.
const (
	MaxPasses  = 20
	MaxTiers   = 32
	MaxKeyed   = 5000 // members with keys, or with weights of their own, in one round
	MaxSources = 500
)

// checker collects what is wrong with a sharing rule of version 2.
type checker struct {
	*Problems
	charter *Charter
	sharing *Sharing
	base    string // "sharing" or "island"
	sources map[Name]bool
	used    map[Name]bool // expressions that a round names
}

func (k *checker) rounds() {
	last := len(k.sharing.Rounds) - 1
	over := "" // why nothing is left for later rounds
	k.turns()
	for i := range k.sharing.Rounds {
		r, path := &k.sharing.Rounds[i], fmt.Sprintf("%s.rounds[%d]", k.base, i)
		if over != "" {
			k.add(path, "can never give anything, because %s; remove the round, or limit the one before it", over)
			break // and so for all after it
		}
		if r.Name == SolidarityRound && k.charter.RulesVersion > 1 {
			k.add(path+".name", "is what the record calls the reserve for solidarity; write another name")
		}
		k.who(r, path)
		k.caps(r, path)
		k.method(r, path)
		if r.Rest != "" {
			oneOf(k.Problems, path+".rest", r.Rest, RestNext, RestInjectors, RestGrid)
		}
		if i == last && r.Rest == RestNext {
			k.add(path+".rest", "goes nowhere, because no round comes after this one; write injectors or grid")
		}
		over = k.nothingAfter(r)
	}
}

// MaxTurns bounds how often all rounds together divide a source: each time is
// one line of the permanent record of every interval.
const MaxTurns = 4_000

// turns says what a record of one interval would be too long for.
func (k *checker) turns() {
	turns := 0
	for i := range k.sharing.Rounds {
		r := &k.sharing.Rounds[i]
		if r.Method != Passes && r.Method != Pairs {
			continue
		}
		n := len(r.Sources)
		if n == 0 {
			n = len(k.sharing.Sources)
		}
		passes := 1
		if r.Method == Passes {
			if passes = r.Passes; passes == 0 {
				passes = 5 // at most, see Passes
			}
		}
		turns += passes * (n + 1)
	}
	if turns > MaxTurns {
		k.add(k.base+".rounds", "divide a source %d times in one interval, and at most %d can be written down; take fewer passes, rounds or sources", turns, MaxTurns)
	}
}

// SolidarityRound is what the record calls the reserve for solidarity.
const SolidarityRound = "reserve for solidarity"

// nothingAfter says why the rounds after r have nothing to give, or is empty.
func (k *checker) nothingAfter(r *Round) string {
	whole := r.Offer == nil && len(r.Sources) == 0
	switch {
	case whole && (r.Rest == RestInjectors || r.Rest == RestGrid):
		return fmt.Sprintf("round %.40q sends everything that it leaves to the %s", r.Name, r.Rest)
	case r.emptiesPool() && (k.sharing.Rounding == nil || k.sharing.Rounding.Mode != Floor):
		return fmt.Sprintf("round %.40q is open to every member without a limit and leaves either no energy or no need", r.Name)
	}
	return ""
}

func (k *checker) who(r *Round, path string) {
	if len(r.Tags) > MaxGroups {
		k.add(path+".tags", "names %d groups; at most %d are allowed", len(r.Tags), MaxGroups)
		return
	}
	k.groups(r.Tags, path+".tags")
	for i, tag := range r.Tags {
		if slices.Equal(r.Groups, []roll.Group{tag}) {
			k.add(fmt.Sprintf("%s.tags[%d]", path, i), "%q is the round's only group already; remove one of the two", tag)
		}
	}
	if r.Eligible != "" {
		k.expression(r.Eligible, GivesEligible, path+".eligible")
	}
	seen := map[Name]bool{}
	for i, s := range r.Sources {
		at := fmt.Sprintf("%s.sources[%d]", path, i)
		if seen[s] {
			k.add(at, "%.40q is named twice; remove one", s)
		} else {
			k.source(s, at)
		}
		seen[s] = true
	}
}

// expression checks a reference to an expression.
func (k *checker) expression(name Name, gives ExpressionKind, path string) {
	k.used[name] = true
	for i := range k.charter.Expressions {
		e := &k.charter.Expressions[i]
		switch {
		case e.Name != name:
		case e.Gives != gives:
			k.add(path, "%.40q gives %.40s; name an expression that gives %s", name, e.Gives, gives)
			return
		default:
			return
		}
	}
	k.add(path, "%.40q is not among the expressions; write it there, with gives: %s", name, gives)
}

// source checks a reference to a source.
func (k *checker) source(name Name, path string) bool {
	if !k.sources[name] {
		k.add(path, "%.40q is not among %s.sources; list it there with its member or site", name, k.base)
		return false
	}
	return true
}

// groups checks a list of group names.
func (k *checker) groups(groups []roll.Group, path string) {
	seen := make(map[roll.Group]bool, len(groups))
	for i, g := range groups {
		at := fmt.Sprintf("%s[%d]", path, i)
		if err := roll.CheckID(string(g)); err != nil {
			k.add(at, "%.300s", err)
		} else if seen[g] {
			k.add(at, "%q is named twice; remove one", g)
		}
		seen[g] = true
	}
}

// caps checks the limits of a round against each other.
func (k *checker) caps(r *Round, path string) {
	if r.Offer != nil && *r.Offer <= 0 {
		k.add(path+".offer", "0 %% means that this round can never give anything; write a percentage, or remove the round")
	}
	unit := k.sharing.unit()
	if r.Cap != nil && *r.Cap > 0 && *r.Cap < unit {
		k.add(path+".cap", "%s is less than the unit of rounding, %s, so this round can never give anything; raise the cap, or round finer", *r.Cap, unit)
	}
	p := r.CapPeriod
	if p == nil {
		return
	}
	at := path + ".cap_period"
	if !validPeriod(k.Problems, at+".per", p.Per) {
		return
	}
	most := energy.Energy(0)
	if r.Cap != nil {
		most = *r.Cap
	}
	switch {
	case p.Energy <= 0:
		k.add(at+".energy", "%s lets nobody have anything; write a positive number of kWh, or leave cap_period out", p.Energy)
	case p.Energy < unit:
		k.add(at+".energy", "%s is less than the unit of rounding, %s; raise it, or round finer", p.Energy, unit)
	case most <= 0:
	case p.Energy < most:
		k.add(at+".energy", "%s in a %s contradicts the cap of %s in one interval; lower the cap, or raise this", p.Energy, p.Per, most)
	case k.charter.Interval > 0 && int64(p.Energy)/int64(most) >= longest(p.Per)*int64(energy.Day/k.charter.Interval):
		k.add(at+".energy", "is never reached: the cap of %s in one interval allows less in a whole %s; remove one of the two", most, p.Per)
	}
}

// longest is how many days a period has at most, with an hour of winter time.
func longest(p Period) int64 {
	switch p {
	case PerDay:
		return 2
	case PerMonth:
		return 32
	case PerYear:
		return 367
	}
	return 0
}

func validPeriod(p *Problems, path string, period Period) bool {
	before := len(*p)
	oneOf(p, path, period, PerDay, PerMonth, PerYear)
	return len(*p) == before
}

// method checks that a round has what its method needs, and nothing else.
func (k *checker) method(r *Round, path string) {
	useless := func(field string, used bool, with string) {
		if used {
			k.add(path+"."+field, "has no use with method %.40s; remove it, or write method: %s", r.Method, with)
		}
	}
	weighted := r.Method == Static || r.Method == Weighted || r.Method == Priority && r.Within == Weighted
	keyed := r.Method == Static || r.Method == Passes || r.Method == Pairs
	useless("weights", r.Weights != nil && !weighted, "weighted")
	useless("keys", len(r.Keys) > 0 && !keyed, "static, rounds or pairs")
	useless("tiers", len(r.Tiers) > 0 && r.Method != Priority, "priority")
	useless("within", r.Within != "" && r.Method != Priority, "priority")
	useless("passes", r.Passes != 0 && r.Method != Passes, "rounds")
	if weighted && r.Weights != nil {
		k.weights(r.Weights, path+".weights")
	}
	if keyed && len(r.Keys) > 0 {
		k.keys(r, path+".keys")
	}
	switch r.Method {
	case Static:
		switch {
		case r.Weights == nil && len(r.Keys) == 0:
			k.add(path+".keys", "is missing; write each member's percentage of the pool, or weights instead")
		case r.Weights != nil && len(r.Keys) > 0:
			k.add(path+".weights", "contradicts keys, which say the parts already; remove one of the two")
		}
	case Weighted:
		if r.Weights == nil {
			k.add(path+".weights", "is missing; write how much each member counts, such as default: 1, or use method: equal")
		}
	case Priority:
		k.tiers(r, path)
	case Passes, Pairs:
		if len(r.Keys) == 0 {
			k.add(path+".keys", "is missing; write for each member which percentage of which source she holds")
		}
		if r.Passes < 0 || r.Passes > MaxPasses {
			k.add(path+".passes", "%d is not allowed here; write a number from 1 to %d, or leave it out", r.Passes, MaxPasses)
		}
	case Equal, Proportional:
	}
}

func (k *checker) tiers(r *Round, path string) {
	if r.Within != "" {
		oneOf(k.Problems, path+".within", r.Within, Equal, Proportional, Weighted)
	}
	if r.Within == Weighted && r.Weights == nil {
		k.add(path+".weights", "is missing; within: weighted needs to know how much each member counts, such as default: 1")
	}
	switch {
	case len(r.Tiers) == 0:
		k.add(path+".tiers", "is missing; write who comes first and who next, each with groups or members")
	case len(r.Tiers) > MaxTiers:
		k.add(path+".tiers", "has %d tiers; at most %d are allowed, so merge some", len(r.Tiers), MaxTiers)
		return
	}
	seen := map[string]int{}
	once := func(at, what string, tier int) {
		if first, twice := seen[what]; twice {
			k.add(at, "%.60s stands in tier %d already, where it is served; remove one of the two", what, first+1)
			return
		}
		seen[what] = tier
	}
	for i, t := range r.Tiers {
		at := fmt.Sprintf("%s.tiers[%d]", path, i)
		if len(t.Groups) == 0 && len(t.Members) == 0 {
			k.add(at, "names nobody; write groups or members, or remove it")
		}
		for j, g := range t.Groups {
			if id := fmt.Sprintf("%s.groups[%d]", at, j); k.id(string(g), id) {
				once(id, "group "+string(g), i)
			}
		}
		for j, m := range t.Members {
			if id := fmt.Sprintf("%s.members[%d]", at, j); k.id(string(m), id) {
				once(id, "member "+string(m), i)
			}
		}
	}
}

// id checks the spelling of an id.
func (k *checker) id(id, path string) bool {
	err := roll.CheckID(id)
	if err != nil {
		k.add(path, "%.300s", err)
	}
	return err == nil
}

// unit is the step in which energy is shared.
func (s *Sharing) unit() energy.Energy {
	if s.Rounding == nil {
		return energy.MilliwattHour
	}
	return s.Rounding.Unit
}
