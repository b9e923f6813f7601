// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"fmt"
	"slices"
)

// Limits of one request, from the Modbus application protocol 1.1b3, section 6.
const (
	MaxRead       = 125  // registers
	MaxWrite      = 123  // registers
	MaxReadBits   = 2000 // coils or discrete inputs
	MaxWriteCoils = 1968
)

// Function codes, from section 6 of the same.
const (
	readCoils      uint8 = 1
	readDiscrete   uint8 = 2
	readHolding    uint8 = 3
	readInput      uint8 = 4
	writeCoil      uint8 = 5
	writeRegister  uint8 = 6
	writeCoils     uint8 = 15
	writeRegisters uint8 = 16
)

// request is one exchange somebody waits for.
type request struct {
	ctx      context.Context // a request travels to the owner with its caller's context
	function uint8
	unit     uint8
	addr     uint16
	count    uint16
	values   []uint16   // to write
	bits     []bool     // to write
	reply    chan reply // holds one, so that the owner never waits for a caller who left
}

func (r *request) writes() bool { return r.function >= writeCoil }

type reply struct {
	values []uint16
	bits   []bool
	err    error
}

// ReadHolding reads n holding registers from addr on (function 3), n from 1 to
// [MaxRead]. Each exchange takes at most [Config.Timeout], and as much again
// where it has to connect first; ctx bounds the time in the queue as well.
func (b *Bus) ReadHolding(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error) {
	got := b.exchange(request{ctx: ctx, function: readHolding, unit: unit, addr: addr, count: n}, int(n), MaxRead)
	return got.values, got.err
}

// ReadInput reads n input registers from addr on (function 4), as ReadHolding does.
func (b *Bus) ReadInput(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error) {
	got := b.exchange(request{ctx: ctx, function: readInput, unit: unit, addr: addr, count: n}, int(n), MaxRead)
	return got.values, got.err
}

// ReadCoils reads n coils from addr on (function 1), n from 1 to [MaxReadBits].
func (b *Bus) ReadCoils(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error) {
	got := b.exchange(request{ctx: ctx, function: readCoils, unit: unit, addr: addr, count: n}, int(n), MaxReadBits)
	return got.bits, got.err
}

// ReadDiscrete reads n discrete inputs from addr on (function 2), n from 1 to [MaxReadBits].
func (b *Bus) ReadDiscrete(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error) {
	got := b.exchange(request{ctx: ctx, function: readDiscrete, unit: unit, addr: addr, count: n}, int(n), MaxReadBits)
	return got.bits, got.err
}

// WriteRegisters writes values from addr on (function 16), at most [MaxWrite].
func (b *Bus) WriteRegisters(ctx context.Context, unit uint8, addr uint16, values []uint16) error {
	return b.exchange(request{
		ctx: ctx, function: writeRegisters, unit: unit, addr: addr, count: uint16(min(len(values), 1<<15)),
		values: slices.Clone(values), // the caller may go on while we write
	}, len(values), MaxWrite).err
}

// WriteRegister writes one register by function 6: some devices refuse function
// 16 for a single register (Kostal), others know nothing else.
func (b *Bus) WriteRegister(ctx context.Context, unit uint8, addr, value uint16) error {
	return b.exchange(request{
		ctx: ctx, function: writeRegister, unit: unit, addr: addr, count: 1, values: []uint16{value},
	}, 1, 1).err
}

// WriteCoil switches one coil by function 5.
func (b *Bus) WriteCoil(ctx context.Context, unit uint8, addr uint16, on bool) error {
	return b.exchange(request{
		ctx: ctx, function: writeCoil, unit: unit, addr: addr, count: 1, bits: []bool{on},
	}, 1, 1).err
}

// WriteCoils switches coils from addr on by function 15, at most [MaxWriteCoils].
func (b *Bus) WriteCoils(ctx context.Context, unit uint8, addr uint16, on []bool) error {
	return b.exchange(request{
		ctx: ctx, function: writeCoils, unit: unit, addr: addr, count: uint16(min(len(on), 1<<15)), bits: slices.Clone(on),
	}, len(on), MaxWriteCoils).err
}

// exchange checks that n is at most most and asks the owner; its error says what was asked.
func (b *Bus) exchange(req request, n, most int) reply {
	var got reply
	if n < 1 || n > most || int(req.addr)+n > 1<<16 {
		got.err = fmt.Errorf("%w: 1 to %d of them, up to address 65535", ErrRequest, most)
	} else {
		got = b.ask(req)
	}
	if got.err != nil {
		return reply{err: fmt.Errorf("%s unit %d: %s at %d: %w", b.cfg.URL, req.unit, what(req.function, n), req.addr, got.err)}
	}
	return got
}

// what says in words what a request does.
func what(function uint8, n int) string {
	verb, noun := "reading", "register"
	switch function {
	case readCoils:
		noun = "coil"
	case readDiscrete:
		noun = "discrete input"
	case readInput:
		noun = "input register"
	case writeCoil, writeCoils:
		verb, noun = "writing", "coil"
	case writeRegister, writeRegisters:
		verb = "writing"
	}
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%s %d %s", verb, n, noun)
}

// ask hands req to the owner and waits for its reply. Requests are used again,
// except where the caller left first: then the owner may still hold it.
func (b *Bus) ask(ask request) reply {
	req, ok := b.spare.Get().(*request)
	if !ok {
		req = &request{reply: make(chan reply, 1)}
	}
	ask.reply = req.reply
	*req = ask
	queue := b.reads
	if req.writes() {
		queue = b.writes
	}
	select {
	case queue <- req:
	case <-ask.ctx.Done():
		return reply{err: ask.ctx.Err()}
	case <-b.done:
		return reply{err: ErrClosed}
	}
	select {
	case r := <-ask.reply:
		return b.again(req, r)
	case <-ask.ctx.Done():
		return reply{err: ask.ctx.Err()}
	case <-b.done:
	}
	select { // the owner may have answered just before it ended
	case r := <-ask.reply:
		return r
	default:
		return reply{err: ErrClosed}
	}
}

// again keeps a request for the next one, without what it holds.
func (b *Bus) again(req *request, r reply) reply {
	*req = request{reply: req.reply}
	b.spare.Put(req)
	return r
}
