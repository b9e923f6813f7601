// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// memory is an address space from base on that holds anything; it counts how
// often it was asked.
type memory struct {
	base  int
	regs  []uint16
	asked int
}

const errEnd = exceptionError(illegalAddress)

func (m *memory) ReadHolding(_ context.Context, _ uint8, addr, n uint16) ([]uint16, error) {
	m.asked++
	from := int(addr) - m.base
	if from < 0 || from+int(n) > len(m.regs) {
		return nil, errEnd
	}
	return m.regs[from : from+int(n)], nil
}

func (m *memory) WriteRegisters(_ context.Context, _ uint8, addr uint16, values []uint16) error {
	m.asked++
	from := int(addr) - m.base
	if from < 0 || from+len(values) > len(m.regs) {
		return errEnd
	}
	copy(m.regs[from:], values)
	return nil
}

func (m *memory) WriteRegister(ctx context.Context, unit uint8, addr, value uint16) error {
	return m.WriteRegisters(ctx, unit, addr, []uint16{value})
}

// FuzzDevice opens, reads, prints and commands whatever the registers say. It
// must come to an end, within a bounded number of requests, without a panic and
// with nothing outside its range.
func FuzzDevice(f *testing.F) {
	for _, models := range [][]uint16{{Common, InverterThree}, {Common, MeterThree}, {Common, MeasureAC, StorageCapacity, MeasureDC, StorageControl, BatteryBase}, {Common, InverterOneF, Settings, Controls, ControlAC}, Known()} {
		img, err := NewImage(40000, 2, models...)
		if err != nil {
			f.Fatal(err)
		}
		var b []byte
		for _, r := range img.regs {
			b = binary.BigEndian.AppendUint16(b, r)
		}
		f.Add(b)
	}
	f.Add([]byte("SunS\x00\x7c\x00\x18\x13\x88"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &memory{base: 40000}
		if len(b)%2 == 1 { // near the end of all addresses
			m.base = 50000
		}
		for i := 0; i+1 < len(b) && len(m.regs) < 1<<16-m.base; i += 2 {
			m.regs = append(m.regs, binary.BigEndian.Uint16(b[i:]))
		}
		limit := 0
		if len(b) > 0 {
			limit = int(b[len(b)-1])
		}
		d, err := OpenWith(t.Context(), m, 1, Options{MaxRegisters: limit})
		if err != nil {
			return
		}
		if s, err := d.Read(t.Context()); err == nil {
			if s.SoC < -1 || s.SoC > 1000 {
				t.Errorf("state of charge %d", s.SoC)
			}
			for name, e := range s.Registers {
				if e < 0 {
					t.Errorf("register %s is %d", name, e)
				}
			}
			for name, e := range s.Coarse {
				if _, ok := s.Registers[name]; !ok || e <= energy.WattHour {
					t.Errorf("register %s counts in steps of %d", name, e)
				}
			}
			if (s.Quality == energy.Good) != (s.Reason == "") {
				t.Errorf("quality %s, reason %q", s.Quality, s.Reason)
			}
		}
		if points, err := d.Points(t.Context()); err == nil {
			for _, p := range points {
				_ = p.String()
			}
		}
		if p, err := device.Probe(t.Context(), 1, d); err == nil && len(p.Points) > 8192 {
			t.Errorf("%d points of %d registers", len(p.Points), len(m.regs))
		}
		for _, c := range d.Controls() {
			_ = d.Apply(t.Context(), device.Command{Quantity: c.Quantity, Value: -3_000_000, Reversion: min(time.Minute, c.MostReversion)})
		}
		_, _ = d.Applied(t.Context())
		_ = d.Release(t.Context())
		// Each register some ten times, in the smallest reads, and the walks.
		most := 12*(len(m.regs)/leastRegisters) + 12*6*(mostModels+4) + 500
		if m.asked > most {
			t.Errorf("%d requests", m.asked)
		}
	})
}

// FuzzDecode decodes any registers by any table.
func FuzzDecode(f *testing.F) {
	f.Add(uint16(714), []byte{2, 202, 0, 43})
	f.Add(uint16(701), make([]byte, 310))
	f.Fuzz(func(t *testing.T, id uint16, b []byte) {
		m, ok := Lookup(id)
		if !ok {
			return
		}
		var regs []uint16
		for i := 0; i+1 < len(b); i += 2 {
			regs = append(regs, binary.BigEndian.Uint16(b[i:]))
		}
		for _, v := range (Block{Model: m, Regs: regs}).Values() {
			_ = v.neutral(id, 0).String()
			if _, ok := v.In(milli); ok && !v.Implemented {
				t.Errorf("%+v has no value but a number", v)
			}
		}
	})
}
