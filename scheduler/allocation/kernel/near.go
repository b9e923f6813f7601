// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// bracket are two ratios, of which λ probably is neither below the one nor above
// the other. 0/1 is below anybody's, 1/0 above.
type bracket struct{ lo, hi pair }

func wholeRange() bracket { return bracket{pair{0, 1}, pair{1, 0}} }

// bracketOf makes a bracket around the place in a sorted sample. An end for
// which the sample is too short stays open.
func bracketOf(sorted pairs, at int) bracket {
	b := wholeRange()
	if low := at - slack(len(sorted)) - 1; low >= 0 {
		b.lo = sorted[low]
	}
	if high := at + slack(len(sorted)); high < len(sorted) {
		b.hi = sorted[high]
	}
	if b.hi.fillsBefore(b.lo) != 0 { // nearly equal, and sorted too roughly
		b.lo, b.hi = b.hi, b.lo
	}
	return b
}

// place is where λ lies.
type place int

const (
	lower place = iota - 1
	inside
	higher // or at the upper end
)

// within says where λ lies, and if inside, books those outside the bracket as covered or open.
func (f *filling) within(b bracket, mid pairs, lowD, highW uint64) place {
	var midD, midW uint64
	for _, x := range mid {
		midD += x.d
		midW += x.w
	}
	switch {
	case !f.reaches(b.lo, lowD, f.open+highW+midW):
		return lower
	case f.reaches(b.hi, lowD+midD, f.open+highW):
		return higher
	}
	f.left -= lowD
	f.open += highW
	return inside
}

// near leaves of all members those whose ratio lies close to λ, and books the
// others as covered or open. It is not ok where the pool covers all demand of those
// who weigh anything, or is empty.
//
// Most questions are answered by one pass with a bracket in fixed point. Where
// figures are too wide for that, another compares fractions; where a sample
// misled, one more takes the whole side that λ lies on.
func (s *Scratch) near(f *filling, demand, weight []int64) (c pairs, ok bool) {
	if f.left == 0 {
		return nil, false
	}
	s.pairs, s.who = grow(s.pairs, len(demand)), grow(s.who, len(demand))
	b := wholeRange()
	if sample := s.sampleOf(demand, weight); len(sample) > 0 {
		sorted, at := s.fillSample(f, sample, len(demand))
		b = bracketOf(sorted, at)
		if p := sorted[0]; sorted[len(sorted)-1].fillsBefore(p)|p.fillsBefore(sorted[len(sorted)-1]) == 0 && f.settles(p, demand, weight) {
			return nil, true
		}
		if x, fits := b.fixed(sorted); fits {
			if c, lowD, highW, fits := s.pickFixed(x, f, demand, weight); fits {
				b = x.bracket()
				switch f.within(b, c, lowD, highW) {
				case inside:
					return c, true
				case lower:
					b.lo, b.hi = pair{0, 1}, b.lo
				case higher:
					if weighed(demand, weight) <= int64(f.left) {
						return nil, false
					}
					b.lo, b.hi = b.hi, pair{1, 0}
				}
			}
		}
	}
	for range 2 {
		c, lowD, highW := b.pick(s.pairs, f, demand, weight)
		switch f.within(b, c, lowD, highW) {
		case inside:
			return c, true
		case lower:
			b.lo, b.hi = pair{0, 1}, b.lo
		case higher:
			if b.hi.w == 0 {
				return nil, false
			}
			b.lo, b.hi = b.hi, pair{1, 0}
		}
	}
	return nil, false
}

// settles says whether one ratio is enough to know who is covered, which is
// nobody: λ is below it, and all who weigh anything have it or a higher one. A
// sample of equals suggests it.
func (f *filling) settles(p pair, demand, weight []int64) bool {
	var upToD, fromW, highW, low, heaviest uint64
	for k, d := range demand {
		x := pair{uint64(d), 1}
		if weight != nil {
			x.w = uint64(weight[k])
		}
		isLow, isHigh := x.fillsBefore(p), p.fillsBefore(x)
		low += isLow
		upToD += x.d & (isHigh - 1)
		fromW += x.w & (isLow - 1)
		highW += x.w & -isHigh
		heaviest |= x.w
	}
	if low > 0 || f.reaches(p, upToD, f.open+highW) {
		return false
	}
	f.open += fromW
	f.heaviest = heaviest
	return true
}

