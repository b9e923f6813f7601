// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"cmp"
	"slices"

	"github.com/allmende-energy/allmende/scheduler/allocation/kernel"
)

// trace follows who got what from which part while a plan runs.
type trace struct {
	before []int64 // the shares until the round that runs
	flows  []Flow
}

// follow splits what a pooled round gave by what it took from each part.
func (t *trace) follow(shares, taken []int64) {
	for i, share := range shares {
		t.before[i] = share - t.before[i]
	}
	t.flows = append(t.flows, FlowsOf(&Outcome{Shares: t.before, Used: taken})...)
	copy(t.before, shares)
}

// RunFlows shares one interval as [Plan.Run] does, and says who got how much from
// which part, round by round: nobody gets anything from a part that none of her
// rounds divided. It allocates memory, as Run does not.
func (p *Plan) RunFlows(in *Figures) (*Outcome, []Flow, error) {
	p.trace = &trace{before: make([]int64, len(p.takers))}
	defer func() { p.trace = nil }()
	out, err := p.Run(in)
	if err != nil {
		return nil, nil, err
	}
	return out, FlowsOf(&Outcome{Shares: out.Shares, Used: out.Used, Flows: slices.Concat(out.Flows, p.trace.flows)}), nil
}

// FlowsOf says of an outcome of one round who got how much from which part: by the keys of rounds that have
// any, and for the rest, which came out of a pool, in proportion to what each
// part gave to it. Flows of a member sum to her share, flows of a part to what
// was used of it. They are sorted by member, hers in the order of her keys.
func FlowsOf(o *Outcome) []Flow {
	shares, used := slices.Clone(o.Shares), slices.Clone(o.Used)
	type pair struct{ taker, part int32 }
	at := map[pair]int{}
	var flows []Flow
	add := func(f Flow) {
		if f.Amount <= 0 {
			return
		}
		k, ok := at[pair{f.Taker, f.Part}]
		if !ok {
			k = len(flows)
			at[pair{f.Taker, f.Part}] = k
			flows = append(flows, Flow{Taker: f.Taker, Part: f.Part})
		}
		flows[k].Amount += f.Amount
		shares[f.Taker] -= f.Amount
		used[f.Part] -= f.Amount
	}
	for _, f := range o.Flows {
		add(f)
	}
	// What each member takes is split by what is left of the parts, so that the
	// last one takes exactly what remains of each.
	var s kernel.Scratch
	split, keys := make([]int64, len(used)), make([]uint64, len(used))
	for i := range keys {
		keys[i] = uint64(i)
	}
	for i, share := range slices.Clone(shares) {
		if share > 0 {
			s.Prorate(split, used, share, kernel.Ties{Seed: uint64(i), Keys: keys})
			for part, e := range split {
				add(Flow{Taker: int32(i), Part: int32(part), Amount: e})
			}
		}
	}
	slices.SortStableFunc(flows, func(a, b Flow) int { return cmp.Compare(a.Taker, b.Taker) })
	return flows
}
