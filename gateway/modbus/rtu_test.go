// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestEveryFunctionOverSerial(t *testing.T) {
	for _, w := range wires() {
		t.Run(w.name, func(t *testing.T) {
			s := &slave{}
			url := w.open(t, s.answering(nil))
			everyFunction(t, run(t, Config{URL: url + "?baud=115200", Timeout: 5 * time.Second, Quiet: 5 * time.Millisecond}), 17)
		})
	}
}

// lateBy makes the requests of the given numbers (from 1) late.
func lateBy(d time.Duration, which ...int) func(byte, []byte) time.Duration {
	n := 0
	return func(byte, []byte) time.Duration {
		n++
		if slices.Contains(which, n) {
			return d
		}
		return 0
	}
}

// An answer that comes while the line is listened to is thrown away there, and
// the next question costs nothing more: two requests, two answers.
func TestLateAnswerIsDrained(t *testing.T) {
	for _, w := range wires() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := &slave{}
			url := w.open(t, s.answering(lateBy(4*time.Second, 1)))
			b := run(t, Config{URL: url, Timeout: 3 * time.Second, Quiet: 5 * time.Second})

			if _, err := b.ReadHolding(t.Context(), 1, 100, 2); !errors.Is(err, ErrTimeout) {
				t.Fatalf("a late answer: %v", err)
			}
			got, err := b.ReadHolding(t.Context(), 1, 500, 2)
			if err != nil || got[0] != tableValue(1, 3, 500) || got[1] != tableValue(1, 3, 501) {
				t.Fatalf("the next question: %v, %v", got, err)
			}
			if n := s.asks(1); n != 2 {
				t.Errorf("%d requests went over the line, want 2", n)
			}
		})
	}
}

// An answer that comes after the quiet is not taken for the next one either:
// another question goes between.
func TestAnswerLaterThanTheQuiet(t *testing.T) {
	for _, w := range wires() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := &slave{}
			release := make(chan struct{})
			first := true
			url := w.open(t, s.answering(func(byte, []byte) time.Duration {
				if first {
					first = false
					<-release
				}
				return 0
			}))
			b := run(t, Config{URL: url, Timeout: 5 * time.Second, Quiet: 10 * time.Millisecond})
			if _, err := b.ReadHolding(t.Context(), 1, 100, 2); !errors.Is(err, ErrTimeout) {
				t.Fatalf("a late answer: %v", err)
			}
			var late sync.WaitGroup
			late.Go(func() { // it comes while the next question waits for its own
				time.Sleep(100 * time.Millisecond)
				close(release)
			})
			got, err := b.ReadHolding(t.Context(), 1, 500, 2)
			late.Wait()
			if err != nil || got[0] != tableValue(1, 3, 500) {
				t.Fatalf("the next question: %v (register 100 has %v), %v", got, tableValue(1, 3, 100), err)
			}
			if n := s.asks(1); n != 3 {
				t.Errorf("%d requests went over the line, want 3: the late one, one between, and the real one", n)
			}
		})
	}
}

// Whatever a slow slave does, no register ever gets the value of another. All
// reads ask for the same number of registers, so that answers look alike.
func TestSlowSlaveNeverGivesAnothersValue(t *testing.T) {
	const timeout = 8 * time.Millisecond
	for _, w := range wires() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := &slave{}
			rng := rand.New(rand.NewPCG(1, 2))
			url := w.open(t, s.answering(func(byte, []byte) time.Duration {
				if rng.IntN(4) > 0 {
					return 0
				}
				return time.Duration(rng.Int64N(int64(5 * timeout)))
			}))
			cfg := Config{URL: url + "?baud=230400", Timeout: timeout, Quiet: timeout / 2}.withDefaults()
			where, err := cfg.target()
			if err != nil {
				t.Fatal(err)
			}
			l := newLink(cfg, where)
			defer l.end()
			right := 0
			// A busy machine is a slow slave as well: then it takes more reads.
			for i := 0; i < 250 || right < 10 && i < 5000; i++ {
				l.resume, l.units = time.Time{}, breaker{} // do not wait for pauses here
				addr, unit := uint16(i*10), uint8(1+i%2)
				got := l.do(t.Context(), &request{ctx: t.Context(), function: readHolding, unit: unit, addr: addr, count: 1})
				if got.err != nil {
					continue
				}
				right++
				if got.values[0] != tableValue(unit, 3, int(addr)) {
					t.Fatalf("after %d right answers: register %d of unit %d is %#x, want %#x",
						right-1, addr, unit, got.values[0], tableValue(unit, 3, int(addr)))
				}
			}
			if right < 10 {
				t.Errorf("only %d reads worked", right)
			}
		})
	}
}

