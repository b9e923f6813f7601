// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// livePlan is a pool's sharing rule of rules version 2, ready for the members
// of one book. It leaves out the market round: what is bought is settled by the
// interval, so that until then it counts as the grid's.
type livePlan struct {
	members []int // of the pool, into book.members
	takers  []allocation.Taker
	sharing *charter.Sharing
	caps    *periodCaps // nil: no cap is over a period
	sun     *allocation.Plan
	storage *allocation.Plan
	figures allocation.Figures
	left    [][]int64 // of the caps of rounds, after what they gave of this tick's sun; nil: all
}

// planOf is the pool's plan, made anew when the book has changed. It is nil
// where the rule cannot be run; live shares, which only indicate, are then 0.
func (s *State) planOf(pool roll.PoolID, sharing *charter.Sharing) *livePlan {
	if l, ok := s.live.plans[pool]; ok {
		return l
	}
	l := &livePlan{sharing: sharing}
	for i, m := range s.book.members {
		if slices.ContainsFunc(s.book.sites, func(site siteEntry) bool { return site.pool == pool && site.member == m }) {
			l.members = append(l.members, i)
			l.takers = append(l.takers, allocation.Taker{ID: m, Groups: s.book.groups[m]})
		}
	}
	var parts []allocation.Part
	for _, src := range sharing.Sources {
		parts = append(parts, allocation.Part{Source: src.Name, ID: string(src.Name)})
	}
	rest := allocation.Part{ID: "pool"}
	rules, terms := sharing.ForStorage(), s.liveTerms()
	var err, err2 error
	l.sun, err = allocation.NewPlan(sharing, l.takers, append(parts, rest), terms)
	l.storage, err2 = allocation.NewPlan(&rules, l.takers, []allocation.Part{rest}, terms)
	l.caps = newPeriodCaps(sharing.Rounds, len(l.takers))
	if err != nil || err2 != nil {
		l = nil
	}
	s.live.plans[pool] = l
	return l
}

// partOf is the source of the charter that a site feeds, or the one behind all of them.
func partOf(rules *charter.Sharing, site siteEntry) int {
	part := len(rules.Sources)
	for i, src := range rules.Sources {
		switch {
		case src.Site != "" && src.Site == site.id:
			return i
		case src.Member != "" && src.Member == site.member:
			part = i
		}
	}
	return part
}

// divideByPlan is divide under rules version 2: parts is what each source gives,
// nil for what storage gives.
func (p *poolPower) divideByPlan(give energy.Power, parts []int64, seed allocation.Seed) energy.Power {
	l := p.state.planOf(p.pool, p.rules)
	if l == nil {
		return 0
	}
	if parts != nil {
		l.left = nil
		if l.caps != nil {
			p.state.estimate(l, p.pool)
			l.left = l.caps.left
		}
	}
	if give <= 0 {
		return 0
	}
	f, plan := &l.figures, l.sun
	f.Seed, f.Budget = seed, l.left
	f.Supply, f.Demand, f.Exports = append(f.Supply[:0], parts...), f.Demand[:0], f.Exports[:0]
	if parts == nil {
		f.Supply, plan = append(f.Supply, int64(give)), l.storage
	}
	in := p.state.live.sharers
	for _, i := range l.members {
		demand := in[i].Demand
		if parts != nil {
			demand = p.rules.OfOthers(demand, p.fedIn[i], int64(p.supply))
		}
		f.Demand = append(f.Demand, demand)
		f.Exports = append(f.Exports, in[i].Exports)
	}
	out, err := plan.Run(f)
	if err != nil {
		return 0 // no power is negative
	}
	if l.caps != nil {
		l.caps.count(out.InRound, p.state.live.span)
	}
	if parts != nil {
		l.left = capsLeft(p.rules.Rounds, l.left, out.InRound)
	}
	var sum energy.Power
	for k, i := range l.members {
		in[i].Demand -= out.Shares[k]
		p.live.Members[i].Share += energy.Power(out.Shares[k])
		sum += energy.Power(out.Shares[k])
	}
	return sum
}

// capsLeft turns what rounds gave into what their caps leave, of what they had
// left before: of a cap over a period less than all.
func capsLeft(rounds []charter.Round, before, got [][]int64) [][]int64 {
	for i := range rounds {
		switch {
		case rounds[i].CapPeriod != nil:
			for k, e := range got[i] {
				got[i][k] = before[i][k] - e
			}
		case rounds[i].Cap != nil:
			for k, e := range got[i] {
				got[i][k] = int64(*rounds[i].Cap) - e
			}
		}
	}
	return got
}
