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

// Writer writes holding registers: several with function 16, one with function 6.
type Writer interface {
	WriteRegisters(ctx context.Context, unit uint8, addr uint16, values []uint16) error
	WriteRegister(ctx context.Context, unit uint8, addr, value uint16) error
}

// ReadWriter is both; *modbus.Bus is one. An error that is the device's own
// refusal has a method ExceptionCode() uint8.
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
	Length  uint16 // registers after the length, as the device says
}

// Chain is what a device says it has.
type Chain struct {
	Base   uint16
	Models []Entry
	// Broken says why the chain was not followed to its end; empty if it was.
	// What was found before may be used.
	Broken string
	// Remarks say what is odd about the rest.
	Remarks []string
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
// registers at a time, once for each base and for each of at most 64 models, and
// a few times more where a length is wrong. A chain that is broken is returned
// as far as it goes, with the reason.
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
			w := walker{r: r, unit: unit, chain: Chain{Base: base}}
			return w.walk(ctx)
		}
	}
	if first != nil {
		return Chain{}, fmt.Errorf("unit %d: %w; so there is %w at 40000, 0 or 50000: check power, cable, address and unit id", unit, first, ErrNotSunSpec)
	}
	return Chain{}, fmt.Errorf("unit %d: %w at 40000, 0 or 50000; the device answers, so check its unit id or switch SunSpec on in it", unit, ErrNotSunSpec)
}

// walker follows a chain.
type walker struct {
	r     Reader
	unit  uint8
	chain Chain
}

// header is what stands where a model should begin.
type header struct {
	id, length uint16
	at         int
	err        error
}

// walk follows the chain from behind the marker.
func (w *walker) walk(ctx context.Context) (Chain, error) {
	h := w.header(ctx, int(w.chain.Base)+headerLen)
	for {
		if ctx.Err() != nil {
			return Chain{}, fmt.Errorf("unit %d: reading the SunSpec chain: %w", w.unit, ctx.Err())
		}
		if h.err != nil && len(w.chain.Models) == 0 {
			return Chain{}, fmt.Errorf("unit %d: reading the SunSpec chain: %w", w.unit, h.err)
		}
		if h.err == nil && h.id == endOfChain {
			return w.chain, nil
		}
		switch {
		case h.at+headerLen > 1<<16:
			w.chain.Broken = "the lengths lead past the last address"
		case h.err != nil:
			w.chain.Broken = fmt.Sprintf("no model header at %d: %v", h.at, h.err)
		case h.id == 0: // Kostal ends its chain so
			w.chain.Broken = fmt.Sprintf("no model header at %d: id 0", h.at)
		case len(w.chain.Models) == mostModels:
			w.chain.Broken = fmt.Sprintf("no end marker after %d models", mostModels)
		}
		if w.chain.Broken != "" {
			return w.chain, nil
		}
		e := Entry{ID: h.id, Address: uint16(h.at), Length: h.length}
		w.chain.Models = append(w.chain.Models, e)
		h = w.next(ctx, e)
	}
}

var errPast = errors.New("it is past the last address")

// header reads what stands at addr. Where two registers are refused one may
// still be there: a chain that ends in a single one (Kostal).
func (w *walker) header(ctx context.Context, addr int) header {
	h := header{at: addr}
	if addr+headerLen > 1<<16 {
		h.err = errPast
		return h
	}
	regs, err := readExactly(ctx, w.r, w.unit, uint16(addr), headerLen)
	if refused(err) {
		if one, e := readExactly(ctx, w.r, w.unit, uint16(addr), 1); e == nil && (one[0] == endOfChain || one[0] == 0) {
			h.id = one[0]
			return h
		}
	}
	if err != nil {
		h.err = err
		return h
	}
	h.id, h.length = regs[0], regs[1]
	return h
}

// How much a header looks like one.
const (
	nothing  = iota // unreadable, or id 0
	unlikely        // an id that SunSpec has not given out, or a marker with a length
	likely
	certain // a model as its definition has it, or the end marker
)

func (h header) grade() int {
	m, known := Lookup(h.id)
	switch {
	case h.err != nil || h.id == 0:
		return nothing
	case h.id == endOfChain && h.length == 0:
		return certain
	case h.id == endOfChain || h.at+headerLen+int(h.length) > 1<<16:
		return unlikely
	case known && m.fits(h.length):
		return certain
	case h.id < 1000 || h.id >= 63000: // standard models, and those of vendors
		return likely
	}
	return unlikely
}

// fits says that length is what the model's definition says, or may be where
// its groups repeat.
func (m *Model) fits(length uint16) bool {
	want, fixed := m.fixed()
	if !fixed {
		return int(length)+headerLen >= m.Size()
	}
	// Model 1 once had no padding at its end; Fronius and others keep that.
	return int(length) == want || m.ID == Common && int(length) == want-1
}

// next is the header behind e. Where the device's own length is not that of the
// definition, and leads to nothing that is a header for certain, it is looked for
// where the definition ends; where it leads to nothing that looks like one, also
// where it is if the length counts one register or its own header too many. Only
// a header that is right in every respect is believed there.
func (w *walker) next(ctx context.Context, e Entry) header {
	m, known := Lookup(e.ID)
	want := 0
	if known {
		want, known = m.fixed()
	}
	if known && !m.fits(e.Length) {
		rest := "the points beyond it are left out"
		if int(e.Length) > want {
			rest = "what is behind the definition is left out"
		}
		w.remark("model %d at %d says that it has %d registers, its definition has %d: %s", e.ID, e.Address, e.Length, want, rest)
	}
	begin := int(e.Address) + headerLen
	said := w.header(ctx, begin+int(e.Length))
	grade := said.grade()
	if grade == certain || grade == likely && (!known || m.fits(e.Length)) || ctx.Err() != nil {
		return said
	}
	var tries []int
	if known {
		tries = append(tries, want)
	}
	if grade < likely {
		tries = append(tries, int(e.Length)-headerLen, int(e.Length)-1, int(e.Length)+1)
	}
	for _, length := range tries {
		if length < 0 || length == int(e.Length) {
			continue
		}
		h := w.header(ctx, begin+length)
		if ctx.Err() != nil {
			return said
		}
		// Registers that are not implemented look like an end marker.
		if h.grade() == certain && (h.id != endOfChain || known && length == want) {
			w.remark("model %d at %d says that it has %d registers, but the next model is found after %d", e.ID, e.Address, e.Length, length)
			return h
		}
	}
	return said
}

func (w *walker) remark(format string, args ...any) {
	w.chain.Remarks = append(w.chain.Remarks, fmt.Sprintf(format, args...))
}

// refused says that err is the device's own answer that there is no such
// address or that it is asked for too many registers.
func refused(err error) bool {
	code, ok := exception(err)
	return ok && (code == illegalAddress || code == illegalValue)
}

// Exception codes of the Modbus application protocol.
const (
	illegalFunction uint8 = 1
	illegalAddress  uint8 = 2
	illegalValue    uint8 = 3
)

func exception(err error) (uint8, bool) {
	var e interface{ ExceptionCode() uint8 }
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.ExceptionCode(), true
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
