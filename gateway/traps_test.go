// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// The twelve traps of real devices, each against real sockets or a
// pseudo-terminal pair, through the real bus and the real device. Faults come
// from package wire, whose frames are its own. Every test names its cure; each
// was seen to fail with the cure taken out.

// The transports that a trap is set on.
const (
	overTCP       = "tcp://127.0.0.1:0"
	overConverter = "rtuovertcp://127.0.0.1:0"
	overSerial    = "pty:"
)

// trapped is a server with faults and a bus to it.
func trapped(t *testing.T, address string, h wire.Handler, o wire.Options, faults string, cfg modbus.Config) (*wire.Server, *modbus.Bus) {
	t.Helper()
	if faults != "" {
		rules, err := wire.DecodeRules("faults.yaml", []byte("faults:\n"+faults))
		if err != nil {
			t.Fatal(err)
		}
		o.Faults = rules
	}
	s, err := wire.Listen(address, h, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg.URL = s.URL()
	return s, busTo(t, cfg)
}

func busTo(t *testing.T, cfg modbus.Config) *modbus.Bus {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	bus := modbus.NewBus(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return bus
}

// numbered answers for units 1 to 9: each register tells its unit and address.
func numbered() wire.Handler {
	return wire.HandlerFunc(func(r wire.Request) (wire.Answer, error) {
		if r.Unit > 9 {
			return wire.Answer{}, wire.ErrSilent
		}
		var a wire.Answer
		for i := range r.Count {
			a.Values = append(a.Values, numberOf(r.Unit, r.Addr+i))
		}
		return a, nil
	})
}

func numberOf(unit uint8, addr uint16) uint16 { return uint16(unit)<<12 | addr }

// journal keeps what a server was asked.
type journal struct {
	mu  sync.Mutex
	all []wire.Exchange
}

func (j *journal) note(x wire.Exchange) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = append(j.all, x)
}

// of are the exchanges that f picks.
func (j *journal) of(f func(wire.Exchange) bool) []wire.Exchange {
	j.mu.Lock()
	defer j.mu.Unlock()
	var some []wire.Exchange
	for _, x := range j.all {
		if f(x) {
			some = append(some, x)
		}
	}
	return some
}

// Trap 1: an answer that comes late is taken for the answer to the next
// question. On a serial line it looks like one: it tells unit, function and
// length, but neither address nor number. From then on every register shows the
// one before it, without any error.
//
// Cure on a line: gateway/modbus/rtu.go, rtu.exchange: an answer that is owed is
// settled by a question of another length first. Cure over TCP:
// gateway/modbus/mbap.go, mbap.usable: after a fault the connection is not used
// again.
func TestTrap01LateReply(t *testing.T) {
	for _, address := range []string{overTCP, overConverter, overSerial} {
		for name, faults := range map[string]string{
			"with the next":       "  - {when: {nth: 2}, do: {hold: true}}\n",
			"while it is quiet":   "  - {when: {nth: 2}, do: {delay: 120ms}}\n",
			"after it was quiet":  "  - {when: {nth: 2}, do: {delay: 180ms}}\n",
			"again and again":     "  - {when: {percent: 25}, do: {hold: true}}\n",
			"with its own number": "  - {when: {nth: 2}, do: {hold: true, transaction: 1}}\n",
		} {
			t.Run(address+" "+name, func(t *testing.T) {
				t.Parallel()
				_, bus := trapped(t, address, numbered(), wire.Options{Seed: 7}, faults, modbus.Config{Timeout: 100 * time.Millisecond, Quiet: 50 * time.Millisecond})
				right, failed := 0, 0
				for addr := uint16(100); right < 12; addr++ { // bounded by the test's own time limit
					got, err := bus.ReadHolding(t.Context(), 1, addr, 1)
					switch {
					case err != nil:
						failed++
					case got[0] != numberOf(1, addr):
						t.Fatalf("register %d shows %d, the value of register %d", addr, got[0], got[0]&0xfff)
					default:
						right++
					}
				}
				if failed == 0 {
					t.Error("no answer was late")
				}
			})
		}
	}
}

// Trap 2: the device takes one TCP client. A second connection is refused, or
// it kicks out the first.
//
// Cure: gateway/modbus/bus.go, one owner goroutine with one connection for all
// who ask; gateway/modbus/link.go, link.do: the old connection is closed
// (l.close()) before a new one is made, and hangsUp and explainDial say what to
// do where somebody else has the device.
func TestTrap02SingleClient(t *testing.T) {
	j := &journal{}
	s, bus := trapped(t, overTCP, numbered(), wire.Options{Clients: 1, Observe: j.note}, "  - {when: {nth: 30}, do: {silence: true}}\n",
		modbus.Config{Timeout: 5 * time.Second})
	// A connection that was forgotten instead of closed must not be closed by the
	// garbage collector.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	// After the fault the device may take a moment to see that its client is gone.
	ctx, cancel := context.WithTimeout(t.Context(), patience/4)
	defer cancel()
	var group sync.WaitGroup
	for unit := uint8(1); unit <= 8; unit++ {
		group.Go(func() {
			for addr := range uint16(8) {
				got, err := bus.ReadHolding(ctx, unit, addr, 1)
				for err != nil && ctx.Err() == nil {
					got, err = bus.ReadHolding(ctx, unit, addr, 1)
				}
				if err != nil || got[0] != numberOf(unit, addr) {
					t.Errorf("unit %d register %d: %v, %v", unit, addr, got, err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := len(j.of(func(x wire.Exchange) bool { return x.Effect.Silence })); n != 1 {
		t.Fatalf("%d requests were left without an answer, want 1", n)
	}
	s.HangUp()

	// Somebody else is quicker: the error says what to do, and the device is
	// there again when they leave.
	other := firstClient(t, s.Addr())
	for begun := time.Now(); ; {
		_, err := bus.ReadHolding(t.Context(), 1, 1, 1)
		if err == nil {
			t.Fatal("two clients on a device that takes one")
		}
		if errors.Is(err, modbus.ErrUnavailable) && strings.Contains(err.Error(), "gateway proxy") {
			break
		}
		if time.Since(begun) > patience {
			t.Fatalf("the error does not say what to do: %v", err)
		}
	}
	other.Close()
	for {
		if got, err := bus.ReadHolding(t.Context(), 1, 7, 1); err == nil {
			if got[0] != numberOf(1, 7) {
				t.Errorf("after the other left: %v", got)
			}
			return
		}
	}
}

// firstClient connects as another program would, until it is the one.
func firstClient(t *testing.T, addr string) net.Conn {
	t.Helper()
	for { // the device has to notice first that its client is gone
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			continue
		}
		_, err = conn.Write([]byte{0, 1, 0, 0, 0, 6, 1, 3, 0, 1, 0, 1})
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if n, err2 := conn.Read(make([]byte, 11)); err == nil && err2 == nil && n == 11 {
			return conn
		}
		conn.Close()
	}
}

// Trap 3: the device needs a second or two after connecting, and some quiet
// between requests; whoever hurries gets nothing, or garbage.
//
// Cure: gateway/modbus/link.go, link.connect: pause(ctx, l.cfg.ConnectDelay),
// and link.do: pause(ctx, l.gap(req.unit)).
func TestTrap03NeedsTimeAfterConnectingAndBetweenRequests(t *testing.T) {
	const faults = "  - {when: {connected_less_than: 200ms}, do: {send: 48 54 54 50 2f 31 2e 31 20 34 30 30}}\n" +
		"  - {when: {gap_less_than: 40ms}, do: {silence: true}}\n"
	// The clocks of both sides begin at different moments, on a busy machine very
	// different ones, hence much more than the device needs.
	for name, cfg := range map[string]modbus.Config{
		"of the line": {ConnectDelay: 3 * time.Second, RequestGap: time.Second},
		"of a unit":   {ConnectDelay: 3 * time.Second, Units: map[uint8]modbus.UnitConfig{1: {RequestGap: time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quoted := strings.Replace(faults, "48 54 54 50 2f 31 2e 31 20 34 30 30", `"48 54 54 50 2f 31 2e 31 20 34 30 30"`, 1)
			s, bus := trapped(t, overTCP, numbered(), wire.Options{}, quoted, cfg)
			for addr := range uint16(4) {
				if addr == 2 {
					s.HangUp() // it restarts, and needs its time again
				}
				if got, err := bus.ReadHolding(t.Context(), 1, addr, 1); err != nil || got[0] != numberOf(1, addr) {
					t.Errorf("register %d: %v, %v", addr, got, err)
				}
			}
		})
	}
}

// Trap 4: on a shared line one dead unit starves the others, each of its
// timeouts holds everybody up; and units need a little quiet between them.
//
// Cure: gateway/modbus/breaker.go, breaker.refusal, asked by link.allowed: a unit
// that does not answer is asked rarely. gateway/modbus/link.go, link.gap: quiet
// where the unit changes (UnitGap).
func TestTrap04DeadUnitOnASharedLine(t *testing.T) {
	for _, address := range []string{overConverter, overSerial} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			const rounds, dead = 30, 99
			j := &journal{}
			_, bus := trapped(t, address, numbered(), wire.Options{Observe: j.note}, "  - {when: {unit: 99}, do: {silence: true}}\n",
				modbus.Config{Timeout: time.Second, Quiet: 10 * time.Millisecond, UnitGap: 150 * time.Millisecond})
			lost := 0
			for addr := range uint16(rounds) {
				if _, err := bus.ReadHolding(t.Context(), dead, 1, 1); err == nil {
					t.Fatal("a dead unit answered")
				}
				for unit := uint8(1); unit <= 2; unit++ {
					got, err := bus.ReadHolding(t.Context(), unit, addr, 1)
					if err != nil {
						lost++
					} else if got[0] != numberOf(unit, addr) {
						t.Errorf("unit %d register %d: %v", unit, addr, got)
					}
				}
			}
			if lost > rounds/5 {
				t.Errorf("%d reads of the living units failed", lost)
			}
			asked := len(j.of(func(x wire.Exchange) bool { return x.Request.Unit == dead }))
			if asked < 3 || asked > rounds/3 {
				t.Errorf("the dead unit was asked %d times in %d rounds", asked, rounds)
			}
			last := uint8(0)
			j.of(func(x wire.Exchange) bool {
				if x.Request.Unit != last && last != 0 && x.Gap < 5*time.Millisecond {
					t.Errorf("from unit %d to %d within %s", last, x.Request.Unit, x.Gap)
				}
				last = x.Request.Unit
				return false
			})
		})
	}
}
