// SPDX-License-Identifier: AGPL-3.0-or-later

package block

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// maxCount bounds the points of a bucket that is stored.
const maxCount = 1 << 26

// columns of a block of buckets, in their order. Each is small where the
// series is regular: the differences between neighbours, or to what could be expected.
const (
	colSlot    = iota // buckets left out before this one
	colCount          // difference to the bucket before
	colCovered        // difference to the bucket before
	colMean           // whole part; difference to the bucket before
	colRest           // sum − mean · count
	colBelow          // mean − least
	colAbove          // greatest − mean
	colWork           // work − sum · covered / count
	nColumns
)

// AppendBuckets appends a block of 1 to [MaxPoints] buckets to out. They are of one
// length, in order, at multiples of it from base on.
func (c *Coder) AppendBuckets(out []byte, base energy.Instant, length energy.Span, buckets []series.Bucket) []byte {
	begin := len(out)
	out = append(out, formatBuckets)
	out = binary.AppendUvarint(out, uint64(len(buckets)))
	divisor := commonDivisor(buckets)
	out = binary.AppendUvarint(out, divisor)
	qualities := make([]energy.Quality, len(buckets))
	for i, b := range buckets {
		qualities[i] = b.Quality
	}
	out = appendRuns(out, qualities)
	w := writer{out: out}
	for column := range nColumns {
		c.numbers = c.numbers[:0]
		before := expected(base, length)
		for _, b := range buckets {
			c.numbers = append(c.numbers, columnOf(column, &b, &before, length, int64(divisor)))
			before = b
		}
		w.numbers(c.numbers)
	}
	w.flush()
	return binary.BigEndian.AppendUint32(w.out, crc32.Checksum(w.out[begin:], castagnoli()))
}

// expected stands before the first bucket.
func expected(base energy.Instant, length energy.Span) series.Bucket {
	return series.Bucket{Start: base.Add(-length), Count: 1}
}

func columnOf(column int, b, before *series.Bucket, length energy.Span, divisor int64) uint64 {
	mean, rest := floorDiv(b.Sum/divisor, b.Count)
	switch column {
	case colSlot:
		return uint64(b.Start.Sub(before.Start)/length) - 1
	case colCount:
		return zigzag(b.Count - before.Count)
	case colCovered:
		return zigzag(int64(b.Covered - before.Covered))
	case colMean:
		last, _ := floorDiv(before.Sum/divisor, before.Count)
		return zigzag(mean - last)
	case colRest:
		return uint64(rest)
	case colBelow:
		return uint64(mean - b.Min/divisor)
	case colAbove:
		return uint64(b.Max/divisor - mean)
	default:
		return zigzag(b.Work/divisor - likelyWork(b.Sum/divisor, b.Covered, b.Count))
	}
}

// likelyWork is what the work would be if all points stood for the same time.
// It wraps where it does not fit, both ways alike.
func likelyWork(sum int64, covered energy.Span, count int64) int64 {
	hi, lo := bits.Mul64(magnitude(sum), uint64(covered))
	q, _ := bits.Div64(hi%uint64(count), lo, uint64(count))
	if sum < 0 {
		return -int64(q)
	}
	return int64(q)
}

func commonDivisor(buckets []series.Bucket) uint64 {
	var d uint64
	for _, b := range buckets {
		for _, v := range [...]int64{b.Sum, b.Min, b.Max, b.Work} {
			if d != 1 {
				d = gcd(d, magnitude(v))
			}
		}
	}
	return max(d, 1) // it divides the greatest value, which is in range, or all are zero
}

// floorDiv is v / by rounded down, and what is left.
func floorDiv(v, by int64) (q, rest int64) {
	q, rest = v/by, v%by
	if rest < 0 {
		return q - 1, rest + by
	}
	return q, rest
}

// ReadBuckets appends a block's buckets to into.
func (c *Coder) ReadBuckets(body []byte, base energy.Instant, length energy.Span, into []series.Bucket) ([]series.Bucket, error) {
	h, err := openBlock(body, formatBuckets)
	if err != nil {
		return into, err
	}
	n, divisor := h.count(), int64(h.uvarint(series.MaxValue))
	var qualities []energy.Quality
	if qualities = h.runs(nil, n); h.bad || divisor == 0 {
		return into, damaged("its head")
	}
	r := reader{in: h.in}
	begin := len(into)
	for _, q := range qualities {
		into = append(into, series.Bucket{Quality: q})
	}
	out := into[begin:]
	for column := range nColumns {
		if c.numbers, err = r.numbers(c.numbers, n); err != nil {
			return into[:begin], err
		}
		before := expected(base, length)
		for i, u := range c.numbers {
			if !fill(column, &out[i], &before, u, length) {
				return into[:begin], damaged("its buckets")
			}
			before = out[i]
		}
	}
	for i := range out {
		if !rescale(&out[i], divisor) {
			return into[:begin], damaged("its buckets")
		}
	}
	return into, nil
}

// fill sets what a column says of a bucket, everything still divided. Until
// colRest, Sum holds the mean.
func fill(column int, b, before *series.Bucket, u uint64, length energy.Span) bool {
	d := unzigzag(u)
	switch column {
	case colSlot:
		b.Start = before.Start.Add(length * energy.Span(u+1))
		return u < MaxPoints
	case colCount:
		b.Count = before.Count + d
		return b.Count > 0 && b.Count <= maxCount
	case colCovered:
		b.Covered = before.Covered + energy.Span(d)
		return b.Covered >= 0 && b.Covered <= energy.Span(maxCount)*series.MaxGap
	case colMean:
		b.Sum = before.Sum + d
		return inRange(b.Sum)
	case colRest:
		b.Min, b.Max = b.Sum, b.Sum
		b.Sum = b.Sum*b.Count + int64(u)
		return u < uint64(b.Count)
	case colBelow:
		b.Min -= int64(u)
		return u <= 2*series.MaxValue && inRange(b.Min)
	case colAbove:
		b.Max += int64(u)
		return u <= 2*series.MaxValue && inRange(b.Max)
	default:
		b.Work = d + likelyWork(b.Sum, b.Covered, b.Count)
		return true
	}
}

func inRange(v int64) bool { return v <= series.MaxValue && v >= -series.MaxValue }

// rescale multiplies a bucket's values by the block's divisor.
func rescale(b *series.Bucket, divisor int64) bool {
	if m := series.MaxValue / divisor; b.Min < -m || b.Max > m {
		return false
	}
	b.Sum, b.Min, b.Max, b.Work = b.Sum*divisor, b.Min*divisor, b.Max*divisor, b.Work*divisor
	return true
}
