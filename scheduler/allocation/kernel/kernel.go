// SPDX-License-Identifier: AGPL-3.0-or-later

// Package kernel divides whole units among many by weight, on plain integer
// slices: no names, no charters, no memory allocated once its buffers have grown.
//
// The central rule is weighted water-filling: everybody gets
//
//	share = min(demand, λ·weight)
//
// with one λ for all, the largest for which the pool suffices. Equal shares are
// the case where each weighs 1, proportional shares the one where each weighs
// what she demands. λ is a fraction of two 63-bit numbers; ratios are compared
// and products divided in 128 bits, so nothing is rounded before the very last
// step: λ·weight is cut to the unit below, and the units which that leaves go to
// the largest remainders, among equal remainders to the lowest rank.
//
// The work is linear in the number of members for any figures whatever: λ, the
// last remainder and the last rank that are served are found by selection, not by
// sorting, with a pivot that falls back on the median of medians. Beside each
// kernel stands, in the tests, a slow one that anybody can check by reading.
//
// Whoever calls has checked the figures: all amounts and weights are ≥ 0, and
// neither the demands nor the weights of one call sum to more than 63 bits hold.
package kernel

import "math/bits"

// Ties ranks members whom the figures don't tell apart. Keys are distinct, one
// for each member; the lowest rank is served first.
type Ties struct {
	Seed uint64 // of the interval, so that nobody is always last
	Keys []uint64
}

// Rank is the place of a key in the order of ties.
func (t Ties) Rank(k int) uint64 { return Rank(t.Seed, t.Keys[k]) }

// Rank mixes a member's key with the seed of an interval. For one seed it is a
// bijection, so distinct keys never tie. The constants are those of
// splitmix64 (Steele, Lea, Flood 2014).
func Rank(seed, key uint64) uint64 {
	z := key ^ seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Outcome says how a division came out. With it, anybody can compute her own
// share from her own figures, see [Outcome.Share].
type Outcome struct {
	Num, Den int64 // λ; 1/0: the pool covered all demand; 0/0: nobody weighs anything
	Cut      int64 // remainders above it got one unit more; Den: none did
	TieRank  uint64
	Shared   int64 // Σ shares
	Extra    int64 // how many got one unit more
}

// Share is what a member with this demand, weight and rank gets.
func (o Outcome) Share(demand, weight int64, rank uint64) int64 {
	if weight <= 0 || demand <= 0 || o.Num <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(o.Num), uint64(weight))
	if h, l := bits.Mul64(uint64(demand), uint64(o.Den)); h < hi || h == hi && l <= lo {
		return demand
	}
	q, r := bits.Div64(hi, lo, uint64(o.Den))
	share := int64(q)
	if rem := int64(r); rem > o.Cut || rem == o.Cut && rank <= o.TieRank {
		share++
	}
	return share
}

// Scratch holds the buffers. The zero value is ready; one goroutine uses it at a time.
type Scratch struct {
	rem    []uint64 // remainders, or ranks, near the cut
	who    []int32  // whose they are
	tied   []int32  // those near the last rank
	values []uint64 // candidates of a selection
	drawn  pairs    // a sample of members
	pairs  pairs    // candidates for λ
	bounds []int64  // demands that bound nothing
	high   pairs    // those above a pivot
	sample [maxSample]pair
	sorted [maxSample]pair
	points [maxSample]uint64

	margin          []int32 // of a market: whose limit is that of the last unit
	keys            []uint64
	asked, rationed []int64 // there
}

func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n, n+n/4)
	}
	return b[:n]
}

// below is 1 where a < b and 0 otherwise, without a branch.
func below(a, b uint64) uint64 {
	_, borrow := bits.Sub64(a, b, 0)
	return borrow
}

// below128 is 1 where ah:al < bh:bl and 0 otherwise, without a branch.
func below128(ah, al, bh, bl uint64) uint64 {
	_, borrow := bits.Sub64(al, bl, 0)
	_, borrow = bits.Sub64(ah, bh, borrow)
	return borrow
}
