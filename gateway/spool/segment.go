// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// A segment file begins with magic | u64 first sequence | u32 CRC-32C of both,
// and goes on with records whose sequences follow without a gap.
const (
	segmentMagic  = "ALMSPL01"
	segmentHead   = len(segmentMagic) + 8 + 4
	segmentSuffix = ".seg"
	// maxStandIn bounds how many lost samples at a segment's end are stood in
	// for; a larger hole is no rot but a wrong file.
	maxStandIn = 100_000
)

// segment is what is known of one file. Invariant: it holds the sequences
// first … last, all of them durable; last = first−1 where it is empty.
type segment struct {
	name   string
	first  uint64
	last   uint64
	end    int64          // bytes that are durable
	newest energy.Instant // the latest sample, for retention
	// abandoned: an fsync failed; nothing more is written to it.
	abandoned bool
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// parseSegmentName returns the first sequence that a file's name claims.
func parseSegmentName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

func appendSegmentHead(b []byte, first uint64) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint64(b, first)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func checkSegmentHead(b []byte, first uint64) bool {
	return len(b) >= segmentHead && string(b[:segmentHead]) == string(appendSegmentHead(nil, first))
}

// scanned is what reading a segment's bytes found.
type scanned struct {
	samples []meters.Sample // first, first+1, …; lost ones are stood in for
	end     int64           // where intact bytes end (without damage)
	damaged int             // records that could not be read, but others behind them could
	newest  energy.Instant
}

// scan reads a segment that should hold first … limit (limit 0: as many as
// there are, for the newest segment, whose tail may be torn).
//
// A record that rotted in the middle is replaced by its neighbour: a register's
// count sent twice changes nothing, whereas a gap in the sequence would hold up
// everything behind it and an invented count would be worse than a missing one.
//
// before is the sample in front of the segment, for a segment whose beginning
// is gone; it may be nil.
func scan(b []byte, first, limit uint64, before *meters.Sample) scanned {
	out := scanned{end: int64(segmentHead)}
	off, seq := segmentHead, first
	if !checkSegmentHead(b, first) {
		off = 0 // records carry their own sequence: search for them
		out.end = 0
	}
	for limit == 0 || seq <= limit {
		next, s, at, size, ok := findRecord(b, off, seq, limit)
		if !ok {
			break
		}
		if next != seq {
			out.standIn(&seq, next, before, &s)
		}
		out.samples = append(out.samples, s)
		out.newest = max(out.newest, s.At)
		seq, off = next+1, at+size
		out.end = int64(off)
	}
	if limit != 0 && seq <= limit && limit-seq < maxStandIn {
		out.standIn(&seq, limit+1, before, nil)
	}
	return out
}

// standIn fills the sequences *seq … upTo−1 with the nearest sample there is.
func (out *scanned) standIn(seq *uint64, upTo uint64, before, behind *meters.Sample) {
	stand := before
	if n := len(out.samples); n > 0 {
		stand = &out.samples[n-1]
	} else if stand == nil {
		stand = behind
	}
	if stand == nil {
		return
	}
	s := *stand
	for ; *seq < upTo; *seq++ {
		out.samples = append(out.samples, s)
		out.damaged++
	}
}

// findRecord returns the next record at or behind off whose sequence is seq or,
// if bytes had to be skipped, a later one that fits into what was skipped.
func findRecord(b []byte, off int, seq, limit uint64) (next uint64, s meters.Sample, at, size int, ok bool) {
	for at = off; at+minRecord <= len(b); at++ {
		next, s, size, err := decodeRecord(b[at:])
		if err != nil || next < seq || (limit != 0 && next > limit) {
			continue
		}
		if next-seq > uint64(at-off)/minRecord {
			continue // more records missing than bytes were skipped
		}
		return next, s, at, size, true
	}
	return 0, s, 0, 0, false
}
