// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"math/big"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// The oracles say what the rules mean, as slowly and as plainly as possible. The
// kernels have to agree with them to the unit.

// byRank sorts indices of members in the order in which ties are served.
func byRank(idx []int, ids []roll.MemberID, seed Seed) {
	slices.SortFunc(idx, func(a, b int) int {
		ra, rb := Rank(seed, ids[a]), Rank(seed, ids[b])
		switch {
		case ra < rb:
			return -1
		case ra > rb:
			return 1
		default:
			return 0
		}
	})
}

// equalUnits hands out one unit after the other: in each pass everybody who is
// not yet served gets one, in the order of ties, until nothing is left.
func equalUnits(pool int64, demand []int64, ids []roll.MemberID, seed Seed) []int64 {
	order := make([]int, len(demand))
	for i := range order {
		order[i] = i
	}
	byRank(order, ids, seed)
	got := make([]int64, len(demand))
	for served := true; served; {
		served = false
		for _, i := range order {
			if pool > 0 && got[i] < demand[i] {
				got[i]++
				pool--
				served = true
			}
		}
	}
	return got
}

// equalExact computes the clearing level as a fraction: everybody who needs no
// more than an even part of what is left gets all she needs, until nobody does.
func equalExact(pool int64, demand []int64, ids []roll.MemberID, seed Seed) []int64 {
	got := make([]int64, len(demand))
	var open []int
	for i := range demand {
		open = append(open, i)
	}
	left := big.NewInt(pool)
	for again := true; again && len(open) > 0; {
		again = false
		level := new(big.Rat).SetFrac(left, big.NewInt(int64(len(open))))
		for k, i := range open {
			if new(big.Rat).SetInt64(demand[i]).Cmp(level) <= 0 {
				got[i] = demand[i]
				left.Sub(left, big.NewInt(demand[i]))
				open = slices.Delete(open, k, k+1)
				again = true
				break
			}
		}
	}
	if len(open) == 0 {
		return got
	}
	whole, rest := new(big.Int).QuoRem(left, big.NewInt(int64(len(open))), new(big.Int))
	byRank(open, ids, seed)
	for k, i := range open {
		got[i] = whole.Int64()
		if int64(k) < rest.Int64() {
			got[i]++
		}
	}
	return got
}

// largestRemainder divides total by weights: exact fractions, cut, and what the
// cuts left goes to those who lost most by theirs.
func largestRemainder(total int64, weights []int64, ids []roll.MemberID, seed Seed) []int64 {
	got := make([]int64, len(weights))
	sum := new(big.Int)
	for _, w := range weights {
		sum.Add(sum, big.NewInt(w))
	}
	if sum.Sign() == 0 {
		return got
	}
	lost := make([]*big.Rat, len(weights))
	order := make([]int, len(weights))
	left := total
	for i, w := range weights {
		order[i] = i
		exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(total), big.NewInt(w)), sum)
		cut := new(big.Int).Quo(exact.Num(), exact.Denom())
		got[i] = cut.Int64()
		left -= got[i]
		lost[i] = exact.Sub(exact, new(big.Rat).SetInt(cut))
	}
	byRank(order, ids, seed)
	slices.SortStableFunc(order, func(a, b int) int { return lost[b].Cmp(lost[a]) })
	for _, i := range order[:left] {
		got[i]++
	}
	return got
}

// allocateSlowly runs a whole sharing rule with the oracles.
func allocateSlowly(rules *charter.Sharing, in []Member, pool int64, seed Seed) map[roll.MemberID]int64 {
	got := map[roll.MemberID]int64{}
	for _, r := range rules.Rounds {
		var ids []roll.MemberID
		var demand []int64
		var sum int64
		for _, m := range in {
			invited := len(r.Groups) == 0
			for _, g := range m.Groups {
				invited = invited || slices.Contains(r.Groups, g)
			}
			if !invited || (m.Exports && rules.ExportingSites == charter.ExportersWait) {
				continue
			}
			d := m.Demand - got[m.ID]
			if r.Cap != nil {
				d = min(d, int64(*r.Cap))
			}
			ids, demand, sum = append(ids, m.ID), append(demand, d), sum+d
		}
		give := min(pool, sum)
		var part []int64
		if r.Method == charter.Equal {
			part = equalExact(give, demand, ids, seed)
		} else {
			part = largestRemainder(give, demand, ids, seed)
		}
		for i, id := range ids {
			got[id] += part[i]
			pool -= part[i]
		}
	}
	return got
}
