// SPDX-License-Identifier: AGPL-3.0-or-later

package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// device is a bus with one register image, and a count of what it was asked.
type device struct {
	mu     sync.Mutex
	asked  map[uint8]int // by function
	regs   map[uint16]uint16
	coils  map[uint16]bool
	gate   chan struct{} // not nil: each request takes one
	began  chan struct{} // not nil: told of each request
	failed error
}

type refused uint8

func (refused) Error() string          { return "refused" }
func (r refused) ExceptionCode() uint8 { return uint8(r) }

func (d *device) ask(ctx context.Context, function uint8) error {
	if d.began != nil {
		d.began <- struct{}{}
	}
	if d.gate != nil {
		select {
		case <-d.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked == nil {
		d.asked, d.regs, d.coils = map[uint8]int{}, map[uint16]uint16{}, map[uint16]bool{}
	}
	d.asked[function]++
	return d.failed
}

func (d *device) registers(ctx context.Context, function, unit uint8, addr, n uint16) ([]uint16, error) {
	if err := d.ask(ctx, function); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	values := make([]uint16, n)
	for i := range values {
		at := addr + uint16(i)
		values[i] = at ^ uint16(unit)<<8 ^ uint16(function)<<12
		if v, ok := d.regs[at]; ok && function == readHolding {
			values[i] = v
		}
	}
	return values, nil
}

func (d *device) bits(ctx context.Context, function uint8, addr, n uint16) ([]bool, error) {
	if err := d.ask(ctx, function); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	values := make([]bool, n)
	for i := range values {
		at := addr + uint16(i)
		values[i] = at%3 == uint16(function)-1
		if v, ok := d.coils[at]; ok && function == readCoils {
			values[i] = v
		}
	}
	return values, nil
}

func (d *device) ReadHolding(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error) {
	return d.registers(ctx, readHolding, unit, addr, n)
}

func (d *device) ReadInput(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error) {
	return d.registers(ctx, readInput, unit, addr, n)
}

func (d *device) ReadCoils(ctx context.Context, _ uint8, addr, n uint16) ([]bool, error) {
	return d.bits(ctx, readCoils, addr, n)
}

func (d *device) ReadDiscrete(ctx context.Context, _ uint8, addr, n uint16) ([]bool, error) {
	return d.bits(ctx, readDiscrete, addr, n)
}

func (d *device) write(ctx context.Context, function uint8, addr uint16, values []uint16, on []bool) error {
	if err := d.ask(ctx, function); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, v := range values {
		d.regs[addr+uint16(i)] = v
	}
	for i, v := range on {
		d.coils[addr+uint16(i)] = v
	}
	return nil
}

func (d *device) WriteRegisters(ctx context.Context, _ uint8, addr uint16, values []uint16) error {
	return d.write(ctx, writeRegisters, addr, values, nil)
}

func (d *device) WriteRegister(ctx context.Context, _ uint8, addr, value uint16) error {
	return d.write(ctx, writeRegister, addr, []uint16{value}, nil)
}

func (d *device) WriteCoil(ctx context.Context, _ uint8, addr uint16, on bool) error {
	return d.write(ctx, writeCoil, addr, nil, []bool{on})
}

func (d *device) WriteCoils(ctx context.Context, _ uint8, addr uint16, on []bool) error {
	return d.write(ctx, writeCoils, addr, nil, on)
}

func (d *device) times(function uint8) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[function]
}

func share(t *testing.T, cfg Config, bus Bus) string {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	p, err := Listen(t.Context(), cfg, bus)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p.Addr()
}

// client speaks Modbus TCP by hand.
type client struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, addr string) client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn, t}
}

