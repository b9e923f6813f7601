// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// A record on disk is
//
//	u32 length of the body | u32 CRC-32C of the body | body
//	body: u64 sequence | u8 format | u8 flags | u8 quality |
//	      varint at, value, soc | uvarint length and bytes of asset, register
//
// all little-endian. The sequence is inside what the checksum covers, so that a
// stale block that the disk gives back in place of a newer one is noticed.
const (
	recordHead  = 8
	bodyFormat  = 1
	flagReset   = 1
	maxAsset    = 64
	maxRegister = 32
	// maxBody bounds what a length field may claim: the fixed fields, three
	// full varints, two lengths and both names, rounded up.
	maxBody   = 8 + 3 + 3*binary.MaxVarintLen64 + 2 + maxAsset + maxRegister
	maxRecord = recordHead + maxBody
	minBody   = 8 + 3 + 3 + 2
	minRecord = recordHead + minBody
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errRecord says that the bytes are no record; a torn tail and rot look alike.
var errRecord = errors.New("not a spool record")

// appendRecord appends the record of sample s with sequence seq to b.
func appendRecord(b []byte, seq uint64, s meters.Sample) ([]byte, error) {
	if len(s.Asset) > maxAsset || len(s.Register) > maxRegister {
		return b, fmt.Errorf("spooling a sample of %.80q: the asset's name has more than %d bytes or the register's more than %d; shorten it in gateway.yaml", s.Asset, maxAsset, maxRegister)
	}
	start := len(b)
	b = append(b, make([]byte, recordHead)...)
	b = binary.LittleEndian.AppendUint64(b, seq)
	var flags byte
	if s.Reset {
		flags |= flagReset
	}
	b = append(b, bodyFormat, flags, byte(s.Quality))
	b = binary.AppendVarint(b, int64(s.At))
	b = binary.AppendVarint(b, int64(s.Value))
	b = binary.AppendVarint(b, s.SoC)
	b = binary.AppendUvarint(b, uint64(len(s.Asset)))
	b = append(b, s.Asset...)
	b = binary.AppendUvarint(b, uint64(len(s.Register)))
	b = append(b, s.Register...)
	body := b[start+recordHead:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, castagnoli))
	return b, nil
}

// decodeRecord reads the record at the start of b and returns its size.
func decodeRecord(b []byte) (seq uint64, s meters.Sample, size int, err error) {
	if len(b) < minRecord {
		return 0, s, 0, fmt.Errorf("%w: %d bytes are left", errRecord, len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if n < minBody || n > maxBody || int(n) > len(b)-recordHead {
		return 0, s, 0, fmt.Errorf("%w: a length of %d", errRecord, n)
	}
	body := b[recordHead : recordHead+int(n)]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return 0, s, 0, fmt.Errorf("%w: the checksum differs", errRecord)
	}
	seq = binary.LittleEndian.Uint64(body)
	s, err = decodeSample(body[8:])
	return seq, s, recordHead + int(n), err
}

func decodeSample(b []byte) (s meters.Sample, err error) {
	if len(b) < 3 || b[0] != bodyFormat {
		return s, fmt.Errorf("%w: an unknown format", errRecord)
	}
	if b[1]&^flagReset != 0 || energy.Quality(b[2]) > energy.NotImplemented {
		return s, fmt.Errorf("%w: unknown flags or quality", errRecord)
	}
	s.Reset, s.Quality = b[1]&flagReset != 0, energy.Quality(b[2])
	b = b[3:]
	var numbers [3]int64
	for i := range numbers {
		v, n := binary.Varint(b)
		if n <= 0 {
			return s, fmt.Errorf("%w: a number is cut off", errRecord)
		}
		numbers[i], b = v, b[n:]
	}
	s.At, s.Value, s.SoC = energy.Instant(numbers[0]), energy.Energy(numbers[1]), numbers[2]
	asset, b, err := decodeName(b, maxAsset)
	if err != nil {
		return s, err
	}
	register, b, err := decodeName(b, maxRegister)
	if err != nil {
		return s, err
	}
	if len(b) != 0 {
		return s, fmt.Errorf("%w: %d bytes too many", errRecord, len(b))
	}
	s.Key = meters.Key{Asset: roll.AssetID(asset), Register: meters.Register(register)}
	return s, nil
}

func decodeName(b []byte, most uint64) (name string, rest []byte, err error) {
	l, n := binary.Uvarint(b)
	if n <= 0 || l > most || l > uint64(len(b)-n) {
		return "", nil, fmt.Errorf("%w: a name is cut off", errRecord)
	}
	return string(b[n : n+int(l)]), b[n+int(l):], nil
}
