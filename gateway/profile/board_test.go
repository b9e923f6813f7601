// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/allmende-energy/allmende/gateway/profile"
)

// refused is a device's exception.
type refused uint8

func (r refused) Error() string        { return fmt.Sprintf("exception %d", uint8(r)) }
func (r refused) ExceptionCode() uint8 { return uint8(r) }

// board is a device made of an image. It refuses what is not in it, keeps what
// was asked of it, and may do something of its own after a write.
type board struct {
	img     *profile.Image
	asked   []profile.Span
	wrote   []written
	onWrite func(b *board, w written) error
	fail    error // instead of an answer
	gap     uint8 // the exception for what is not there; 0: 2
}

type written struct {
	table    profile.Table
	function int
	addr     uint16
	values   []uint16
}

func (b *board) read(ctx context.Context, t profile.Table, addr, n uint16) ([]uint16, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.fail != nil {
		return nil, b.fail
	}
	b.asked = append(b.asked, profile.Span{Table: t, Addr: addr, Count: n})
	regs, err := b.img.Get(t, addr, n)
	if err != nil {
		return nil, refused(max(b.gap, 2))
	}
	return regs, nil
}

func (b *board) bits(ctx context.Context, t profile.Table, addr, n uint16) ([]bool, error) {
	regs, err := b.read(ctx, t, addr, n)
	bits := make([]bool, len(regs))
	for i, r := range regs {
		bits[i] = r != 0
	}
	return bits, err
}

func (b *board) write(w written) error {
	b.wrote = append(b.wrote, w)
	if b.onWrite != nil {
		return b.onWrite(b, w)
	}
	b.img.Set(w.table, w.addr, w.values...)
	return nil
}

func (b *board) ReadHolding(ctx context.Context, _ uint8, addr, n uint16) ([]uint16, error) {
	return b.read(ctx, profile.Holding, addr, n)
}

func (b *board) ReadInput(ctx context.Context, _ uint8, addr, n uint16) ([]uint16, error) {
	return b.read(ctx, profile.Input, addr, n)
}

func (b *board) ReadCoils(ctx context.Context, _ uint8, addr, n uint16) ([]bool, error) {
	return b.bits(ctx, profile.Coil, addr, n)
}

func (b *board) ReadDiscrete(ctx context.Context, _ uint8, addr, n uint16) ([]bool, error) {
	return b.bits(ctx, profile.Discrete, addr, n)
}

func (b *board) WriteRegisters(_ context.Context, _ uint8, addr uint16, values []uint16) error {
	return b.write(written{profile.Holding, 16, addr, values})
}

func (b *board) WriteRegister(_ context.Context, _ uint8, addr, value uint16) error {
	return b.write(written{profile.Holding, 6, addr, []uint16{value}})
}

func (b *board) WriteCoil(_ context.Context, _ uint8, addr uint16, on bool) error {
	v := uint16(0)
	if on {
		v = 1
	}
	return b.write(written{profile.Coil, 5, addr, []uint16{v}})
}

// library is that of the program.
func library(t testing.TB) *profile.Library {
	t.Helper()
	lib, err := profile.LoadLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	return lib
}
