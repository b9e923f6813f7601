// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// Fill divides pool by weighted water-filling: got[k] = min(demand[k], λ·weight[k]).
// A nil weight means that each weighs 1. Who weighs nothing gets nothing.
// Σ got = min(pool, Σ demand of those who weigh anything), exactly.
func (s *Scratch) Fill(got, demand, weight []int64, pool int64, ties Ties) Outcome {
	f := filling{left: uint64(max(pool, 0))}
	c, sum, ok := s.near(&f, demand, weight)
	if !ok && sum == 0 {
		sum = weighed(demand, weight)
	}
	if sum <= pool || pool <= 0 {
		return trivial(got, demand, weight, pool, sum)
	}
	if !ok {
		f = filling{left: uint64(pool)}
		c = s.everybody(demand, weight)
	}
	num, den := s.level(&f, c)
	if weight == nil {
		return s.even(got, demand, pool, num, den, ties)
	}
	o := Outcome{Num: num, Den: den, Cut: den, Shared: pool}
	o.Extra = pool - s.quotas(got, demand, weight, num, den)
	s.handOut(got, &o, ties)
	return o
}

// weighed is the demand of those who weigh anything.
func weighed(demand, weight []int64) (sum int64) {
	if weight == nil {
		for _, d := range demand {
			sum += d
		}
		return sum
	}
	for k, d := range demand {
		sum += d & weighs(weight[k])
	}
	return sum
}

// Prorate gives each the same fraction of her demand.
func (s *Scratch) Prorate(got, demand []int64, pool int64, ties Ties) Outcome {
	var sum int64
	for _, d := range demand {
		sum += d
	}
	if sum <= pool || pool <= 0 {
		return trivial(got, demand, nil, pool, sum)
	}
	o := Outcome{Num: pool, Den: sum, Cut: sum, Shared: pool}
	o.Extra = pool - s.parts(got, demand, pool, sum)
	s.handOut(got, &o, ties)
	return o
}

// Once gives each the part weight/of of the pool, in one pass: what she cannot
// use stays in the pool. 0 < Σ weight ≤ of. What the parts together are worth is
// cut to the unit below, and divided exactly; only then come the demands.
// [Outcome.Share] holds for it as for the others.
func (s *Scratch) Once(got, demand, weight []int64, pool, of int64, ties Ties) Outcome {
	if pool <= 0 || of <= 0 {
		clear(got)
		return Outcome{}
	}
	var sum int64
	for _, w := range weight {
		sum += w
	}
	hi, lo := bits.Mul64(uint64(pool), uint64(sum))
	worth, _ := bits.Div64(hi, lo, uint64(of)) // ≤ pool, because sum ≤ of
	o := Outcome{Num: pool, Den: of, Cut: of}
	o.Extra = int64(worth) - s.parts(got, weight, pool, of)
	s.handOut(got, &o, ties)
	for k, d := range demand {
		got[k] = min(got[k], d)
		o.Shared += got[k]
	}
	return o
}

// weighs is all ones where w > 0, and 0 where it is 0.
func weighs(w int64) int64 { return -w >> 63 }

// trivial is an empty pool, or one that covers all.
func trivial(got, demand, weight []int64, pool, sum int64) Outcome {
	if sum <= 0 || pool <= 0 {
		clear(got)
		return Outcome{}
	}
	if weight == nil {
		copy(got, demand)
	} else {
		for k, d := range demand {
			got[k] = d & weighs(weight[k])
		}
	}
	return Outcome{Num: 1, Shared: sum}
}

// even is Fill where each weighs 1: the quotient and its remainder are the same
// for all whom the level does not cover.
func (s *Scratch) even(got, demand []int64, pool, num, den int64, ties Ties) Outcome {
	level, rem := num/den, uint64(num%den)
	s.rem = grow(s.rem, len(got))
	for k, d := range demand {
		open := below(uint64(level), uint64(d))
		got[k] = min(d, level)
		s.rem[k] = rem & -open
	}
	o := Outcome{Num: num, Den: den, Cut: den, Shared: pool, Extra: int64(rem)}
	s.handOut(got, &o, ties)
	return o
}

// quota is min(demand, num·weight/den) cut to the unit below, and the remainder.
func quota(demand, weight, num, den uint64) (q, rem uint64) {
	hi, lo := bits.Mul64(num, weight)
	fits := -below(hi, den) // all ones where the quotient fits into 64 bits
	q, rem = bits.Div64(hi&fits, lo, den)
	open := -below(q, demand) & fits // all ones where λ·weight < demand
	return q&open | demand&^open, rem & open
}

// quotas sets got to the quotas and s.rem to the remainders, and gives the sum.
func (s *Scratch) quotas(got, demand, weight []int64, num, den int64) (sum int64) {
	s.rem = grow(s.rem, len(got))
	rem := s.rem[:len(got)]
	demand, weight = demand[:len(got)], weight[:len(got)]
	for k := range got {
		q, r := quota(uint64(demand[k]), uint64(weight[k]), uint64(num), uint64(den))
		got[k], rem[k] = int64(q), r
		sum += int64(q)
	}
	return sum
}

// parts sets got to num·weight/den cut to the unit below and s.rem to the
// remainders, and gives the sum. weight ≤ den.
func (s *Scratch) parts(got, weight []int64, num, den int64) (sum int64) {
	s.rem = grow(s.rem, len(got))
	rem := s.rem[:len(got)]
	weight = weight[:len(got)]
	for k := range got {
		hi, lo := bits.Mul64(uint64(num), uint64(weight[k]))
		q, r := bits.Div64(hi, lo, uint64(den))
		got[k], rem[k] = int64(q), r
		sum += int64(q)
	}
	return sum
}

// handOut adds one unit each to the o.Extra of got with the largest remainders,
// among equal ones to the lowest ranks, and notes in o where the cut fell.
func (s *Scratch) handOut(got []int64, o *Outcome, ties Ties) {
	if o.Extra <= 0 {
		return
	}
	cut, above, equal := s.topRemainder(len(got), int(o.Extra))
	still := int(o.Extra) - above
	o.Cut, o.TieRank = int64(cut), ^uint64(0)
	rem := s.rem[:len(got)]
	if still == equal {
		for k := range got {
			got[k] += int64(1 - below(rem[k], cut))
		}
		return
	}
	s.values = s.values[:0]
	for k := range got {
		if r := rem[k]; r >= cut {
			if r > cut {
				got[k]++
			} else {
				s.values = append(s.values, ^ties.Rank(k)) // the lowest rank is the largest value
			}
		}
	}
	last, _, _ := s.top(s.values, still)
	o.TieRank = ^last
	for k := range got {
		if rem[k] == cut && ties.Rank(k) <= o.TieRank {
			got[k]++
		}
	}
}
