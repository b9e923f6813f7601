// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"math"
	"math/bits"
)

// Fill divides pool by weighted water-filling: got[k] = min(demand[k], λ·weight[k]).
// A nil weight means that each weighs 1. Who weighs nothing gets nothing.
// Σ got = min(pool, Σ demand of those who weigh anything), exactly.
func (s *Scratch) Fill(got, demand, weight []int64, pool int64, ties Ties) Outcome {
	f := filling{left: uint64(max(pool, 0))}
	c, ok := s.near(&f, demand, weight)
	if !ok {
		return trivial(got, demand, weight, pool, int64(f.sum))
	}
	num, den := s.level(&f, c)
	o := Outcome{Num: num, Den: den, Cut: den, Shared: pool}
	if weight == nil {
		s.even(got, demand, &o, ties)
	} else {
		s.parts(got, demand, weight, s.drawn, divisionOf(&o, f.bits, pool), &o, ties)
	}
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
	var sum, most int64
	for _, d := range demand {
		sum += d
		most |= d
	}
	if sum <= pool || pool <= 0 {
		return trivial(got, demand, nil, pool, sum)
	}
	o := Outcome{Num: pool, Den: sum, Cut: sum, Shared: pool}
	s.draw(demand, demand)
	s.parts(got, demand, demand, s.drawn, divisionOf(&o, uint64(most), pool), &o, ties)
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
	var any uint64
	for _, w := range weight {
		sum += w
		any |= uint64(w)
	}
	hi, lo := bits.Mul64(uint64(pool), uint64(sum))
	worth, _ := bits.Div64(hi, lo, uint64(of)) // ≤ pool, because sum ≤ of
	o := Outcome{Num: pool, Den: of, Cut: of}
	bounds := s.unbounded(len(got))
	s.draw(bounds, weight)
	s.parts(got, bounds, weight, s.drawn, divisionOf(&o, any, int64(worth)), &o, ties)
	for k, d := range demand {
		got[k] = min(got[k], d)
		o.Shared += got[k]
	}
	return o
}

// unbounded are n demands that bound nothing.
func (s *Scratch) unbounded(n int) []int64 {
	for len(s.bounds) < n {
		s.bounds = append(s.bounds, math.MaxInt64)
	}
	return s.bounds[:n]
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
// for all whom the level does not cover, so rank alone says who gets a unit more.
func (s *Scratch) even(got, demand []int64, o *Outcome, ties Ties) {
	level, open := o.Num/o.Den, 0
	s.who = grow(s.who, len(got))
	who := s.who[:len(got)]
	demand = demand[:len(got)]
	for k := range got {
		d := demand[k]
		got[k] = min(d, level)
		who[open] = int32(k)
		open += int(below(uint64(level), uint64(d)))
	}
	if o.Extra = o.Num % o.Den; o.Extra > 0 {
		o.Cut = o.Extra
		o.TieRank = s.byRank(got, who[:open], int(o.Extra), ties)
	}
}
