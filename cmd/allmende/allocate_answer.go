// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// allocated is the JSON of "allocate".
type allocated struct {
	Flows  []flowOut             `json:"flows"`
	Shares map[string]decimalKWh `json:"shares"`
	Left   map[string]decimalKWh `json:"left"`
	Unmet  map[string]decimalKWh `json:"unmet"`
	Market *marketOut            `json:"market,omitempty"`
}

type flowOut struct {
	Source string     `json:"source"`
	Sink   string     `json:"sink"`
	Energy decimalKWh `json:"energy"`
}

// decimalKWh is written with two decimals, and more where there are any.
type decimalKWh energy.Energy

// MarshalText writes it.
func (e decimalKWh) MarshalText() ([]byte, error) {
	s := energy.Energy(e).KWh()
	fraction := strings.TrimRight(s[len(s)-4:], "0")
	return []byte(s[:len(s)-4] + fraction), nil
}

// into puts the input's keys, weights and number of rounds into a sharing rule.
func (q *question) into(s charter.Sharing) *charter.Sharing {
	var keys []charter.MemberKeys
	var weights charter.Weights
	for _, sink := range q.sinks {
		if len(sink.keys) > 0 {
			keys = append(keys, charter.MemberKeys{Member: sink.name, Keys: sink.keys})
		}
		if sink.weighs {
			weights.Members = append(weights.Members, charter.MemberWeight{Member: sink.name, Weight: sink.weight})
		}
	}
	if weights.Members == nil && len(q.sources) == 1 { // keys to the only source are weights as well
		for _, k := range keys {
			weights.Members = append(weights.Members, charter.MemberWeight{Member: k.Member, Weight: charter.Weight(k.Keys[0].Percent)})
		}
	}
	s.Rounds = slices.Clone(s.Rounds)
	for i := range s.Rounds {
		r := &s.Rounds[i]
		keyed := r.Method == charter.Static || r.Method == charter.Passes || r.Method == charter.Pairs
		switch {
		case keyed && keys != nil:
			r.Keys, r.Weights = keys, nil
		case (weights.Members != nil || len(q.sinks) == 0) && (r.Method == charter.Weighted || r.Method == charter.Static || r.Within == charter.Weighted):
			r.Keys, r.Weights = nil, &weights
		}
		if r.Method == charter.Passes && q.rounds > 0 {
			r.Passes = q.rounds
		} else if r.Method == charter.Passes && r.Passes == 0 {
			r.Passes = min(5, max(1, len(q.sinks)))
		}
	}
	return &s
}

// allocate shares the question's sources by rules, with what their expressions give.
func (q *question) allocate(rules *charter.Sharing, terms *charter.Terms) (*allocated, error) {
	sinks := slices.Clone(q.sinks)
	slices.SortFunc(sinks, func(a, b sinkIn) int { return cmp.Compare(a.name, b.name) })
	sources := slices.Clone(q.sources)
	slices.SortFunc(sources, func(a, b sourceIn) int { return cmp.Compare(a.name, b.name) })
	takers, parts := make([]allocation.Taker, len(sinks)), make([]allocation.Part, len(sources))
	in := allocation.Figures{Supply: make([]int64, len(sources)), Demand: make([]int64, len(sinks)), Exports: make([]bool, len(sinks))}
	own, all := make(map[roll.MemberID]int64, len(sources)), int64(0) // fed in: by each member, and together
	for i, s := range sources {
		parts[i] = allocation.Part{Source: s.name, ID: string(s.name)}
		owner := ownerOf(rules, s.name)
		in.Supply[i] = int64(participating(rules, owner, s.energy))
		own[owner] += in.Supply[i]
		all += in.Supply[i]
	}
	for i, s := range sinks {
		takers[i] = allocation.Taker{ID: s.name, Groups: s.groups}
		in.Demand[i] = rules.OfOthers(int64(participating(rules, s.name, s.demand)), own[s.name], all)
		in.Exports[i] = own[s.name] > 0
	}
	if path, any := q.orders(); any && rules.Market == nil {
		return nil, problemAt(path, "the charter has no market round; add sharing.market with its lowest and highest price, or leave bids and offers out")
	}
	plan, err := allocation.NewPlan(rules, takers, parts, terms)
	if err != nil {
		return nil, err
	}
	out, flows, err := plan.RunFlows(&in)
	if err != nil {
		return nil, err
	}
	a := allocatedOf(sinks, sources, out, flows)
	if rules.Market != nil {
		a.Market, err = trade(rules, sinks, sources, out, in.Seed)
	}
	return a, err
}

// ownerOf is whose a source is: as the charter says, and else hers whose name it has.
func ownerOf(rules *charter.Sharing, source charter.Name) roll.MemberID {
	for _, s := range rules.Sources {
		if s.Name == source {
			return s.Member // "" where it is a site, of which nobody says here whose it is
		}
	}
	return roll.MemberID(source)
}

// participating is the part of a member's meters that counts here.
func participating(rules *charter.Sharing, id roll.MemberID, e energy.Energy) energy.Energy {
	for _, p := range rules.Participation {
		if p.Member == id {
			return energy.Energy(p.Percent.Of(int64(e)))
		}
	}
	return e
}

func allocatedOf(sinks []sinkIn, sources []sourceIn, out *allocation.Outcome, flows []allocation.Flow) *allocated {
	a := &allocated{
		Shares: make(map[string]decimalKWh, len(sinks)),
		Left:   make(map[string]decimalKWh, len(sources)), Unmet: make(map[string]decimalKWh, len(sinks)),
	}
	for i, s := range sinks {
		a.Shares[string(s.name)] = decimalKWh(out.Shares[i])
		a.Unmet[string(s.name)] = decimalKWh(int64(s.demand) - out.Shares[i])
	}
	for i, s := range sources {
		a.Left[string(s.name)] = decimalKWh(int64(s.energy) - out.Used[i])
	}
	a.Flows = flowsOut(sinks, sources, flows)
	return a
}

func flowsOut(sinks []sinkIn, sources []sourceIn, by []allocation.Flow) []flowOut {
	flows := []flowOut{}
	for _, f := range by {
		flows = append(flows, flowOut{string(sources[f.Part].name), string(sinks[f.Taker].name), decimalKWh(f.Amount)})
	}
	return flows
}
