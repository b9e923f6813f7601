// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// bracket are two ratios, of which λ probably is neither below the one nor above
// the other, as factors by which one figure of a member is multiplied, so that the
// other is a bound for the product:
//
//	2·d·factor/2^64 < w  says  d/w < 2^63/factor  (byDemand)
//	2·w·factor/2^64 < d  says  d/w > factor/2^63
//
// It does so exactly, because a fraction below a whole number is no more than its
// whole part below it: the upper half of the product is enough, for figures of any
// size. The former reaches ratios above 1/2, the latter those below 2.
type bracket struct {
	f1, f2   uint64 // f1 ≤ f2
	byDemand bool
}

const one = 1 << 63 // of a factor

// between is a bracket from lo to hi, a little wider; hi.w = 0 is above anybody's
// ratio. Where no factors reach from the one to the other, that end comes nearer from
// which the middle is farther away.
func between(lo, middle, hi pair) bracket {
	above, under := hi.w == 0 || hi.d>>1 >= hi.w, lo.d <= lo.w>>1
	if above && (!under || middle.d > middle.w) {
		return bracket{pair{hi.w, hi.d}.factor(), up(pair{lo.w, lo.d}.factor()), true}
	} else if above {
		return bracket{f1: lo.factor(), f2: ^uint64(0)}
	}
	return bracket{f1: lo.factor(), f2: up(hi.factor())}
}

// factor is d/w·2^63, cut to the unit below, or the largest there is.
func (p pair) factor() uint64 {
	if p.d>>1 >= p.w {
		return ^uint64(0)
	}
	v, _ := bits.Div64(p.d>>1, p.d<<63, p.w)
	return v
}

// up is one more, where there is one.
func up(v uint64) uint64 { return v + below(v, ^uint64(0)) }

// ends are the ratios that the bracket really has.
func (b bracket) ends() (lo, hi pair) {
	if b.byDemand {
		return pair{one, b.f2}, pair{one, b.f1}
	}
	return pair{b.f1, one}, pair{b.f2, one}
}

// split is what a bracket makes of all members.
type split struct {
	in          int // within it; they are in who
	lowD, highW uint64
	bits        uint64 // no weight above it has more
}

// of notes in who the members in the bracket, and sums those below and above. Who
// weighs nothing is above it, with nothing.
func (b bracket) of(who []int32, demand, weight []int64) (x split) {
	if b.byDemand {
		x.in, x.lowD, x.highW, x.bits = divide(who, demand, weight, b.f1, b.f2)
	} else {
		x.in, x.highW, x.lowD, x.bits = divide(who, weight, demand, b.f1, b.f2)
	}
	return x
}

// divide notes in who those between the factors, and sums a of those who pass even
// with the greater and b of those who do not even pass with the smaller. Most of
// the time that λ takes goes into it; it has few variables, so that nearly all stay in
// registers.
func divide(who []int32, a, b []int64, f1, f2 uint64) (in int, sumA, sumB, wide uint64) {
	b, who = b[:len(a)], who[:len(a)]
	n := uint64(0)
	for k, v := range a {
		x, y := uint64(v)<<1, uint64(b[k])
		h, _ := bits.Mul64(x, f1)
		_, pass := bits.Sub64(h, y, 0)
		pass = -pass
		y0 := y &^ pass
		sumB += y0
		wide |= y0
		who[n] = int32(k)
		n -= pass
		h, _ = bits.Mul64(x, f2)
		_, pass = bits.Sub64(h, y, 0)
		pass = -pass
		x &= pass
		sumA += x
		wide |= x
		n += pass
	}
	return int(n), sumA >> 1, sumB, wide
}

// ofEven is of where each weighs 1.
func (b bracket) ofEven(c pairs, demand []int64) (in pairs, x split) {
	low, high := b.ends()
	lo, hi := low.d/low.w, ^uint64(0)>>1
	if high.w > 0 {
		hi = high.d / high.w // d ≤ hi ⟺ d ≤ high
	}
	n := 0
	for _, v := range demand {
		d := uint64(v)
		under, over := below(d, lo), below(hi, d)
		c[n] = pair{d, 1}
		n += int(1 - under - over)
		x.lowD += d & -under
		x.highW += over
	}
	x.in, x.bits = n, 1
	return c[:n], x
}

// within says whether λ lies in a bracket, and if so books those outside it as
// covered or open.
func (f *filling) within(b bracket, mid pairs, x split) bool {
	var midD, midW uint64
	for _, p := range mid {
		midD += p.d
		midW += p.w
		x.bits |= p.w
	}
	lo, hi := b.ends()
	if !f.reaches(lo, x.lowD, f.open+x.highW+midW) || f.reaches(hi, x.lowD+midD, f.open+x.highW) {
		return false // so as well if the pool covers everybody
	}
	f.left -= x.lowD
	f.open += x.highW
	f.bits = x.bits
	return true
}

// near leaves of all members those whose ratio lies close to λ, and books the
// others as covered or open. It is not ok where the pool covers all demand of those
// who weigh anything, or is empty.
func (s *Scratch) near(f *filling, demand, weight []int64) (c pairs, ok bool) {
	if f.left == 0 {
		return nil, false
	}
	s.pairs, s.who = grow(s.pairs, len(demand)), grow(s.who, len(demand))
	b, drawn := s.guess(f, demand, weight)
	if drawn {
		if c, ok = s.among(f, b, demand, weight); ok {
			return c, true
		}
	}
	if f.covers(demand, weight) {
		return nil, false
	}
	if len(s.drawn) > 0 {
		if b, drawn = s.guessByDemand(f, demand, weight); drawn {
			if c, ok = s.among(f, b, demand, weight); ok {
				return c, true
			}
		}
	}
	return f.all(s.pairs[:len(demand)], demand, weight), true
}

// covers says whether the pool covers all demand of those who weigh anything.
func (f *filling) covers(demand, weight []int64) bool {
	if f.sum == 0 {
		f.sum = uint64(weighed(demand, weight))
	}
	return f.sum <= f.left
}

// among leaves those in a bracket, if λ is there.
func (s *Scratch) among(f *filling, b bracket, demand, weight []int64) (c pairs, ok bool) {
	var x split
	if weight == nil {
		c, x = b.ofEven(s.pairs[:len(demand)], demand)
	} else {
		x = b.of(s.who, demand, weight)
		c = s.pairs[:x.in]
		for j, k := range s.who[:x.in] {
			c[j] = pair{uint64(demand[k]), uint64(weight[k])}
		}
	}
	return c, f.within(b, c, x)
}

// all writes to c who weighs anything.
func (f *filling) all(c pairs, demand, weight []int64) pairs {
	n := 0
	for k, d := range demand {
		x := pair{uint64(d), 1}
		if weight != nil {
			x.w = uint64(weight[k])
		}
		c[n] = x
		n += int(-x.w >> 63)
		f.bits |= x.w
	}
	return c[:n]
}
