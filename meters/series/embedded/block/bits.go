// SPDX-License-Identifier: AGPL-3.0-or-later

package block

import (
	"encoding/binary"
	"math/bits"
)

const (
	group    = 32 // numbers that share a parameter
	headBits = 6
	zeros    = 1<<headBits - 1 // the parameter of a group that is all zeros
	maxRice  = 48              // the largest parameter
	maxUnary = 24              // so many ones: the number follows in full
	fullBits = 64              // of a number in full
)

// writer appends bits, the most significant first.
type writer struct {
	out []byte
	acc uint64
	n   uint // bits in acc, fewer than 8 between calls
}

// write appends the low n bits of v, n ≤ 56.
func (w *writer) write(v uint64, n uint) {
	w.acc = w.acc<<n | v&(1<<n-1)
	w.n += n
	for w.n >= 8 {
		w.n -= 8
		w.out = append(w.out, byte(w.acc>>w.n))
	}
}

// flush fills the last byte with zeros.
func (w *writer) flush() {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
}

// numbers writes numbers in Rice codes, a group at a time.
func (w *writer) numbers(v []uint64) {
	for len(v) > 0 {
		n := min(len(v), group)
		w.group(v[:n])
		v = v[n:]
	}
}

func (w *writer) group(v []uint64) {
	k := parameter(v)
	w.write(uint64(k), headBits)
	if k == zeros {
		return
	}
	for _, x := range v {
		q := x >> k
		if q >= maxUnary {
			w.write(1<<maxUnary-1, maxUnary)
			w.write(x>>32, fullBits/2)
			w.write(x, fullBits/2)
			continue
		}
		w.write(1<<(q+1)-2, uint(q)+1) // q ones and a zero
		w.write(x, k)
	}
}

// parameter is the cheapest for a group.
func parameter(v []uint64) uint {
	var sum uint64
	for _, x := range v {
		sum += min(x, 1<<(fullBits-headBits)) // so that it fits
	}
	if sum == 0 {
		return zeros
	}
	near := uint(max(bits.Len64(sum/uint64(len(v)))-1, 0))
	best, least := uint(0), ^uint64(0)
	for k := max(near, 1) - 1; k <= min(near+1, maxRice); k++ {
		if c := cost(v, k); c < least {
			best, least = k, c
		}
	}
	return best
}

// cost is the number of bits of a group under a parameter.
func cost(v []uint64, k uint) uint64 {
	var sum uint64
	for _, x := range v {
		if q := x >> k; q >= maxUnary {
			sum += maxUnary + fullBits
		} else {
			sum += q + 1 + uint64(k)
		}
	}
	return sum
}

// reader takes bits. Beyond the end there are zeros, and over is true at last.
type reader struct {
	in  []byte
	pos uint // in bits
}

// peek is the next 57 bits at least, at the top of the word.
func (r *reader) peek() uint64 {
	at := int(r.pos >> 3)
	if at+8 <= len(r.in) {
		return binary.BigEndian.Uint64(r.in[at:]) << (r.pos & 7)
	}
	var tail [8]byte
	if at < len(r.in) {
		copy(tail[:], r.in[at:])
	}
	return binary.BigEndian.Uint64(tail[:]) << (r.pos & 7)
}

// read takes n bits, n ≤ 56.
func (r *reader) read(n uint) uint64 {
	if n == 0 {
		return 0
	}
	v := r.peek() >> (64 - n)
	r.pos += n
	return v
}

func (r *reader) over() bool { return r.pos > uint(len(r.in))*8 }

// numbers reads n numbers into v's place.
func (r *reader) numbers(v []uint64, n int) ([]uint64, error) {
	v = v[:0]
	for len(v) < n {
		if r.over() {
			return v, ErrDamaged
		}
		m := min(n-len(v), group)
		k := uint(r.read(headBits))
		switch {
		case k == zeros:
			for range m {
				v = append(v, 0)
			}
			continue
		case k > maxRice:
			return v, ErrDamaged
		}
		for range m {
			ones := uint(bits.LeadingZeros64(^r.peek()))
			if ones >= maxUnary {
				r.pos += maxUnary
				high := r.read(fullBits / 2)
				v = append(v, high<<32|r.read(fullBits/2))
				continue
			}
			r.pos += ones + 1
			v = append(v, uint64(ones)<<k|r.read(k))
		}
	}
	if r.over() {
		return v, ErrDamaged
	}
	return v, nil
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
