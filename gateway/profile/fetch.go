// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// ReadWriter is the bus as a device of a profile needs it.
type ReadWriter interface {
	ReadHolding(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
	ReadInput(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
	ReadCoils(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error)
	ReadDiscrete(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error)
	WriteRegisters(ctx context.Context, unit uint8, addr uint16, values []uint16) error
	WriteRegister(ctx context.Context, unit uint8, addr, value uint16) error
	WriteCoil(ctx context.Context, unit uint8, addr uint16, on bool) error
}

// Span is a run of registers that belong together.
type Span struct {
	Table Table
	Addr  uint16
	Count uint16
}

func (s Span) end() int { return int(s.Addr) + int(s.Count) }

// span is what must come in one read: the value and its factor.
func (p *Point) span() Span {
	from, to := *p.Address, *p.Address+p.registers()
	if p.Factor != nil {
		from, to = min(from, *p.Factor), max(to, *p.Factor+1)
	}
	return Span{p.Table, from, to - from}
}

// fetcher reads spans of one unit in few requests, and remembers what the
// device does not take.
type fetcher struct {
	rw   ReadWriter
	unit uint8
	most int // registers a read
	gap  int // registers read along that nobody asked for
	// alone are spans that a larger read was refused with.
	alone map[Span]bool
}

func newFetcher(rw ReadWriter, unit uint8, c Connection) *fetcher {
	return &fetcher{
		rw: rw, unit: unit, most: cmp.Or(c.MaxRegisters, mostRead), gap: c.MaxGap,
		alone: map[Span]bool{},
	}
}

// group joins spans into reads.
func (f *fetcher) group(spans []Span) [][]Span {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.Count, b.Count))
	})
	sorted = slices.Compact(sorted)
	var groups [][]Span
	for _, s := range sorted {
		if n := len(groups); n > 0 && !f.alone[s] {
			last := groups[n-1]
			first, reach := last[0], extent(last)
			if !f.alone[first] && first.Table == s.Table && int(s.Addr)-reach <= f.gap && max(reach, s.end())-int(first.Addr) <= f.most {
				groups[n-1] = append(last, s)
				continue
			}
		}
		groups = append(groups, []Span{s})
	}
	return groups
}

func extent(spans []Span) int {
	end := 0
	for _, s := range spans {
		end = max(end, s.end())
	}
	return end
}

// into reads spans into an image. What the device refuses is noted there; the
// error is one of the connection.
func (f *fetcher) into(ctx context.Context, m *Image, spans []Span) error {
	for _, group := range f.group(spans) {
		whole := Span{group[0].Table, group[0].Addr, uint16(extent(group) - int(group[0].Addr))}
		err := f.read(ctx, m, whole)
		code, refused := refusal(err)
		if refused && len(group) > 1 {
			for _, s := range group {
				f.alone[s] = true
			}
			if err = f.into(ctx, m, group); err != nil {
				return err
			}
			continue
		}
		if refused && code <= 3 {
			m.refuse(whole.Table, whole.Addr, whole.Count, fmt.Sprintf("the device refuses %s register %d (exception %d)", whole.Table, whole.Addr, code))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *fetcher) read(ctx context.Context, m *Image, s Span) error {
	for i := range s.Count { // refused before: do not ask again
		if m.refused[s.Table][s.Addr+i] != "" {
			return nil
		}
	}
	var values []uint16
	var err error
	switch s.Table {
	case Holding:
		values, err = f.rw.ReadHolding(ctx, f.unit, s.Addr, s.Count)
	case Input:
		values, err = f.rw.ReadInput(ctx, f.unit, s.Addr, s.Count)
	default:
		values, err = f.bits(ctx, s)
	}
	if err != nil {
		return err
	}
	if len(values) != int(s.Count) {
		return fmt.Errorf("asked for %d registers at %d, got %d", s.Count, s.Addr, len(values))
	}
	m.Set(s.Table, s.Addr, values...)
	return nil
}

func (f *fetcher) bits(ctx context.Context, s Span) ([]uint16, error) {
	read := f.rw.ReadCoils
	if s.Table == Discrete {
		read = f.rw.ReadDiscrete
	}
	bits, err := read(ctx, f.unit, s.Addr, s.Count)
	values := make([]uint16, len(bits))
	for i, on := range bits {
		if on {
			values[i] = 1
		}
	}
	return values, err
}

// refusal tells a device's exception from a broken connection.
func refusal(err error) (code uint8, is bool) {
	type exception interface {
		error
		ExceptionCode() uint8
	}
	if e, ok := errors.AsType[exception](err); ok {
		return e.ExceptionCode(), true
	}
	return 0, false
}
