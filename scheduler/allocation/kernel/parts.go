// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import "math/bits"

// lambda is λ = num/den, made ready to be multiplied with many weights. With its
// fraction in units of 2^-64, rounded up,
//
//	weight·λ = weight·whole + weight·fraction/2^64
//
// is too large by less than weight/2^64. Quotients by den come in steps of 1/den, so
// as long as weight·den ≤ 2^64 the whole part is exact: a multiplication does
// what takes a division elsewhere (Granlund, Montgomery 1994). For larger ones it is
// too large by at most one, which the remainder tells.
type lambda struct {
	num, den        uint64
	whole, fraction uint64
	most            uint64 // with a larger weight, λ·weight is more than there is
}

func lambdaOf(num, den uint64) lambda {
	l := lambda{num: num, den: den, whole: num / den, most: ^uint64(0)}
	fraction, more := bits.Div64(num%den, 0, den)
	if more > 0 {
		fraction++ // within 64 bits: the fraction is at most 1 − 1/den, and den < 2^63
	}
	l.fraction = fraction
	if l.whole > 0 {
		l.most = (1<<63-1)/l.whole + 1 // times whole 2^63 or more, and less than 2^64 with the fraction
	}
	return l
}

// times is λ·weight as it comes from the multiplication, and then cut to the unit
// below exactly, and its remainder.
func (l *lambda) times(weight uint64) (rough, q, rem uint64) {
	weight = min(weight, l.most)
	rough, _ = bits.Mul64(weight, l.fraction)
	rough += weight * l.whole
	rem = weight*l.num - rough*l.den // between −den and den, in 64 bits
	less := -(rem >> 63)
	return rough, rough + less, rem + l.den&less
}

// division is what parts needs to know.
type division struct {
	lambda
	worth  int64  // what all parts sum to
	lo, hi uint64 // remainders probably stop counting between lo ≥ 1 and hi
	bits   uint64 // no weight of those whom the demand doesn't cover has more
}

// divisionOf makes λ of an outcome ready for weights of no more bits than any.
func divisionOf(o *Outcome, any uint64, worth int64) division {
	return division{lambda: lambdaOf(uint64(o.Num), uint64(o.Den)), worth: worth, bits: any}
}

// parts sets got to λ·weight, cut to the demand, such that it sums to d.worth:
// one unit each goes to the o.Extra largest remainders, among equal ones to the
// lowest ranks. It notes in o where the cut fell.
//
// A few members' remainders, looked at before, bracket the cut; so most members
// are looked at once only, and get their unit in passing.
func (s *Scratch) parts(got, demand, weight []int64, sample pairs, d division, o *Outcome, ties Ties) {
	s.rem, s.who = grow(s.rem, len(got)), grow(s.who, len(got))
	d.cutNear(sample)
	for range 2 {
		x := s.quotas(got, demand, weight, &d)
		o.Extra = d.worth - int64(x.floors)
		still := d.worth - int64(x.sum)
		switch {
		case o.Extra == 0 && x.sum == x.floors:
			return
		case still <= 0 || still > int64(x.in): // the few misled
		case d.lo == d.hi: // all alike: rank alone decides
			o.Cut = int64(d.lo)
			o.TieRank = s.byRank(got, s.who[:x.in], int(still), ties)
			return
		default:
			s.handOut(got, &d, o, x.in, int(still), ties)
			return
		}
		d.lo, d.hi = 1, d.den // all who have any, and nobody gets her unit in passing
	}
}

// tally is what a pass over all members comes to.
type tally struct {
	sum, floors uint64 // with and without the units more
	in          int    // members in who, whose remainder may lie within the bracket
}

// quotas sets got to the parts cut to the unit below, with one unit more where
// the remainder is above the bracket, and s.rem and s.who to those within it;
// s.rem only if remainders may differ.
func (s *Scratch) quotas(got, demand, weight []int64, d *division) (x tally) {
	lo, hi, room := d.scaled(d.lo), d.scaled(d.hi), 64-bits.Len64(d.bits)-bits.Len64(d.den)
	if room < 0 {
		x = wideQuotas(got, demand, weight, s.who, &d.lambda, lo, up(hi))
		return d.exactly(got, demand, weight, s.who, s.rem, x)
	}
	hi += min(1<<bits.Len64(d.bits), ^hi) // less than a step: no other remainder looks like those of the bracket
	x = narrowQuotas(got, demand, weight, s.who, &d.lambda, lo, hi)
	if d.lo == d.hi {
		return open(got, demand, s.who, x)
	}
	return d.remainders(got, demand, weight, s.who, s.rem, x)
}

// scaled is a remainder in units of 2^-64 of den, cut to the unit below.
func (d *division) scaled(rem uint64) uint64 {
	if rem >= d.den {
		return ^uint64(0)
	}
	v, _ := bits.Div64(rem, 0, d.den)
	return v
}

// narrowQuotas is the pass for weights that make quotients exact. Remainders
// above hi count; those from lo to hi are noted in who, also of the covered.
func narrowQuotas(got, demand, weight []int64, who []int32, l *lambda, lo, hi uint64) (x tally) {
	got, demand, who = got[:len(weight)], demand[:len(weight)], who[:len(weight)]
	most, whole, fraction := l.most, l.whole, l.fraction
	bias := ^hi // with it, a remainder above hi carries
	lo += bias - 1
	var all, floors, n uint64
	for k, w := range weight { // it has few variables, and they are few at any time, to stay in registers
		v := min(uint64(w), most) // more covers anybody
		q, part := bits.Mul64(v, fraction)
		v *= whole
		who[n] = int32(k)
		part, more := bits.Add64(part, bias, 0)
		_, in := bits.Sub64(lo, part, 0)
		n += in
		q += v
		more += q
		v = uint64(demand[k])
		q = min(q, v)
		floors += q
		more = min(more, v)
		all += more
		got[k] = int64(more)
	}
	return tally{all, floors, int(n)}
}

