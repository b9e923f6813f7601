// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Framing is how requests and answers are wrapped.
type Framing string

// Framings.
const (
	// MBAP is Modbus TCP: a header with transaction id, length and unit.
	MBAP Framing = "mbap"
	// RTU is the serial form: unit, data, checksum. It is also what converters
	// send through TCP unchanged.
	RTU Framing = "rtu"
)

const (
	mostFrame  = 256 // of RTU, with unit and checksum
	mbapHeader = 7
	mostPDU    = 253
)

// frame is a request as it came.
type frame struct {
	transaction uint16 // MBAP only
	unit        uint8
	pdu         []byte
}

// append writes an answer's frame.
func (f Framing) append(b []byte, transaction uint16, unit uint8, pdu []byte) []byte {
	if f == MBAP {
		b = binary.BigEndian.AppendUint16(b, transaction)
		b = append(b, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(pdu)+1))
		b = append(b, unit)
		return append(b, pdu...)
	}
	from := len(b)
	b = append(b, unit)
	b = append(b, pdu...)
	return binary.LittleEndian.AppendUint16(b, crc(b[from:]))
}

// readMBAP reads one request. Anything that is not Modbus TCP is an error: the
// stream cannot be found again in it.
func readMBAP(r io.Reader) (frame, error) {
	var head [mbapHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	protocol, length := binary.BigEndian.Uint16(head[2:]), int(binary.BigEndian.Uint16(head[4:]))
	if protocol != 0 || length < 2 || length > mostPDU+1 {
		return frame{}, fmt.Errorf("no Modbus TCP: protocol %d, length %d", protocol, length)
	}
	f := frame{transaction: binary.BigEndian.Uint16(head[:]), unit: head[6], pdu: make([]byte, length-1)}
	_, err := io.ReadFull(r, f.pdu)
	return f, err
}

// framer finds requests in the bytes of a serial line. It holds at most one
// frame's worth of bytes that are not yet a frame.
type framer struct{ buf []byte }

// push adds bytes and calls found for each request whose checksum is right.
// Bytes that cannot begin a request are dropped one by one until one can.
func (f *framer) push(b []byte, found func(frame)) {
	for len(b) > 0 {
		n := min(len(b), mostFrame-len(f.buf))
		f.buf, b = append(f.buf, b[:n]...), b[n:]
		f.scan(found)
		if len(f.buf) == mostFrame {
			f.buf = append(f.buf[:0], f.buf[1:]...)
		}
	}
}

// silence is the pause on the line that ends every frame, also half a one.
func (f *framer) silence() { f.buf = f.buf[:0] }

func (f *framer) scan(found func(frame)) {
	at := 0
	for {
		rest := f.buf[at:]
		n := requestLength(rest)
		if n == 0 || n > len(rest) {
			break
		}
		if n > 0 && crc(rest[:n-2]) == binary.LittleEndian.Uint16(rest[n-2:]) {
			found(frame{unit: rest[0], pdu: append([]byte(nil), rest[1:n-2]...)})
			at += n
			continue
		}
		at++
	}
	f.buf = append(f.buf[:0], f.buf[at:]...)
}

// requestLength is how long the request at the beginning of b is with its
// checksum, 0 where more bytes are needed to tell, and negative where no request
// that is served here begins so.
func requestLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case ReadCoils, ReadDiscrete, ReadHolding, ReadInput, WriteCoil, WriteRegister:
		return 8
	case WriteCoils, WriteRegisters:
		if len(b) < 7 {
			return 0
		}
		if n := 9 + int(b[6]); n <= mostFrame {
			return n
		}
	}
	return -1
}

// crc is the checksum of RTU, CRC-16 with the polynomial 0xA001 reflected.
func crc(b []byte) uint16 {
	sum := uint16(0xffff)
	for _, c := range b {
		sum ^= uint16(c)
		for range 8 {
			odd := sum&1 == 1
			if sum >>= 1; odd {
				sum ^= 0xa001
			}
		}
	}
	return sum
}
