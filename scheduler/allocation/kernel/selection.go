// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

// top finds the n-th largest of v, and how many are above and equal to it.
// 1 ≤ n ≤ len(v). The order of v is lost.
func (s *Scratch) top(v []uint64, n int) (cut uint64, above, equal int) {
	for bad, side := 0, 0; ; side ^= 1 {
		before := len(v)
		p := s.pivotValue(v, n, side, bad > maxBad)
		high, same := 0, 0
		for j, x := range v { // those above p to the front, without a branch
			v[j] = v[high]
			v[high] = x
			up := below(p, x)
			high += int(up)
			same += int(1 - up - below(x, p))
		}
		switch {
		case n <= high:
			v = v[:high]
		case n <= high+same:
			return p, above + high, same
		default:
			above += high + same
			n -= high + same
			low := 0
			for _, x := range v[high:] {
				v[low] = x
				low += int(below(x, p))
			}
			v = v[:low]
		}
		if len(v) >= before-before/8 {
			bad++
		}
	}
}

// topOf finds the n-th largest of v, and how many are above and equal to it. If
// they lie evenly between lo and hi, it is known beforehand to within what chance
// moves it.
func (s *Scratch) topOf(v []uint64, n int, lo, hi uint64) (cut uint64, above, equal int) {
	s.values = grow(s.values, len(v))
	kept := s.values[:len(v)]
	if len(v) >= fewRanks {
		all := uint64(len(v))
		step, give := (hi-lo)/all, root(all)*5/4
		from, to := hi-min(uint64(n)+give, all)*step, hi-(uint64(n)-min(give, uint64(n)))*step
		in := 0
		for _, x := range v {
			up := below(to, x)
			kept[in] = x
			above += int(up)
			in += int(1 - up - below(x, from))
		}
		if still := n - above; 0 < still && still <= in {
			cut, more, equal := s.top(kept[:in], still)
			return cut, above + more, equal
		}
	}
	copy(kept, v)
	return s.top(kept, n)
}

// pivotValue is one of v near its n-th largest: a little to one side of it and
// then to the other, so that two of them bracket it closely.
func (s *Scratch) pivotValue(v []uint64, n, side int, exact bool) uint64 {
	if exact {
		return v[medianOfMedians(values(v), 0, len(v))]
	}
	m := sampleSize(len(v))
	if m == 0 {
		return v[len(v)/2]
	}
	sample := s.samplePoints(v, m)
	at := m - 1 - n*m/(len(v)+1)
	if side == 0 {
		at -= slack(m)
	} else {
		at += slack(m)
	}
	return sample[max(0, min(at, m-1))]
}

// samplePoints are m of v, sorted.
func (s *Scratch) samplePoints(v []uint64, m int) []uint64 {
	sample := s.points[:m]
	for k := range sample {
		sample[k] = v[position(len(v), k, m)]
	}
	sortPoints(sample)
	return sample
}

// sortPoints sorts by insertion: samples are small.
func sortPoints(v []uint64) {
	for i := 1; i < len(v); i++ {
		x, j := v[i], i
		for ; j > 0 && x < v[j-1]; j-- {
			v[j] = v[j-1]
		}
		v[j] = x
	}
}

// order is a list that can be compared and moved about in.
type order interface {
	less(i, j int) bool
	swap(i, j int)
}

type values []uint64

func (v values) less(i, j int) bool { return v[i] < v[j] }
func (v values) swap(i, j int)      { v[i], v[j] = v[j], v[i] }

func insertionSort[O order](o O, from, to int) {
	for i := from + 1; i < to; i++ {
		for j := i; j > from && o.less(j, j-1); j-- {
			o.swap(j, j-1)
		}
	}
}

// medianOfMedians gives the place of an element with at least three tenths of
// o[from:to] on either side of it, less a few (Blum, Floyd, Pratt, Rivest,
// Tarjan 1973).
func medianOfMedians[O order](o O, from, to int) int {
	const group = 5
	if to-from <= group {
		insertionSort(o, from, to)
		return from + (to-from)/2
	}
	medians := from
	for g := from; g+group <= to; g += group {
		insertionSort(o, g, g+group)
		o.swap(medians, g+group/2)
		medians++
	}
	middle := from + (medians-from)/2
	selectAt(o, from, medians, middle)
	return middle
}

// selectAt brings to place k what would be there if o[from:to] were sorted.
func selectAt[O order](o O, from, to, k int) {
	for to-from > 1 {
		p := medianOfMedians(o, from, to)
		o.swap(from, p) // the pivot waits at the front
		low, i, high := from, from+1, to
		for i < high { // below the pivot, equal to it, unknown, above it
			switch {
			case o.less(i, low):
				o.swap(i, low)
				low++
				i++
			case o.less(low, i):
				high--
				o.swap(i, high)
			default:
				i++
			}
		}
		switch {
		case k < low:
			to = low
		case k >= high:
			from = high
		default:
			return
		}
	}
}
