// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Both kernels need an order statistic: the level that demands fill up to, and
// the n-th largest remainder. Both are found digit by digit from the most
// significant one (radix selection): at most 64/digitBits passes over the
// candidates, for any figures, so no choice of demands can make a tick slow.
const (
	digitBits = 4
	buckets   = 1 << digitBits
)

// topDigit is how far the most significant non-zero digit of v is shifted.
func topDigit(v uint64) int {
	return max(0, (bits.Len64(v)-1)/digitBits*digitBits)
}

// waterLevel is the largest whole b with Σ min(w.demand, b) ≤ total, given
// 0 ≤ total < Σ w.demand.
func (w *Workspace) waterLevel(total int64) int64 {
	w.idx = w.idx[:0]
	var most int64
	for k, d := range w.demand {
		w.idx = append(w.idx, int32(k))
		most = max(most, d)
	}
	level := int64(0)   // the digits found so far
	above := int64(0)   // how many demands are certainly above b
	left := total       // less the demands that are certainly below b
	candidates := w.idx // those that agree with b in the digits found so far
	for shift := topDigit(uint64(most)); shift >= 0; shift -= digitBits {
		var sum, count [buckets]int64
		for _, k := range candidates {
			digit := w.demand[k] >> shift & (buckets - 1)
			sum[digit] += w.demand[k]
			count[digit]++
		}
		digit := int64(0)
		higher := above + int64(len(candidates)) - count[0]
		for below := left; digit+1 < buckets; {
			// Would the next digit still fit? Demands with a lower digit get all,
			// the others the level. Divided instead of multiplied: no overflow.
			below -= sum[digit]
			next := level + (digit+1)<<shift
			if below < 0 || higher > 0 && next > below/higher {
				break
			}
			left = below
			digit++
			higher -= count[digit]
		}
		level += digit << shift
		above = higher
		keep := candidates[:0]
		for _, k := range candidates {
			if w.demand[k]>>shift&(buckets-1) == digit {
				keep = append(keep, k)
			}
		}
		candidates = keep
	}
	return level
}

// addTop adds one unit to the n of dst with the largest w.keys. Among equal keys
// the lower hash of seed and member comes first.
func (w *Workspace) addTop(dst []int64, n int64, t *ties) {
	if n <= 0 {
		return
	}
	w.idx = w.idx[:0]
	for k := range dst {
		w.idx = append(w.idx, int32(k))
	}
	tied, n := w.takeTop(dst, w.idx, n)
	if n == 0 {
		return
	}
	if int(n) < len(tied) {
		for _, k := range tied {
			w.keys[k] = ^t.hash(k) // the lowest hash is the largest key
		}
		tied, n = w.takeTop(dst, tied, n)
	}
	if int(n) < len(tied) { // equal hashes: as good as never, but decided all the same
		slices.SortFunc(tied, func(a, b int32) int {
			return cmp.Or(cmp.Compare(t.id(a), t.id(b)), cmp.Compare(dst[b], dst[a]))
		})
	}
	for _, k := range tied[:n] {
		dst[k]++
	}
}

// takeTop adds one unit to each candidate whose key is above the n-th largest,
// and returns those with just that key and how many of them are still to be served.
func (w *Workspace) takeTop(dst []int64, candidates []int32, n int64) (tied []int32, still int64) {
	var most uint64
	for _, k := range candidates {
		most = max(most, w.keys[k])
	}
	for shift := topDigit(most); shift >= 0 && int64(len(candidates)) > n; shift -= digitBits {
		var count [buckets]int64
		for _, k := range candidates {
			count[w.keys[k]>>shift&(buckets-1)]++
		}
		digit := uint64(buckets - 1)
		for above := count[digit]; above < n; above += count[digit] {
			digit--
		}
		keep := candidates[:0]
		for _, k := range candidates {
			switch d := w.keys[k] >> shift & (buckets - 1); {
			case d > digit:
				dst[k]++
				n--
			case d == digit:
				keep = append(keep, k)
			}
		}
		candidates = keep
	}
	return candidates, n
}

// Seed decides ties: the start and the length of an interval or tick, each as 8
// bytes, in milliseconds, big endian.
type Seed [16]byte

// SeedOf is the seed of an interval (or of a tick, as a short interval).
func SeedOf(i energy.Interval) Seed {
	var s Seed
	binary.BigEndian.PutUint64(s[:8], uint64(i.Start))
	binary.BigEndian.PutUint64(s[8:], uint64(i.Length))
	return s
}

// Rank is a member's place in the order of ties: the first 8 bytes, big endian,
// of SHA-256(seed ‖ id). The lowest is served first. It changes with every
// interval, so nobody is always last.
func Rank(seed Seed, id roll.MemberID) uint64 {
	const longest = 40 // of an id, see package roll; longer ones work, but allocate
	var buf [len(seed) + longest]byte
	sum := sha256.Sum256(append(append(buf[:0], seed[:]...), id...))
	return binary.BigEndian.Uint64(sum[:8])
}

// ties knows the member behind an index: ids where it is set, else in by way of who.
type ties struct {
	seed Seed
	who  []int32
	in   []Member
	ids  []roll.MemberID
}

func (t *ties) id(k int32) roll.MemberID {
	if t.ids != nil {
		return t.ids[k]
	}
	return t.in[t.who[k]].ID
}

func (t *ties) hash(k int32) uint64 { return Rank(t.seed, t.id(k)) }
