// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"
	"strings"
)

// listed is how many members, keys or tiers a page names before it only counts them.
const listed = 12

// explain is the round's rule; an example goes with the first round of its method.
func (r *Round) explain(c *Charter, heading, slot string, example bool) string {
	parts := []string{r.explainWho(c)}
	if r.Offer != nil {
		parts = append(parts, fmt.Sprintf("The round gives at most %s %% of what is there when it begins.", *r.Offer))
	}
	if len(r.Sources) > 0 {
		parts = append(parts, fmt.Sprintf("It shares what comes from %s, and what batteries give.", list(quoted(r.Sources), "and")))
	}
	parts = append(parts, r.explainMethod(c)...)
	if r.Cap != nil {
		most := fmt.Sprintf("Nobody gets more than %s from this round in one %s", r.Cap, slot)
		if c.RulesVersion == 1 && c.Storage.Use == StorageShared {
			most += ", and as much again of what batteries give"
		}
		parts = append(parts, most+".")
	}
	if p := r.CapPeriod; p != nil {
		parts = append(parts, fmt.Sprintf("Nobody gets more than %s from this round in one %s of the calendar.", p.Energy, p.Per))
	}
	if r.Cap == nil && r.CapPeriod == nil && r.Offer == nil && example { // an example knows no limits, and would contradict them
		parts = append(parts, r.example())
	}
	switch r.Rest {
	case RestInjectors:
		parts = append(parts, "What it leaves over goes back to those who fed it in, in proportion to what each fed in.")
	case RestGrid:
		parts = append(parts, "What it leaves over the community sells to the grid.")
	case RestNext:
	}
	return heading + joinSentences(parts)
}

func joinSentences(parts []string) string {
	kept := parts[:0:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " ")
}

// explainWho says who takes part.
func (r *Round) explainWho(c *Charter) string {
	var who string
	switch everyone := len(r.Groups) == 0 && len(r.Tags) == 0 && r.Eligible == ""; {
	case everyone && len(r.Keys) > 0:
		return "Only members who hold a percentage take part, as far as they need energy."
	case everyone && r.Method == Priority:
		return "Only members who have a place in the order take part, as far as they need energy."
	case everyone && !r.Weights.everybody():
		return "Only members who are named below take part, as far as they need energy."
	case everyone:
		return "Every member who needs energy takes part."
	case len(r.Groups) > 0 && len(r.Tags) > 0:
		who = fmt.Sprintf("members of %s who also belong to %s", groupWords(r.Groups), groupWords(r.Tags))
	case len(r.Groups) > 0:
		who = "members of " + groupWords(r.Groups)
	case len(r.Tags) > 1:
		who = "members who belong to all of " + groupWords(r.Tags)
	case len(r.Tags) == 1:
		who = "members of " + groupWords(r.Tags)
	default:
		who = "members"
	}
	if r.Eligible != "" {
		who += fmt.Sprintf(" for whom “%s” is true (%s, looked at once a %s)", r.Eligible, c.textOf(r.Eligible), c.WeightingPeriod)
	}
	return "Only " + who + " take part, as far as they need energy."
}

// textOf is an expression's text.
func (c *Charter) textOf(name Name) string {
	for i := range c.Expressions {
		if c.Expressions[i].Name == name {
			return strings.Join(strings.Fields(c.Expressions[i].CEL), " ")
		}
	}
	return ""
}