func (c client) send(transaction uint16, unit byte, pdu ...byte) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint16(nil, transaction)
	b = binary.BigEndian.AppendUint16(append(b, 0, 0), uint16(len(pdu)+1))
	if _, err := c.Write(append(append(b, unit), pdu...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) receive(transaction uint16, unit byte) []byte {
	c.t.Helper()
	head := make([]byte, 7)
	if _, err := io.ReadFull(c, head); err != nil {
		c.t.Fatal(err)
	}
	if binary.BigEndian.Uint16(head) != transaction || head[6] != unit {
		c.t.Fatalf("answer % x, want transaction %d of unit %d", head, transaction, unit)
	}
	pdu := make([]byte, binary.BigEndian.Uint16(head[4:])-1)
	if _, err := io.ReadFull(c, pdu); err != nil {
		c.t.Fatal(err)
	}
	return pdu
}

func (c client) ask(unit byte, pdu ...byte) []byte {
	c.t.Helper()
	c.send(0x1234, unit, pdu...)
	return c.receive(0x1234, unit)
}

func (c client) want(what string, unit byte, pdu, answer []byte) {
	c.t.Helper()
	if got := c.ask(unit, pdu...); !bytes.Equal(got, answer) {
		c.t.Errorf("%s: % x gives % x, want % x", what, pdu, got, answer)
	}
}

func TestAnswersAndRefusals(t *testing.T) {
	d := &device{}
	c := dial(t, share(t, Config{Units: []uint8{1, 2}, Writes: []Range{{First: 10, Last: 12}, {Coils: true, First: 5, Last: 5}}}, d))
	c.want("two holding registers", 2, []byte{3, 0, 5, 0, 2}, []byte{3, 4, 0x32, 5, 0x32, 6})
	c.want("an input register", 1, []byte{4, 0, 5, 0, 1}, []byte{4, 2, 0x41, 5})
	c.want("nine coils", 1, []byte{1, 0, 0, 0, 9}, []byte{1, 2, 0b01001001, 0})
	c.want("discrete inputs", 1, []byte{2, 0, 0, 0, 3}, []byte{2, 1, 0b010})
	c.want("function 6", 1, []byte{6, 0, 10, 0xab, 0xcd}, []byte{6, 0, 10, 0xab, 0xcd})
	c.want("function 16", 1, []byte{16, 0, 11, 0, 2, 4, 0, 1, 0, 2}, []byte{16, 0, 11, 0, 2})
	c.want("what was written", 1, []byte{3, 0, 10, 0, 3}, []byte{3, 6, 0xab, 0xcd, 0, 1, 0, 2})
	c.want("function 5", 1, []byte{5, 0, 5, 0xff, 0}, []byte{5, 0, 5, 0xff, 0})
	c.want("function 15", 1, []byte{15, 0, 5, 0, 1, 1, 0}, []byte{15, 0, 5, 0, 1})
	if d.times(6) != 1 || d.times(16) != 1 || d.times(5) != 1 || d.times(15) != 1 {
		t.Errorf("functions that reached the device: %v", d.asked)
	}

	c.want("a unit that is not allowed", 3, []byte{3, 0, 5, 0, 2}, []byte{0x83, byte(noPath)})
	c.want("a write beside the range", 1, []byte{6, 0, 13, 0, 1}, []byte{0x86, byte(illegalAddress)})
	c.want("a write that begins before it", 1, []byte{16, 0, 9, 0, 2, 4, 0, 1, 0, 2}, []byte{0x90, byte(illegalAddress)})
	c.want("a write that ends behind it", 1, []byte{16, 0, 12, 0, 2, 4, 0, 1, 0, 2}, []byte{0x90, byte(illegalAddress)})
	c.want("a coil of a register's address", 1, []byte{5, 0, 10, 0xff, 0}, []byte{0x85, byte(illegalAddress)})
	c.want("an unknown function", 1, []byte{43, 14, 1, 0, 0}, []byte{0xab, byte(illegalFunction)})
	c.want("no register", 1, []byte{3, 0, 5, 0, 0}, []byte{0x83, byte(illegalValue)})
	c.want("too many registers", 1, []byte{3, 0, 5, 0, 126}, []byte{0x83, byte(illegalValue)})
	c.want("beyond the last address", 1, []byte{3, 0xff, 0xff, 0, 2}, []byte{0x83, byte(illegalAddress)})
	c.want("too short", 1, []byte{3, 0, 5}, []byte{0x83, byte(illegalValue)})
	c.want("a wrong length", 1, []byte{16, 0, 11, 0, 2, 3, 0, 1, 0}, []byte{0x90, byte(illegalValue)})
	c.want("a coil half on", 1, []byte{5, 0, 5, 0x12, 0}, []byte{0x85, byte(illegalValue)})
	if n := d.times(6) + d.times(16) + d.times(5); n != 3 {
		t.Errorf("%d writes reached the device, 3 were allowed", n)
	}
	none := dial(t, share(t, Config{}, d))
	none.want("a write where none is allowed", 1, []byte{6, 0, 10, 0, 1}, []byte{0x86, byte(illegalFunction)})
}

func TestErrorsBecomeExceptions(t *testing.T) {
	for name, e := range map[string]struct {
		err  error
		want exception
	}{
		"the device's own": {refused(4), 4}, "silence": {errors.New("no answer in time"), silent},
		"no turn": {context.DeadlineExceeded, busy},
	} {
		c := dial(t, share(t, Config{}, &device{failed: e.err}))
		c.want(name, 1, []byte{3, 0, 5, 0, 2}, []byte{0x83, byte(e.want)})
	}
}

func TestWhatIsNotModbusIsDropped(t *testing.T) {
	addr := share(t, Config{}, &device{})
	for _, junk := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x01\x00\x00\x00\x01\x01", "\x00\x01\x00\x00\xff\xff\x01"} {
		c := dial(t, addr)
		if _, err := c.Write([]byte(junk)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%q got %d bytes", junk, n)
		}
	}
}

