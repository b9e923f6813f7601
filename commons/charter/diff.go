// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Difference is one rule that two charters say differently.
type Difference struct {
	About  string `json:"about"`  // which rule, such as "round “everybody”"
	Before string `json:"before"` // in words; empty where it was not there
	After  string `json:"after"`  // in words; empty where it is gone
}

// String says it in a sentence or two.
func (d Difference) String() string {
	switch {
	case d.Before == "":
		return fmt.Sprintf("New: %s. %s", d.About, d.After)
	case d.After == "":
		return fmt.Sprintf("No longer: %s. It was: %s", d.About, d.Before)
	}
	return fmt.Sprintf("Changed: %s. Before: %s Now: %s", d.About, d.Before, d.After)
}

// Diff says in words what would change for members if after took before's
// place, rule by rule in the order of [Charter.Explain], in the same words. Both
// are valid. Equal charters have no difference, and charters with different
// hashes have at least one.
func Diff(before, after *Charter) []Difference {
	a, b := before.rules(), after.rules()
	var out []Difference
	named := func(rules []rule, about string) string {
		for _, r := range rules {
			if r.about == about {
				return r.says
			}
		}
		return ""
	}
	for _, r := range a {
		if now := named(b, r.about); now != r.says {
			out = append(out, Difference{r.about, r.says, now})
		}
	}
	for i, r := range b {
		if named(a, r.about) != "" {
			continue
		}
		// Something new stands behind what comes before it in the new charter.
		at := len(out)
		for j, found := i-1, false; j >= 0 && !found; j-- {
			for k := range out {
				if out[k].About == b[j].about {
					at, found = k+1, true
				}
			}
		}
		out = slices.Insert(out, at, Difference{r.about, "", r.says})
	}
	out = append(out, changedLimits(before.Jurisdiction, after.Jurisdiction)...)
	if len(out) > 0 {
		return out
	}
	// The same rules, in another order of a list or with other white space: another
	// hash, though nobody gets anything else.
	hashA, errA := before.Hash()
	hashB, errB := after.Hash()
	if errA == nil && errB == nil && hashA != hashB {
		out = append(out, Difference{"how the same rules are written", "Hash " + hashA + ".", "Hash " + hashB + "."})
	}
	return out
}

// rule is one thing that a charter says, with a name by which it is found again
// in another charter.
type rule struct{ about, says string }

// rules are all that a charter says. What no member would read (how a field is
// spelled) is left out; what changes the hash is in.
func (c *Charter) rules() []rule {
	slot := slotName(c.Interval)
	rules := []rule{
		{"the name", stop(c.Name)},
		{"the summary", strings.TrimSpace(c.Summary)},
		{"the interval", "Every " + slot + " stands by itself."},
		{"the deadline", fmt.Sprintf("An interval is settled without a missing reading %s after its end.", spanWords(c.SettleAfter))},
		{"the arithmetic", fmt.Sprintf("Shares are worked out by version %d of the program's arithmetic.", c.RulesVersion)},
	}
	rules = append(rules, c.Sharing.rules(c, slot, "")...)
	rules = append(rules, rule{"batteries", c.Storage.explain()}, rule{"the residual of a house with one meter", c.Residual.explain()})
	if c.Storage.GridCharging == GridCounts {
		rules[len(rules)-2].says += " What comes out is shared whatever its origin."
	}
	if says := c.explainStoragePrice(); says != "" {
		rules[len(rules)-2].says += " " + says
	}
	rules = append(rules, rule{"the price", c.explainRate()})
	if t := c.Tariff; t != nil && t.By == TariffFixed {
		rules[len(rules)-1].says += " It is the same at all times."
	}
	if t := c.Tariff; t != nil && t.By == TariffMidMarket {
		rules = append(rules, rule{"the price that is not used", c.Price.String() + "."})
	}
	for i, p := range c.explainTariff() {
		names := c.paid()
		rules = append(rules, rule{names[i], p})
	}
	if c.Island != nil {
		rules = append(rules, c.Island.rules(c, slot, "cut off from the grid: ")...)
	}
	if c.WeightingPeriod != "" {
		rules = append(rules, rule{"how often the community looks at its members", fmt.Sprintf("Once a %s.", c.WeightingPeriod)})
	}
	for i := range c.Expressions {
		e := &c.Expressions[i]
		rules = append(rules, rule{fmt.Sprintf("the rule “%s”", e.Name), e.says()})
	}
	rules = append(rules, c.Jurisdiction.rules()...)
	return slices.DeleteFunc(rules, func(r rule) bool { return r.says == "" })
}

// says is what an expression is for, and its text.
func (e *Expression) says() string {
	what := "It says who takes part"
	if e.Gives == GivesWeight {
		what = "It says how much a member counts, in millionths"
	}
	return what + ": " + oneLine(e.CEL)
}

