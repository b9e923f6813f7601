// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// guess draws a bracket around λ from a sample that is filled from its part of
// the pool, as wide as chance moves what such a sample takes. It is not ok where that
// is too far: where a few demand most of all.
func (s *Scratch) guess(f *filling, demand, weight []int64) (b bracket, ok bool) {
	all := s.draw(demand, weight)
	if f.drawn = all; len(s.drawn) == 0 {
		return b, false
	}
	part := max(1, scale(f.left, all.m, len(demand)))
	if part < all.d {
		return s.bracketOf(all, part, 31)
	}
	if f.covers(demand, weight) || scale(f.sum, all.m, len(demand))>>1 > all.d {
		return b, false
	}
	return s.guessAbove(all, part), true
}

// guessAbove is for a pool that covers all of the sample: few are left open, those
// with the highest ratios.
func (s *Scratch) guessAbove(all total, part uint64) bracket {
	short := all.d >> 3
	if part>>1 >= all.d {
		short = all.d / uint64(all.m)
	}
	r := s.rough(pair{max(1, all.d-min(all.d, max(1, short))), all.w}, 0)
	return between(r.level, r.level, pair{1, 0})
}

// guessByDemand does so with a sample of members drawn in proportion to their
// demand: of each, as if all asked for the same, only a part between none and all is
// covered, so chance cannot move it far whatever the figures. Only where one demands
// nearly all it says too little; then the others are covered.
func (s *Scratch) guessByDemand(f *filling, demand, weight []int64) (b bracket, ok bool) {
	// Ratios far from that of what all demand and weigh, up to 2^32 above it, are out of reach.
	same := 32 + bits.Len64(f.sum) - bits.Len64(f.drawn.w/uint64(f.drawn.m)*uint64(len(demand)))
	same = max(8, min(same, 48))
	all := s.drawByDemand(demand, weight, f.sum, same)
	hi, lo := bits.Mul64(all.d, f.left)
	part, _ := bits.Div64(hi, lo, f.sum) // left < sum
	b, ok = s.bracketOf(all, max(1, part), same-1)
	all = s.draw(demand, weight) // as it was
	if part = scale(f.left, all.m, len(demand)); !ok && part >= all.d {
		return s.guessAbove(all, part), true
	}
	return b, ok
}

// bracketOf fills the sample from its part, and draws the bracket. λ that has more
// bits than so many is not to be trusted.
func (s *Scratch) bracketOf(all total, part uint64, most int) (b bracket, ok bool) {
	shift := max(0, all.bits-24) // squares of 48 bits, of which few enough are summed
	r := s.rough(pair{part, all.w}, shift)
	mean := part >> shift
	noise := 2 * root(r.squares-min(r.squares, mean/uint64(all.m)*mean)) << shift
	give := relative(noise, r.level.d) + 1<<24
	lo, hi := r.level.times(1<<32-min(give, 1<<32)), pair{1, 0}
	if noise < all.d-part {
		hi = r.level.times(1<<32 + min(give, 1<<33)*5/4)
	}
	return between(lo, r.level, hi), give < 1<<31 && r.level.d>>(most&63) < r.level.w
}

// total is what a sample sums to.
type total struct {
	m    int // were drawn
	d, w uint64
	bits int // no demand has more
}

// draw fills s.drawn with a sample of those who weigh anything, one from each of
// its stretches, at a place that no simple pattern in the input follows.
func (s *Scratch) draw(demand, weight []int64) (all total) {
	all.m = guessSize(len(demand))
	s.drawn = grow(s.drawn, all.m)
	if all.m == 0 {
		return all
	}
	p, n, stretch := s.drawn, 0, uint64(len(demand)/all.m)
	var any uint64
	for k := range p {
		place, _ := bits.Mul64(uint64(k)*0x9e3779b97f4a7c15, stretch) // multiples of the golden section lie evenly
		at := k*int(stretch) + int(place)
		x := pair{uint64(demand[at]), 1}
		if weight != nil {
			x.w = uint64(weight[at])
			x.d &= uint64(weighs(weight[at]))
		}
		p[n] = x
		n += int(-x.w >> 63)
		all.d += x.d
		all.w += x.w
		any |= x.d
	}
	all.bits = bits.Len64(any)
	s.drawn = p[:n]
	return all
}

