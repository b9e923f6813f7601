// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// bracket are two ratios with one denominator, 2^shift, such that λ probably lies between.
type bracket struct {
	lo, hi uint64
	shift  uint
}

// near leaves of all members those whose ratio lies close to λ, in one pass, and
// books the others as covered or open. It gives the demand of all who weigh
// anything as well; 0 where it was not added up. It is not ok where the pool
// covers that, where the sample misled, or where there is too little to gain;
// what is booked then is void.
func (s *Scratch) near(f *filling, demand, weight []int64) (c pairs, sum int64, ok bool) {
	n := len(demand)
	m := sampleSize(n)
	if m == 0 {
		return nil, 0, false
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
		return nil, 0, false
	}
	at := f.fillSample(sample, n*len(sample)/m)
	b, ok := bracketOf(sample, at)
	if !ok || at == len(sample) { // it seems to be covered
		return nil, 0, false
	}
	s.pairs = grow(s.pairs, n)
	var low, high, mid pair
	if weight == nil {
		c, low, high = b.pickEven(s.pairs, demand)
	} else {
		c, low, high = b.pick(s.pairs, demand, weight)
	}
	for _, x := range c {
		mid.d += x.d
		mid.w += x.w
	}
	sum = int64(low.d + mid.d + high.d)
	one := uint64(1) << b.shift
	if !f.reaches(pair{b.lo, one}, low.d, high.w+mid.w) || // λ is below the bracket,
		f.reaches(pair{b.hi, one}, low.d+mid.d, high.w) { // or above it, or at its upper end
		return nil, sum, false
	}
	f.left -= low.d
	f.open = high.w
	return c, sum, true
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

// pick writes to c who lies in the bracket, and sums those below and above it.
// Who weighs nothing is nowhere.
func (b bracket) pick(c pairs, demand, weight []int64) (in pairs, low, high pair) {
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
		over := below128(hh, hl, dh, dl) & (-x.w >> 63)
		c[n] = x
		n += int(-x.w>>63 - under - over)
		low.d += x.d & -under
		high.d += x.d & -over
		high.w += x.w & -over
	}
	return c[:n], low, high
}

// pickEven is pick where each weighs 1.
func (b bracket) pickEven(c pairs, demand []int64) (in pairs, low, high pair) {
	n := 0
	lo, hi, shift := b.lo, b.hi, b.shift&63
	lo, hi = (lo+1<<shift-1)>>shift, hi>>shift // whole units: d < lo or d > hi
	c = c[:len(demand)]
	for _, v := range demand {
		d := uint64(v)
		under, over := below(d, lo), below(hi, d)
		c[n] = pair{d, 1}
		n += int(1 - under - over)
		low.d += d & -under
		high.d += d & -over
		high.w += over
	}
	return c[:n], low, high
}
