// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"fmt"
	"math/bits"
	"math/rand"
	"strings"
	"testing"
)

func mulDiv(a, b, c int64) (q, rem int64) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	uq, ur := bits.Div64(hi, lo, uint64(c))
	return int64(uq), int64(ur)
}

// BenchmarkFill sets exact weighted water-filling beside the pro-rata pass, in
// one run: docs/benchmarks/allocation.md has the figures.
func BenchmarkFill(b *testing.B) {
	for _, n := range []int{500, 10_000, 1_000_000} {
		for shape := range shapes {
			name := strings.ReplaceAll(shapes[shape].name, " ", "_")
			r := rand.New(rand.NewSource(int64(n)))
			q := ask(r, shape, n)
			sum := sumOf(q.demand)
			q.pool = sum/2 + 1
			got := make([]int64, n)
			var s Scratch
			if shape == 0 {
				b.Run(fmt.Sprintf("pro_rata/%d", n), func(b *testing.B) {
					for b.Loop() {
						proRata(got, q.demand, q.pool, sum)
					}
					perMember(b, n)
				})
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				s.Fill(got, q.demand, q.weight, q.pool, q.ties)
				for b.Loop() {
					s.Fill(got, q.demand, q.weight, q.pool, q.ties)
				}
				perMember(b, n)
			})
		}
	}
}

// BenchmarkClear sets a market beside the same by sorting. A member has a bid and an offer.
func BenchmarkClear(b *testing.B) {
	for _, n := range []int{500, 10_000, 1_000_000} {
		for fair := range fairs {
			m := openMarket(rand.New(rand.NewSource(int64(n))), fair, n, n)
			bought, sold := make([]int64, n), make([]int64, n)
			name := fmt.Sprintf("%s/%d", strings.ReplaceAll(fairs[fair].name, " ", "_"), n)
			var s Scratch
			var slow sorter
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				s.Clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers)
				for b.Loop() {
					s.Clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers)
				}
				perMember(b, n)
			})
			b.Run("by_sorting/"+name, func(b *testing.B) {
				for b.Loop() {
					slow.clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers)
				}
				perMember(b, n)
			})
		}
	}
}

func perMember(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/member")
}