// What closing and opening the port anew does to late bytes: the kernel keeps
// them for whoever opens it next. That is why opening listens until silent.
func TestReopenedPortHoldsOldBytes(t *testing.T) {
	master, path := openPTY(t)
	serial := Serial{}.withDefaults()
	p, err := openSerial(path, serial)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	stale := framed(1, []byte{3, 2, 0xde, 0xad})
	if _, err := master.Write(stale); err != nil {
		t.Fatal(err)
	}
	p, err = openSerial(path, serial)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(stale))
	if _, err := io.ReadFull(p, got); err != nil || string(got) != string(stale) {
		t.Fatalf("the reopened port gave % x, %v", got, err)
	}
	p.Close()

	// The same bytes wait again; a bus that opens the port does not take them.
	if _, err := master.Write(stale); err != nil {
		t.Fatal(err)
	}
	s := &slave{}
	var group sync.WaitGroup
	group.Go(func() { s.answering(nil)(master) })
	t.Cleanup(func() {
		master.Close()
		group.Wait()
	})
	b := run(t, Config{URL: "rtu://" + path, Timeout: 5 * time.Second, Quiet: 20 * time.Millisecond})
	if v, err := b.ReadHolding(t.Context(), 1, 7, 1); err != nil || v[0] != tableValue(1, 3, 7) {
		t.Errorf("register 7 is %v, %v", v, err)
	}
}

func TestSerialPortIsOurs(t *testing.T) {
	_, path := openPTY(t)
	p, err := openSerial(path, Serial{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b := run(t, Config{URL: "rtu://" + path})
	if _, err := b.ReadHolding(t.Context(), 1, 0, 1); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a port in use: %v", err)
	}
	missing := run(t, Config{URL: "rtu://" + path + "0000"})
	if _, err := missing.ReadHolding(t.Context(), 1, 0, 1); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "plugged in") {
		t.Errorf("a port that is not there: %v", err)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := run(t, Config{URL: "rtu://" + file})
	if _, err := plain.ReadHolding(t.Context(), 1, 0, 1); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no serial port") {
		t.Errorf("a file: %v", err)
	}
}

