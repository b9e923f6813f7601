// SPDX-License-Identifier: AGPL-3.0-or-later

// Package seriestest has what the tests of all stores of time series share: a
// slow and obvious store that answers as package series says, and random
// households to fill it with.
package seriestest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// Oracle keeps every point and adds them up one by one.
type Oracle struct {
	points map[series.Series][]point
}

type point struct {
	at    energy.Instant
	value int64
	q     energy.Quality
}

// Append takes what the package comment of series says is kept.
func (o *Oracle) Append(records []series.Record) {
	if o.points == nil {
		o.points = map[series.Series][]point{}
	}
	for _, r := range records {
		for _, v := range r.Values {
			of := series.Series{Subject: r.Subject, Quantity: v.Quantity}
			have := o.points[of]
			if v.Value > series.MaxValue || v.Value < -series.MaxValue || len(have) > 0 && r.At <= have[len(have)-1].at {
				continue
			}
			o.points[of] = append(have, point{r.At, v.Value, r.Quality})
		}
	}
}

// Series are all that have points, in one order.
func (o *Oracle) Series() []series.Series {
	var out []series.Series
	for of := range o.points {
		out = append(out, of)
	}
	slices.SortFunc(out, func(a, b series.Series) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// Query answers.
func (o *Oracle) Query(of series.Series, span series.Span, r series.Resolution) []series.Bucket {
	var out []series.Bucket
	points := o.points[of]
	for start := r.Floor(span.From); start < span.To; start = start.Add(energy.Span(r)) {
		b := series.Bucket{Start: start}
		first, _ := slices.BinarySearchFunc(points, start, func(p point, at energy.Instant) int { return cmp.Compare(p.at, at) })
		for i := first; i < len(points) && points[i].at < start.Add(energy.Span(r)); i++ {
			p := points[i]
			stands := energy.Span(0)
			if i > 0 && p.at.Sub(points[i-1].at) <= series.MaxGap {
				stands = p.at.Sub(points[i-1].at)
			}
			if b.Count == 0 || p.value < b.Min {
				b.Min = p.value
			}
			if b.Count == 0 || p.value > b.Max {
				b.Max = p.value
			}
			b.Count++
			b.Sum += p.value
			b.Work += p.value * int64(stands)
			b.Covered += stands
			if p.q > b.Quality {
				b.Quality = p.q
			}
		}
		if b.Count > 0 {
			out = append(out, b)
		}
	}
	return out
}

// Village makes records of a few subjects, some regular, some not, with gaps,
// points that come twice or late, and values that cannot be.
type Village struct {
	rng   *rand.Rand
	At    energy.Instant
	level map[series.Series]int64
}

// NewVillage begins at an instant.
func NewVillage(seed uint64, at energy.Instant) *Village {
	return &Village{rng: rand.New(rand.NewPCG(seed, 7)), At: at, level: map[series.Series]int64{}}
}

// Step is what happens next, some of it late or impossible; period is the usual time between two
// steps.
func (v *Village) Step(period energy.Span) []series.Record {
	step := period
	switch v.rng.IntN(60) {
	case 0:
		step += energy.Span(v.rng.Int64N(int64(20 * energy.Minute)))
	case 1:
		step += energy.Span(v.rng.Int64N(int64(period)))
	}
	v.At = v.At.Add(step)
	var out []series.Record
	for i := range 3 {
		r := v.record(series.Subject{Kind: series.Asset, Name: fmt.Sprintf("roof-%d", i)}, series.Power, series.Charge)
		r.At = v.At.Add(energy.Span(v.rng.IntN(20) - 10*i)) // devices have a clock of their own
		out = append(out, r)
	}
	out = append(out, v.record(series.Subject{Kind: series.Member, Name: "anna"}, series.Member.Quantities()...))
	if v.rng.IntN(3) > 0 { // not each time
		out = append(out, v.record(series.Subject{Kind: series.Community, Name: "lane"}, series.Production, series.Import))
	}
	if v.rng.IntN(20) == 0 {
		out = append(out, out[v.rng.IntN(len(out))]) // twice
	}
	return out
}

func (v *Village) record(of series.Subject, quantities ...series.Quantity) series.Record {
	r := series.Record{Subject: of, At: v.At}
	if v.rng.IntN(15) == 0 {
		r.Quality = energy.Quality(v.rng.IntN(int(energy.NotImplemented)))
	}
	for _, q := range quantities {
		of := series.Series{Subject: of, Quantity: q}
		switch {
		case q == series.Charge:
			v.level[of] = v.rng.Int64N(1001)
		case v.rng.IntN(200) == 0:
			v.level[of] = []int64{series.MaxValue, -series.MaxValue, series.MaxValue + 1, 0}[v.rng.IntN(4)]
		case q == series.Power:
			v.level[of] = min(v.level[of], 1<<30) + (v.rng.Int64N(401)-200)*1_000
		default:
			v.level[of] = v.rng.Int64N(5_000_000)
		}
		r.Values = append(r.Values, series.Value{Quantity: q, Value: v.level[of]})
	}
	return r
}
