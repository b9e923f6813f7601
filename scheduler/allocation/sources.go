// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/scheduler/allocation/kernel"
)

// draw takes what a pooled round shared from the parts that it offered: in
// proportion, or in the order of the charter's list.
func (p *Plan) draw(used int64, seed uint64) {
	k := &p.last
	switch {
	case used == 0:
		return
	case len(p.parts) == 1:
		p.taken[0] = used
	case p.rules.Attribution == charter.AttributeListed:
		p.drawListed(used, seed)
	default:
		p.kernel.Prorate(p.taken, p.offer, used, kernel.Ties{Seed: seed, Keys: p.partKey})
	}
	for i, e := range p.taken {
		k.Left[i] -= e
		k.Used[i] += e
		p.offer[i] -= e
	}
	if p.trace != nil {
		p.trace.follow(k.Shares, p.taken)
	}
}

func (p *Plan) drawListed(used int64, seed uint64) {
	for _, i := range p.listed {
		p.taken[i] = min(used, p.offer[i])
		used -= p.taken[i]
	}
	if used == 0 {
		return
	}
	p.column = resize(p.column, len(p.parts))
	p.pieces = resize(p.pieces, len(p.parts))
	clear(p.column)
	for _, i := range p.others {
		p.column[i] = p.offer[i]
	}
	p.kernel.Prorate(p.pieces, p.column, used, kernel.Ties{Seed: seed, Keys: p.partKey})
	for i := range p.parts {
		p.taken[i] += p.pieces[i]
	}
}

// keyed runs a round with a key for each source and member, pass by pass.
func (p *Plan) keyed(i int, pl *planned, in *Figures, seed uint64) {
	k := &p.last
	first := len(k.Flows)
	for _, e := range pl.edges {
		k.Flows = append(k.Flows, Flow{Taker: e.taker, Part: e.part})
	}
	p.pieces = resize(p.pieces, len(pl.edges))
	c := p.capsOf(i, pl, in)
	p.got = resize(p.got, len(p.takers)) // what each got in this round, for its cap
	clear(p.got)
	for pass := range pl.passes {
		steps := len(k.Steps)
		p.cut(i, pass, pl, seed)
		var moved int64
		clear(p.taken)
		for n, e := range pl.edges {
			flow := min(p.pieces[n], k.Unmet[e.taker])
			if c.each >= 0 {
				flow = min(flow, c.each-p.got[e.taker])
			}
			if c.budget != nil {
				flow = min(flow, c.budget[e.taker]-p.got[e.taker])
			}
			if flow <= 0 {
				continue
			}
			k.Flows[first+n].Amount += flow
			k.Unmet[e.taker] -= flow
			k.Shares[e.taker] += flow
			p.got[e.taker] += flow
			p.taken[e.part] += flow
			moved += flow
		}
		for _, part := range pl.parts {
			k.Left[part] -= p.taken[part]
			k.Used[part] += p.taken[part]
			p.offer[part] -= p.taken[part]
		}
		for n := range k.Steps[steps:] {
			k.Steps[steps+n].Gave = p.taken[k.Steps[steps+n].Part]
		}
		if moved == 0 {
			return
		}
	}
}

// cut computes what each key is worth in a pass: in passes cut to the unit
// below, in pairs rounded for each source as static parts are. A step for each
// part that has anything says what the keys were parts of.
func (p *Plan) cut(i, pass int, pl *planned, seed uint64) {
	k := &p.last
	clear(p.pieces) // a key to a part that has nothing is worth nothing, whatever it was worth before
	for _, part := range pl.parts {
		if p.offer[part] == 0 {
			continue
		}
		pool := p.offer[part] / p.unit
		step := Step{
			Round: i, Pass: pass, Part: int(part), Method: pl.round.Method, Pool: p.offer[part], Unit: p.unit, Floor: true,
			Outcome: kernel.Outcome{Num: p.offer[part], Den: charter.Whole * p.unit, Cut: charter.Whole * p.unit},
		}
		if pl.round.Method != charter.Passes && !p.floor {
			step.Floor = false
			step.Outcome = p.pairParts(part, pl, pool, seed)
		}
		k.Steps = append(k.Steps, step)
	}
	if pl.round.Method != charter.Passes && !p.floor {
		return
	}
	for n, e := range pl.edges {
		p.pieces[n] = e.percent.Of(p.offer[e.part]) / p.unit * p.unit
	}
}

// pairParts rounds the parts of one source.
func (p *Plan) pairParts(part int32, pl *planned, pool int64, seed uint64) kernel.Outcome {
	p.column, p.weight, p.keys = p.column[:0], p.weight[:0], p.keys[:0]
	for _, n := range pl.byPart[part] {
		p.column = append(p.column, pool)
		p.weight = append(p.weight, int64(pl.edges[n].percent))
		p.keys = append(p.keys, p.ties[pl.edges[n].taker])
	}
	p.need = resize(p.need, len(p.column))
	o := p.kernel.Once(p.need, p.column, p.weight, pool, charter.Whole, kernel.Ties{Seed: seed, Keys: p.keys})
	for k, n := range pl.byPart[part] {
		p.pieces[n] = p.need[k] * p.unit
	}
	return o
}

// rest sends away what a round offered and nobody took, where the charter says so.
func (p *Plan) rest(i int, pl *planned) {
	k := &p.last
	rest := pl.round.Rest
	if rest == "" && i == len(p.rounds)-1 {
		rest = charter.RestInjectors
	}
	if rest != charter.RestGrid && rest != charter.RestInjectors || i == len(p.rounds)-1 && rest == charter.RestInjectors {
		return
	}
	for _, part := range pl.parts {
		k.Left[part] -= p.offer[part]
		if rest == charter.RestGrid {
			k.Grid[part] += p.offer[part]
			if i == len(p.rounds)-1 {
				k.Unsold[part] = p.offer[part]
			}
		} else {
			k.Back[part] += p.offer[part]
		}
	}
}

// joinRest sends what a reserve leaves, which stands in offer, where the last
// round sends what it leaves.
func (p *Plan) joinRest() {
	if len(p.rounds) == 0 {
		return
	}
	last := &p.rounds[len(p.rounds)-1]
	if last.round.Rest != charter.RestGrid {
		return
	}
	k := &p.last
	for _, part := range last.parts {
		k.Left[part] -= p.offer[part]
		k.Grid[part] += p.offer[part]
		k.Unsold[part] += p.offer[part]
	}
}

// solidarity gives its reserve to the members of its groups who still need, in
// equal shares; what they don't need is left over.
func (p *Plan) solidarity(in *Figures, seed uint64) {
	k := &p.last
	for _, g := range p.gives {
		var pool int64
		for i, s := range in.Supply {
			p.offer[i] = g.percent.Of(s) / p.unit * p.unit
			k.Held[i] -= p.offer[i]
			k.Left[i] += p.offer[i]
			pool += p.offer[i]
		}
		clear(p.taken)
		t := tier{method: charter.Equal, who: g.who, ties: g.ties}
		step := p.divide(&t, caps{each: -1}, pool, in, seed)
		step.Round = -1
		k.Steps = append(k.Steps, step)
		k.Reserve += step.Gave
		p.draw(step.Gave, seed)
		p.joinRest()
	}
}
