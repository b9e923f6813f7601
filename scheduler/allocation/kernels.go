// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"math"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// equal gives each of w.demand the same, but nobody more than she demands: the
// water-filling (uniform) rule. It finds the largest whole level b at which
// Σ min(demand, b) fits into total; what remains is less than one unit for each
// who demands more than b, and goes to the first of these in the order of ties.
// 0 ≤ total ≤ demand = Σ w.demand.
func (w *Workspace) equal(total, demand int64, t *ties) (num, den, extra int64) {
	if total == demand {
		copy(w.got, w.demand)
		for _, d := range w.demand {
			num = max(num, d)
		}
		return num, 1, 0
	}
	level := w.waterLevel(total)
	w.keys = resize(w.keys, len(w.demand))
	left, above := total, int64(0)
	for k, d := range w.demand {
		w.got[k] = min(d, level)
		left -= w.got[k]
		w.keys[k] = 0
		if d > level {
			w.keys[k] = 1
			above++
		}
	}
	w.handOut(left, t)
	// The exact level is level + left/above; as one fraction it is what the
	// members below it left over, divided by the number above.
	return level*above + left, above, left
}

// proportional gives each the same fraction of her demand, cut to the unit
// below, and the units that are left to the largest remainders.
// 0 ≤ total ≤ demand = Σ w.demand, demand > 0.
func (w *Workspace) proportional(total, demand int64, t *ties) (num, den, extra int64) {
	if total == demand {
		copy(w.got, w.demand)
		return 1, 1, 0
	}
	left := w.quotas(w.got, w.demand, total, demand)
	w.handOut(left, t)
	return total, demand, left
}

// quotas sets dst to total·weight/sum cut to the unit below and w.keys to the
// remainders, and gives the units that are left.
func (w *Workspace) quotas(dst, weights []int64, total, sum int64) (left int64) {
	w.keys = resize(w.keys, len(weights))
	left = total
	for k, weight := range weights {
		q, rem := energy.MulDivRem(total, weight, sum)
		dst[k], w.keys[k] = q, uint64(rem)
		left -= q
	}
	return left
}

// handOut adds one unit to the n of w.got with the largest keys, equals in the order of ties.
func (w *Workspace) handOut(n int64, t *ties) {
	w.addTop(w.got, n, t)
}

// Split divides total in proportion to weights with largest remainder:
// Σ dst = total exactly, and 0 for all if no weight is positive. dst[i] ≤ weights[i]
// whenever total ≤ Σ weights. A negative total (a residual may be one) is split by
// its magnitude; a negative weight counts as 0. dst[i] belongs to ids[i], whose order
// does not matter. The three slices have one length; anything else is a
// programmer's error and panics.
//
// Weights whose sum passes 63 bits are first halved together until it fits; the
// sum of the parts stays exact then, their proportion is good to 2⁻⁴⁰.
func (w *Workspace) Split(dst []int64, total int64, weights []int64, ids []roll.MemberID, seed Seed) {
	if len(dst) != len(weights) || len(dst) != len(ids) {
		panic("allocation.Split: dst, weights and ids differ in length")
	}
	negative := total < 0
	if negative {
		total = -max(total, -math.MaxInt64)
	}
	w.demand = append(w.demand[:0], weights...)
	sum := fit(w.demand)
	if sum == 0 {
		clear(dst)
		return
	}
	left := w.quotas(dst, w.demand, total, sum)
	w.addTop(dst, left, &ties{seed: seed, ids: ids})
	if negative {
		for i := range dst {
			dst[i] = -dst[i]
		}
	}
}

// fit clears negative weights, halves all until their sum fits and gives the sum.
func fit(weights []int64) int64 {
	for {
		var sum int64
		over := false
		for i := range weights {
			weights[i] = max(weights[i], 0)
			if over = sum > math.MaxInt64-weights[i]; over {
				break
			}
			sum += weights[i]
		}
		if !over {
			return sum
		}
		for i := range weights {
			weights[i] = max(weights[i], 0) / 2
		}
	}
}
