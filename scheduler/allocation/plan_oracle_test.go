// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"math/big"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation/kernel"
)

// slow runs a sharing rule of version 2 as its words say, member by member and
// in fractions without bound.
type slow struct {
	rules  *charter.Sharing
	takers []Taker
	parts  []Part
	fig    *Figures
	unit   int64
	demand map[roll.MemberID]int64
	share  map[roll.MemberID]int64
	left   []int64
}

func runSlowly(rules *charter.Sharing, takers []Taker, parts []Part, fig *Figures) (shares, left []int64) {
	s := slow{rules: rules, takers: takers, parts: parts, fig: fig, unit: 1, demand: map[roll.MemberID]int64{}, share: map[roll.MemberID]int64{}}
	if rules.Rounding != nil {
		s.unit = int64(rules.Rounding.Unit)
	}
	for i, t := range takers {
		if rules.ExportingSites != charter.ExportersWait || fig.Exports == nil || !fig.Exports[i] {
			s.demand[t.ID] = fig.Demand[i]
		}
	}
	solidarity := make([]int64, len(parts))
	for i, e := range fig.Supply {
		s.left = append(s.left, e)
		for _, r := range rules.Reserve {
			held := part(e, r.Percent) / s.unit * s.unit
			s.left[i] -= held
			if r.For == charter.ReserveSolidarity {
				solidarity[i] += held
			}
		}
	}
	for i := range rules.Rounds {
		s.round(&rules.Rounds[i])
	}
	for _, r := range rules.Reserve {
		if r.For != charter.ReserveSolidarity {
			continue
		}
		offer := slices.Clone(solidarity)
		for i, e := range offer {
			s.left[i] += e // what it does not take joins the rest
		}
		got := s.fill(func(t Taker) bool { return inAny(&t, r.Groups) }, nil, sumOf(offer), nil)
		before := slices.Clone(s.left)
		s.take(offer, got)
		last := &rules.Rounds[len(rules.Rounds)-1]
		for i := range offer {
			if last.Rest == charter.RestGrid && (len(last.Sources) == 0 || slices.Contains(last.Sources, parts[i].Source)) {
				s.left[i] = before[i] - offer[i] // the community sells what it leaves
			}
		}
	}
	for _, t := range takers {
		shares = append(shares, s.share[t.ID])
	}
	return shares, s.left
}

func (s *slow) rank(id roll.MemberID) uint64 {
	return kernel.Rank(seedWord(s.fig.Seed), TieKey(string(id)))
}

func (s *slow) in(r *charter.Round, t Taker) bool {
	for _, tag := range r.Tags {
		if !slices.Contains(t.Groups, tag) {
			return false
		}
	}
	return len(r.Groups) == 0 || inAny(&t, r.Groups)
}

func (s *slow) round(r *charter.Round) {
	offer := slices.Clone(s.left)
	for i := range offer {
		if len(r.Sources) > 0 && !slices.Contains(r.Sources, s.parts[i].Source) {
			offer[i] = 0
		}
		if r.Offer != nil {
			offer[i] = part(offer[i], *r.Offer)
		}
	}
	before := slices.Clone(s.left)
	switch r.Method {
	case charter.Equal:
		s.take(offer, s.fill(func(t Taker) bool { return s.in(r, t) }, nil, sumOf(offer), r.Cap))
	case charter.Proportional:
		s.take(offer, s.fill(func(t Taker) bool { return s.in(r, t) }, byNeed, sumOf(offer), r.Cap))
	case charter.Weighted:
		s.take(offer, s.fill(func(t Taker) bool { return s.in(r, t) }, weightOf(r), sumOf(offer), r.Cap))
	case charter.Priority:
		served, all, pool := map[roll.MemberID]bool{}, map[roll.MemberID]int64{}, sumOf(offer)
		for _, tier := range r.Tiers {
			got := s.fill(func(t Taker) bool {
				return s.in(r, t) && !served[t.ID] && (inAny(&t, tier.Groups) || slices.Contains(tier.Members, t.ID))
			}, nil, pool, r.Cap)
			for _, t := range s.takers {
				if inAny(&t, tier.Groups) || slices.Contains(tier.Members, t.ID) {
					served[t.ID] = true
				}
			}
			for id, e := range got {
				all[id] += e
				pool -= e
			}
		}
		s.take(offer, all)
	case charter.Passes:
		s.passes(r, offer)
	case charter.Static, charter.Pairs:
		if r.Method == charter.Pairs || bySource(r) {
			s.pairs(r, offer)
		} else {
			s.take(offer, s.static(r, sumOf(offer)))
		}
	}
	if r.Rest == charter.RestGrid || r.Rest == charter.RestInjectors {
		for i := range s.left {
			if r == &s.rules.Rounds[len(s.rules.Rounds)-1] && r.Rest == charter.RestInjectors {
				break // it is what is left
			}
			if r.Offer == nil && (len(r.Sources) == 0 || slices.Contains(r.Sources, s.parts[i].Source)) {
				s.left[i] = 0
			} else if r.Offer != nil && (len(r.Sources) == 0 || slices.Contains(r.Sources, s.parts[i].Source)) {
				s.left[i] = before[i] - part(before[i], *r.Offer)
			}
		}
	}
}

