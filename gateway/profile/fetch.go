// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"context"
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/gateway/plan"
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

// span is what must come in one read: the value and its factor.
func (p *Point) span() Span {
	from, to := *p.Address, *p.Address+p.registers()
	if p.Factor != nil {
		from, to = min(from, *p.Factor), max(to, *p.Factor+1)
	}
	return Span{p.Table, from, to - from}
}

// fetcher reads spans of one unit in few requests. Its plan remembers what the
// device does not take.
type fetcher struct {
	rw   ReadWriter
	unit uint8
	plan *plan.Device
}

func newFetcher(rw ReadWriter, unit uint8, c Connection) *fetcher {
	return &fetcher{rw: rw, unit: unit, plan: plan.NewDevice(plan.Limits{MaxRegisters: uint16(c.MaxRegisters), MaxGap: uint16(c.MaxGap)})}
}

// deviceFailure is the exception by which some devices refuse a block with
// unused registers in it. For a single point it means what it says.
const deviceFailure = 4

// blockRefused makes the plan try the parts of a block.
type blockRefused struct{ error }

// ExceptionCode is "illegal address".
func (blockRefused) ExceptionCode() uint8 { return 2 }

// into reads spans into an image. What the device refuses is noted there; the
// error is one of the connection.
func (f *fetcher) into(ctx context.Context, m *Image, spans []Span) error {
	points := make([]plan.Span, len(spans))
	for i, s := range spans {
		points[i] = plan.Span{Table: plan.Table(s.Table), Addr: s.Addr, Count: s.Count}
	}
	var why uint8
	refused, err := f.plan.Read(points, func(r plan.Read) error {
		err := f.read(ctx, m, Span{Table(r.Table), r.Addr, r.Count})
		code, is := refusal(err)
		if !is {
			return err
		}
		why = code
		if code == deviceFailure && len(r.Points) > 1 {
			return blockRefused{err}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, i := range refused {
		if s := spans[i]; m.refused[s.Table][s.Addr] == "" {
			m.refuse(s.Table, s.Addr, s.Count, fmt.Sprintf("the device refuses %s register %d (exception %d)", s.Table, s.Addr, why))
		}
	}
	return nil
}

func (f *fetcher) read(ctx context.Context, m *Image, s Span) error {
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
