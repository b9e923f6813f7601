// SPDX-License-Identifier: AGPL-3.0-or-later

package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// ErrDamaged is wrapped by every refusal to read a block.
var ErrDamaged = errors.New("damaged block")

func damaged(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }

// MaxPoints bounds the points, or buckets, of one block.
const MaxPoints = 1 << 16

const (
	formatPoints  = 1
	formatBuckets = 2
	crcSize       = 4
)

// Points are the points of one series, in order of time. The columns have the same length.
// Offsets are milliseconds from an instant that the block's owner knows; they
// rise, and the first is not negative.
type Points struct {
	Offsets   []int32
	Values    []int64 // at most [series.MaxValue] in magnitude
	Qualities []energy.Quality
	FirstSpan energy.Span // that the first point stands for; see [series.SpanOf]
}

// Len is the number of points.
func (p *Points) Len() int { return len(p.Offsets) }

// Reset empties the columns and keeps their memory.
func (p *Points) Reset() {
	p.Offsets, p.Values, p.Qualities, p.FirstSpan = p.Offsets[:0], p.Values[:0], p.Qualities[:0], 0
}

// Add appends a point.
func (p *Points) Add(offset int32, value int64, q energy.Quality) {
	p.Offsets, p.Values, p.Qualities = append(p.Offsets, offset), append(p.Values, value), append(p.Qualities, q)
}

// Span is what the point at i stands for.
func (p *Points) Span(i int) energy.Span {
	if i == 0 {
		return p.FirstSpan
	}
	return series.SpanOf(energy.Instant(p.Offsets[i-1]), true, energy.Instant(p.Offsets[i]))
}

// Coder writes and reads blocks and keeps its buffers in between. One
// goroutine at a time may use it.
type Coder struct {
	numbers []uint64
	try     [2][]uint64
	scaled  []int64
	sorted  []int32
}

// AppendPoints appends a block of 1 to [MaxPoints] points to out.
func (c *Coder) AppendPoints(out []byte, p *Points) []byte {
	n, begin := p.Len(), len(out)
	out = append(out, formatPoints)
	out = binary.AppendUvarint(out, uint64(n))
	out = binary.AppendUvarint(out, uint64(p.Offsets[0]))
	out = binary.AppendUvarint(out, uint64(p.FirstSpan))
	period := c.period(p.Offsets)
	out = binary.AppendUvarint(out, uint64(period))
	out = binary.AppendVarint(out, p.Values[0])
	divisor := c.scale(p.Values)
	out = binary.AppendUvarint(out, divisor)
	order, residuals := c.predict()
	out = append(out, order)
	out = appendRuns(out, p.Qualities)

	w := writer{out: out}
	c.numbers = c.numbers[:0]
	for i := 1; i < n; i++ {
		c.numbers = append(c.numbers, zigzag(int64(p.Offsets[i]-p.Offsets[i-1])-int64(period)))
	}
	w.numbers(c.numbers)
	if divisor != 0 {
		w.numbers(residuals)
	}
	w.flush()
	return binary.BigEndian.AppendUint32(w.out, crc32.Checksum(w.out[begin:], castagnoli()))
}

// ReadPoints reads a block into p.
func (c *Coder) ReadPoints(body []byte, p *Points) error {
	p.Reset()
	h, err := openBlock(body, formatPoints)
	if err != nil {
		return err
	}
	n := h.count()
	first, span, period := h.uvarint(math.MaxInt32), h.uvarint(uint64(series.MaxGap)), h.uvarint(math.MaxInt32)
	value, divisor := h.varint(series.MaxValue), h.uvarint(2*series.MaxValue)
	order := h.byte()
	p.Qualities = h.runs(p.Qualities, n)
	if h.bad || order > 2 {
		return damaged("its head")
	}
	p.FirstSpan = energy.Span(span)
	r := reader{in: h.in}
	if c.numbers, err = r.numbers(c.numbers, n-1); err != nil {
		return err
	}
	at := int64(first)
	p.Offsets = append(p.Offsets, int32(at))
	for _, u := range c.numbers {
		step := unzigzag(u) + int64(period)
		at += step
		if step <= 0 || at > math.MaxInt32 {
			return damaged("its times")
		}
		p.Offsets = append(p.Offsets, int32(at))
	}
	if divisor == 0 {
		for range n {
			p.Values = append(p.Values, value)
		}
		return nil
	}
	if c.numbers, err = r.numbers(c.numbers, n); err != nil {
		return err
	}
	return restore(p, c.numbers, value, int64(divisor), order)
}

// restore adds the differences up again.
func restore(p *Points, residuals []uint64, first, divisor int64, order byte) error {
	const most = 2 * series.MaxValue // of a scaled value
	var x, step int64
	for i, u := range residuals {
		d := unzigzag(u)
		switch {
		case order == 0 || i == 0:
			x = d
		case order == 1 || i == 1:
			step = d
			x += step
		default:
			step += d
			x += step
		}
		if x > most || x < -most || step > 2*most || step < -2*most {
			return damaged("its values")
		}
		// Within 2^37 · 2^37: the product may not fit, so it is bounded before.
		if m := int64(most) / divisor; x > m || x < -m {
			return damaged("its values")
		}
		v := first + x*divisor
		if v > series.MaxValue || v < -series.MaxValue {
			return damaged("its values")
		}
		p.Values = append(p.Values, v)
	}
	return nil
}

// period is the usual distance of two points: the median.
func (c *Coder) period(offsets []int32) int32 {
	if len(offsets) < 2 {
		return 0
	}
	c.sorted = c.sorted[:0]
	for i := 1; i < len(offsets); i++ {
		c.sorted = append(c.sorted, offsets[i]-offsets[i-1])
	}
	// A regular series, the usual case, needs no sorting.
	if first := c.sorted[0]; !slices.ContainsFunc(c.sorted, func(d int32) bool { return d != first }) {
		return first
	}
	slices.Sort(c.sorted)
	return c.sorted[len(c.sorted)/2]
}

// scale fills c.scaled with (value − first) / divisor and returns the divisor,
// 0 where all values are the same.
func (c *Coder) scale(values []int64) (divisor uint64) {
	first := values[0]
	for _, v := range values {
		if divisor != 1 {
			divisor = gcd(divisor, magnitude(v-first))
		}
	}
	c.scaled = c.scaled[:0]
	for _, v := range values {
		x := v - first
		if divisor > 1 {
			x /= int64(divisor)
		}
		c.scaled = append(c.scaled, x)
	}
	return divisor
}

// predict chooses the order of differences whose codes are shortest.
func (c *Coder) predict() (order byte, residuals []uint64) {
	best := ^uint64(0)
	for o := range byte(3) {
		into := c.try[1][:0]
		var last, step int64
		for i, x := range c.scaled {
			switch {
			case o == 0 || i == 0:
				into = append(into, zigzag(x))
			case o == 1 || i == 1:
				into = append(into, zigzag(x-last))
			default:
				into = append(into, zigzag(x-last-step))
			}
			step, last = x-last, x
		}
		c.try[1] = into
		if size := length(into); size < best {
			best, order = size, o
			c.try[0], c.try[1] = c.try[1], c.try[0]
		}
	}
	return order, c.try[0]
}

// length is about how many bits numbers take.
func length(v []uint64) (sum uint64) {
	for len(v) > 0 {
		n := min(len(v), group)
		if k := parameter(v[:n]); k != zeros {
			sum += cost(v[:n], k)
		}
		v = v[n:]
	}
	return sum
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return uint64(-v)
	}
	return uint64(v)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // the library keeps it
