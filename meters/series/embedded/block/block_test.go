// SPDX-License-Identifier: AGPL-3.0-or-later

package block

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

const (
	slots  = 360
	minute = energy.Minute
	base   = energy.Instant(1_780_012_800_000)
)

// drawPoints are of every kind that there is: regular and not, whole watts and
// not, constant, noisy, jumping between the bounds.
func drawPoints(t *rapid.T) *Points {
	p := &Points{FirstSpan: energy.Span(rapid.Int64Range(0, int64(series.MaxGap)).Draw(t, "first span"))}
	n := rapid.IntRange(1, 300).Draw(t, "points")
	step := rapid.Int32Range(1, 5_000).Draw(t, "step")
	jitter := rapid.SampledFrom([]int32{0, 1, 20, 100_000}).Draw(t, "jitter")
	unit := rapid.SampledFrom([]int64{1, 7, 100, 1_000}).Draw(t, "unit")
	noise := rapid.SampledFrom([]int64{0, 1, 50, 1 << 20, 1 << 60}).Draw(t, "noise")
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	at, v, q := int32(rng.IntN(600_000)), rng.Int64N(1<<30)-1<<29, energy.Good
	for range n {
		p.Add(at, v, q)
		at += step + rng.Int32N(jitter+1)
		if noise > 0 {
			v += (rng.Int64N(2*noise+1) - noise) % (1 << 40) * unit
			v = max(min(v, series.MaxValue), -series.MaxValue)
		}
		if rng.IntN(20) == 0 {
			q = energy.Quality(rng.IntN(int(energy.NotImplemented) + 1))
		}
	}
	return p
}

func TestPointsComeBack(t *testing.T) {
	var c Coder
	var got Points
	rapid.Check(t, func(t *rapid.T) {
		p := drawPoints(t)
		body := c.AppendPoints(nil, p)
		if err := c.ReadPoints(body, &got); err != nil {
			t.Fatal(err)
		}
		same(t, p, &got)
		slow, err := oracle(body)
		if err != nil {
			t.Fatalf("the oracle cannot read it: %v", err)
		}
		same(t, p, slow)
	})
}

