// SPDX-License-Identifier: AGPL-3.0-or-later

package series

import "github.com/allmende-energy/allmende/energy"

// Bucket is what is known of a series within a stretch of time. A bucket that
// is answered has at least one point.
type Bucket struct {
	Start   energy.Instant
	Count   int64
	Sum     int64 // of the values
	Min     int64
	Max     int64
	Work    int64       // Σ value × the span that the point stands for, in the value's unit times milliseconds
	Covered energy.Span // Σ of these spans
	Quality energy.Quality
}

// Mean is the mean of the bucket's points, rounded half away from zero.
func (b Bucket) Mean() int64 {
	if b.Count == 0 {
		return 0
	}
	return roundDiv(b.Sum, b.Count)
}

// Energy is what flowed in the time that the points stand for, if they are powers.
func (b Bucket) Energy() energy.Energy {
	return energy.Energy(roundDiv(b.Work, int64(energy.Hour)))
}

// Add counts a point in that stands for so long; see [SpanOf].
func (b *Bucket) Add(value int64, q energy.Quality, span energy.Span) {
	if b.Count == 0 {
		b.Min, b.Max = value, value
	}
	b.Count++
	b.Sum += value
	b.Min, b.Max = min(b.Min, value), max(b.Max, value)
	b.Work += value * int64(span)
	b.Covered += span
	b.Quality = b.Quality.Worse(q)
}

// Merge counts all points of c in; b keeps its start.
func (b *Bucket) Merge(c Bucket) {
	if c.Count == 0 {
		return
	}
	if b.Count == 0 {
		b.Min, b.Max = c.Min, c.Max
	}
	b.Count += c.Count
	b.Sum += c.Sum
	b.Min, b.Max = min(b.Min, c.Min), max(b.Max, c.Max)
	b.Work += c.Work
	b.Covered += c.Covered
	b.Quality = b.Quality.Worse(c.Quality)
}

// SpanOf is how long a point stands for whose predecessor in the series is
// previous; known is false for a series' first point.
func SpanOf(previous energy.Instant, known bool, at energy.Instant) energy.Span {
	if span := at.Sub(previous); known && span > 0 && span <= MaxGap {
		return span
	}
	return 0
}

// roundDiv is v/by rounded half away from zero, for by > 0.
func roundDiv(v, by int64) int64 {
	q, r := v/by, v%by
	switch {
	case r >= by-r:
		return q + 1
	case -r >= by+r:
		return q - 1
	}
	return q
}

// Collector gathers points and sums into the buckets of a query.
type Collector struct {
	span       Span // of whole buckets
	resolution Resolution
	buckets    []Bucket
}

// NewCollector gathers for a query; what lies outside its span is passed over.
func NewCollector(span Span, r Resolution) *Collector {
	return &Collector{span: r.Widen(span), resolution: r}
}

// Span is the query's span, widened to whole buckets.
func (c *Collector) Span() Span { return c.span }

// Add counts a point in. Points and sums come in order of time.
func (c *Collector) Add(at energy.Instant, value int64, q energy.Quality, span energy.Span) {
	if b := c.at(at); b != nil {
		b.Add(value, q, span)
	}
}

// Merge counts a finer bucket in.
func (c *Collector) Merge(b Bucket) {
	if into := c.at(b.Start); into != nil {
		into.Merge(b)
	}
}

func (c *Collector) at(t energy.Instant) *Bucket {
	if t < c.span.From || t >= c.span.To {
		return nil
	}
	if n := len(c.buckets); n > 0 && t.Sub(c.buckets[n-1].Start) < energy.Span(c.resolution) {
		return &c.buckets[n-1]
	}
	c.buckets = append(c.buckets, Bucket{Start: c.resolution.Floor(t)})
	return &c.buckets[len(c.buckets)-1]
}

// Buckets are those that have points, in order.
func (c *Collector) Buckets() []Bucket { return c.buckets }
