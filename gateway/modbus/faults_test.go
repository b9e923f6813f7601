// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// liar is a Modbus server made by hand that misbehaves when told to. It answers
// otherwise with the values of [valueAt], one after the other.
type liar struct {
	listener net.Listener
	misdeeds chan misdeed // one for each request, none left: honest
	stop     chan struct{}
	group    sync.WaitGroup
}

// misdeed answers one request; the honest answer is given. It says whether the
// connection goes on.
type misdeed func(conn net.Conn, honest []byte, l *liar) bool

func newLiar(t testing.TB) *liar {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{listener: listener, misdeeds: make(chan misdeed, 1000), stop: make(chan struct{})}
	l.group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.group.Go(func() { l.talk(conn) })
		}
	})
	return l
}

func (l *liar) close() {
	close(l.stop)
	l.listener.Close()
	l.group.Wait()
}

func (l *liar) talk(conn net.Conn) {
	defer conn.Close()
	l.group.Go(func() { // so that a silent connection ends with the test
		<-l.stop
		conn.Close()
	})
	for {
		request := make([]byte, 12)
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		unit, addr, n := request[6], binary.BigEndian.Uint16(request[8:]), binary.BigEndian.Uint16(request[10:])
		answer := []byte{request[0], request[1], 0, 0, 0, byte(3 + 2*n), unit, request[7], byte(2 * n)}
		for i := range n {
			answer = binary.BigEndian.AppendUint16(answer, valueAt(unit, addr+i))
		}
		deed := honest
		select {
		case deed = <-l.misdeeds:
		default:
		}
		if !deed(conn, answer, l) {
			return
		}
	}
}

func honest(conn net.Conn, answer []byte, _ *liar) bool {
	_, err := conn.Write(answer)
	return err == nil
}

func send(b ...byte) misdeed {
	return func(conn net.Conn, _ []byte, _ *liar) bool {
		_, err := conn.Write(b)
		return err == nil
	}
}

func changed(at int, to byte) misdeed {
	return func(conn net.Conn, answer []byte, l *liar) bool {
		answer[at] = to
		return honest(conn, answer, l)
	}
}

func silence(net.Conn, []byte, *liar) bool { return true }

func hangUp(net.Conn, []byte, *liar) bool { return false }

func half(conn net.Conn, answer []byte, l *liar) bool { return honest(conn, answer[:8], l) }

func halfAndHangUp(conn net.Conn, answer []byte, l *liar) bool {
	half(conn, answer, l)
	return false
}

// late answers when the client has given up: to a client that goes on with the
// same connection, the answer comes after its next question.
func late(conn net.Conn, answer []byte, l *liar) bool {
	_, _ = conn.Read(make([]byte, 1)) // ends when the client closes, or goes on
	_, _ = conn.Write(answer)
	return false
}

// foreign sends answers to other requests for as long as the client listens.
func foreign(conn net.Conn, answer []byte, _ *liar) bool {
	answer[1]++
	for {
		if _, err := conn.Write(answer); err != nil {
			return false
		}
	}
}

func misdeeds() map[string]struct {
	deed misdeed
	want error
} {
	return map[string]struct {
		deed misdeed
		want error
	}{
		"nothing":              {silence, ErrTimeout},
		"half a frame":         {half, ErrTimeout},
		"half, then hangs up":  {halfAndHangUp, ErrProtocol},
		"wrong transaction":    {changed(1, 77), ErrTimeout},
		"wrong protocol":       {changed(3, 1), ErrTimeout},
		"wrong unit":           {changed(6, 200), ErrProtocol},
		"wrong function":       {changed(7, 4), ErrProtocol},
		"wrong byte count":     {changed(8, 6), ErrProtocol},
		"length of nothing":    {changed(5, 1), ErrProtocol},
		"longer than a frame":  {changed(4, 9), ErrProtocol},
		"garbage":              {send([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...), ErrProtocol},
		"zeros":                {send(make([]byte, 64)...), ErrProtocol},
		"hangs up":             {hangUp, ErrUnavailable},
		"late":                 {late, ErrTimeout},
		"others' answers":      {foreign, ErrTimeout},
		"exception of no code": {send(0, 1, 0, 0, 0, 3, 1, 0x83, 0x77), ErrException{Code: 0x77}},
	}
}

// timeoutFor is short where it is waited for, and else so long that a busy
// machine does not come near it.
func timeoutFor(want error) time.Duration {
	if errors.Is(want, ErrTimeout) {
		return 500 * time.Millisecond
	}
	return 30 * time.Second
}

// readAgain reads two registers after something went wrong. Where the timeout is
// short, a busy machine may need several attempts.
func readAgain(t *testing.T, b *Bus, addr uint16) (got []uint16, err error) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if got, err = b.ReadHolding(t.Context(), 1, addr, 2); !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrUnavailable) {
			break
		}
	}
	return got, err
}

// Whatever the device does, the caller gets a typed error while the bus goes
// on, and the next request gets its own value.
func TestMisdeeds(t *testing.T) {
	for name, m := range misdeeds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			defer l.close()
			b := run(t, Config{URL: "tcp://" + l.listener.Addr().String(), Timeout: timeoutFor(m.want)})
			l.misdeeds <- m.deed
			_, err := b.ReadHolding(t.Context(), 1, 100, 2)
			if !errors.Is(err, m.want) {
				t.Errorf("got %v, want %v", err, m.want)
			}
			got, err := readAgain(t, b, 500)
			if err != nil || got[0] != valueAt(1, 500) || got[1] != valueAt(1, 501) {
				t.Errorf("the next request: %v, %v", got, err)
			}
		})
	}
}

// Over any course of misdeeds, an answer without an error is the right one.
func TestAnAnswerIsNeverAnothersRegister(t *testing.T) {
	deeds := misdeeds()
	names := make([]string, 0, len(deeds))
	for name := range deeds {
		names = append(names, name)
	}
	rapid.Check(t, func(r *rapid.T) {
		l := newLiar(t)
		defer l.close()
		b := NewBus(Config{URL: "tcp://" + l.listener.Addr().String(), Timeout: 15 * time.Millisecond})
		where, err := b.cfg.target()
		if err != nil {
			r.Fatal(err)
		}
		link := newLink(b.cfg, where)
		defer link.end()
		right := 0
		for i := range rapid.IntRange(1, 12).Draw(r, "requests") {
			deed := honest
			if rapid.Bool().Draw(r, "misbehave") {
				deed = deeds[rapid.SampledFrom(names).Draw(r, "misdeed")].deed
			}
			l.misdeeds <- deed
			link.resume, link.units = time.Time{}, breaker{} // do not wait for pauses here
			addr := uint16(i * 10)
			got := link.do(t.Context(), &request{ctx: t.Context(), function: readHolding, unit: 1, addr: addr, count: 1})
			if got.err == nil {
				right++
				if got.values[0] != valueAt(1, addr) {
					r.Fatalf("register %d is %d, want %d", addr, got.values[0], valueAt(1, addr))
				}
			}
		}
	})
}