func same(t *rapid.T, want, got *Points) {
	t.Helper()
	if want.FirstSpan != got.FirstSpan || !slices.Equal(want.Offsets, got.Offsets) || !slices.Equal(want.Values, got.Values) || !slices.Equal(want.Qualities, got.Qualities) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

// oracle reads a block as the package comment describes it, a bit at a time.
func oracle(body []byte) (*Points, error) {
	in, p := body[1:len(body)-4], &Points{}
	u := func() uint64 { v, n := binary.Uvarint(in); in = in[n:]; return v }
	n := int(u())
	at := int64(u())
	p.FirstSpan = energy.Span(u())
	usual := int64(u())
	first, k := binary.Varint(in)
	in = in[k:]
	divisor := int64(u())
	order := in[0]
	in = in[1:]
	for len(p.Qualities) < n {
		q := energy.Quality(in[0])
		in = in[1:]
		run := int(u())
		if run == 0 {
			run = n - len(p.Qualities)
		}
		for range run {
			p.Qualities = append(p.Qualities, q)
		}
	}
	pos := 0
	bit := func() uint64 { b := in[pos/8] >> (7 - pos%8) & 1; pos++; return uint64(b) }
	take := func(n int) (v uint64) {
		for range n {
			v = v<<1 | bit()
		}
		return v
	}
	column := func(n int) (out []int64) {
		for len(out) < n {
			k := int(take(6))
			for range min(32, n-len(out)) {
				if k == 63 {
					out = append(out, 0)
					continue
				}
				ones := uint64(0)
				for ones < 24 && bit() == 1 {
					ones++
				}
				var v uint64
				if ones == 24 {
					v = take(64)
				} else {
					v = ones<<k + take(k)
				}
				if v%2 == 0 {
					out = append(out, int64(v/2))
				} else {
					out = append(out, -int64(v/2)-1)
				}
			}
		}
		return out
	}
	p.Offsets = []int32{int32(at)}
	for _, d := range column(n - 1) {
		at += d + usual
		p.Offsets = append(p.Offsets, int32(at))
	}
	if divisor == 0 {
		p.Values = slices.Repeat([]int64{first}, n)
		return p, nil
	}
	x := column(n)
	scaled := make([]int64, n)
	for i, d := range x {
		switch {
		case i == 0 || order == 0:
			scaled[i] = d
		case i == 1 || order == 1:
			scaled[i] = scaled[i-1] + d
		default:
			scaled[i] = 2*scaled[i-1] - scaled[i-2] + d
		}
	}
	for _, s := range scaled {
		p.Values = append(p.Values, first+s*divisor)
	}
	if crc32.Checksum(body[:len(body)-4], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(body[len(body)-4:]) {
		return nil, errors.New("the sum is wrong")
	}
	return p, nil
}

func drawBuckets(t *rapid.T) []series.Bucket {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
	unit := rapid.SampledFrom([]int64{1, 1_000}).Draw(t, "unit")
	regular := rapid.Bool().Draw(t, "regular")
	gaps := rapid.IntRange(0, 5).Draw(t, "gaps")
	var out []series.Bucket
	for slot := range slots {
		if rng.IntN(10) < gaps && (slot < slots-1 || len(out) > 0) {
			continue
		}
		b := series.Bucket{Start: base.Add(minute * energy.Span(slot))}
		level := (rng.Int64N(1<<31) - 1<<30) / unit * unit
		for range 1 + rng.IntN(90) {
			span := energy.Second
			if !regular {
				span = energy.Span(rng.Int64N(int64(series.MaxGap) + 1))
			}
			b.Add(level+rng.Int64N(100)*unit, energy.Quality(rng.IntN(40)/38), span)
		}
		out = append(out, b)
	}
	return out
}

func TestBucketsComeBack(t *testing.T) {
	var c Coder
	rapid.Check(t, func(t *rapid.T) {
		want := drawBuckets(t)
		body := c.AppendBuckets([]byte("before"), base, minute, want)[6:]
		got, err := c.ReadBuckets(body, base, minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

// The outermost values that a series may have come back too.
func TestBucketsAtTheBounds(t *testing.T) {
	var c Coder
	for _, v := range []int64{series.MaxValue, -series.MaxValue, 0} {
		want := series.Bucket{Start: base}
		for range 720 {
			want.Add(v, energy.Good, series.MaxGap)
		}
		want.Add(-v, energy.Stale, series.MaxGap)
		got, err := c.ReadBuckets(c.AppendBuckets(nil, base, energy.Day, []series.Bucket{want}), base, energy.Day, nil)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%d: got %+v, %v; want %+v", v, got, err, want)
		}
	}
}

// A bit that flips anywhere is noticed, and half a block is.
func TestDamageIsNoticed(t *testing.T) {
	var c Coder
	var p, got Points
	for i := range 100 {
		p.Add(int32(i)*1000, int64(i*i%17), energy.Good)
	}
	body := c.AppendPoints(nil, &p)
	for bit := range len(body) * 8 {
		bad := slices.Clone(body)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := c.ReadPoints(bad, &got); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for cut := range body {
		if err := c.ReadPoints(body[:cut], &got); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

// sealed puts the right sum on a body, so that fuzzing reaches what is behind it.
func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli()))
}

// Whatever is read as points is written and read as the same points.
func FuzzReadPoints(f *testing.F) {
	var c Coder
	for _, p := range []Points{
		{Offsets: []int32{0}, Values: []int64{5}, Qualities: []energy.Quality{0}},
		{Offsets: []int32{0, 1000, 2001, 2999}, Values: []int64{5, -5_000, 1 << 36, 0}, Qualities: []energy.Quality{0, 0, 3, 3}, FirstSpan: 1000},
		{Offsets: []int32{7, 8, 9}, Values: []int64{4, 4, 4}, Qualities: []energy.Quality{1, 1, 1}},
	} {
		body := c.AppendPoints(nil, &p)
		f.Add(body[:len(body)-crcSize])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c Coder
		var p, again Points
		if c.ReadPoints(sealed(body), &p) != nil {
			return
		}
		if p.Len() == 0 || len(p.Values) != p.Len() || len(p.Qualities) != p.Len() {
			t.Fatalf("columns of different length: %+v", p)
		}
		if err := c.ReadPoints(c.AppendPoints(nil, &p), &again); err != nil || !reflect.DeepEqual(p.Values, again.Values) || !reflect.DeepEqual(p.Offsets, again.Offsets) {
			t.Fatalf("%+v came back as %+v: %v", p, again, err)
		}
	})
}

func FuzzReadBuckets(f *testing.F) {
	var c Coder
	one := series.Bucket{Start: base}
	one.Add(123_456, energy.Estimated, energy.Second)
	two := series.Bucket{Start: base.Add(5 * minute)}
	two.Add(-9, energy.Good, 0)
	two.Add(9_999, energy.Good, 1_001)
	for _, b := range [][]series.Bucket{{one}, {one, two}} {
		body := c.AppendBuckets(nil, base, minute, b)
		f.Add(body[:len(body)-crcSize])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c Coder
		got, err := c.ReadBuckets(sealed(body), base, minute, nil)
		if err != nil {
			return
		}
		again, err := c.ReadBuckets(c.AppendBuckets(nil, base, minute, got), base, minute, nil)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v came back as %+v: %v", got, again, err)
		}
	})
}

// house is ten minutes of a meter that counts whole watts, each second.
func house(unit int64) *Points {
	rng := rand.New(rand.NewPCG(1, 1))
	p := &Points{FirstSpan: energy.Second}
	level := int64(1_500)
	for i := range 600 {
		level += rng.Int64N(11) - 5
		p.Add(int32(i)*1000, level*unit+rng.Int64N(unit), energy.Good)
	}
	return p
}

func BenchmarkAppendPoints(b *testing.B) {
	p := house(1000)
	var c Coder
	var out []byte
	for b.Loop() {
		out = c.AppendPoints(out[:0], p)
	}
	b.ReportMetric(float64(len(out))/600, "B/point")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/600, "ns/point")
}

func BenchmarkReadPoints(b *testing.B) {
	var c Coder
	body := c.AppendPoints(nil, house(1))
	var p Points
	for b.Loop() {
		if err := c.ReadPoints(body, &p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(body))/600, "B/point")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/600, "ns/point")
}
