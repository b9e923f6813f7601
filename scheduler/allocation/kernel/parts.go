// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// lambda is λ = num/den, made ready to be multiplied with many weights. With its
// fraction in units of 2^-64, rounded up,
//
//	weight·λ = weight·whole + weight·fraction/2^64
//
// is too large by less than weight/2^64. Quotients by den come in steps of 1/den, so
// as long as weight·den < 2^64 the whole part is exact: a multiplication does
// what takes a division elsewhere (Granlund, Montgomery 1994).
type lambda struct {
	num, den        uint64
	whole, fraction uint64
}

// times is λ·weight cut to the unit below and the remainder; it is no more than
// 64 bits hold only where fits is all ones.
func (l *lambda) times(weight uint64) (q, rem, fits uint64) {
	hi, lo := bits.Mul64(l.num, weight)
	fits = -below(hi, l.den)
	q, rem = bits.Div64(hi&fits, lo, l.den)
	return q, rem, fits
}

// division is what parts needs to know.
type division struct {
	lambda
	worth    int64  // what all parts sum to
	free     bool   // parts are not cut to the demand
	lo, hi   uint64 // remainders probably stop counting between lo ≥ 1 and hi
	heaviest uint64 // no weight has more bits
	quick    bool   // none has too many for the quick pass
}

// divisionOf makes λ of an outcome ready for weights of no more bits than heaviest.
func divisionOf(o *Outcome, heaviest uint64, worth int64) division {
	d := division{lambda: lambda{num: uint64(o.Num), den: uint64(o.Den)}, worth: worth, heaviest: heaviest}
	d.whole = d.num / d.den
	fraction, more := bits.Div64(d.num%d.den, 0, d.den)
	if more > 0 {
		fraction++ // within 64 bits: the fraction is at most 1 − 1/den, and den < 2^63
	}
	d.fraction = fraction
	width := bits.Len64(heaviest)
	d.quick = width+bits.Len64(d.den) <= 64 && width+bits.Len64(d.whole) <= 62
	return d
}

// parts sets got to λ·weight, cut to the demand, such that it sums to d.worth:
// one unit each goes to the o.Extra largest remainders, among equal ones to the
// lowest ranks. It notes in o where the cut fell.
//
// A few members' remainders, looked at before, bracket the cut; so most members
// are looked at once only, and get their unit in passing.
func (s *Scratch) parts(got, demand, weight []int64, d division, o *Outcome, ties Ties) {
	s.rem, s.who = grow(s.rem, len(got)), grow(s.who, len(got))
	d.quick = d.quick && !d.free
	s.cutNear(&d, demand, weight)
	for range 3 {
		sum, over, in := s.quotas(got, demand, weight, &d)
		o.Extra = d.worth - sum
		still := int(o.Extra) - over
		switch {
		case o.Extra <= 0 && over == 0:
			return
		case 0 < still && still <= in:
			s.handOut(got, o, in, still, ties)
			return
		}
		d.lo, d.hi = 1, ^uint64(0) // the few misled
		if o.Extra <= 0 {
			d.lo = d.hi // nobody at all
		}
	}
}

// quotas sets got to the parts cut to the unit below, with one unit more where
// the remainder is above the bracket, and s.rem and s.who to those that may be
// within it. sum is without these units.
func (s *Scratch) quotas(got, demand, weight []int64, d *division) (sum int64, over, in int) {
	if d.quick {
		lo, hi := d.fractions()
		sum, over, in = quickQuotas(got, demand, weight, s.who, d.whole, d.fraction, lo, hi)
		for j, k := range s.who[:in] {
			w := uint64(weight[k])
			q, _ := bits.Mul64(w, d.fraction)
			s.rem[j] = w*d.num - (w*d.whole+q)*d.den
		}
		return sum, over, in
	}
	rem, who := s.rem[:len(got)], s.who[:len(got)]
	demand, weight = demand[:len(got)], weight[:len(got)]
	free := uint64(0)
	if d.free {
		free = ^free
	}
	for k := range got {
		q, r, fits := d.times(uint64(weight[k]))
		most := uint64(demand[k])
		open := -below(q, most)&fits | free
		q = q&open | most&^open
		r &= open
		up := below(d.hi, r)
		got[k] = int64(q + up)
		rem[in], who[in] = r, int32(k)
		sum += int64(q)
		over += int(up)
		in += int(1 - up - below(r, d.lo))
	}
	return sum, over, in
}

// fractions are the ends of the bracket as the quick pass sees remainders, wide
// enough for what it sees too large.
func (d *division) fractions() (lo, hi uint64) {
	if lo = ^uint64(0); d.lo < d.den {
		lo, _ = bits.Div64(d.lo, 0, d.den)
	}
	if hi = ^uint64(0); d.hi < d.den {
		hi, _ = bits.Div64(d.hi, 0, d.den)
		if wider := hi + d.heaviest + 1; wider > hi {
			hi = wider
		} else {
			hi = ^uint64(0)
		}
	}
	return lo, hi
}

