// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

const quarterHours = 35_040

// yearRules are three rounds as a co-op might write them: a floor for a group,
// shares by weight up to a cap, and the rest in equal amounts.
func yearRules(n int) *charter.Sharing {
	floor, most := 200*energy.WattHour, 600*energy.WattHour
	w := &charter.Weights{}
	for i := range n {
		w.Members = append(w.Members, charter.MemberWeight{Member: roll.MemberID(fmt.Sprint("m", i)), Weight: charter.Weight(500_000 + i%7*250_000)})
	}
	return &charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{
		{Name: "needs", Method: charter.Equal, Groups: []roll.Group{"vulnerable"}, Cap: &floor},
		{Name: "contribution", Method: charter.Weighted, Weights: w, Cap: &most},
		{Name: "everybody", Method: charter.Equal},
	}}
}

// year makes a sunny day and a dull one of n homes, which the intervals of a
// year take in turn: the sun shines for half of them.
func year(n int) (demand, supply [][]int64) {
	r := rand.New(rand.NewSource(int64(n)))
	for i := range 192 {
		sun := max(0, 48-(i%96-48)*(i%96-48)/16) * (1 + i/96) // a hill around noon
		d := make([]int64, n)
		for k := range d {
			d[k] = r.Int63n(300_000)
		}
		demand = append(demand, d)
		supply = append(supply, []int64{int64(n*sun) * 2_500})
	}
	return demand, supply
}

// BenchmarkYear shares a year of quarter-hours under a charter of three rounds.
func BenchmarkYear(b *testing.B) {
	for _, n := range []int{200, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			takers := make([]Taker, n)
			for i := range takers {
				takers[i] = Taker{ID: roll.MemberID(fmt.Sprint("m", i))}
				if i%5 == 0 {
					takers[i].Groups = []roll.Group{"vulnerable"}
				}
			}
			demand, supply := year(n)
			b.ReportAllocs()
			for b.Loop() {
				p, err := NewPlan(yearRules(n), takers, []Part{{ID: "pool"}}, nil)
				if err != nil {
					b.Fatal(err)
				}
				in := Figures{}
				for i := range quarterHours {
					in.Demand, in.Supply = demand[i%len(demand)], supply[i%len(supply)]
					in.Seed = SeedOf(energy.Interval{Start: energy.Instant(i) * energy.Instant(energy.QuarterHour), Length: energy.QuarterHour})
					if _, err := p.Run(&in); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/quarterHours/float64(n), "ns/member-interval")
		})
	}
}

// BenchmarkTick shares one live tick under the same charter.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			takers := make([]Taker, n)
			for i := range takers {
				takers[i] = Taker{ID: roll.MemberID(fmt.Sprint("m", i))}
			}
			demand, supply := year(n)
			p, err := NewPlan(yearRules(n), takers, []Part{{ID: "pool"}}, nil)
			if err != nil {
				b.Fatal(err)
			}
			in := Figures{Demand: demand[40], Supply: supply[40]}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Run(&in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRunAllocatesNothing once its buffers have grown.
func TestRunAllocatesNothing(t *testing.T) {
	const n = 300
	takers := make([]Taker, n)
	for i := range takers {
		takers[i] = Taker{ID: roll.MemberID(fmt.Sprint("m", i)), Groups: []roll.Group{"vulnerable"}}
	}
	demand, supply := year(n)
	p, err := NewPlan(yearRules(n), takers, []Part{{ID: "pool"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	run := func() {
		for i := range demand {
			if _, err := p.Run(&Figures{Demand: demand[i], Supply: supply[i]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	if got := testing.AllocsPerRun(3, run); got != 0 {
		t.Errorf("%.0f allocations", got)
	}
}
