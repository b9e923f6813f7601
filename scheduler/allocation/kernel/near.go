// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// bracket are two ratios with one denominator, 2^shift, such that λ probably lies between.
type bracket struct {
	lo, hi uint64
	shift  uint
}

// near leaves of all members those whose ratio lies close to λ, in one pass, and
// books the others as covered or open. It is not ok where the sample misled, or
// where there is too little to gain; nothing is booked then.
func (s *Scratch) near(f *filling, demand, weight []int64) (c pairs, ok bool) {
	n := len(demand)
	m := sampleSize(n)
	if m == 0 {
		return nil, false
	}
	sample := s.sample[:0]
	for k := range m {
		x := pair{uint64(demand[position(n, k, m)]), 1}
		if weight != nil {
			x.w = uint64(weight[position(n, k, m)])
		}
		if x.w > 0 {
			sample = append(sample, x)
		}
	}
	if len(sample) < m/2 {
		return nil, false
	}
	b, ok := bracketOf(sample, f.fillSample(sample, n*len(sample)/m))
	if !ok {
		return nil, false
	}
	var covered, open uint64
	if weight == nil {
		c, covered, open = b.pickEven(s.pairs, demand)
	} else {
		c, covered, open = b.pick(s.pairs, demand, weight)
	}
	var midD, midW uint64
	for _, x := range c {
		midD += x.d
		midW += x.w
	}
	one := uint64(1) << b.shift
	if !f.reaches(pair{b.lo, one}, covered, open+midW) {
		return nil, false // λ is below the bracket
	}
	if f.reaches(pair{b.hi, one}, covered+midD, open) {
		return nil, false // λ is above it, or at its upper end
	}
	f.left -= covered
	f.open = open
	return c, true
}

// bracketOf makes a bracket around the place in a sorted sample. An end for
// which the sample is too short stays open.
func bracketOf(sample pairs, at int) (b bracket, ok bool) {
	low, high := at-slack(len(sample))-1, at+slack(len(sample))
	top := sample[min(high, len(sample)-1)]
	whole := top.d / top.w
	b.shift = min(uint(bits.LeadingZeros64(whole|1))-1, 62)
	if high >= len(sample) {
		b.hi, b.shift = 1<<63, 0 // above any ratio
	} else {
		b.hi = top.times(b.shift) + 1
	}
	if low >= 0 {
		b.lo = sample[low].times(b.shift)
	}
	// Ratios so small that the denominator cannot tell them apart are rare:
	// they are left to the pivots.
	return b, b.hi > 1<<16 || b.shift < 32
}

// times is floor(d/w · 2^shift), which fits because d/w < 2^(63−shift).
func (p pair) times(shift uint) uint64 {
	hi, lo := p.d>>1>>(63-shift), p.d<<shift
	q, _ := bits.Div64(hi%p.w, lo, p.w)
	return q
}

// pick writes to c who lies in the bracket, and sums the demand of those below
// it and the weight of those above. Who weighs nothing is nowhere.
func (b bracket) pick(c pairs, demand, weight []int64) (in pairs, covered, open uint64) {
	n := 0
	lo, hi, shift := b.lo, b.hi, b.shift&63
	weight = weight[:len(demand)]
	c = c[:len(demand)]
	for k, d := range demand {
		x := pair{uint64(d), uint64(weight[k])}
		dh, dl := x.d>>1>>(63-shift), x.d<<shift
		lh, ll := bits.Mul64(lo, x.w)
		hh, hl := bits.Mul64(hi, x.w)
		under := below128(dh, dl, lh, ll) // 0 where the weight is 0
		over := below128(hh, hl, dh, dl)
		c[n] = x
		n += int((1 - under - over) & (-x.w >> 63))
		covered += x.d & -under
		open += x.w & -over // adds nothing where the weight is 0
	}
	return c[:n], covered, open
}

// pickEven is pick where each weighs 1.
func (b bracket) pickEven(c pairs, demand []int64) (in pairs, covered, open uint64) {
	n := 0
	lo, hi, shift := b.lo, b.hi, b.shift&63
	lo, hi = (lo+1<<shift-1)>>shift, hi>>shift // whole units: d < lo or d > hi
	c = c[:len(demand)]
	for _, v := range demand {
		d := uint64(v)
		under, over := below(d, lo), below(hi, d)
		c[n] = pair{d, 1}
		n += int(1 - under - over)
		covered += d & -under
		open += over
	}
	return c[:n], covered, open
}
