// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"fmt"
	"math"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
)

// Line is what a member knows of herself: what she needed, and her place in the
// order of ties. Her weights and keys are the charter's.
type Line struct {
	Need   int64
	Rank   uint64
	Budget []int64 // what her caps over a period still allowed, for each round; nil: no such cap
}

// Gain is what a member got in one step, and from what.
type Gain struct {
	Step   Step
	Need   int64 // as the step began, after caps
	Weight int64 // her weight, or her key in millionths; 0 where the method has none
	Share  int64
}

// Check computes a member's share from her own line and the certificates alone.
func (p *Plan) Check(taker int, line Line, steps []Step) (int64, error) {
	gains, err := p.Gains(taker, line, steps)
	var sum int64
	for _, g := range gains {
		sum += g.Share
	}
	return sum, err
}

// Gains goes through the steps that a member was in, in their order.
func (p *Plan) Gains(taker int, line Line, steps []Step) ([]Gain, error) {
	var gains []Gain
	need := line.Need
	for i := 0; i < len(steps); {
		s := &steps[i]
		if s.Round >= len(p.rounds) || s.Unit < 1 || s.Den < 0 {
			return nil, fmt.Errorf("%w: a certificate is of no round of this charter", ErrRule)
		}
		if s.Round >= 0 && len(p.rounds[s.Round].edges) > 0 {
			n := 1 // the steps of one pass stand together, one for each part
			for i+n < len(steps) && steps[i+n].Round == s.Round && steps[i+n].Pass == s.Pass {
				n++
			}
			gains = p.passGains(gains, taker, line, steps[i:i+n], need)
			i += n
		} else {
			gains = p.poolGain(gains, taker, line, s, need)
			i++
		}
		need = line.Need
		for _, g := range gains {
			need -= g.Share
		}
	}
	return gains, nil
}

// poolGain is a step that divides its parts as one pool.
func (p *Plan) poolGain(gains []Gain, taker int, line Line, s *Step, need int64) []Gain {
	who, weights := p.solidarityOf(taker), []int64(nil)
	if s.Round >= 0 {
		pl := &p.rounds[s.Round]
		if s.Tier < 0 || s.Tier >= len(pl.tiers) {
			return gains
		}
		who, weights = pl.tiers[s.Tier].who, pl.tiers[s.Tier].weight
		need = min(need, bound(pl.round, line.Budget, s.Round))
	}
	k := taker
	if who != nil {
		var ok bool
		if k, ok = slices.BinarySearch(who, int32(taker)); !ok {
			return gains
		}
	}
	g := Gain{Step: *s, Need: need}
	if weights != nil {
		g.Weight = weights[k]
	}
	g.Share = s.Share(need, g.Weight, line.Rank)
	return append(gains, g)
}

func (p *Plan) solidarityOf(taker int) []int32 {
	for _, g := range p.gives {
		if g.who == nil {
			return nil
		}
		if _, ok := slices.BinarySearch(g.who, int32(taker)); ok {
			return g.who
		}
	}
	return []int32{}
}

// bound is the most that a member gets in a round.
func bound(r *charter.Round, budget []int64, round int) int64 {
	most := int64(math.MaxInt64)
	if r.CapPeriod != nil {
		most = int64(r.CapPeriod.Energy)
	}
	if r.Cap != nil {
		most = min(most, int64(*r.Cap))
	}
	if r.Capped() && round < len(budget) {
		most = min(most, max(0, budget[round]))
	}
	return most
}

// passGains is one pass over a member's keys, in her order.
func (p *Plan) passGains(gains []Gain, taker int, line Line, steps []Step, need int64) []Gain {
	pl := &p.rounds[steps[0].Round]
	most := bound(pl.round, line.Budget, steps[0].Round)
	for _, g := range gains { // what earlier passes of the round gave counts against its cap
		if g.Step.Round == steps[0].Round {
			most -= g.Share
		}
	}
	room := min(need, most)
	first, _ := slices.BinarySearchFunc(pl.edges, taker, func(e edge, t int) int { return int(e.taker) - t })
	for _, e := range pl.edges[first:] {
		if int(e.taker) != taker {
			break
		}
		for k := range steps {
			if steps[k].Part != int(e.part) {
				continue
			}
			g := Gain{Step: steps[k], Need: room, Weight: int64(e.percent)}
			g.Share = min(room, steps[k].worth(int64(e.percent), line.Rank))
			room -= g.Share
			gains = append(gains, g)
		}
	}
	return gains
}

// worth is what a key of a part stands for in a step.
func (s *Step) worth(percent int64, rank uint64) int64 {
	if s.Floor { // Num of it is the part itself, Den a hundred percent in units
		return s.Outcome.Share(s.Pool, percent, 0) * s.Unit
	}
	return s.Outcome.Share(s.Pool/s.Unit, percent, rank) * s.Unit
}
