// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"math"
	"math/bits"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// widths are figures of any number of bits, up to so many, that sum to 63.
func widths(r *rand.Rand, n int, ofDemand, ofWeight uint) question {
	figures := func(most uint) []int64 {
		left := int64(math.MaxInt64)
		return draw(n, func(k int) int64 {
			v := min(r.Int63()>>(63-min(63, most))>>r.Intn(8), left/int64(max(1, (n-k)/2)))
			left -= v
			return v
		})
	}
	q := question{demand: figures(ofDemand), weight: figures(ofWeight), ties: Ties{Seed: r.Uint64(), Keys: make([]uint64, n)}}
	for k := range q.ties.Keys {
		q.ties.Keys[k] = r.Uint64()
	}
	q.pool = r.Int63n(max(1, sumOf(q.demand))) >> r.Intn(10)
	return q
}

// FuzzAnyWidth and TestAnyWidth ask of every kernel what is quickly checked of
// many: each member's line gives her share, all sum to what the outcome says, and so
// many got a unit more.
func FuzzAnyWidth(f *testing.F) {
	f.Add(int64(1), uint16(500), uint8(62), uint8(3))
	f.Fuzz(func(t *testing.T, seed int64, n uint16, ofDemand, ofWeight uint8) {
		q := widths(rand.New(rand.NewSource(seed)), 1+int(n)%5000, uint(ofDemand)%64, uint(ofWeight)%64)
		check(t, &q)
	})
}

func TestAnyWidth(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 5, 47, 48, 49, 120, 400, 700, 1500}).Draw(rt, "members")
		r := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed")))
		ofDemand, ofWeight := rapid.UintRange(0, 63).Draw(rt, "demand"), rapid.UintRange(0, 63).Draw(rt, "weight")
		for range 30 {
			q := widths(r, n, ofDemand, ofWeight)
			check(rt, &q)
		}
	})
}

func check(t rapid.TB, q *question) {
	got, ones := make([]int64, len(q.demand)), draw(len(q.demand), func(int) int64 { return 1 })
	var s Scratch
	for name, try := range map[string]struct {
		divide func() Outcome
		weight []int64
	}{
		"Fill":        {func() Outcome { return s.Fill(got, q.demand, q.weight, q.pool, q.ties) }, q.weight},
		"Fill evenly": {func() Outcome { return s.Fill(got, q.demand, nil, q.pool, q.ties) }, ones},
		"Prorate":     {func() Outcome { return s.Prorate(got, q.demand, q.pool, q.ties) }, q.demand},
		"Once":        {func() Outcome { return s.Once(got, q.demand, q.weight, q.pool, max(1, sumOf(q.weight)), q.ties) }, q.weight},
	} {
		o := try.divide()
		if f := (filling{left: uint64(q.pool)}); name == "Fill" {
			if c, ok := s.near(&f, q.demand, q.weight); ok {
				s.level(&f, c)
				for k, w := range q.weight {
					if p := (pair{f.left, f.open}); p.fillsBefore(pair{uint64(q.demand[k]), uint64(w)}) != 0 && bits.Len64(uint64(w)) > bits.Len64(f.bits) {
						t.Fatalf("member %d weighs %d, and %d is to have all bits of the open", k, w, f.bits)
					}
				}
			}
		}
		var extra, want int64
		for k, g := range got {
			if by := o.Share(q.demand[k], try.weight[k], q.ties.Rank(k)); by != g {
				t.Fatalf("%s: member %d got %d, her line says %d; %+v", name, k, g, by, o)
			}
			none := o
			none.Cut = o.Den
			extra += g - none.Share(q.demand[k], try.weight[k], 0)
			want += q.demand[k] & weighs(try.weight[k])
		}
		if sumOf(got) != o.Shared || name != "Once" && (extra != o.Extra || o.Shared != min(want, q.pool)) {
			t.Fatalf("%s: %d shared of %d, and %d asked for, %d got one more; %+v", name, sumOf(got), q.pool, want, extra, o)
		}
	}
}

// TestQuotas holds the passes against division, where products are just as wide as
// they have room for, and a little less and more.
func TestQuotas(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	var s Scratch
	for i := range 20_000 {
		wide := 1 + r.Intn(62)
		most := int64(1)<<wide - 1                              // a weight
		den := 1 + r.Int63()>>max(0, min(62, wide-2+r.Intn(5))) // λ's
		num := r.Int63() >> r.Intn(63)
		n := 1 + r.Intn(8)
		q := question{
			demand: draw(n, func(int) int64 { return r.Int63() >> r.Intn(63) }),
			weight: draw(n, func(int) int64 { return r.Int63n(most) + 1 }),
		}
		if i%3 == 0 { // remainders close to each other, and to 0
			num = den*r.Int63n(4)%(1<<62) + r.Int63n(4)
		}
		if w := uint64(most); i%3 == 1 && wide < 10 { // or a quotient just below a whole number
			for j := range w {
				hi, lo := bits.Mul64(uint64(den), j+1)
				if quotient, rest := bits.Div64(hi, lo-1, w); rest == 0 && lo > 0 {
					num, q.weight[0] = int64(quotient), most
					break
				}
			}
		}
		d := division{lambda: lambdaOf(uint64(num), uint64(den)), bits: uint64(most)}
		d.lo = 1 + uint64(r.Int63n(den))
		d.hi = d.lo + uint64(r.Int63n(den-int64(d.lo)+1))>>r.Intn(63)
		s.rem, s.who = grow(s.rem, n), grow(s.who, n)
		got, want := make([]int64, n), make([]int64, n)
		x := s.quotas(got, q.demand, q.weight, &d)
		var sum, floors uint64
		var who []int32
		for k, w := range q.weight {
			hi, lo := bits.Mul64(uint64(num), uint64(w))
			share, rem := uint64(q.demand[k]), uint64(0)
			if hi < uint64(den) {
				if quotient, left := bits.Div64(hi, lo, uint64(den)); quotient < share {
					share, rem = quotient, left
				}
			}
			floors += share
			if rem > d.hi {
				share++
			} else if rem >= d.lo {
				who = append(who, int32(k))
			}
			want[k] = int64(share)
			sum += share
		}
		if !slices.Equal(got, want) || x.sum != sum || x.floors != floors || !slices.Equal(s.who[:x.in], who) {
			t.Fatalf("case %d: %+v of %+v\n%+v gives %v, not %v, sums %d and %d, not %d and %d, in %v, not %v", i, d, q, x, got, want, x.sum, x.floors, sum, floors, s.who[:x.in], who)
		}
	}
}

// TestSmallPools asks for parts that together are worth few units or none.
func TestSmallPools(t *testing.T) {
	r := rand.New(rand.NewSource(6))
	var s Scratch
	for i := range 1_000 {
		q := ask(r, i, 1+r.Intn(150))
		q.pool = r.Int63n(5)
		s.compare(t, &q, i)
		if t.Failed() {
			t.Fatalf("case %d, %s: %d members, pool %d", i, shapes[i%len(shapes)].name, len(q.demand), q.pool)
		}
	}
}
