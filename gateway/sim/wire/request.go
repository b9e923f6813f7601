// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Function codes of the Modbus application protocol 1.1b3 that are served.
const (
	ReadCoils       uint8 = 1
	ReadDiscrete    uint8 = 2
	ReadHolding     uint8 = 3
	ReadInput       uint8 = 4
	WriteCoil       uint8 = 5
	WriteRegister   uint8 = 6
	WriteCoils      uint8 = 15
	WriteRegisters  uint8 = 16
	exceptionMarker uint8 = 0x80
)

// Most that one request may ask for.
const (
	mostBitsRead       = 2000
	mostBitsWritten    = 1968
	mostRegistersRead  = 125
	mostRegistersWrite = 123
)

// Request is what a client asks of a unit.
type Request struct {
	Unit     uint8
	Function uint8
	Addr     uint16
	Count    uint16   // registers or bits
	Values   []uint16 // to be written: functions 6 and 16
	Bits     []bool   // to be written: functions 5 and 15
}

// Writes says whether the request changes something.
func (r Request) Writes() bool { return r.Values != nil || r.Bits != nil }

// Answer is what a unit says: registers or bits as they were asked for, and
// nothing to a write.
type Answer struct {
	Values []uint16
	Bits   []bool
}

// Handler answers for units. It is called from several goroutines at once.
//
// An error with a method ExceptionCode becomes that exception, [ErrSilent]
// becomes no answer at all, and any other error a device failure. On a serial
// line the exceptions that only a gateway sends (10 and 11) are silence as well.
type Handler interface {
	Serve(r Request) (Answer, error)
}

// HandlerFunc makes a handler of a function.
type HandlerFunc func(r Request) (Answer, error)

// Serve calls f.
func (f HandlerFunc) Serve(r Request) (Answer, error) { return f(r) }

// ErrSilent says that nobody answers, as on a line without such a unit.
var ErrSilent = errors.New("no answer")

// Exception is a refusal by its code.
type Exception uint8

// Exceptions of the Modbus application protocol, section 7.
const (
	IllegalFunction    Exception = 1
	IllegalDataAddress Exception = 2
	IllegalDataValue   Exception = 3
	DeviceFailure      Exception = 4
	DeviceBusy         Exception = 6
	PathUnavailable    Exception = 10
	TargetSilent       Exception = 11
)

func (e Exception) Error() string { return fmt.Sprintf("exception %d", uint8(e)) }

// ExceptionCode is what goes over the line.
func (e Exception) ExceptionCode() uint8 { return uint8(e) }

// exceptionOf is the exception for a handler's error.
func exceptionOf(err error) Exception {
	var coded interface{ ExceptionCode() uint8 }
	if errors.As(err, &coded) {
		return Exception(coded.ExceptionCode())
	}
	return DeviceFailure
}

// parse reads a request's PDU: function code and data. The exception is 0 where
// the request is well formed.
func parse(unit uint8, pdu []byte) (Request, Exception) {
	r := Request{Unit: unit, Function: pdu[0]}
	if len(pdu) >= 5 {
		r.Addr, r.Count = binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	}
	data := pdu[min(len(pdu), 5):]
	switch r.Function {
	case ReadCoils, ReadDiscrete:
		return r, r.check(len(pdu) == 5, mostBitsRead)
	case ReadHolding, ReadInput:
		return r, r.check(len(pdu) == 5, mostRegistersRead)
	case WriteCoil:
		on := r.Count == 0xff00
		whole := len(pdu) == 5 && (on || r.Count == 0)
		r.Bits, r.Count = []bool{on}, 1
		return r, r.check(whole, 1)
	case WriteRegister:
		r.Values, r.Count = []uint16{r.Count}, 1
		return r, r.check(len(pdu) == 5, 1)
	case WriteCoils:
		whole := len(data) >= 1 && int(data[0]) == len(data)-1 && len(data)-1 == (int(r.Count)+7)/8
		r.Bits = []bool{}
		if refused := r.check(whole, mostBitsWritten); refused != 0 {
			return r, refused
		}
		r.Bits = unpack(data[1:], r.Count)
		return r, 0
	case WriteRegisters:
		whole := len(data) >= 1 && int(data[0]) == len(data)-1 && len(data)-1 == 2*int(r.Count)
		r.Values = []uint16{}
		if refused := r.check(whole, mostRegistersWrite); refused != 0 {
			return r, refused
		}
		for i := 1; i < len(data); i += 2 {
			r.Values = append(r.Values, binary.BigEndian.Uint16(data[i:]))
		}
		return r, 0
	}
	return r, IllegalFunction
}

func (r Request) check(whole bool, most uint16) Exception {
	switch {
	case !whole || r.Count < 1 || r.Count > most:
		return IllegalDataValue
	case int(r.Addr)+int(r.Count) > 1<<16:
		return IllegalDataAddress
	}
	return 0
}

// appendAnswer writes the PDU that answers r.
func appendAnswer(b []byte, r Request, a Answer) []byte {
	b = append(b, r.Function)
	switch r.Function {
	case ReadCoils, ReadDiscrete:
		packed := pack(a.Bits)
		b = append(b, byte(len(packed)))
		return append(b, packed...)
	case ReadHolding, ReadInput:
		b = append(b, byte(2*len(a.Values)))
		for _, v := range a.Values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b
	}
	b = binary.BigEndian.AppendUint16(b, r.Addr)
	switch r.Function {
	case WriteCoil:
		if r.Bits[0] {
			return append(b, 0xff, 0)
		}
		return append(b, 0, 0)
	case WriteRegister:
		return binary.BigEndian.AppendUint16(b, r.Values[0])
	}
	return binary.BigEndian.AppendUint16(b, r.Count)
}

// fits says whether a is as long as r asked for. A handler's mistake must not
// become a frame with another length.
func (a Answer) fits(r Request) bool {
	switch r.Function {
	case ReadCoils, ReadDiscrete:
		return len(a.Bits) == int(r.Count)
	case ReadHolding, ReadInput:
		return len(a.Values) == int(r.Count)
	}
	return true
}

func pack(bits []bool) []byte {
	out := make([]byte, (len(bits)+7)/8)
	for i, on := range bits {
		if on {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

func unpack(b []byte, n uint16) []bool {
	bits := make([]bool, n)
	for i := range bits {
		bits[i] = b[i/8]>>(i%8)&1 == 1
	}
	return bits
}
