// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import "encoding/binary"

// appendRequest appends unit, function and data of req.
func appendRequest(b []byte, req *request) []byte {
	b = append(b, req.unit, req.function)
	b = binary.BigEndian.AppendUint16(b, req.addr)
	switch req.function {
	case writeCoil:
		if req.bits[0] {
			return append(b, 0xff, 0)
		}
		return append(b, 0, 0)
	case writeRegister:
		return binary.BigEndian.AppendUint16(b, req.values[0])
	}
	b = binary.BigEndian.AppendUint16(b, req.count)
	switch req.function {
	case writeRegisters:
		b = append(b, byte(2*len(req.values)))
		for _, v := range req.values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
	case writeCoils:
		b = append(b, byte((len(req.bits)+7)/8))
		b = append(b, packBits(req.bits)...)
	}
	return b
}

func packBits(bits []bool) []byte {
	out := make([]byte, (len(bits)+7)/8)
	for i, on := range bits {
		if on {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

// dataLength is how many bytes of values the answer to a read has.
func dataLength(req *request) int {
	if req.function == readCoils || req.function == readDiscrete {
		return (int(req.count) + 7) / 8
	}
	return 2 * int(req.count)
}

// answerLength is that of a whole frame on a serial line.
func answerLength(req *request) int {
	if req.writes() {
		return 8
	}
	return 5 + dataLength(req)
}

// decodeAnswer takes function and data of an answer to req, which has its
// function; not ok if it is not one.
func decodeAnswer(req *request, pdu []byte) (got reply, ok bool) {
	if pdu[0] == req.function|0x80 {
		return reply{err: ErrException{Code: pdu[1]}}, len(pdu) == 2
	}
	if req.writes() {
		echo := appendRequest(nil, req)[1:6] // function, address, and count or value
		return reply{}, string(pdu) == string(echo)
	}
	n := dataLength(req)
	if len(pdu) != 2+n || int(pdu[1]) != n {
		return reply{}, false
	}
	data := pdu[2:]
	if req.function == readCoils || req.function == readDiscrete {
		got.bits = make([]bool, req.count)
		for i := range got.bits {
			got.bits[i] = data[i/8]&(1<<(i%8)) != 0
		}
		return got, true
	}
	got.values = make([]uint16, req.count)
	for i := range got.values {
		got.values[i] = binary.BigEndian.Uint16(data[2*i:])
	}
	return got, true
}

// frameLength is how long the frame is that b begins with: known with 0 if no
// answer begins like this, not known while too little is there.
func frameLength(b []byte) (n int, known bool) {
	if len(b) < 2 {
		return 0, false
	}
	switch function := b[1]; function {
	case readCoils, readDiscrete, readHolding, readInput:
		if len(b) < 3 {
			return 0, false
		}
		if n = int(b[2]) + 5; n > mostFrame {
			return 0, true
		}
		return n, true
	case writeCoil, writeRegister, writeCoils, writeRegisters:
		return 8, true
	default:
		if function > 0x80 {
			return 5, true
		}
		return 0, true
	}
}

// crc16 is the checksum of Modbus over serial line 1.02, 6.2.2.
func crc16(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xa001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

func appendCRC(b []byte) []byte { return binary.LittleEndian.AppendUint16(b, crc16(b)) }

func validCRC(frame []byte) bool {
	n := len(frame) - 2
	return n > 0 && binary.LittleEndian.Uint16(frame[n:]) == crc16(frame[:n])
}
