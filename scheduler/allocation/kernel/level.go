// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// pairs are members as the search for λ sees them: demand and weight side by side.
type pairs []pair

type pair struct{ d, w uint64 }

// fillsBefore says whether p is covered at a lower λ than q: d/w is compared, in 128 bits.
func (p pair) fillsBefore(q pair) uint64 {
	ah, al := bits.Mul64(p.d, q.w)
	bh, bl := bits.Mul64(q.d, p.w)
	return below128(ah, al, bh, bl)
}

func (p pairs) less(i, j int) bool { return p[i].fillsBefore(p[j]) != 0 }
func (p pairs) swap(i, j int)      { p[i], p[j] = p[j], p[i] }

// filling is what is certain so far of a search for λ.
type filling struct {
	left  uint64 // the pool without the demand of the covered
	open  uint64 // Σ weight of those who are not covered
	sum   uint64 // of all demand of those who weigh anything, once it has been asked for
	drawn total  // of the sample
	bits  uint64 // no weight of theirs has more
}

// reaches says whether λ ≥ d/w, where used is what the covered take at that
// level and open the weight of all the others.
func (f *filling) reaches(p pair, used, open uint64) bool {
	if used > f.left {
		return false
	}
	ah, al := bits.Mul64(p.d, open)
	bh, bl := bits.Mul64(f.left-used, p.w)
	return below128(bh, bl, ah, al) == 0
}

// level finds λ as a fraction, given that the pool does not cover all demand of
// those who weigh anything: λ = (pool − Σ demand of the covered) / Σ weight of the others.
//
// A sample says roughly where λ lies, and one pass leaves those near it; and so
// on. Of the last few a pivot ratio is tried as λ. If it takes no more than the
// pool, everybody up to it is certainly covered; otherwise everybody from it on is
// certainly not. Either way the others remain, and the next pivot is one of
// theirs. So is it done as well where samples mislead, with the median of medians
// as the pivot once that has happened too often.
func (s *Scratch) level(f *filling, c pairs) (num, den int64) {
	s.high = grow(s.high, len(c))
	spare, bad, stuck := s.high, 0, false
	for len(c) > 0 {
		before := len(c)
		if before <= fewPairs && !stuck && bad <= maxBad {
			if c = f.rise(c); len(c) == 0 {
				break
			}
			before, bad = len(c), maxBad // it rose too slowly: halve what is left, and then by the median
		}
		p := c[before/2]
		if m := sampleSize(before); m > 0 && bad <= maxBad {
			sample := s.sample[:m]
			for k := range sample {
				sample[k] = c[position(before, k, m)]
			}
			sorted, at := s.fillSample(f, sample, before)
			if lo, hi := stretchOf(sorted, at); !stuck && lo.fillsBefore(hi) != 0 {
				if keep, ok := f.close(lo, hi, c, spare); ok {
					c, spare = keep, c[:cap(c)]
					stuck = len(c) >= before-before/8 // many at one ratio
					continue
				}
				bad++
			}
			p = sorted[min(at, m-1)]
		}
		if bad > maxBad {
			p = c[medianOfMedians(c, 0, before)]
		}
		c, spare = f.narrow(c, spare, p)
		if stuck = false; len(c) >= before-before/8 {
			bad++
		}
	}
	return int64(f.left), int64(f.open)
}

// maxBad is how many poor pivots a selection puts up with before it computes
// the median of medians: more than the few that chance gives, and few enough that
// the whole stays linear.
const maxBad = 3

// fewPairs are so few that λ rises to its place by itself; maxRises is for how long.
const (
	fewPairs = 256
	maxRises = 8
)

// rise takes as λ what the pool gives if nobody else is covered, which is never
// too high; covers whom that covers; and so on. Near λ few steps are enough, after
// which nobody is left. Otherwise c is whom it did not decide.
func (f *filling) rise(c pairs) pairs {
	var w uint64
	for _, x := range c {
		w += x.w
	}
	for range maxRises {
		p, n, covered, lighter := pair{f.left, f.open + w}, 0, uint64(0), uint64(0)
		for _, x := range c {
			open := p.fillsBefore(x)
			c[n] = x
			n += int(open)
			covered += x.d & (open - 1)
			lighter += x.w & (open - 1)
		}
		if n == len(c) {
			f.open += w
			return nil
		}
		c, w, f.left = c[:n], w-lighter, f.left-covered
	}
	return c
}

