// SPDX-License-Identifier: AGPL-3.0-or-later

package dump

import (
	"bytes"
	"strconv"
	"strings"
)

// leastSerial is the shortest serial number that is looked for: a shorter one
// would be found by chance, and a value would be masked.
const leastSerial = 4

// Mask replaces a serial number in a block wherever it stands as text, or as a
// number of 32 bits in either word order, so that a dump can be given away. Text
// becomes X of the same length, a number 1. A serial number that two blocks
// share between them is not found; Take hands over blocks of a hundred.
func (b *Block) Mask(serial string) {
	serial = strings.TrimSpace(serial)
	if len(serial) < leastSerial || b.Table.Bits() {
		return
	}
	raw := make([]byte, 0, 2*len(b.Values))
	for _, v := range b.Values {
		raw = append(raw, byte(v>>8), byte(v))
	}
	masked := bytes.ReplaceAll(raw, []byte(serial), bytes.Repeat([]byte("X"), len(serial)))
	for i := range b.Values {
		b.Values[i] = uint16(masked[2*i])<<8 | uint16(masked[2*i+1])
	}
	n, err := strconv.ParseUint(serial, 10, 32)
	if err != nil {
		return
	}
	hi, lo := uint16(n>>16), uint16(n)
	for i := 0; i+1 < len(b.Values); i++ {
		switch {
		case b.Values[i] == hi && b.Values[i+1] == lo:
			b.Values[i], b.Values[i+1] = 0, 1
		case b.Values[i] == lo && b.Values[i+1] == hi:
			b.Values[i], b.Values[i+1] = 1, 0
		}
	}
}