// Misdeeds on a serial line: a typed error, then the right value.
func TestSerialMisdeeds(t *testing.T) {

	for name, m := range map[string]struct {
		answer func(honest []byte) []byte
		want   error
	}{
		"nothing":          {func([]byte) []byte { return nil }, ErrTimeout},
		"half a frame":     {func(b []byte) []byte { return b[:4] }, ErrTimeout},
		"wrong checksum":   {func(b []byte) []byte { b[4] ^= 1; return b }, ErrProtocol},
		"another unit":     {func(b []byte) []byte { return framed(9, b[1:len(b)-2]) }, ErrTimeout},
		"another function": {func(b []byte) []byte { return framed(b[0], append([]byte{4}, b[2:len(b)-2]...)) }, ErrProtocol},
		"too few":          {func(b []byte) []byte { return framed(b[0], []byte{3, 2, 1, 2}) }, ErrProtocol},
		"too many":         {func(b []byte) []byte { return framed(b[0], append([]byte{3, 6}, make([]byte, 6)...)) }, ErrProtocol},
		"garbage":          {func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request") }, ErrProtocol},
		"zeros":            {func([]byte) []byte { return make([]byte, 40) }, ErrProtocol},
		"exception":        {func(b []byte) []byte { return framed(b[0], []byte{0x83, 2}) }, ErrException{IllegalDataAddress}},
		"no exception":     {func(b []byte) []byte { return framed(b[0], []byte{0x84, 2}) }, ErrProtocol},
		"twice":            {func(b []byte) []byte { return append(b, b...) }, nil},
	} {
		for _, w := range wires() {
			t.Run(name+" "+w.name, func(t *testing.T) {
				t.Parallel()
				s, first := &slave{}, true
				url := w.open(t, func(line io.ReadWriter) {
					for {
						unit, pdu, err := readFrame(line)
						if err != nil {
							return
						}
						answer := framed(unit, s.answer(unit, pdu))
						if first {
							first = false
							answer = m.answer(answer)
						}
						if _, err := line.Write(answer); err != nil {
							return
						}
					}
				})
				b := run(t, Config{URL: url, Timeout: timeoutFor(m.want), Quiet: 30 * time.Millisecond})
				if _, err := b.ReadHolding(t.Context(), 1, 100, 2); !errors.Is(err, m.want) {
					t.Errorf("got %v, want %v", err, m.want)
				}
				got, err := readAgain(t, b, 500)
				if err != nil || got[0] != tableValue(1, 3, 500) || got[1] != tableValue(1, 3, 501) {
					t.Errorf("the next request: %x, %v", got, err)
				}
			})
		}
	}
}

// A converter that is silent for long is connected to anew; one that closes, at once.
func TestConverterIsConnectedToAnew(t *testing.T) {
	t.Parallel()
	s := &slave{}
	var connections atomic.Int32
	url := overSocket(t, func(line io.ReadWriter) {
		switch connections.Add(1) {
		case 1: // the other half of the connection is gone without a word
			_, _ = io.Copy(io.Discard, line)
		case 2: // takes a request and closes
			_, _, _ = readFrame(line)
		default:
			s.answering(nil)(line)
		}
	})
	cfg := Config{URL: url, Timeout: 2 * time.Second, Quiet: time.Millisecond}.withDefaults()
	where, err := cfg.target()
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(cfg, where)
	defer l.end()
	for i := range 6 { // three silent ones, one closed, then answers
		l.resume, l.units = time.Time{}, breaker{}
		got := l.do(context.Background(), &request{ctx: t.Context(), function: readHolding, unit: 1, addr: 4, count: 1})
		if (got.err == nil) != (i >= 4) {
			t.Errorf("exchange %d: %v", i, got.err)
		}
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

func TestNobodyAnswersForAllUnits(t *testing.T) {
	b := run(t, Config{URL: "rtuovertcp://127.0.0.1:1"})
	if _, err := b.ReadHolding(t.Context(), 0, 0, 1); !errors.Is(err, ErrRequest) {
		t.Errorf("unit 0: %v", err)
	}
}

// Somebody asked the line before us and left; the answer comes when we have
// just connected. Opening listens for as long as that may take.
func TestAnswerToThoseBeforeUs(t *testing.T) {
	t.Parallel()
	s := &slave{}
	url := overSocket(t, func(line io.ReadWriter) {
		time.Sleep(30 * time.Millisecond)
		if _, err := line.Write(framed(1, []byte{3, 2, 0xde, 0xad})); err != nil {
			return
		}
		s.answering(nil)(line)
	})
	b := run(t, Config{URL: url, Timeout: 5 * time.Second, Quiet: 3 * time.Second})
	if v, err := b.ReadHolding(t.Context(), 1, 7, 1); err != nil || v[0] != tableValue(1, 3, 7) {
		t.Errorf("register 7 is %v, %v", v, err)
	}
}

// Reading what a line says never fails otherwise than by an error.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{1, 3, 2, 0, 7, 0xf8, 0x46})
	f.Add([]byte{1, 0x83, 2, 0xc0, 0xf1})
	f.Add(framed(1, []byte{16, 0, 1, 0, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, known := frameLength(b)
		if known && (n < 0 || n > mostFrame) || !known && len(b) > 2 {
			t.Fatalf("frame of %d, %v", n, known)
		}
		if len(b) > 3 && validCRC(b) != (checksum(b[:len(b)-2]) == uint16(b[len(b)-2])|uint16(b[len(b)-1])<<8) {
			t.Fatalf("two checksums differ over % x", b)
		}
		if len(b) < 3 {
			return
		}
		for _, function := range []uint8{readCoils, readHolding, writeRegister} {
			req := &request{function: function, unit: 1, addr: 1, count: 3, values: []uint16{9}}
			if pdu := b[1:]; pdu[0]&0x7f == function {
				got, ok := decodeAnswer(req, pdu)
				if ok && got.err == nil && !req.writes() && len(got.values)+len(got.bits) != 3 {
					t.Fatalf("%d values of 3", len(got.values)+len(got.bits))
				}
			}
		}
		r := &rtu{owed: &debts{}}
		r.fill = copy(r.buf[:], b)
		r.sift()
	})
}