// drawByDemand fills s.drawn in proportion to the demands of those who weigh anything,
// which have a sum. All are put down with the same demand, 2^same, and a weight in
// proportion.
func (s *Scratch) drawByDemand(demand, weight []int64, sum uint64, same int) (all total) {
	m := guessSize(len(demand))
	s.drawn = grow(s.drawn, m)
	n, step, most := 0, sum/uint64(m)+1, uint64(1)<<62/uint64(m)
	next, passed := step/2, uint64(0) // one in each step, at any place of it
	for k, d := range demand {
		w := uint64(1)
		if weight != nil {
			w = uint64(weight[k])
			d &= weighs(weight[k])
		}
		for passed += uint64(d); next < passed && n < m; {
			x := pair{1 << (same & 63), most}
			if high := w >> (-same & 63); high < uint64(d) {
				q, _ := bits.Div64(high, w<<(same&63), uint64(d))
				x.w = max(1, min(q, most))
			}
			s.drawn[n] = x
			all.w += x.w
			n++
			place, _ := bits.Mul64(Rank(sum, uint64(n)), step)
			next = uint64(n)*step + place
		}
	}
	all.m, all.d, all.bits = n, uint64(n)<<(same&63), same+1
	s.drawn = s.drawn[:n]
	return all
}

// roughly is how a sample is filled.
type roughly struct {
	level   pair   // λ, or less
	squares uint64 // Σ share², shares cut by shift bits
}

// rough fills the sample: level is first what it may take over what it weighs, and
// rises as long as it covers anybody, or long enough. Those not covered are left.
func (s *Scratch) rough(level pair, shift int) (r roughly) {
	p := s.drawn
	for range 4 * maxRises {
		n, covered, lighter := 0, uint64(0), uint64(0)
		for _, x := range p {
			open := level.fillsBefore(x)
			p[n] = x
			n += int(open)
			x.d &= open - 1
			covered += x.d
			lighter += x.w & (open - 1)
			x.d >>= shift & 63
			r.squares += x.d * x.d
		}
		if n == 0 {
			break
		}
		few := lighter <= level.w>>8 // λ hardly rises any more
		p = p[:n]
		level.d -= covered
		level.w -= lighter
		if few {
			break
		}
	}
	l := lambdaOf(level.d, level.w)
	for _, x := range p {
		q, _ := bits.Mul64(x.w, l.fraction)
		q = min(q+x.w*l.whole, x.d) >> (shift & 63)
		r.squares += q * q
	}
	r.level, s.drawn = level, p
	return r
}

// times is the ratio times v/2^32, v < 2^35.
func (p pair) times(v uint64) pair {
	if room := 60 - bits.Len64(max(p.d, p.w)); room > 0 {
		p.d <<= room
		p.w <<= room
	}
	hi, lo := bits.Mul64(p.d>>3, v)
	p.d = hi<<32 | lo>>32
	p.w >>= 3
	if p.w == 0 {
		p.w = 1
	}
	return p
}

// relative is a/b in units of 2^-32, at most 2.
func relative(a, b uint64) uint64 {
	if a>>1 >= b {
		return 1 << 33
	}
	q, _ := bits.Div64(a>>32, a<<32, b)
	return q
}

// root is the square root of v, roughly.
func root(v uint64) uint64 {
	if v == 0 {
		return 0
	}
	r := uint64(1) << ((bits.Len64(v) + 1) / 2)
	for range 2 {
		r = (r + v/r) / 2
	}
	return r
}

// guessSize is how many of n are drawn: about n^(2/3), such that drawing costs
// about as much as what the bracket leaves. 0: all are looked at instead.
func guessSize(n int) int {
	switch {
	case n < 48:
		return 0
	case n < 1<<8:
		return 24
	case n < 1<<10:
		return 48
	case n < 1<<12:
		return 128
	case n < 1<<14:
		return 320
	case n < 1<<17:
		return 1024
	}
	return 4096
}