// One client sends a hundred requests ahead; another's single one has its turn
// after one of these, and no client beyond the most gets in.
func TestClientsTakeTurns(t *testing.T) {
	d := &device{gate: make(chan struct{}), began: make(chan struct{}, 200)}
	addr := share(t, Config{MaxClients: 2}, d)
	greedy, modest := dial(t, addr), dial(t, addr)
	for i := range 100 {
		greedy.send(uint16(i), 1, 4, 0, byte(i), 0, 1)
	}
	<-d.began
	modest.send(7, 1, 3, 0, 1, 0, 1)
	<-d.began // both wait now, and neither has more than one request under way
	d.gate <- struct{}{}
	d.gate <- struct{}{}
	d.gate <- struct{}{}
	modest.receive(7, 1)
	if n := d.times(readInput); n > 3 {
		t.Errorf("%d requests of the greedy client went before", n)
	}
	third := dial(t, addr)
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a third client: %v", err)
	}
	close(d.gate)
	for i := range 100 {
		greedy.receive(uint16(i), 1)
	}
}

func TestCache(t *testing.T) {
	d := &device{}
	c := dial(t, share(t, Config{Cache: time.Minute, Writes: []Range{{First: 0, Last: 9}}}, d))
	for range 3 {
		c.want("the same", 1, []byte{3, 0, 5, 0, 1}, []byte{3, 2, 0x31, 5})
	}
	if n := d.times(3); n != 1 {
		t.Errorf("the device was asked %d times", n)
	}
	c.want("another unit", 2, []byte{3, 0, 5, 0, 1}, []byte{3, 2, 0x32, 5})
	c.want("a write", 1, []byte{6, 0, 5, 0, 9}, []byte{6, 0, 5, 0, 9})
	c.want("after the write", 1, []byte{3, 0, 5, 0, 1}, []byte{3, 2, 0, 9})
	if n := d.times(3); n != 3 {
		t.Errorf("the device was asked %d times, want 3", n)
	}
	now := time.Now()
	old := cache{age: time.Second}
	old.put(key{unit: 1}, []byte{1}, now)
	if old.get(key{unit: 1}, now.Add(time.Second)) == nil || old.get(key{unit: 1}, now.Add(time.Second+1)) != nil {
		t.Error("the age of an answer is not bounded")
	}
	old.forget(1)
	old.put(key{unit: 1}, []byte{1}, now)
	if old.get(key{unit: 1}, now) != nil {
		t.Error("an answer from before a write was kept")
	}
}

func TestConfigurationTeaches(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		says string
	}{
		{Config{Listen: "1502"}, ":1502"}, {Config{Listen: ":0", MaxClients: 999}, "at most 256"}, {Config{Listen: ":0", Cache: time.Hour}, "at most 1m"},
	} {
		if _, err := Listen(t.Context(), c.cfg, nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
	addr := share(t, Config{}, &device{})
	if _, err := Listen(t.Context(), Config{Listen: addr}, nil); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a port in use: %v", err)
	}
	for s, want := range map[string]Range{"5": {false, 5, 5}, "40236-40240": {false, 40236, 40240}, "coil:1-2": {true, 1, 2}, "holding:7": {false, 7, 7}} {
		got, err := ParseRange(s)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
		if again, err := ParseRange(got.String()); err != nil || again != got {
			t.Errorf("%s written and read: %v, %v", s, again, err)
		}
	}
	for _, s := range []string{"", "-", "5-4", "65536", "input:5", "coil:", "1-2-3", "+5", "0x10"} {
		if r, err := ParseRange(s); err == nil || !strings.Contains(err.Error(), "40236-40240") {
			t.Errorf("%q: %v, %v", s, r, err)
		}
	}
}