// paid names the paragraphs of explainTariff.
func (c *Charter) paid() []string {
	var names []string
	t := c.Tariff
	if t == nil {
		return nil
	}
	if len(t.Network) > 0 {
		names = append(names, "the charge for the grid")
	}
	if t.Membership != nil {
		names = append(names, "the contribution of members")
	}
	if t.Solidarity != nil {
		names = append(names, "the solidarity fund")
	}
	if t.StorageWear != nil {
		names = append(names, "the wear of batteries")
	}
	return names
}

func (s *Sharing) rules(c *Charter, slot, prefix string) []rule {
	rules := make([]rule, 0, len(s.Rounds)+10)
	add := func(about, says string) {
		if says != "" {
			rules = append(rules, rule{prefix + about, says})
		}
	}
	sources := make([]string, len(s.Sources))
	for i, x := range s.Sources {
		sources[i] = fmt.Sprintf("“%s” is what %s%s feeds in", x.Name, x.Member, x.Site)
		if x.Site != "" {
			sources[i] = fmt.Sprintf("“%s” is what the site %s feeds in", x.Name, x.Site)
		}
	}
	add("the sources", capitalSemicolons(sources))
	for _, f := range s.Participation {
		add(fmt.Sprintf("the part of “%s” in this community", f.Member), fmt.Sprintf("%s %% of her meter counts here.", f.Percent))
	}
	for _, r := range s.Reserve {
		says := fmt.Sprintf("%s %% is set aside before anything is shared.", r.Percent)
		if len(r.Groups) > 0 {
			says = fmt.Sprintf("%s %% is set aside before anything is shared, for members of %s.", r.Percent, groupWords(r.Groups))
		}
		add("the reserve for "+string(r.For), says)
	}
	order := make([]string, len(s.Rounds))
	for i := range s.Rounds {
		order[i] = "“" + s.Rounds[i].Name + "”"
	}
	if len(order) > 1 {
		add("the order of the rounds", strings.Join(order, ", then ")+".")
	}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		add(fmt.Sprintf("the round “%s”", r.Name), r.explain(c, "", slot, false))
		r.details(c, add)
	}
	if m := s.Market; m != nil {
		add("the market for what is left", fmt.Sprintf("Between %s and %s.", m.Lowest, m.Highest))
	}
	if s.Attribution != "" {
		says := "In proportion to what each fed in."
		if s.Attribution == AttributeListed {
			says = "In the order of the sources."
		}
		add("whose energy counts as shared", says)
	}
	add("what is left over", s.explainRest())
	add("who feeds in", s.explainExporters(slot))
	if s.Rounding != nil {
		mode := "what a division leaves goes to those whose share was cut the most"
		if s.Rounding.Mode == Floor {
			mode = "what a division leaves goes to nobody"
		}
		add("rounding", fmt.Sprintf("In steps of %s; %s.", s.Rounding.Unit, mode))
	}
	return rules
}

// details are what a round's explanation only counts, or takes as the usual case.
func (r *Round) details(c *Charter, add func(about, says string)) {
	if len(r.Keys) > listed {
		for _, mk := range r.Keys {
			one := Round{Method: r.Method, Keys: []MemberKeys{mk}}
			add(fmt.Sprintf("what “%s” holds in the round “%s”", mk.Member, r.Name), one.explainHeld(c))
		}
	}
	if w := r.Weights; w != nil && len(w.Members) > listed {
		for _, m := range w.Members {
			add(fmt.Sprintf("how much “%s” counts in the round “%s”", m.Member, r.Name), m.Weight.String()+".")
		}
	}
	if len(r.Tiers) > listed {
		for i := range r.Tiers {
			one := Round{Method: r.Method, Tiers: r.Tiers[i : i+1]}
			add(fmt.Sprintf("tier %d of the round “%s”", i+1, r.Name), one.explainTiers(c)[0])
		}
	}
	usual := make([]string, 0, 3)
	if r.Rest == RestNext {
		usual = append(usual, "what it leaves over goes on to the next round")
	}
	if r.Within == Equal {
		usual = append(usual, "who is served together shares equally")
	}
	add(fmt.Sprintf("what the round “%s” says besides", r.Name), capital(capitalSemicolons(usual)))
}

func (j *Jurisdiction) rules() []rule {
	if j == nil {
		return nil
	}
	return []rule{
		{"the law", fmt.Sprintf("A rule of %s as of %s (“%s” in this program): %s", placeOf(j.Country), j.Date, j.Scheme, stop(j.Source))},
		{"who works out the shares that count", stop(j.OperatorComputes)},
		{"what the community does", stop(j.CommunityDoes)},
	}
}

// changedLimits are the law's limits that stand in one charter only.
func changedLimits(before, after *Jurisdiction) []Difference {
	var was, now []string
	if before != nil {
		was = before.Limits
	}
	if after != nil {
		now = after.Limits
	}
	var out []Difference
	for _, l := range was {
		if !slices.Contains(now, l) {
			out = append(out, Difference{"a limit of the law", stop(l), ""})
		}
	}
	for _, l := range now {
		if !slices.Contains(was, l) {
			out = append(out, Difference{"a limit of the law", "", stop(l)})
		}
	}
	return out
}

// capital is a text with its first letter as a capital.
func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}
