// SPDX-License-Identifier: AGPL-3.0-or-later

package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sizes of Modbus TCP frames.
const (
	headSize = 7   // transaction, protocol, length, unit
	mostPDU  = 253 // function and data
)

var errNotModbus = errors.New("not a Modbus TCP frame")

// frame is one request as it came.
type frame struct {
	transaction uint16
	unit        uint8
	pdu         []byte // function and data, valid until the next read
}

// readFrame reads one frame into buf, which holds at least the longest one.
func readFrame(r io.Reader, buf []byte) (frame, error) {
	head := buf[:headSize]
	if _, err := io.ReadFull(r, head); err != nil {
		return frame{}, err
	}
	n := int(binary.BigEndian.Uint16(head[4:])) - 1
	if binary.BigEndian.Uint16(head[2:]) != 0 || n < 1 || n > mostPDU {
		return frame{}, errNotModbus
	}
	f := frame{transaction: binary.BigEndian.Uint16(head), unit: head[6], pdu: buf[headSize : headSize+n]}
	_, err := io.ReadFull(r, f.pdu)
	return f, err
}

// appendFrame appends the answer to f.
func appendFrame(b []byte, f frame, pdu []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, f.transaction)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(pdu)+1))
	return append(append(b, f.unit), pdu...)
}

// Function codes.
const (
	readCoils      = 1
	readDiscrete   = 2
	readHolding    = 3
	readInput      = 4
	writeCoil      = 5
	writeRegister  = 6
	writeCoils     = 15
	writeRegisters = 16
)

// query is a request, taken apart.
type query struct {
	function uint8
	addr     uint16
	count    uint16
	values   []uint16
	bits     []bool
}

func (q query) writes() bool { return q.function >= writeCoil }

// exception is an answer that says no.
type exception uint8

// Exceptions of the Modbus application protocol, section 7.
const (
	illegalFunction exception = 0x01
	illegalAddress  exception = 0x02
	illegalValue    exception = 0x03
	busy            exception = 0x06
	noPath          exception = 0x0a
	silent          exception = 0x0b
)

func (e exception) Error() string { return fmt.Sprintf("exception %d", uint8(e)) }

// parse takes function and data apart; the error is the exception to answer with.
func parse(pdu []byte) (query, error) {
	q := query{function: pdu[0]}
	most := map[uint8]int{
		readCoils: 2000, readDiscrete: 2000, readHolding: 125, readInput: 125,
		writeCoil: 1, writeRegister: 1, writeCoils: 1968, writeRegisters: 123,
	}[q.function]
	if most == 0 {
		return q, illegalFunction
	}
	if len(pdu) < 5 {
		return q, illegalValue
	}
	q.addr, q.count = binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	word, data := q.count, pdu[5:]
	switch q.function {
	case writeCoil:
		q.count, q.bits = 1, []bool{word == 0xff00}
		if word != 0 && word != 0xff00 {
			return q, illegalValue
		}
	case writeRegister:
		q.count, q.values = 1, []uint16{word}
	case writeCoils, writeRegisters:
		if !q.take(data) {
			return q, illegalValue
		}
		data = nil
	}
	switch {
	case len(data) > 0 || q.count < 1 || int(q.count) > most:
		return q, illegalValue
	case int(q.addr)+int(q.count) > 1<<16:
		return q, illegalAddress
	}
	return q, nil
}

// take takes the values of functions 15 and 16, not ok if their number is wrong.
func (q *query) take(data []byte) bool {
	if len(data) < 1 || int(data[0]) != len(data)-1 {
		return false
	}
	data = data[1:]
	if q.function == writeRegisters {
		if len(data) != 2*int(q.count) {
			return false
		}
		for i := range int(q.count) {
			q.values = append(q.values, binary.BigEndian.Uint16(data[2*i:]))
		}
		return true
	}
	if len(data) != (int(q.count)+7)/8 {
		return false
	}
	for i := range int(q.count) {
		q.bits = append(q.bits, data[i/8]&(1<<(i%8)) != 0)
	}
	return true
}

// answer is function and data of what came of q.
func (q query) answer(values []uint16, bits []bool) []byte {
	switch q.function {
	case readHolding, readInput:
		b := append(make([]byte, 0, 2+2*len(values)), q.function, byte(2*len(values)))
		for _, v := range values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b
	case readCoils, readDiscrete:
		b := append([]byte{q.function, byte((len(bits) + 7) / 8)}, make([]byte, (len(bits)+7)/8)...)
		for i, on := range bits {
			if on {
				b[2+i/8] |= 1 << (i % 8)
			}
		}
		return b
	}
	word := q.count
	switch {
	case q.function == writeRegister:
		word = q.values[0]
	case q.function == writeCoil && q.bits[0]:
		word = 0xff00
	case q.function == writeCoil:
		word = 0
	}
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{q.function}, q.addr), word)
}
