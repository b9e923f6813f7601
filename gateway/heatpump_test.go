// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

const heatedSite = `site: test
latitude: 48.2
longitude: 16.4
seed: 5
step: 20s
houses:
  - house: home-1
    load: {kwh_per_year: 4000}
listeners:
  - address: 127.0.0.1:0
    devices:
      - {asset: meter-1, unit: 1, kind: meter, house: home-1}
  - address: 127.0.0.1:0
    devices:
      - {asset: heat-1, unit: 1, kind: heat_pump, house: home-1, profile: stiebel-eltron-isg, load: {wants_w: 4800, least_w: 1500}}
`

// heated is a world with a heat pump that can only be blocked or let go. The
// test reads it over a line of its own.
type heated struct {
	*world
	minute   int64
	sequence uint64
	keys     []ed25519.PublicKey // of those who may sign waivers
	pump     *modbus.Bus
	wire     *cut // between the gateway and the pump
}

const (
	leastRun, leastPause = 20 * energy.Minute, 12 * energy.Minute
	pumpDraws            = 5 * energy.Kilowatt
	// commandLife is how long a setpoint of this test lives.
	commandLife = 5 * energy.Minute
)

func newHeated(t *testing.T) *heated {
	t.Helper()
	w := &heated{world: newWorldOf(t, heatedSite)}
	d := &w.devices[1]
	w.pump = modbus.NewBus(modbus.Config{URL: d.URL, Timeout: 30 * time.Second})
	w.background(w.pump.Run)
	w.wire = newCut(t, strings.TrimPrefix(d.URL, "tcp://"))
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	limits := guard.DeviceLimits()
	limits.Rated, limits.MinRun, limits.MinPause = pumpDraws, leastRun, leastPause
	d.Timing.RequestGap = time.Millisecond // a real one wants more, in a world that is not stepped
	d.URL, d.Profile, d.Limits = "tcp://"+w.wire.addr(), "stiebel-eltron-isg", &limits
	if d.Waiver, err = (guard.Waiver{Asset: "heat-1", Operator: "Anna", Date: "2026-11-21"}).Sign(private); err != nil {
		t.Fatal(err)
	}
	w.keys = []ed25519.PublicKey{public}
	return w
}

// start starts a gateway.
func (w *heated) start() (stop func()) {
	w.t.Helper()
	end := w.gateway(func(c *gateway.Config) {
		c.Poll, c.Uplink.StatusEvery, c.WaiverKeys = 20*energy.Second, 20*time.Millisecond, w.keys
	})
	w.connected()
	return func() { end(); w.gone() }
}

// state is what the heat pump says of itself.
func (w *heated) state() string {
	w.t.Helper()
	got, err := w.pump.ReadInput(w.ctx, 1, 5000, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	return map[uint16]string{1: "blocked", 2: "normal"}[got[0]]
}

// next leads the world on by a minute and waits until the coordinator, which
// lives on wall time, has caught up with it.
func (w *heated) next() uplinktest.View {
	w.t.Helper()
	w.minute++
	w.to(w.minute)
	return w.peer.Wait(w.ctx, w.t, "live values of the last two minutes", func(v uplinktest.View) bool {
		if len(v.Live) == 0 {
			return false
		}
		for _, r := range v.Live[len(v.Live)-1].GetReadings() {
			if r.GetAtUnixMs() >= int64(start.Add(energy.Span(w.minute-2)*energy.Minute)) {
				return true
			}
		}
		return false
	})
}

// until sends a limit each minute, as a coordinator does, until the pump is in
// a state, and says in which minute that is seen.
func (w *heated) until(limit energy.Power, want string) int64 {
	w.t.Helper()
	for range 300 {
		v := w.next()
		if w.state() == want {
			return w.minute
		}
		w.sequence++
		w.peer.Command(&allmendev1.Setpoint{
			AssetId: "heat-1", Quantity: allmendev1.Quantity_QUANTITY_LOAD_POWER, PowerMilliwatts: int64(limit),
			StampMs: v.Live[len(v.Live)-1].GetStampMs(), TimeToLiveMs: int64(commandLife), Epoch: 1, Sequence: w.sequence,
		})
	}
	w.t.Fatalf("it never became %s under a limit of %s", want, limit)
	return 0
}

// minutes is a span in minutes, less the one that an observation may be late.
func minutes(s energy.Span) int64 { return int64(s/energy.Minute) - 1 }

// TestHeatPumpIsBlockedAndLetGo: a limit below what a heat pump draws blocks it
// over a real socket, one at or above does not, and both keep its least times.
func TestHeatPumpIsBlockedAndLetGo(t *testing.T) {
	w := newHeated(t)
	w.start()
	blocked := w.until(pumpDraws-energy.Watt, "blocked")
	if blocked < minutes(leastRun) {
		t.Errorf("blocked in minute %d, before its least run time", blocked)
	}
	free := w.until(pumpDraws, "normal")
	if free < blocked+minutes(leastPause) {
		t.Errorf("blocked in minute %d, let go in minute %d: before its least pause time", blocked, free)
	}
	again := w.until(0, "blocked")
	if again < free+minutes(leastRun) {
		t.Errorf("let go in minute %d, blocked in minute %d: before its least run time", free, again)
	}
	// Nobody says anything more: the last command ends by itself.
	for w.state() == "blocked" {
		if w.next(); w.minute > again+int64(commandLife/energy.Minute)+1 {
			t.Fatal("it is blocked although its setpoint is over")
		}
	}
}

// TestHeatPumpIsNotLeftBlocked: neither by a gateway that is stopped, nor for
// longer than it is away by one that dies.
func TestHeatPumpIsNotLeftBlocked(t *testing.T) {
	w := newHeated(t)
	stop := w.start()
	w.until(energy.Kilowatt, "blocked")
	stop()
	if got := w.state(); got != "normal" {
		t.Errorf("after the gateway was stopped it is %s", got)
	}
	stop = w.start()
	w.until(energy.Kilowatt, "blocked")
	w.wire.off() // as good as dead: nothing that it still does arrives
	stop()
	if got := w.state(); got != "blocked" {
		t.Fatalf("it is %s, so this test tells nothing", got)
	}
	w.wire.on()
	w.start()
	for w.state() != "normal" { // without a command
		w.next()
	}
}