// close leaves of c those whose ratio lies in a bracket around λ, in spare; c
// stays as it is where that is not ok.
func (f *filling) close(lo, hi pair, c, spare pairs) (keep pairs, ok bool) {
	spare = spare[:len(c)]
	n := 0
	var lowD, highW, midD, midW uint64
	for _, x := range c {
		under, over := x.fillsBefore(lo), hi.fillsBefore(x)
		spare[n] = x
		n += int(1 - under - over)
		lowD += x.d & -under
		highW += x.w & -over
		midD += x.d & (under + over - 1)
		midW += x.w & (under + over - 1)
	}
	if !f.reaches(lo, lowD, f.open+highW+midW) || f.reaches(hi, lowD+midD, f.open+highW) {
		return nil, false
	}
	f.left -= lowD
	f.open += highW
	return spare[:n], true
}

// stretchOf are the ratios around a place in a sorted sample. An end for which the
// sample is too short stays open.
func stretchOf(sorted pairs, at int) (lo, hi pair) {
	lo, hi = pair{0, 1}, pair{1, 0}
	if low := at - slack(len(sorted)) - 1; low >= 0 {
		lo = sorted[low]
	}
	if high := at + slack(len(sorted)); high < len(sorted) {
		hi = sorted[high]
	}
	if hi.fillsBefore(lo) != 0 { // nearly equal, and sorted too roughly
		lo, hi = hi, lo
	}
	return lo, hi
}

// narrow splits c at the ratio p, which one of c has, and keeps the part that λ
// lies in; those at p itself are decided as well. Both parts are written, without a
// branch: the lower in place, the others to spare.
func (f *filling) narrow(c, spare pairs, p pair) (keep, other pairs) {
	spare = spare[:len(c)]
	low, high := 0, 0
	var upToD, fromW, highW uint64
	for _, x := range c {
		isLow, isHigh := x.fillsBefore(p), p.fillsBefore(x)
		c[low], spare[high] = x, x
		low += int(isLow)
		high += int(isHigh)
		upToD += x.d & (isHigh - 1)
		fromW += x.w & (isLow - 1)
		highW += x.w & -isHigh
	}
	if f.reaches(p, upToD, f.open+highW) {
		f.left -= upToD
		return spare[:high], c[:cap(c)]
	}
	f.open += fromW
	return c[:low], spare[:cap(spare)]
}

// fillSample sorts a sample of n, as well as it takes to draw near λ, and says how
// many of it would be covered if it were filled from its part of the pool.
func (s *Scratch) fillSample(f *filling, sample pairs, n int) (sorted pairs, covered int) {
	keys := s.points[:len(sample)]
	for k, x := range sample {
		keys[k] = x.key()&^0xff | uint64(k)
	}
	sortPoints(keys)
	sorted = s.sorted[:len(sample)]
	share, open := scale(f.left, len(sample), n), scale(f.open, len(sample), n)
	for j, key := range keys {
		sorted[j] = sample[key&0xff]
		open += sorted[j].w
	}
	for i, x := range sorted {
		g := filling{left: share}
		if !g.reaches(x, x.d, open-x.w) {
			return sorted, i
		}
		share -= x.d
		open -= x.w
	}
	return sorted, len(sorted)
}

// key grows with the ratio: its exponent, then its leading digits, 48 of them
// above the last 8 bits.
func (p pair) key() uint64 {
	if p.d == 0 {
		return 0
	}
	dz, wz := bits.LeadingZeros64(p.d), bits.LeadingZeros64(p.w)
	q, _ := bits.Div64(p.d<<dz>>1, 0, p.w<<wz) // between 2^62 and 2^64
	qz := bits.LeadingZeros64(q)
	return uint64(64+wz-dz-qz)<<56 | q<<qz<<1>>8
}

// scale is v·m/n, roughly.
func scale(v uint64, m, n int) uint64 {
	hi, lo := bits.Mul64(v, uint64(m))
	q, _ := bits.Div64(hi, lo, uint64(n)) // m ≤ n
	return q
}

// sampleSize is how many of n a pivot is chosen from; 0: the middle one will do.
func sampleSize(n int) int {
	switch {
	case n < 48:
		return 0
	case n < 1<<8:
		return 15
	case n < 1<<12:
		return 31
	case n < 1<<16:
		return 63
	}
	return maxSample
}

const maxSample = 255

// slack is how far beside the target the ends of a bracket are taken: more than
// chance moves it as a rule.
func slack(m int) int { return 2 + m/14 }

// position is where the k-th of m samples is taken among n: one in each of m
// stretches, at a place that no simple pattern in the input follows.
func position(n, k, m int) int {
	stretch := uint64(n / m)
	place, _ := bits.Mul64(Rank(uint64(n), uint64(k)), stretch)
	return k*int(stretch) + int(place)
}