// explainMethod says what the method does with the pool.
func (r *Round) explainMethod(c *Charter) []string {
	switch r.Method {
	case Equal:
		return []string{"Each gets the same amount, but nobody more than they need; what one does not need goes to the others."}
	case Proportional:
		return []string{"Each gets the same percentage of what they need, so who needs twice as much gets twice as much, and nobody more than they need."}
	case Static:
		says := []string{"Each holds a fixed part of what is there, whatever the others need, and gets it as far as they need it; what one does not need of it goes to nobody else in this round."}
		if r.Weights != nil {
			says = append(says, "A member's part is what she counts, out of what all who may take part count together.")
		}
		return append(says, r.explainHeld(c))
	case Weighted:
		return []string{
			"Each gets in proportion to how much they count, but nobody more than they need; what one does not need goes to the others, again by how much they count.",
			r.Weights.explain(c),
		}
	case Priority:
		return append([]string{"Members are served in an order: the next get something only when all before them have what they need."}, r.explainTiers(c)...)
	case Passes:
		return []string{r.explainTurns(), r.explainHeld(c)}
	case Pairs:
		return []string{
			"Each member holds a percentage of each source, and gets it as far as she needs it; what one does not need of it goes to nobody else in this round.",
			r.explainHeld(c),
		}
	}
	return nil
}

// explainTurns says how often sharing goes round, and what a member gets in a turn.
func (r *Round) explainTurns() string {
	part := "her percentage of what is still there when the turn begins"
	if r.bySource() {
		part = "her percentage of what each of her sources still has when the turn begins"
	}
	switch {
	case r.Passes == 1:
		return fmt.Sprintf("There is one turn: every member gets %s, but nobody more than they need.", strings.Replace(part, "still ", "", 1))
	case r.Passes > 1:
		return fmt.Sprintf("Sharing goes round %s times. In each turn every member gets %s, but nobody more than they need.", count(r.Passes), part)
	}
	return fmt.Sprintf("Sharing goes round five times, or as often as there are members who hold a percentage if those are fewer. In each turn every member gets %s, but nobody more than they need.", part)
}

// bySource says whether the round's keys are to sources rather than to the pool.
func (r *Round) bySource() bool {
	return slices.ContainsFunc(r.Keys, MemberKeys.namesSource)
}

// explainHeld says who holds which parts.
func (r *Round) explainHeld(c *Charter) string {
	if r.Weights != nil {
		return r.Weights.explain(c)
	}
	if len(r.Keys) > listed {
		return fmt.Sprintf("The percentages of the %d members stand in the charter itself.", len(r.Keys))
	}
	held := make([]string, 0, len(r.Keys))
	order := ""
	for _, mk := range r.Keys {
		parts := make([]string, len(mk.Keys))
		for i, key := range mk.Keys {
			parts[i] = key.Percent.String() + " %"
			if key.Source != "" {
				parts[i] += fmt.Sprintf(" of “%s”", key.Source)
			}
		}
		if len(parts) > 1 {
			order = " Who holds parts of several sources draws on them in the order in which they are named here."
		}
		held = append(held, fmt.Sprintf("“%s” holds %s", mk.Member, list(parts, "and then")))
	}
	return capitalSemicolons(held) + order
}

// capitalSemicolons makes one sentence of several statements.
func capitalSemicolons(statements []string) string {
	if len(statements) == 0 {
		return ""
	}
	return strings.Join(statements, "; ") + "."
}

// explain says how much each counts.
func (w *Weights) explain(c *Charter) string {
	if w == nil {
		return ""
	}
	if w.Expression != "" {
		return fmt.Sprintf("How much each counts is worked out once a %s by the rule “%s”: %s, where 1000000 counts once. What comes out goes into the ledger, where each can check her own.",
			c.WeightingPeriod, w.Expression, c.textOf(w.Expression))
	}
	var says []string
	if len(w.Members) > listed {
		says = append(says, fmt.Sprintf("%d members count as the charter itself lists", len(w.Members)))
	} else {
		for _, m := range w.Members {
			says = append(says, fmt.Sprintf("“%s” counts %s", m.Member, m.Weight))
		}
	}
	for _, g := range w.Groups {
		says = append(says, fmt.Sprintf("members of “%s” count %s", g.Group, g.Weight))
	}
	switch {
	case w.Default != nil && len(says) > 0:
		says = append(says, "everybody else counts "+w.Default.String())
	case w.Default != nil:
		return "Everybody counts the same."
	default:
		says = append(says, "nobody else takes part")
	}
	says[0] = "How much each counts: " + says[0]
	return capitalSemicolons(says)
}

