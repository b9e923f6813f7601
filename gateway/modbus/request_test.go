// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"errors"
	"testing"
	"time"
)

// everyFunction reads and writes all tables of one unit and checks each value.
func everyFunction(t *testing.T, b *Bus, unit uint8) {
	t.Helper()
	ctx := t.Context()
	for _, r := range []struct{ addr, n uint16 }{{0, 1}, {40000, MaxRead}, {65534, 2}} {
		holding, err := b.ReadHolding(ctx, unit, r.addr, r.n)
		input, err2 := b.ReadInput(ctx, unit, r.addr, r.n)
		if err != nil || err2 != nil || len(holding) != int(r.n) || len(input) != int(r.n) {
			t.Fatalf("%d at %d: %v, %v", r.n, r.addr, err, err2)
		}
		for i := range int(r.n) {
			if holding[i] != tableValue(unit, 3, int(r.addr)+i) || input[i] != tableValue(unit, 4, int(r.addr)+i) {
				t.Fatalf("register %d: holding %d, input %d", int(r.addr)+i, holding[i], input[i])
			}
		}
	}
	for _, r := range []struct{ addr, n uint16 }{{3, 1}, {100, 9}, {1000, MaxReadBits}} {
		coils, err := b.ReadCoils(ctx, unit, r.addr, r.n)
		inputs, err2 := b.ReadDiscrete(ctx, unit, r.addr, r.n)
		if err != nil || err2 != nil || len(coils) != int(r.n) || len(inputs) != int(r.n) {
			t.Fatalf("%d bits at %d: %v, %v", r.n, r.addr, err, err2)
		}
		for i := range int(r.n) {
			if coils[i] != tableBit(unit, 1, int(r.addr)+i) || inputs[i] != tableBit(unit, 2, int(r.addr)+i) {
				t.Fatalf("bit %d: coil %v, input %v", int(r.addr)+i, coils[i], inputs[i])
			}
		}
	}
	everyWrite(t, b, unit)
}

// everyWrite writes by all four functions and reads it back.
func everyWrite(t *testing.T, b *Bus, unit uint8) {
	t.Helper()
	ctx := t.Context()
	err := errors.Join(
		b.WriteRegister(ctx, unit, 7, 0x1234), b.WriteRegisters(ctx, unit, 8, []uint16{5, 6}),
		b.WriteCoil(ctx, unit, 20, true), b.WriteCoil(ctx, unit, 21, false), b.WriteCoils(ctx, unit, 22, []bool{true, false, true}),
	)
	if err != nil {
		t.Fatal(err)
	}
	regs, err := b.ReadHolding(ctx, unit, 7, 3)
	if err != nil || regs[0] != 0x1234 || regs[1] != 5 || regs[2] != 6 {
		t.Errorf("registers after writing: %x, %v", regs, err)
	}
	bits, err := b.ReadCoils(ctx, unit, 20, 5)
	if err != nil || !bits[0] || bits[1] || !bits[2] || bits[3] || !bits[4] {
		t.Errorf("coils after writing: %v, %v", bits, err)
	}
}

func TestEveryFunction(t *testing.T) {
	s := &slave{}
	b := run(t, Config{URL: "tcp://" + s.overTCP(t), Timeout: 5 * time.Second})
	everyFunction(t, b, 3)
	// What was asked for is what went over the line: function 6 is not 16.
	functions := map[byte]int{}
	for _, a := range s.asked {
		functions[a[1]]++
	}
	for _, f := range []byte{1, 2, 3, 4, 5, 6, 15, 16} {
		if functions[f] == 0 {
			t.Errorf("function %d was never used: %v", f, functions)
		}
	}
}

// A refusal is recognised without importing this package.
func TestRefusalTellsItsCode(t *testing.T) {
	s := &slave{refuse: func(_, function byte, _, _ int) byte { return function }}
	b := run(t, Config{URL: "tcp://" + s.overTCP(t), Timeout: 5 * time.Second})
	_, err := b.ReadInput(t.Context(), 1, 0, 1)
	var refused interface{ ExceptionCode() uint8 }
	if !errors.As(err, &refused) || refused.ExceptionCode() != 4 {
		t.Errorf("a refusal: %v", err)
	}
	if err := b.WriteRegister(t.Context(), 1, 0, 1); !errors.As(err, &refused) || refused.ExceptionCode() != 6 {
		t.Errorf("a refused write: %v", err)
	}
}

func TestBitsOutsideModbusAreNotSent(t *testing.T) {
	b := NewBus(Config{URL: "tcp://127.0.0.1:1"}) // nobody runs it: it must not be asked
	_, coils := b.ReadCoils(t.Context(), 1, 0, MaxReadBits+1)
	_, discrete := b.ReadDiscrete(t.Context(), 1, 65535, 2)
	_, input := b.ReadInput(t.Context(), 1, 0, MaxRead+1)
	for _, err := range []error{coils, discrete, input, b.WriteCoils(t.Context(), 1, 0, nil)} {
		if !errors.Is(err, ErrRequest) {
			t.Errorf("a request outside Modbus: %v", err)
		}
	}
}