// program is an independent client; without it the test is skipped on a
// developer's machine and fails in integration.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(name + " is not installed: `make needs` installs it")
	}
	return path
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestMbpoll(t *testing.T) {
	mbpoll := program(t, "mbpoll")
	d := &device{}
	host, port, _ := strings.Cut(share(t, Config{Writes: []Range{{First: 30, Last: 31}}}, d), ":")
	base := []string{"-m", "tcp", "-p", port, "-a", "2", "-0", "-1"}
	if out := output(t, mbpoll, append(base, "-r", "20", "-c", "3", "-t", "3", host)...); !strings.Contains(out, "[21]: \t16917") {
		t.Errorf("input registers: %s", out) // 0x4215
	}
	if out := output(t, mbpoll, append(base, "-r", "30", "-t", "4", host, "11", "12")...); !strings.Contains(out, "Written 2 references") {
		t.Errorf("writing: %s", out)
	}
	if out := output(t, mbpoll, append(base, "-r", "30", "-c", "2", "-t", "4", host)...); !strings.Contains(out, "[31]: \t12") {
		t.Errorf("holding registers: %s", out)
	}
}

const pymodbusScript = `
import sys
from pymodbus.client import ModbusTcpClient
c = ModbusTcpClient(sys.argv[1], port=int(sys.argv[2]))
assert c.connect()
r = c.read_holding_registers(100, 125, slave=3)
assert not r.isError(), r
assert r.registers == [(100 + i) ^ 0x3300 for i in range(125)], r.registers
r = c.read_coils(0, 20, slave=3)
assert [i for i in range(20) if r.bits[i]] == [0, 3, 6, 9, 12, 15, 18], r.bits
r = c.write_register(5, 77, slave=3)
assert not r.isError(), r
r = c.write_registers(6, [78, 79], slave=3)
assert not r.isError(), r
assert c.read_holding_registers(5, 3, slave=3).registers == [77, 78, 79]
r = c.write_register(8, 1, slave=3)
assert r.isError() and r.exception_code == 2, r
r = c.read_holding_registers(1, 1, slave=4)
assert r.isError() and r.exception_code == 10, r
print("fine")
`

func TestPymodbus(t *testing.T) {
	python := program(t, "/usr/bin/python3")
	if err := exec.CommandContext(t.Context(), python, "-c", "import pymodbus, serial_asyncio").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("pymodbus is not installed")
		}
		t.Skip("python3-pymodbus is not installed: `make needs` installs it")
	}
	host, port, _ := strings.Cut(share(t, Config{Units: []uint8{3}, Writes: []Range{{First: 5, Last: 7}}}, &device{}), ":")
	if out := output(t, python, "-c", pymodbusScript, host, port); !strings.Contains(out, "fine") {
		t.Errorf("pymodbus: %s", out)
	}
}

// Whatever a client sends is answered or refused, and never grows.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 6, 1, 3, 0, 5, 0, 2})
	f.Add([]byte{0, 1, 0, 0, 0, 11, 1, 16, 0, 11, 0, 2, 4, 0, 1, 0, 2})
	f.Add([]byte{0, 1, 0, 0, 0, 8, 1, 15, 0, 11, 0, 2, 1, 3})
	f.Add([]byte{0, 1, 0, 0, 0, 2, 1, 7, 0, 1, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, buf := bytes.NewReader(b), make([]byte, headSize+mostPDU)
		for {
			fr, err := readFrame(r, buf)
			if err != nil {
				return
			}
			q, err := parse(fr.pdu)
			if err != nil {
				continue
			}
			pdu := q.answer(make([]uint16, q.count), make([]bool, q.count))
			if len(pdu) > mostPDU || pdu[0] != q.function || q.count < 1 || int(q.addr)+int(q.count) > 1<<16 {
				t.Fatalf("%+v gives % x", q, pdu)
			}
			if q.writes() && len(q.values)+len(q.bits) != int(q.count) {
				t.Fatalf("%+v has %d values", q, len(q.values)+len(q.bits))
			}
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("40236-40240")
	f.Add("coil:1")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s)
		if err != nil {
			return
		}
		if again, err := ParseRange(r.String()); err != nil || again != r || r.First > r.Last {
			t.Fatalf("%q: %v, then %v, %v", s, r, again, err)
		}
	})
}
