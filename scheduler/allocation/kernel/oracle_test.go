// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"cmp"
	"math/big"
	"slices"
)

// The oracles say what the kernels mean, in fractions without bound and as
// plainly as possible.

// fillSlowly is weighted water-filling: whoever needs no more than λ·weight gets
// all she needs, which raises λ for the others, until nobody is left to cover.
func fillSlowly(demand, weight []int64, pool int64, ties Ties) []int64 {
	got := make([]int64, len(demand))
	left, covered := big.NewInt(pool), make([]bool, len(demand))
	for again := true; again; {
		again = false
		open := new(big.Int)
		for k := range demand {
			if !covered[k] {
				open.Add(open, big.NewInt(weight[k]))
			}
		}
		if open.Sign() == 0 {
			return got
		}
		for k, d := range demand {
			if covered[k] || weight[k] == 0 {
				continue
			}
			part := new(big.Int).Mul(left, big.NewInt(weight[k])) // λ · weight ≥ d, times open
			if part.Cmp(new(big.Int).Mul(open, big.NewInt(d))) >= 0 {
				covered[k], again = true, true
				got[k] = d
				left.Sub(left, big.NewInt(d))
				break
			}
		}
	}
	var who []int
	var parts []*big.Rat
	open := new(big.Int)
	for k := range demand {
		if !covered[k] {
			open.Add(open, big.NewInt(weight[k]))
		}
	}
	for k := range demand {
		if !covered[k] {
			who = append(who, k)
			parts = append(parts, new(big.Rat).SetFrac(new(big.Int).Mul(left, big.NewInt(weight[k])), open))
		}
	}
	for i, v := range roundSlowly(parts, who, ties) {
		got[who[i]] = v
	}
	return got
}

// prorateSlowly is the same fraction of each demand, never more than all of it.
func prorateSlowly(demand []int64, pool int64, ties Ties) []int64 {
	sum := new(big.Int)
	for _, d := range demand {
		sum.Add(sum, big.NewInt(d))
	}
	if sum.Cmp(big.NewInt(pool)) <= 0 {
		return slices.Clone(demand)
	}
	who, parts := make([]int, len(demand)), make([]*big.Rat, len(demand))
	for k, d := range demand {
		who[k] = k
		parts[k] = new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(pool), big.NewInt(d)), sum)
	}
	return roundSlowly(parts, who, ties)
}

// onceSlowly is each one's part of the pool, of which she takes what she can use.
func onceSlowly(demand, weight []int64, pool, of int64, ties Ties) []int64 {
	who, parts := make([]int, len(demand)), make([]*big.Rat, len(demand))
	for k, w := range weight {
		who[k] = k
		parts[k] = new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(pool), big.NewInt(w)), big.NewInt(of))
	}
	got := roundSlowly(parts, who, ties)
	for k, d := range demand {
		got[k] = min(got[k], d)
	}
	return got
}

// roundSlowly cuts all parts to the unit below and hands the units that this
// leaves to those who lost most by it, then by rank.
func roundSlowly(parts []*big.Rat, who []int, ties Ties) []int64 {
	got, lost, order := make([]int64, len(parts)), make([]*big.Rat, len(parts)), make([]int, len(parts))
	sum := new(big.Rat)
	for i, p := range parts {
		sum.Add(sum, p)
		cut := new(big.Int).Quo(p.Num(), p.Denom())
		got[i], order[i] = cut.Int64(), i
		lost[i] = new(big.Rat).Sub(p, new(big.Rat).SetInt(cut))
	}
	left := new(big.Int).Quo(sum.Num(), sum.Denom())
	for _, g := range got {
		left.Sub(left, big.NewInt(g))
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(lost[b].Cmp(lost[a]), cmp.Compare(ties.Rank(who[a]), ties.Rank(who[b])))
	})
	for _, i := range order[:left.Int64()] {
		got[i]++
	}
	return got
}
