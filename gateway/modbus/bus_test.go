// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv("MODBUS_BENCH_CHILD"); kind != "" {
		benchChild(kind)
	}
	goleak.VerifyTestMain(m)
}

// memory is a handler whose every register tells unit and address, until written.
type memory struct {
	mu      sync.Mutex
	written map[[2]uint16]uint16
}

func valueAt(unit uint8, addr uint16) uint16 { return addr ^ uint16(unit)<<8 }

func (m *memory) ReadHolding(unit uint8, addr, n uint16) ([]uint16, error) {
	switch unit {
	case 99:
		return nil, fmt.Errorf("no such unit: %w", ErrException{Code: TargetSilent})
	case 98:
		return nil, errors.New("some trouble of its own")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	values := make([]uint16, n)
	for i := range values {
		values[i] = valueAt(unit, addr+uint16(i))
		if v, ok := m.written[[2]uint16{uint16(unit), addr + uint16(i)}]; ok {
			values[i] = v
		}
	}
	return values, nil
}

func (m *memory) WriteRegisters(unit uint8, addr uint16, values []uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.written == nil {
		m.written = map[[2]uint16]uint16{}
	}
	for i, v := range values {
		m.written[[2]uint16{uint16(unit), addr + uint16(i)}] = v
	}
	return nil
}

// serve starts a server that closes with the test.
func serve(t *testing.T, h Handler) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run starts a bus that ends with the test.
func run(t *testing.T, cfg Config) *Bus {
	t.Helper()
	b := NewBus(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestReadAndWrite(t *testing.T) {
	b := run(t, Config{URL: "tcp://" + serve(t, &memory{}).Addr(), Timeout: 5 * time.Second})
	got, err := b.ReadHolding(t.Context(), 3, 40000, MaxRead)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if want := valueAt(3, 40000+uint16(i)); v != want {
			t.Fatalf("register %d is %d, want %d", 40000+i, v, want)
		}
	}
	if err := b.WriteRegisters(t.Context(), 3, 40001, []uint16{7, 0x8000}); err != nil {
		t.Fatal(err)
	}
	got, err = b.ReadHolding(t.Context(), 3, 40000, 3)
	if err != nil || got[1] != 7 || got[2] != 0x8000 {
		t.Fatalf("after writing: %v, %v", got, err)
	}
}

// Two goroutines on one of the library's clients get answers of the wrong unit;
// on a bus they do not.
func TestManyCallersGetTheirOwnUnit(t *testing.T) {
	b := run(t, Config{URL: "tcp://" + serve(t, &memory{}).Addr(), Timeout: 5 * time.Second})
	var group sync.WaitGroup
	for unit := uint8(1); unit <= 20; unit++ {
		group.Go(func() {
			for addr := range uint16(25) {
				got, err := b.ReadHolding(t.Context(), unit, addr, 1)
				if err != nil || got[0] != valueAt(unit, addr) {
					t.Errorf("unit %d register %d: %v, %v", unit, addr, got, err)
				}
			}
		})
	}
	group.Wait()
}

func TestExceptionsKeepTheConnection(t *testing.T) {
	b := run(t, Config{URL: "tcp://" + serve(t, &memory{}).Addr(), Timeout: 5 * time.Second})
	for unit, want := range map[uint8]uint8{99: TargetSilent, 98: DeviceFailure} {
		_, err := b.ReadHolding(t.Context(), unit, 0, 1)
		var refused ErrException
		if !errors.As(err, &refused) || refused.Code != want {
			t.Errorf("unit %d: %v, want exception %d", unit, err, want)
		}
	}
	if got, err := b.ReadHolding(t.Context(), 1, 9, 1); err != nil || got[0] != valueAt(1, 9) {
		t.Errorf("after a refusal: %v, %v", got, err)
	}
}

func TestRequestsOutsideModbusAreNotSent(t *testing.T) {
	b := NewBus(Config{URL: "tcp://127.0.0.1:1"}) // nobody runs it: it must not be asked
	for _, r := range [][2]uint16{{0, 0}, {0, 126}, {65535, 2}} {
		if _, err := b.ReadHolding(t.Context(), 1, r[0], r[1]); !errors.Is(err, ErrRequest) {
			t.Errorf("reading %d at %d: %v", r[1], r[0], err)
		}
	}
	for _, n := range []int{0, 124} {
		if err := b.WriteRegisters(t.Context(), 1, 0, make([]uint16, n)); !errors.Is(err, ErrRequest) {
			t.Errorf("writing %d: %v", n, err)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:502", "rtu://dev/ttyUSB0", "tcp://host", "tcp://:502"} {
		if err := NewBus(Config{URL: url}).Run(t.Context()); err == nil {
			t.Errorf("url %q was taken", url)
		}
	}
	if err := (Config{URL: "tcp://host:502", Timeout: time.Hour}).Validate(); err == nil {
		t.Error("a timeout of an hour was taken")
	}
}

func TestCallersLeaveWhenTheBusOrTheyEnd(t *testing.T) {
	b := NewBus(Config{URL: "tcp://" + serve(t, &memory{}).Addr()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.ReadHolding(ctx, 1, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := b.ReadHolding(context.Background(), 1, 0, 1)
		waiting <- err
	}()
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("a caller of a bus that ended: %v", err)
	}
	if err := b.Run(t.Context()); err == nil {
		t.Error("a bus ran twice")
	}
}

func TestWritesGoFirst(t *testing.T) {
	b := NewBus(Config{URL: "tcp://127.0.0.1:1"})
	b.reads, b.writes = make(chan *request, 8), make(chan *request, 8)
	for range 8 {
		b.reads <- &request{}
	}
	write := &request{function: writeRegisters, values: []uint16{1}}
	b.writes <- write
	if first, ok := b.next(t.Context(), nil); !ok || first != write {
		t.Error("a read went before a write that waited")
	}
}

func TestRefusedConnectionPausesAndRecovers(t *testing.T) {
	s := serve(t, &memory{})
	addr := s.Addr()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := run(t, Config{URL: "tcp://" + addr, Timeout: 5 * time.Second})
	for range 3 { // the first dials, the others are told about the pause
		_, err := b.ReadHolding(t.Context(), 1, 0, 1)
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("nobody listens: %v", err)
		}
	}
	again, err := Listen(addr, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for { // bounded by the test's own time limit
		got, err := b.ReadHolding(t.Context(), 1, 5, 1)
		if err == nil && got[0] == valueAt(1, 5) {
			return
		}
		if !errors.Is(err, ErrUnavailable) {
			t.Fatalf("while it comes back: %v, %v", got, err)
		}
	}
}

func TestIdleConnectionThatTheDeviceDroppedIsMadeAnew(t *testing.T) {
	s := serve(t, &memory{})
	b := run(t, Config{URL: "tcp://" + s.Addr(), Timeout: 5 * time.Second})
	if _, err := b.ReadHolding(t.Context(), 1, 0, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Listen(s.Addr(), &memory{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := b.ReadHolding(t.Context(), 1, 5, 1); err != nil || got[0] != valueAt(1, 5) {
		t.Errorf("after the device restarted: %v, %v", got, err)
	}
}

func TestPortInUse(t *testing.T) {
	s := serve(t, &memory{})
	_, err := Listen(s.Addr(), &memory{})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := Listen("nonsense", &memory{}); err == nil {
		t.Error("an address without port was taken")
	}
	if _, err := Listen("203.0.113.1:0", &memory{}); err == nil {
		t.Error("an address of another computer was taken")
	}
}

func TestServerRefusesOtherFunctions(t *testing.T) {
	s := serve(t, &memory{})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, function := range []byte{1, 2, 4} {
		frame := []byte{0, 9, 0, 0, 0, 6, 1, function, 0, 0, 0, 1}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 9)
		if _, err := conn.Read(answer); err != nil || answer[7] != function|0x80 || answer[8] != IllegalFunction {
			t.Errorf("function %d: % x, %v", function, answer, err)
		}
	}
}
