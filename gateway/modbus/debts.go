// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"encoding/binary"
	"slices"
	"time"
)

// shape is all that an answer on a serial line tells about its question.
type shape struct {
	unit, function uint8
	// Of a read: the number of bytes. Of a write: address, and count or value.
	first, second uint16
}

// debts are answers that did not come in time and may still come.
type debts struct {
	list []debt // oldest first, at most mostDebts
}

type debt struct {
	shape
	until time.Time
}

const (
	// mostDebts is how many are remembered. Each has cost a timeout, and a unit
	// that does not answer is soon asked rarely.
	mostDebts = 64
	// debtAge is how long an answer may be late.
	debtAge = 30 * time.Second
)

// expected is the shape of the answer to req.
func expected(req *request) shape {
	s := shape{unit: req.unit, function: req.function}
	if req.writes() {
		echo := appendRequest(nil, req)
		s.first, s.second = binary.BigEndian.Uint16(echo[2:]), binary.BigEndian.Uint16(echo[4:])
	} else {
		s.first = uint16(dataLength(req))
	}
	return s
}

// seen is the shape of an answer: function and data. A refusal has the zero
// shape of its function, which [debts.settle] takes for the oldest of it.
func seen(unit uint8, pdu []byte) shape {
	s := shape{unit: unit, function: pdu[0]}
	switch {
	case pdu[0] > 0x80 || len(pdu) < 2:
	case pdu[0] < writeCoil:
		s.first = uint16(pdu[1])
	case len(pdu) >= 5:
		s.first, s.second = binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	}
	return s
}

func (d *debts) add(s shape, now time.Time) {
	d.expire(now)
	if len(d.list) == mostDebts {
		d.list = d.list[1:]
	}
	d.list = append(d.list, debt{s, now.Add(debtAge)})
}

func (d *debts) expire(now time.Time) {
	d.list = slices.DeleteFunc(d.list, func(o debt) bool { return now.After(o.until) })
}

func (d *debts) any(now time.Time) bool {
	d.expire(now)
	return len(d.list) > 0
}

// has says whether an answer of this shape may still come.
func (d *debts) has(s shape, now time.Time) bool {
	if len(d.list) == 0 {
		return false
	}
	d.expire(now)
	return slices.ContainsFunc(d.list, func(o debt) bool { return o.shape == s })
}

// settle takes an answer that came; it says whether it was owed. Units answer in
// order, so what was owed before it will not come any more.
func (d *debts) settle(s shape) bool {
	i := slices.IndexFunc(d.list, func(o debt) bool {
		return o.shape == s || s.function > 0x80 && o.unit == s.unit && o.function == s.function&0x7f
	})
	if i < 0 {
		return false
	}
	for j := i; j >= 0; j-- {
		if d.list[j].unit == s.unit {
			d.list = slices.Delete(d.list, j, j+1)
		}
	}
	return true
}

// settleUnit forgets what a unit owes: it has answered a later question.
func (d *debts) settleUnit(unit uint8) {
	d.list = slices.DeleteFunc(d.list, func(o debt) bool { return o.unit == unit })
}

// another is a read near req whose answer looks like none that is owed. It reads
// what req would, with fewer or more around it, so that a device that takes req
// most likely takes it too.
func (d *debts) another(req *request, now time.Time) (*request, bool) {
	o := &request{ctx: req.ctx, function: req.function, unit: req.unit, addr: req.addr, count: req.count}
	most, step := MaxRead, 1
	switch req.function {
	case readHolding, readInput:
	case readCoils, readDiscrete:
		most, step = MaxReadBits, 8
	case writeCoil, writeCoils:
		o.function, o.count, most, step = readCoils, 1, MaxReadBits, 8
	default:
		o.function, o.count = readHolding, 1
	}
	base := int(o.count)
	for k := range mostDebts + 1 {
		for _, n := range [2]int{base - k*step, base + k*step} {
			if n < 1 || n > most || int(o.addr)+n > 1<<16 {
				continue
			}
			o.count = uint16(n)
			if !d.has(expected(o), now) {
				return o, true
			}
		}
	}
	return nil, false
}
