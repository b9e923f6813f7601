// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"fmt"
	"sync"
)

// Table is one of the four address spaces of a unit, by the function that reads it.
type Table uint8

// Tables.
const (
	Coils    = Table(ReadCoils)
	Discrete = Table(ReadDiscrete)
	Holding  = Table(ReadHolding)
	Input    = Table(ReadInput)
)

// Image is a handler that serves registers as somebody recorded or made them. A
// register that was never set is refused with exception 2, as a device refuses
// a gap; a unit without any register is silent. Writes change holding registers
// and coils that are there.
type Image struct {
	mu    sync.Mutex
	units map[uint8]map[place]cell
	fixed bool
}

type place struct {
	table Table
	addr  uint16
}

// cell is a register or bit; with a refusal it answers with that exception.
type cell struct {
	value   uint16
	refusal Exception
}

// NewImage makes an empty image.
func NewImage() *Image { return &Image{units: map[uint8]map[place]cell{}} }

// ReadOnly makes the image refuse all writes with exception 1, as a recording
// has no device behind it that would act.
func (m *Image) ReadOnly() *Image {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fixed = true
	return m
}

// Set puts values at addr and after it. Bits are 0 and 1.
func (m *Image) Set(unit uint8, table Table, addr uint16, values ...uint16) error {
	return m.put(unit, table, addr, len(values), func(i int) cell { return cell{value: values[i]} })
}

// Refuse makes n registers from addr on answer each read that touches them with
// an exception.
func (m *Image) Refuse(unit uint8, table Table, addr uint16, n int, code Exception) error {
	return m.put(unit, table, addr, n, func(int) cell { return cell{refusal: code} })
}

func (m *Image) put(unit uint8, table Table, addr uint16, n int, of func(i int) cell) error {
	if table < Coils || table > Input || int(addr)+n > 1<<16 {
		return fmt.Errorf("unit %d, table %d: %d values at %d: tables are 1 to 4, addresses end at 65535", unit, table, n, addr)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.units[unit] == nil {
		m.units[unit] = map[place]cell{}
	}
	for i := range n {
		m.units[unit][place{table, addr + uint16(i)}] = of(i)
	}
	return nil
}

// Get is the value at addr, false where nothing was set.
func (m *Image) Get(unit uint8, table Table, addr uint16) (uint16, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.units[unit][place{table, addr}]
	return c.value, ok && c.refusal == 0
}

// Serve answers from the image.
func (m *Image) Serve(r Request) (Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cells, ok := m.units[r.Unit]
	if !ok {
		return Answer{}, TargetSilent
	}
	table := Holding
	switch r.Function {
	case ReadCoils, ReadDiscrete, ReadHolding, ReadInput:
		table = Table(r.Function)
	case WriteCoil, WriteCoils:
		table = Coils
	}
	var a Answer
	for i := range r.Count {
		c, ok := cells[place{table, r.Addr + i}]
		switch {
		case !ok:
			return Answer{}, IllegalDataAddress
		case c.refusal != 0:
			return Answer{}, c.refusal
		case table == Coils || table == Discrete:
			a.Bits = append(a.Bits, c.value != 0)
		default:
			a.Values = append(a.Values, c.value)
		}
	}
	if !r.Writes() {
		return a, nil
	}
	if m.fixed {
		return Answer{}, IllegalFunction
	}
	for i := range r.Count {
		at := place{table, r.Addr + i}
		if r.Bits == nil {
			cells[at] = cell{value: r.Values[i]}
		} else if cells[at] = (cell{}); r.Bits[i] {
			cells[at] = cell{value: 1}
		}
	}
	return Answer{}, nil
}