func weightOf(r *charter.Round) func(Taker) int64 {
	return func(t Taker) int64 {
		for _, m := range r.Weights.Members {
			if m.Member == t.ID {
				return int64(m.Weight)
			}
		}
		for _, g := range r.Weights.Groups {
			if slices.Contains(t.Groups, g.Group) {
				return int64(g.Weight)
			}
		}
		if r.Weights.Default != nil {
			return int64(*r.Weights.Default)
		}
		return 0
	}
}

func part(e int64, p charter.Percent) int64 {
	v := new(big.Int).Mul(big.NewInt(e), big.NewInt(int64(p)))
	return v.Quo(v, big.NewInt(charter.Whole)).Int64()
}

func capped(d int64, most *energy.Energy) int64 {
	if most != nil {
		d = min(d, int64(*most))
	}
	return d
}

// byNeed weighs each by what she needs.
func byNeed(Taker) int64 { return -1 }

// fill is water-filling: λ rises until the pool is used up or everybody is full.
func (s *slow) fill(in func(Taker) bool, weight func(Taker) int64, pool int64, most *energy.Energy) map[roll.MemberID]int64 {
	pool /= s.unit
	type line struct {
		id           roll.MemberID
		need, weight int64
		full         bool
	}
	var lines []*line
	for _, t := range s.takers {
		if !in(t) {
			continue
		}
		l := &line{id: t.ID, need: capped(s.demand[t.ID], most) / s.unit, weight: 1}
		if weight != nil {
			if l.weight = weight(t); l.weight < 0 {
				l.weight = l.need
			}
		}
		lines = append(lines, l)
	}
	got := map[roll.MemberID]int64{}
	left := big.NewInt(pool)
	for again := true; again; {
		again = false
		open := new(big.Int)
		for _, l := range lines {
			if !l.full {
				open.Add(open, big.NewInt(l.weight))
			}
		}
		if open.Sign() == 0 {
			return got
		}
		for _, l := range lines {
			part := new(big.Int).Mul(left, big.NewInt(l.weight))
			if !l.full && l.weight > 0 && part.Cmp(new(big.Int).Mul(big.NewInt(l.need), open)) >= 0 {
				l.full, again = true, true
				got[l.id] = l.need * s.unit
				left.Sub(left, big.NewInt(l.need))
				break
			}
		}
	}
	open := new(big.Int)
	for _, l := range lines {
		if !l.full {
			open.Add(open, big.NewInt(l.weight))
		}
	}
	units := left.Int64()
	lost := map[roll.MemberID]*big.Int{}
	var order []roll.MemberID
	for _, l := range lines {
		if l.full {
			continue
		}
		q, r := new(big.Int).QuoRem(new(big.Int).Mul(left, big.NewInt(l.weight)), open, new(big.Int))
		got[l.id] = q.Int64() * s.unit
		units -= q.Int64()
		lost[l.id] = r
		order = append(order, l.id)
	}
	slices.SortFunc(order, func(a, b roll.MemberID) int {
		if c := lost[b].Cmp(lost[a]); c != 0 {
			return c
		}
		if s.rank(a) < s.rank(b) {
			return -1
		}
		return 1
	})
	if s.floors() {
		return got
	}
	for _, id := range order[:units] {
		got[id] += s.unit
	}
	return got
}

func (s *slow) floors() bool {
	return s.rules.Rounding != nil && s.rules.Rounding.Mode == charter.Floor
}

// take books shares and draws them from the parts in proportion.
func (s *slow) take(offer []int64, got map[roll.MemberID]int64) {
	var used int64
	for id, e := range got {
		used += e
		s.share[id] += e
		s.demand[id] -= e
	}
	if s.rules.Attribution == charter.AttributeListed {
		offer = slices.Clone(offer)
		for _, source := range s.rules.Sources {
			for i, p := range s.parts {
				if p.Source == source.Name {
					e := min(used, offer[i])
					s.left[i] -= e
					used -= e
					offer[i] = 0
				}
			}
		}
	}
	sum := big.NewInt(sumOf(offer))
	if sum.Sign() == 0 {
		return
	}
	units := used
	lost, order, drawn := make([]*big.Int, len(offer)), make([]int, len(offer)), make([]int64, len(offer))
	for i, e := range offer {
		q, r := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(used), big.NewInt(e)), sum, new(big.Int))
		drawn[i], lost[i], order[i] = q.Int64(), r, i
		units -= drawn[i]
	}
	slices.SortFunc(order, func(a, b int) int {
		if c := lost[b].Cmp(lost[a]); c != 0 {
			return c
		}
		if kernel.Rank(seedWord(s.fig.Seed), TieKey(s.parts[a].ID)) < kernel.Rank(seedWord(s.fig.Seed), TieKey(s.parts[b].ID)) {
			return -1
		}
		return 1
	})
	for _, i := range order[:units] {
		drawn[i]++
	}
	for i := range drawn {
		s.left[i] -= drawn[i]
	}
}

// passes is the Czech rule, word by word.
func (s *slow) passes(r *charter.Round, offer []int64) {
	for range r.Passes {
		start := slices.Clone(offer)
		for _, m := range r.Keys {
			for _, k := range m.Keys {
				for i, p := range s.parts {
					if p.Source != k.Source {
						continue
					}
					worth := new(big.Int).Mul(big.NewInt(start[i]), big.NewInt(int64(k.Percent)))
					worth.Quo(worth, big.NewInt(charter.Whole*s.unit))
					flow := min(s.demand[m.Member], worth.Int64()*s.unit)
					s.demand[m.Member] -= flow
					s.share[m.Member] += flow
					offer[i] -= flow
					s.left[i] -= flow
				}
			}
		}
	}
}
