// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// allocateCmd shares one interval by a scheme, for whoever wants to try one out
// or hold it against another program.
type allocateCmd struct {
	Scheme  string `xor:"rule" required:"" placeholder:"NAME" help:"Share by this scheme: a method, or a template by its name."`
	Charter string `xor:"rule" required:"" placeholder:"FILE" help:"Share by the rules of this charter."`
	Reserve string `placeholder:"PERCENT" help:"Hold back this share of each source first; it stays in what is left."`
}

// Help is what "allmende allocate --help" adds.
func (*allocateCmd) Help() string {
	return `Reads what sources give and sinks need from standard input, as JSON, and prints who gets
what from where. Energies are kWh and keys percent, both as decimal strings.

  {"sources": {"roof": "3.00", "mill": "1.00"},
   "sinks": {
     "anna": {"demand": "1.50", "keys": [{"source": "roof", "percent": "40"}, {"source": "mill", "percent": "50"}]},
     "ben":  {"demand": "4.00", "keys": [{"source": "roof", "percent": "60"}]}},
   "rounds": 1}

Keys stand in the sink's order of priority. Methods that divide one pool take "weight": "0.5"
instead. "rounds" may be left out (cz-edc: 5, or the number of sinks if smaller), and so may
whatever a scheme does not need. "groups": ["school"] puts a sink into groups that a charter
names. Keys and weights of the input replace those of a charter.

Under a charter with a market round, a sink may bid and a source offer, in ct/kWh, for all
that the rounds leave it or for so much at most. The market stands apart in the answer, with its
one price for all: shares, left and unmet are those of the rounds, which no bid can change.

  "sources": {"mill": {"energy": "1.00", "offer": "8"}},
  "sinks": {"ben": {"demand": "4.00", "bid": {"price": "21.5", "energy": "0.50"}}}

Where a charter's expressions say who takes part or how much she counts, each sink says what
they ask for as "facts": whole numbers, by the names that expressions have for them. Her id is the
sink's name, her groups are its groups, community.members is how many sinks there are, and
community.gave_wh what all of them say as last.gave_wh.

  "sinks": {"ben": {"demand": "4.00", "groups": ["families"],
    "facts": {"member.since_days": 400, "last.gave_wh": 120000}}}

` + factsHelp() + `
  allmende allocate --scheme cz-edc < interval.json
  allmende allocate --scheme contribution-weighted < interval.json
  allmende allocate --charter charter.yaml --reserve 10 < interval.json

Schemes: ` + strings.Join(schemeNames(), ", ") + `.`
}

// maxQuestion bounds the input: a hundred thousand sinks with five keys each.
const maxQuestion = 64 << 20

// Run shares the interval.
func (c *allocateCmd) Run(_ context.Context, out *output) error {
	text, err := io.ReadAll(io.LimitReader(out.In, maxQuestion+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading standard input: %w", err)
	case len(text) > maxQuestion:
		return fmt.Errorf("the input is over %d MiB; share fewer sinks at once", maxQuestion>>20)
	}
	q, err := readQuestion(text)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	ch, rules, err := c.rules(q)
	if err != nil {
		return err
	}
	terms, err := q.terms(ch, rules)
	if err != nil {
		return err
	}
	if c.Reserve != "" {
		percent, err := charter.ParsePercent(c.Reserve)
		if err != nil {
			return fmt.Errorf("--reserve: %w", err)
		}
		rules.Reserve = append(slices.Clone(rules.Reserve), charter.Reserve{For: charter.ReserveSale, Percent: percent})
	}
	a, err := q.allocate(rules, terms)
	if err != nil {
		return err
	}
	return out.JSON(a)
}

// rules are the charter that was asked for, empty where a method stands for itself,
// and its sharing rule with the input's keys and weights.
func (c *allocateCmd) rules(q *question) (*charter.Charter, *charter.Sharing, error) {
	if c.Charter != "" {
		ch, err := readCharter(c.Charter)
		if err != nil {
			return nil, nil, err
		}
		return &ch, q.into(ch.Sharing), nil
	}
	if make, ok := schemes()[c.Scheme]; ok {
		s := q.into(make())
		return &charter.Charter{}, s, q.suits(c.Scheme, s)
	}
	for _, t := range charters.Templates() {
		if t.Name == c.Scheme {
			ch, err := charters.Decode(t.YAML)
			if err != nil {
				return nil, nil, fmt.Errorf("template %s: %w", t.Name, err)
			}
			return &ch, q.into(ch.Sharing), nil
		}
	}
	return nil, nil, fmt.Errorf("there is no scheme %q; there are %s", c.Scheme, strings.Join(schemeNames(), ", "))
}

// schemes are what needs no more than a method.
func schemes() map[string]func() charter.Sharing {
	one := func(m charter.Method) func() charter.Sharing {
		return func() charter.Sharing {
			return charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: string(m), Method: m}}}
		}
	}
	return map[string]func() charter.Sharing{
		"equal": one(charter.Equal), "proportional": one(charter.Proportional), "weighted": one(charter.Weighted),
		"static": one(charter.Static), "pairs": one(charter.Pairs),
		"at-dynamic": one(charter.Proportional),
		"cz-edc": func() charter.Sharing {
			s := one(charter.Passes)()
			s.Rounding = &charter.Rounding{Unit: 10_000 * energy.MilliwattHour, Mode: charter.Floor}
			return s
		},
	}
}

func schemeNames() []string {
	names := slices.Collect(maps.Keys(schemes()))
	for _, t := range charters.Templates() {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names
}