func (r *Round) explainTiers(c *Charter) []string {
	within := "Among those who are served together each gets the same amount, but nobody more than they need."
	switch r.Within {
	case Proportional:
		within = "Among those who are served together each gets the same percentage of what they need."
	case Weighted:
		within = "Among those who are served together each gets in proportion to how much they count. " + r.Weights.explain(c)
	case Equal, Static, Priority, Passes, Pairs:
	}
	if len(r.Tiers) > listed {
		return []string{fmt.Sprintf("The order of the %d tiers stands in the charter itself.", len(r.Tiers)), within}
	}
	tiers := make([]string, len(r.Tiers))
	alone := true
	for i, t := range r.Tiers {
		var who []string
		if len(t.Groups) > 0 {
			who = append(who, "the members of "+groupWords(t.Groups))
		}
		for _, m := range t.Members {
			who = append(who, "“"+string(m)+"”")
		}
		alone = alone && len(who) == 1 && len(t.Groups) == 0
		tiers[i] = list(who, "and")
	}
	order := "The order: " + strings.Join(tiers, ", then ") + "."
	if alone {
		return []string{order}
	}
	return []string{order, within}
}

// example is what the method does with figures that one can follow in the head.
func (r *Round) example() string {
	switch r.Method {
	case Equal:
		return "For example, if 6 kWh are there and three neighbours need 1, 3 and 5 kWh, they get 1, 2.5 and 2.5 kWh."
	case Proportional:
		return "For example, if 6 kWh are there and three neighbours need 1.5, 3 and 4.5 kWh, they get 1, 2 and 3 kWh: two thirds each."
	case Static:
		return "For example, if 10 kWh are there, one neighbour holds 30 % of it and needs 2 kWh, she gets 2 of her 3 kWh; one who holds 20 % and needs 5 kWh gets 2 kWh."
	case Weighted:
		return "For example, if 6 kWh are there and two neighbours need 5 kWh each, one of whom counts twice as much as the other, they get 4 and 2 kWh."
	case Priority:
		return "For example, if 6 kWh are there, the first need 4 kWh and the next 5 kWh, the first get 4 and the next 2 kWh."
	case Passes:
		switch once := r.Passes == 1; {
		case once && r.bySource():
			return "For example, who holds 40 % of a source that gives 3 kWh gets 1.2 kWh of it, or less if she needs less."
		case once:
			return "For example, if 3 kWh are there, who holds 40 % gets 1.2 kWh, or less if she needs less."
		case !r.bySource():
			return "For example, if 3 kWh are there, who holds 40 % gets up to 1.2 kWh in the first turn; if that leaves 1 kWh, up to 0.4 kWh more in the next."
		}
		return "For example, who holds 40 % of a source that gives 3 kWh gets up to 1.2 kWh of it in the first turn; if the others leave 1 kWh, up to 0.4 kWh more in the next."
	case Pairs:
		return "For example, who holds 40 % of a source that gives 3 kWh gets 1.2 kWh of it, or less if she needs less."
	}
	return ""
}

// emptiesPool says whether the round leaves nothing while a member who may
// receive still needs energy.
func (r *Round) emptiesPool() bool {
	everyone := len(r.Groups) == 0 && len(r.Tags) == 0 && r.Eligible == ""
	efficient := r.Method == Equal || r.Method == Proportional || r.Method == Weighted && r.Weights.everybody()
	return efficient && everyone && r.Cap == nil && r.CapPeriod == nil && len(r.Sources) == 0 && r.Offer == nil
}

// everybody says whether each member counts for something: by a weight for all,
// or by an expression, which is refused unless it always gives one.
func (w *Weights) everybody() bool { return w == nil || w.Default != nil || w.Expression != "" }

func quoted(names []Name) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "“" + string(n) + "”"
	}
	return out
}