// quickQuotas is the pass that most of the time goes into. It has few variables,
// so that all stay in registers.
func quickQuotas(got, demand, weight []int64, who []int32, whole, fraction, lo, hi uint64) (sum int64, over, in int) {
	demand, weight, who = demand[:len(got)], weight[:len(got)], who[:len(got)]
	var all, count uint64 // Σ got; those above the bracket · 2^32 + those within
	for k := range got {
		w, most := uint64(weight[k]), uint64(demand[k])
		q, part := bits.Mul64(w, fraction)
		q += w * whole
		open := -below(q, most)
		part &= open
		up := below(hi, part)
		q = min(q, most) + up
		got[k] = int64(q)
		all += q
		who[uint32(count)] = int32(k)
		count += up<<32 + 1 - up - below(part, lo)
	}
	over, in = int(count>>32), int(uint32(count))
	return int64(all) - int64(over), over, in
}

// cutNear brackets the remainder that the last unit goes to: among a sample, as
// many get one as their remainders sum to.
func (s *Scratch) cutNear(d *division, demand, weight []int64) {
	d.lo, d.hi = 1, ^uint64(0)
	n := len(weight)
	m := sampleSize(n)
	if m == 0 {
		return
	}
	points := s.points[:0]
	var hi, lo uint64
	for k := range m {
		at := position(n, k, m)
		q, r, fits := d.times(uint64(weight[at]))
		if open := below(q, uint64(demand[at])) & fits; r == 0 || open == 0 && !d.free {
			continue
		}
		var carry uint64
		lo, carry = bits.Add64(lo, r, 0)
		hi += carry
		points = append(points, r)
	}
	sortPoints(points)
	served, _ := bits.Div64(hi, lo, d.den) // Σ remainders < m · den
	at, give := len(points)-1-int(served), slack(m)
	if low := at - give; low >= 0 {
		d.lo = points[low]
	}
	if high := at + give; high < len(points) {
		d.hi = points[high]
	}
}

// handOut gives one unit each to still of the in candidates in s.rem and s.who.
func (s *Scratch) handOut(got []int64, o *Outcome, in, still int, ties Ties) {
	rem, who := s.rem[:in], s.who[:in]
	var differ uint64
	for _, r := range rem {
		differ |= r ^ rem[0]
	}
	if differ == 0 && still < in { // all alike: rank alone decides
		o.Cut = int64(rem[0])
		o.TieRank = s.byRank(got, who, still, ties)
		return
	}
	s.values = grow(s.values, in)
	copy(s.values, rem)
	cut, above, equal := s.top(s.values[:in], still)
	o.Cut, o.TieRank = int64(cut), ^uint64(0)
	if still -= above; still == equal {
		for j, r := range rem {
			got[who[j]] += int64(1 - below(r, cut))
		}
		return
	}
	at := 0
	for j, r := range rem {
		k, up := who[j], below(cut, r)
		got[k] += int64(up)
		who[at] = k
		at += int(1 - up - below(r, cut))
	}
	o.TieRank = s.byRank(got, who[:at], still, ties)
}

// byRank gives one unit each to those n of who with the lowest ranks, and gives
// the rank of the last. 1 ≤ n < len(who). Ranks lie evenly, so where the n-th
// lies is known beforehand to within what chance moves it.
func (s *Scratch) byRank(got []int64, who []int32, n int, ties Ties) uint64 {
	lo, hi := uint64(0), ^uint64(0)
	if len(who) >= fewRanks {
		all := uint64(len(who))
		middle, _ := bits.Div64(uint64(n), 0, all)
		give, _ := bits.Div64(1<<(bits.Len64(all)/2), 0, all) // between 0.7 and 1.4 √all, of which chance takes a half
		if middle > give {
			lo = middle - give
		}
		if middle < ^give {
			hi = middle + give
		}
	}
	s.rem, s.tied = grow(s.rem, len(who)), grow(s.tied, len(who))
	rem, mid := s.rem[:len(who)], s.tied[:len(who)]
	for range 2 {
		under, in := 0, 0
		for _, k := range who {
			r := ties.Rank(int(k))
			up := below(r, lo)
			got[k] += int64(up)
			rem[in], mid[in] = ^r, k // the lowest rank is the largest value
			under += int(up)
			in += int(1 - up - below(hi, r))
		}
		if still := n - under; 0 < still && still <= in {
			s.values = grow(s.values, in)
			copy(s.values, rem[:in])
			last, _, _ := s.top(s.values[:in], still)
			for j, r := range rem[:in] {
				got[mid[j]] += int64(1 - below(r, last))
			}
			return ^last
		}
		for _, k := range who { // chance, or somebody's choice of ids, misled: once more
			got[k] -= int64(below(ties.Rank(int(k)), lo))
		}
		lo, hi = 0, ^uint64(0)
	}
	return 0
}

// fewRanks are so few that all are looked at.
const fewRanks = 64
