// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"
)

// Reader reads holding registers.
type Reader interface {
	ReadHolding(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
}

// Writer writes holding registers.
type Writer interface {
	WriteRegisters(ctx context.Context, unit uint8, addr uint16, values []uint16) error
}

// ReadWriter is both; *modbus.Bus is one.
type ReadWriter interface {
	Reader
	Writer
}

// ErrNotSunSpec is wrapped when no base address carries the SunSpec marker.
var ErrNotSunSpec = errors.New("no SunSpec marker found")

// mostModels bounds the chain; real devices have up to some thirty models.
const mostModels = 64

// Entry is a model's place in the chain.
type Entry struct {
	ID      uint16
	Address uint16 // of the id
	Length  uint16 // registers after the length
}

// Chain is what a device says it has.
type Chain struct {
	Base   uint16
	Models []Entry
	// Broken says why the chain was not followed to its end; empty if it was.
	// What was found before may be used.
	Broken string
}

// Find is the first model of the chain with one of the ids, in the ids' order.
func (c Chain) Find(ids ...uint16) (Entry, bool) {
	for _, id := range ids {
		for _, e := range c.Models {
			if e.ID == id {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// bases are where the marker may be, the usual one first (SunSpec Information
// Model Specification, "Device Modbus map").
func bases() []uint16 { return []uint16{40000, 0, 50000} }

// Discover finds the marker and walks the chain of models. It asks for two
// registers at a time, at most once for each base and for each of 64 models. A
// chain that is broken is returned as far as it goes, with the reason.
func Discover(ctx context.Context, r Reader, unit uint8) (Chain, error) {
	var first error
	for _, base := range bases() {
		regs, err := readExactly(ctx, r, unit, base, headerLen)
		if ctx.Err() != nil {
			return Chain{}, fmt.Errorf("looking for SunSpec on unit %d: %w", unit, ctx.Err())
		}
		if err != nil {
			if first == nil {
				first = err // some devices refuse, others stay silent where there is nothing
			}
			continue
		}
		if regs[0] == sunSpecMarkerOne && regs[1] == sunSpecMarkerTwo {
			return walk(ctx, r, unit, base)
		}
	}
	if first != nil {
		return Chain{}, fmt.Errorf("unit %d: %w; so there is %w at 40000, 0 or 50000: check power, cable, address and unit id", unit, first, ErrNotSunSpec)
	}
	return Chain{}, fmt.Errorf("unit %d: %w at 40000, 0 or 50000; the device answers, so check its unit id or switch SunSpec on in it", unit, ErrNotSunSpec)
}

// walk follows the chain from the marker at base.
func walk(ctx context.Context, r Reader, unit uint8, base uint16) (Chain, error) {
	c := Chain{Base: base}
	addr := int(base) + headerLen
	for {
		switch {
		case addr+headerLen > 1<<16:
			c.Broken = "the lengths lead past the last address"
			return c, nil
		case len(c.Models) == mostModels:
			c.Broken = fmt.Sprintf("no end marker after %d models", mostModels)
			return c, nil
		}
		regs, err := readExactly(ctx, r, unit, uint16(addr), headerLen)
		if err != nil {
			if ctx.Err() != nil || len(c.Models) == 0 {
				return Chain{}, fmt.Errorf("unit %d: reading the SunSpec chain: %w", unit, err)
			}
			c.Broken = fmt.Sprintf("no model header at %d: %v", addr, err)
			return c, nil
		}
		if regs[0] == endOfChain {
			return c, nil
		}
		if regs[0] == 0 {
			c.Broken = fmt.Sprintf("no model header at %d: id 0", addr)
			return c, nil
		}
		c.Models = append(c.Models, Entry{ID: regs[0], Address: uint16(addr), Length: regs[1]})
		addr += headerLen + int(regs[1])
	}
}

// readExactly guards against a reader that brings another number of registers.
func readExactly(ctx context.Context, r Reader, unit uint8, addr, n uint16) ([]uint16, error) {
	regs, err := r.ReadHolding(ctx, unit, addr, n)
	if err != nil {
		return nil, err
	}
	if len(regs) != int(n) {
		return nil, fmt.Errorf("asked for %d registers at %d, got %d", n, addr, len(regs))
	}
	return regs, nil
}
