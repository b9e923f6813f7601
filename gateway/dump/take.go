// SPDX-License-Identifier: AGPL-3.0-or-later

package dump

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reader reads the four tables of a bus; *modbus.Bus is one.
type Reader interface {
	ReadHolding(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
	ReadInput(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
	ReadCoils(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error)
	ReadDiscrete(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error)
}

// Options say how to read.
type Options struct {
	// Block is the most registers in one request; 0: 100, which most devices take.
	Block int
	// Pause is the quiet between two requests; 0: none.
	Pause time.Duration
	// Progress is told after each block how many addresses are done; nil: nobody is.
	Progress func(done, total int64)
}

// Bounds of taking an image.
const (
	defaultBlock = 100
	mostBlock    = 125
	// mostSilent requests in a row without any answer end it: the device is
	// gone, and asking on would only keep the line busy.
	mostSilent = 3
)

// ErrSilent says that the device has stopped answering.
var ErrSilent = errors.New("the device does not answer any more")

// Take reads ranges of a unit and hands over each block. A refusal is part of
// the image: the block is asked for again in smaller pieces, down to the single
// address, so that the image shows which addresses there are. An address that
// is refused at both ends and in the middle of a piece is taken for a gap, which
// spares the device hundreds of requests.
func Take(ctx context.Context, r Reader, unit uint8, ranges []Range, o Options, each func(Block) error) error {
	t := taker{ctx: ctx, from: r, unit: unit, o: o, each: each}
	if t.o.Block <= 0 {
		t.o.Block = defaultBlock
	}
	t.o.Block = min(t.o.Block, mostBlock)
	for _, a := range ranges {
		t.total += int64(a.Count)
	}
	for _, a := range ranges {
		for done := 0; done < a.Count; done += t.o.Block {
			n := min(t.o.Block, a.Count-done)
			if err := t.piece(a.Table, int(a.Address)+done, n); err != nil {
				return err
			}
		}
	}
	return t.flush()
}

type taker struct {
	ctx     context.Context // of the one call of Take
	from    Reader
	unit    uint8
	o       Options
	each    func(Block) error
	total   int64
	done    int64
	silent  int
	pending Block // refusals that may go on
}

// piece reads n addresses, in one request if the device lets us.
func (t *taker) piece(table Table, at, n int) error {
	values, code, err := t.ask(table, at, n)
	switch {
	case err != nil:
		return err
	case code == 0:
		return t.give(Block{Unit: t.unit, Table: table, Address: uint16(at), Values: values})
	case n == 1:
		return t.give(Block{Unit: t.unit, Table: table, Address: uint16(at), Count: 1, Exception: code})
	}
	if n > 3 {
		gap, err := t.isGap(table, at, n)
		if err != nil {
			return err
		}
		if gap {
			return t.give(Block{Unit: t.unit, Table: table, Address: uint16(at), Count: n, Exception: code})
		}
	}
	half := n / 2
	if err := t.piece(table, at, half); err != nil {
		return err
	}
	return t.piece(table, at+half, n-half)
}

// isGap asks for the first, the middle and the last address of a refused piece.
func (t *taker) isGap(table Table, at, n int) (bool, error) {
	for _, a := range []int{at, at + n/2, at + n - 1} {
		_, code, err := t.ask(table, a, 1)
		if err != nil || code == 0 {
			return false, err
		}
	}
	return true, nil
}

// ask does one request. A refusal is a code, not an error.
func (t *taker) ask(table Table, at, n int) ([]uint16, uint8, error) {
	for {
		if err := sleep(t.ctx, t.o.Pause); err != nil {
			return nil, 0, err
		}
		values, err := t.read(table, uint16(at), uint16(n))
		if err == nil && len(values) != n {
			err = fmt.Errorf("asked for %d values of %s at %d, got %d", n, table, at, len(values))
		}
		var refused interface{ ExceptionCode() uint8 }
		switch {
		case err == nil:
			t.silent = 0
			return values, 0, nil
		case errors.As(err, &refused):
			t.silent = 0
			return nil, refused.ExceptionCode(), nil
		case t.ctx.Err() != nil:
			return nil, 0, t.ctx.Err()
		}
		// Once more: the bus connects anew after a timeout.
		if t.silent++; t.silent >= mostSilent {
			return nil, 0, fmt.Errorf("%w at %s %d: %w", ErrSilent, table, at, err)
		}
	}
}

func (t *taker) read(table Table, at, n uint16) ([]uint16, error) {
	var bits []bool
	var err error
	switch table {
	case Holding:
		return t.from.ReadHolding(t.ctx, t.unit, at, n)
	case Input:
		return t.from.ReadInput(t.ctx, t.unit, at, n)
	case Coil:
		bits, err = t.from.ReadCoils(t.ctx, t.unit, at, n)
	case Discrete:
		bits, err = t.from.ReadDiscrete(t.ctx, t.unit, at, n)
	}
	if err != nil {
		return nil, err
	}
	values := make([]uint16, len(bits))
	for i, on := range bits {
		if on {
			values[i] = 1
		}
	}
	return values, nil
}

// give hands a block over. Refusals that follow each other become one.
func (t *taker) give(b Block) error {
	t.done += int64(b.Len())
	if t.o.Progress != nil {
		t.o.Progress(t.done, t.total)
	}
	p := &t.pending
	if p.Count > 0 && b.Exception == p.Exception && b.Table == p.Table && int(b.Address) == int(p.Address)+p.Count {
		p.Count += b.Count
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	if b.Exception != 0 {
		t.pending = b
		return nil
	}
	return t.each(b)
}

func (t *taker) flush() error {
	if t.pending.Count == 0 {
		return nil
	}
	b := t.pending
	t.pending = Block{}
	return t.each(b)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