// wideQuotas is narrowQuotas for weights of any size. What it sees may be too large
// by almost weight/2^64; whom it is not sure of it notes.
func wideQuotas(got, demand, weight []int64, who []int32, l *lambda, lo, hi uint64) (x tally) {
	got, demand, who = got[:len(weight)], demand[:len(weight)], who[:len(weight)]
	most, whole, fraction := l.most, l.whole, l.fraction
	bias := ^hi
	lo--
	var all, floors, n uint64
	for k, w := range weight {
		v := min(uint64(w), most)
		q, part := bits.Mul64(v, fraction)
		q += v * whole
		who[n] = int32(k)
		least, unsure := bits.Sub64(part, v, 0)
		_, more := bits.Add64(least, bias, 0)
		_, in := bits.Sub64(lo, part, 0)
		n += in&^more | unsure
		more += q
		v = uint64(demand[k])
		q = min(q, v)
		floors += q
		more = min(more, v)
		all += more
		got[k] = int64(more)
	}
	return tally{all, floors, int(n)}
}

// open leaves in who those that are not covered.
func open(got, demand []int64, who []int32, x tally) tally {
	n := 0
	for _, k := range who[:x.in] {
		who[n] = k
		n += int(below(uint64(got[k]), uint64(demand[k])))
	}
	x.in = n
	return x
}

// remainders does so, and notes their remainders in rem.
func (d *division) remainders(got, demand, weight []int64, who []int32, rem []uint64, x tally) tally {
	n, rem := 0, rem[:len(who)]
	num, den := d.num, d.den
	for _, k := range who[:x.in] {
		q := uint64(got[k])
		who[n], rem[n] = k, uint64(weight[k])*num-q*den
		n += int(below(q, uint64(demand[k])))
	}
	x.in = n
	return x
}

// exactly does so given that got has what quotients look like roughly, and who more
// than those in the bracket.
func (d *division) exactly(got, demand, weight []int64, who []int32, rem []uint64, x tally) tally {
	n := 0
	for _, k := range who[:x.in] {
		most := uint64(demand[k])
		rough, q, r := d.times(uint64(weight[k]))
		open := below(q, most)
		more := open & below(d.hi, r)
		x.floors += min(q, most) - min(rough, most)
		q = min(q+more, most)
		x.sum += q - uint64(got[k])
		got[k] = int64(q)
		who[n], rem[n] = k, r
		n += int(open &^ more &^ below(r, d.lo))
	}
	x.in = n
	return x
}

// cutNear brackets the remainder that the last unit goes to: among a sample, as
// many get one as their remainders sum to.
func (d *division) cutNear(sample pairs) {
	var count buckets
	var hi, lo, carry uint64
	few := 6 // a small sample has few buckets, to be found quickly
	if len(sample) > 128 {
		few = bucketBits
	}
	n, shift, differ := 0, max(0, bits.Len64(d.den)-few), uint64(0)
	for _, x := range sample {
		_, q, r := d.times(x.w)
		if r > 0 && q < x.d {
			sample[n].d = r
			count[r>>(shift&63)%uint64(len(count))]++
			lo, carry = bits.Add64(lo, r, 0)
			hi += carry
			n++
			differ |= r ^ sample[0].d
		}
	}
	d.lo, d.hi = 1, d.den
	if n == 0 {
		return
	}
	if differ == 0 { // all alike, as it seems
		d.lo, d.hi = sample[0].d, sample[0].d
		return
	}
	served, _ := bits.Div64(hi, lo, d.den) // Σ remainders < n · den
	at, give := n-int(served), 1+int(root(uint64(n)))*5/8
	first, last := count.holding(at-give), count.holding(at+give)
	if first >= 0 {
		d.lo = d.den
	}
	if last < len(count) {
		d.hi = 1
	}
	for _, x := range sample[:n] {
		switch i := int(x.d >> (shift & 63)); {
		case i == first && i == last:
			d.lo, d.hi = min(d.lo, x.d), max(d.hi, x.d)
		case i == first:
			d.lo = min(d.lo, x.d)
		case i == last:
			d.hi = max(d.hi, x.d)
		}
	}
}

const bucketBits = 8

// buckets are how many of a sample begin with these bits.
type buckets [1 << bucketBits]uint16

// holding is the bucket with the place in the order of the sample; -1: there is none
// so low, or len(c), so high.
func (c *buckets) holding(place int) int {
	if place < 0 {
		return -1
	}
	for i, n := range c {
		if place -= int(n); place < 0 {
			return i
		}
	}
	return len(c)
}

// handOut gives one unit each to still of the in candidates in s.rem and s.who.
func (s *Scratch) handOut(got []int64, d *division, o *Outcome, in, still int, ties Ties) {
	rem, who := s.rem[:in], s.who[:in]
	cut, above, equal := s.topOf(rem, still, d.lo, min(d.hi, d.den))
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
// the rank of the last; the highest there is if all get one. 1 ≤ n ≤ len(who). Ranks
// lie evenly, so where the n-th lies is known beforehand to within what chance
// moves it.
func (s *Scratch) byRank(got []int64, who []int32, n int, ties Ties) uint64 {
	if n == len(who) {
		for _, k := range who {
			got[k]++
		}
		return ^uint64(0)
	}
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
