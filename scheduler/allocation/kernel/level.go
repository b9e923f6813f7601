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
	left uint64 // the pool without the demand of the covered
	open uint64 // Σ weight of those who are not covered
	side uint   // where the last sample's pivot lay
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
// A sample says roughly where λ lies, and one pass leaves those near it. Then a
// pivot ratio is tried as λ. If it takes no more than the pool, everybody up to it
// is certainly covered; otherwise everybody from it on is certainly not. Either
// way the others remain, and the next pivot is one of theirs.
func (s *Scratch) level(f *filling, c pairs) (num, den int64) {
	s.high = grow(s.high, len(c))
	spare, stuck := s.high, false
	for bad := 0; len(c) > 0; {
		before := len(c)
		p := s.pivot(f, c, bad > maxBad)
		if stuck || bad > maxBad {
			c, spare = f.narrowEqual(c, spare, p)
		} else {
			c, spare = f.narrow(c, spare, p)
		}
		if stuck = len(c) >= before-before/8; stuck {
			bad++
		}
	}
	return int64(f.left), int64(f.open)
}

// maxBad is how many poor pivots a selection puts up with before it computes
// the median of medians: more than the few that chance gives, and few enough that
// the whole stays linear.
const maxBad = 3

// everybody is all who weigh anything.
func (s *Scratch) everybody(demand, weight []int64) pairs {
	s.pairs = grow(s.pairs, len(demand))
	c := s.pairs
	if weight == nil {
		for k, d := range demand {
			c[k] = pair{uint64(d), 1}
		}
		return c[:len(demand)]
	}
	n := 0
	weight = weight[:len(demand)]
	for k, d := range demand {
		c[n] = pair{uint64(d), uint64(weight[k])}
		n += int(uint64(-weight[k]) >> 63)
	}
	return c[:n]
}

// narrow splits c at the ratio p and keeps the part that λ lies in. Both parts
// are written, without a branch: the lower in place, the others to spare. Those
// at p itself stand with the higher, so it may keep all.
func (f *filling) narrow(c, spare pairs, p pair) (keep, other pairs) {
	spare = spare[:len(c)]
	low, high := 0, 0
	var lowD, highW uint64
	for _, x := range c {
		isLow := x.fillsBefore(p)
		c[low], spare[high] = x, x
		low += int(isLow)
		high += int(1 - isLow)
		lowD += x.d & -isLow
		highW += x.w & (isLow - 1)
	}
	if f.reaches(p, lowD, f.open+highW) {
		f.left -= lowD
		return spare[:high], c[:cap(c)]
	}
	f.open += highW
	return c[:low], spare[:cap(spare)]
}

// narrowEqual is narrow where p is one of c, and those at p itself are decided
// as well: for many equal ratios.
func (f *filling) narrowEqual(c, spare pairs, p pair) (keep, other pairs) {
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

// pivot is a ratio near λ, taken a little above it and a little below in turn,
// so that two of them bracket it closely.
func (s *Scratch) pivot(f *filling, c pairs, exact bool) pair {
	if exact {
		return c[medianOfMedians(c, 0, len(c))]
	}
	n := len(c)
	m := sampleSize(n)
	if m == 0 {
		return c[n/2]
	}
	for k := range m {
		s.sample[k] = c[position(n, k, m)]
	}
	at := f.fillSample(s.sample[:m], n)
	f.side ^= 1
	if f.side == 1 {
		at += slack(m)
	} else {
		at -= slack(m) + 1
	}
	return s.sample[max(0, min(at, m-1))]
}

// fillSample sorts a sample of n and says how many of it would be covered if it
// were filled from its part of the pool.
func (f *filling) fillSample(sample pairs, n int) (covered int) {
	for i := 1; i < len(sample); i++ { // by insertion: samples are small
		x, j := sample[i], i
		for ; j > 0 && x.fillsBefore(sample[j-1]) != 0; j-- {
			sample[j] = sample[j-1]
		}
		sample[j] = x
	}
	share, open := scale(f.left, len(sample), n), scale(f.open, len(sample), n)
	for _, x := range sample {
		open += x.w
	}
	for i, x := range sample {
		g := filling{left: share}
		if !g.reaches(x, x.d, open-x.w) {
			return i
		}
		share -= x.d
		open -= x.w
	}
	return len(sample)
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
	case n < 1<<12:
		return 15
	case n < 1<<16:
		return 63
	}
	return maxSample
}

const maxSample = 255

// slack is how far beside the target a sample's pivot is taken: more than
// chance moves it as a rule.
func slack(m int) int { return 1 + m/16 }

// position is where the k-th of m samples is taken among n: one in each of m
// stretches, at a place that no simple pattern in the input follows.
func position(n, k, m int) int {
	stretch := uint64(n / m)
	place, _ := bits.Mul64(Rank(uint64(n), uint64(k)), stretch)
	return k*int(stretch) + int(place)
}