// sampleOf draws from those who weigh anything.
func (s *Scratch) sampleOf(demand, weight []int64) pairs {
	n := len(demand)
	m := sampleSize(n)
	sample := s.sample[:0]
	for k := range m {
		at := position(n, k, m)
		x := pair{uint64(demand[at]), 1}
		if weight != nil {
			x.w = uint64(weight[at])
		}
		if x.w > 0 {
			sample = append(sample, x)
		}
	}
	if len(sample) < m/2 {
		return nil
	}
	return sample
}

// pick writes to c who lies in the bracket, and sums those below and above it.
// Who weighs nothing is nowhere.
func (b bracket) pick(c pairs, f *filling, demand, weight []int64) (in pairs, lowD, highW uint64) {
	n := 0
	c = c[:len(demand)]
	for k, d := range demand {
		x := pair{uint64(d), 1}
		if weight != nil {
			x.w = uint64(weight[k])
		}
		under, over := x.fillsBefore(b.lo), b.hi.fillsBefore(x)
		c[n] = x
		n += int(-x.w >> 63 &^ (under | over))
		lowD += x.d & -under
		highW += x.w & -over
		f.heaviest |= x.w
	}
	return c[:n], lowD, highW
}

// fixed is a bracket in units of 2^-point.
type fixed struct{ lo, hi uint64 }

const (
	point     = 32
	precision = 12 // bits that the upper end has at least
)

// fixed puts the bracket into fixed point, a little wider. It does not fit where
// the ratios are too small or too large for that.
func (b bracket) fixed(sorted pairs) (x fixed, fits bool) {
	if b.hi.w == 0 { // far above all that we know of, will do
		b.hi = sorted[len(sorted)-1]
		b.hi.d = max(b.hi.d, 1)
		b.hi.w = max(b.hi.w>>4, 1)
	}
	lo, fitsLow := b.lo.times()
	hi, fitsHigh := b.hi.times()
	x = fixed{lo, hi + 1}
	return x, fitsLow && fitsHigh && x.lo <= x.hi && bits.Len64(x.hi) >= precision
}

// times is d/w in fixed point, cut to the unit below.
func (p pair) times() (v uint64, fits bool) {
	if p.d>>(63-point) >= p.w { // would have 64 bits or more
		return 0, false
	}
	v, _ = bits.Div64(p.d>>(64-point), p.d<<point, p.w)
	return v, true
}

// room says whether all products of a pass have 64 bits, if no figure has more
// bits than these.
func (x fixed) room(d, w uint64) bool {
	return bits.Len64(d) <= 64-point && bits.Len64(w)+bits.Len64(x.hi) <= 64
}

func (x fixed) bracket() bracket {
	return bracket{pair{x.lo, 1 << point}, pair{x.hi, 1 << point}}
}

// pickFixed is bracket.pick in fixed point. It does not fit where a member's
// figures have more bits than there is room for.
func (s *Scratch) pickFixed(x fixed, f *filling, demand, weight []int64) (c pairs, lowD, highW uint64, fits bool) {
	c = s.pairs[:len(demand)]
	if weight == nil {
		c, lowD, highW = x.pickEven(c, demand)
		f.heaviest = 1
		return c, lowD, highW, true
	}
	n, lowD, highW, most, heaviest := x.pick(s.who, demand, weight)
	if !x.room(most, heaviest) {
		return nil, 0, 0, false
	}
	for j, k := range s.who[:n] {
		c[j] = pair{uint64(demand[k]), uint64(weight[k])}
	}
	f.heaviest = heaviest
	return c[:n], lowD, highW, true
}

// pick notes in who the members in the bracket, and sums those below and above.
func (x fixed) pick(who []int32, demand, weight []int64) (n int, lowD, highW, most, heaviest uint64) {
	lo, hi := x.lo, x.hi
	who, weight = who[:len(demand)], weight[:len(demand)]
	for k, v := range demand {
		d, w := uint64(v), uint64(weight[k])
		scaled := d << point
		under, over := below(scaled, lo*w), below(hi*w, scaled)
		who[n] = int32(k)
		n += int(-w >> 63 &^ (under | over))
		lowD += d & -under
		highW += w & -over
		most |= d
		heaviest |= w
	}
	return n, lowD, highW, most, heaviest
}

// pickEven is pick where each weighs 1, for demands of any size.
func (x fixed) pickEven(c pairs, demand []int64) (in pairs, lowD, highW uint64) {
	n := 0
	lo, hi := (x.lo+1<<point-1)>>point, x.hi>>point // whole units: d < lo or d > hi
	for _, v := range demand {
		d := uint64(v)
		under, over := below(d, lo), below(hi, d)
		c[n] = pair{d, 1}
		n += int(1 - under - over)
		lowD += d & -under
		highW += over
	}
	return c[:n], lowD, highW
}
