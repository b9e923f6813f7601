// SPDX-License-Identifier: AGPL-3.0-or-later

package block

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/allmende-energy/allmende/energy"
)

// head reads a block's head. After the first thing that cannot be, bad is set
// and everything else reads as zero.
type head struct {
	in  []byte
	bad bool
}

// openBlock checks format and sum.
func openBlock(body []byte, format byte) (*head, error) {
	cut := len(body) - crcSize
	if cut < 1 {
		return nil, damaged("too short")
	}
	if crc32.Checksum(body[:cut], castagnoli()) != binary.BigEndian.Uint32(body[cut:]) {
		return nil, damaged("its sum is wrong")
	}
	if body[0] != format {
		return nil, damaged("its format is not known")
	}
	return &head{in: body[1:cut]}, nil
}

func (h *head) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(h.in)
	if n <= 0 || v > most || h.bad {
		h.bad = true
		return 0
	}
	h.in = h.in[n:]
	return v
}

func (h *head) varint(most int64) int64 {
	v, n := binary.Varint(h.in)
	if n <= 0 || v > most || v < -most || h.bad {
		h.bad = true
		return 0
	}
	h.in = h.in[n:]
	return v
}

func (h *head) byte() byte {
	if len(h.in) == 0 || h.bad {
		h.bad = true
		return 0
	}
	b := h.in[0]
	h.in = h.in[1:]
	return b
}

// count is a number of points or buckets: there is one at least.
func (h *head) count() int {
	n := h.uvarint(MaxPoints)
	if n == 0 {
		h.bad = true
	}
	return int(n)
}

// appendRuns writes qualities as runs: quality, length; the last has length 0.
func appendRuns(out []byte, qualities []energy.Quality) []byte {
	for i := 0; i < len(qualities); {
		j := i + 1
		for j < len(qualities) && qualities[j] == qualities[i] {
			j++
		}
		out = append(out, byte(qualities[i]))
		if j == len(qualities) {
			return append(out, 0)
		}
		out = binary.AppendUvarint(out, uint64(j-i))
		i = j
	}
	return out
}

// runs reads n qualities into out's place.
func (h *head) runs(out []energy.Quality, n int) []energy.Quality {
	out = out[:0]
	for len(out) < n && !h.bad {
		q, length := energy.Quality(h.byte()), int(h.uvarint(MaxPoints))
		if length == 0 {
			length = n - len(out)
		}
		if q > energy.NotImplemented || length > n-len(out) {
			h.bad = true
			return out
		}
		for range length {
			out = append(out, q)
		}
	}
	return out
}
