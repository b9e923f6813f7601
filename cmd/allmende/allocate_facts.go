// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
)

// factsHelp lists the facts that a sink can state.
func factsHelp() string {
	var b strings.Builder
	for _, v := range expr.Variables() {
		if new(expr.Facts).Set(v.Name, v.Lowest) == nil {
			fmt.Fprintf(&b, "  %-20s %s\n", v.Name, v.Means)
		}
	}
	return b.String()
}

// readFacts reads {"member.since_days": 400, …}.
func (s *sinkIn) readFacts(path string, raw []byte) error {
	fields, err := objectFields(path, raw)
	if err != nil {
		return err
	}
	for _, f := range fields {
		at := under(path, f.name)
		var n *int64
		if err := json.Unmarshal(f.raw, &n); err != nil || n == nil {
			return problemAt(at, "write a whole number, such as 400")
		}
		if err := s.facts.Set(f.name, *n); err != nil {
			return problemAt(at, "%s", strings.TrimPrefix(err.Error(), expr.ErrFact.Error()+": "))
		}
		s.stated = append(s.stated, f.name)
	}
	return nil
}

// terms are what a charter's expressions give for the sinks; nil where the rules
// ask for none, as where the input's weights stand instead of theirs.
func (q *question) terms(ch *charter.Charter, rules *charter.Sharing) (*charter.Terms, error) {
	any := false
	for _, e := range ch.Expressions {
		if !asksFor(rules, e.Name) {
			continue
		}
		any = true
		compiled, err := expr.Compile(e)
		if err != nil {
			return nil, fmt.Errorf("expression %q: %w", e.Name, err)
		}
		for _, name := range compiled.Asks {
			if err := q.states(name, e.Name); err != nil {
				return nil, err
			}
		}
	}
	if !any {
		return nil, nil //nolint:nilnil // no expressions, no terms
	}
	facts := make([]expr.Facts, len(q.sinks))
	for i, s := range q.sinks {
		facts[i] = s.facts
		facts[i].Member, facts[i].Groups = s.name, s.groups
	}
	terms, err := expr.Evaluate(ch, 0, 0, facts)
	return &terms, err
}

// asksFor says whether a round takes part or weights from an expression.
func asksFor(rules *charter.Sharing, name charter.Name) bool {
	return slices.ContainsFunc(rules.Rounds, func(r charter.Round) bool {
		return r.Eligible == name || r.Weights != nil && r.Weights.Expression == name
	})
}

// states says whether each sink states what an expression asks for. What follows
// from the input nobody needs to state.
func (q *question) states(variable string, asking charter.Name) error {
	switch variable {
	case "member.id", "member.groups", "community.members":
		return nil
	case "community.gave_wh":
		variable = "last.gave_wh"
	}
	for _, s := range q.sinks {
		if !slices.Contains(s.stated, variable) {
			return problemAt("sinks."+string(s.name)+".facts."+variable, "is missing; the charter's expression %q asks for it", asking)
		}
	}
	return nil
}
