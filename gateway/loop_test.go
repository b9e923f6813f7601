// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeDevice is a battery that answers, fails or hangs.
type fakeDevice struct {
	mu      sync.Mutex
	kind    roll.AssetKind
	serial  string
	err     error
	hang    bool
	value   energy.Energy
	quality energy.Quality
	soc     int64
	power   energy.Power
	set     bool
	log     []string
	state   string
	never   bool // it never reverts
	flash   int  // writes a day that its memory takes
	deaf    int  // releases that it does not hear
	takes   device.Quantity
	applied *device.Applied
	reads   int
	opens   int
}

func (f *fakeDevice) open(ctx context.Context, _ uint8) (device.Device, error) {
	f.mu.Lock()
	f.opens++
	f.mu.Unlock()
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *fakeDevice) answer(ctx context.Context) error {
	f.mu.Lock()
	hang, err := f.hang, f.err
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (f *fakeDevice) Identity() device.Identity                      { return device.Identity{Serial: f.serial} }
func (f *fakeDevice) Kind() roll.AssetKind                           { return f.kind }
func (f *fakeDevice) Profile() string                                { return "fake" }
func (f *fakeDevice) Points(context.Context) ([]device.Value, error) { return nil, nil }
func (f *fakeDevice) Controls() []device.Control {
	c := device.Control{Quantity: device.BatteryPower, Reversion: device.RevertsByTimer, LeastReversion: time.Second}
	if f.takes != "" {
		c.Quantity = f.takes
	}
	c.Flash = f.flash
	if f.never {
		c.Reversion = device.NeverReverts
	}
	return []device.Control{c}
}

func (f *fakeDevice) Applied(context.Context) (device.Applied, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.applied == nil {
		return device.Applied{}, device.ErrNotReadable
	}
	return *f.applied, nil
}

func (f *fakeDevice) Read(ctx context.Context) (device.Snapshot, error) {
	f.mu.Lock()
	f.reads++
	f.mu.Unlock()
	if err := f.answer(ctx); err != nil {
		return device.Snapshot{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return device.Snapshot{
		Power: f.power, SoC: f.soc, Quality: f.quality, State: f.state, Registers: map[meters.Register]energy.Energy{meters.Charged: f.value},
	}, nil
}

func (f *fakeDevice) Apply(ctx context.Context, c device.Command) error {
	if err := f.answer(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.power, f.set = energy.Power(c.Value), true
	f.log = append(f.log, "set "+f.power.String())
	return nil
}

func (f *fakeDevice) Release(ctx context.Context) error {
	if err := f.answer(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf > 0 {
		f.deaf--
		return errors.New("no answer in time")
	}
	f.power, f.set = 0, false
	f.log = append(f.log, "release")
	return nil
}

func (f *fakeDevice) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// bench is one bus in service: real time, inside a synctest bubble.
type bench struct {
	loop  *loop
	env   *environment
	begun time.Time
	stop  func()

	mu   sync.Mutex
	kept []meters.Sample
	live []meters.Reading
}

func newBench(t *testing.T, cfg Config, devices ...*fakeDevice) *bench {
	t.Helper()
	clock := worldtime.NewReal()
	b := &bench{begun: time.Now()}
	b.env = &environment{cfg: cfg.withDefaults(), now: clock.Now, stamp: stamps(clock, true, func() time.Duration { return time.Since(b.begun) }, 0), grid: newGridOperator(cfg.Contacts, 0)}
	b.loop = &loop{
		name: "bus", env: b.env, clock: clock, mail: newMailbox(),
		keep: func(s []meters.Sample) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.kept = append(b.kept, s...)
		},
		show: func(_ guard.Stamp, r []meters.Reading) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.live = append(b.live, r...)
		},
	}
	if cfg.Spool.Dir != "" {
		b.env.wear, b.env.epochs = openWear(cfg.Spool.Dir, diskWithin), openEpochs(cfg.Spool.Dir, diskWithin)
	}
	for i, d := range devices {
		asset := roll.AssetID([]string{"a", "b", "c"}[i])
		of := Device{Asset: asset, Unit: uint8(i)}
		if i < len(b.env.cfg.Devices) {
			of = b.env.cfg.Devices[i]
		}
		b.loop.pollers = append(b.loop.pollers, newPoller(of, b.env, d.open, slog.New(slog.DiscardHandler)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	b.loop.join()
	go func() { done <- b.loop.run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) samples() []meters.Sample {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.kept)
}

func (b *bench) lastReading(asset roll.AssetID) meters.Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range slices.Backward(b.live) {
		if r.Asset == asset {
			return r
		}
	}
	return meters.Reading{}
}

func (f *fakeDevice) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func battery() *fakeDevice { return &fakeDevice{kind: roll.Battery, serial: "1", soc: 500, value: 100} }

func sleep(d time.Duration) {
	time.Sleep(d) // of the bubble: no time passes on the wall
	synctest.Wait()
}

// TestSetpointAtOnce: in service a command does not wait for the next poll, and
// it ends within one poll of its expiry.
func TestSetpointAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		b := newBench(t, Config{Poll: 5 * energy.Second}, d)
		defer b.stop()
		sleep(12 * time.Second)
		b.loop.mail.post(guard.Setpoint{Asset: "a", Power: energy.Kilowatt, Stamp: b.env.stamp(), TTL: 7 * energy.Second, Epoch: 1, Sequence: 1})
		synctest.Wait()
		d.change(func() {
			if !d.set || d.power != energy.Kilowatt {
				t.Errorf("the command was not carried out at once: %v", d.log)
			}
		})
		b.loop.mail.post(guard.Setpoint{Asset: "a", Power: -energy.Kilowatt, Stamp: b.env.stamp(), TTL: 7 * energy.Second, Epoch: 1, Sequence: 1})
		sleep(7*time.Second + 5*time.Second)
		d.change(func() {
			if d.set || !slices.Equal(d.log, []string{"release", "set 1000 W", "release"}) {
				t.Errorf("after its expiry: %v", d.log)
			}
		})
		if note := b.loop.pollers[0].status().Setpoint.Note; note != "expired" {
			t.Errorf("note %q", note)
		}
	})
}

func TestStopReleasesAndKeepsTheLastSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		b := newBench(t, Config{}, d)
		sleep(2 * time.Second)
		b.loop.mail.post(guard.Setpoint{Asset: "a", Power: energy.Kilowatt, Stamp: b.env.stamp(), TTL: energy.Minute, Epoch: 1, Sequence: 1})
		sleep(time.Second)
		b.stop()
		if d.set {
			t.Error("a stopped gateway leaves a command in force")
		}
		kept := b.samples()
		if len(kept) != 2 || kept[1].At != energy.InstantOf(b.begun.Add(3*time.Second)) {
			t.Errorf("kept %v", kept)
		}
	})
}

// TestStopTriesAgain: a release that is lost when the gateway stops is repeated,
// a few times.
func TestStopTriesAgain(t *testing.T) {
	for deaf, left := range map[int]bool{1: false, 2: false, 100: true} {
		synctest.Test(t, func(t *testing.T) {
			d := battery()
			b := newBench(t, Config{}, d)
			sleep(2 * time.Second)
			b.loop.mail.post(guard.Setpoint{Asset: "a", Power: energy.Kilowatt, Stamp: b.env.stamp(), TTL: energy.Minute, Epoch: 1, Sequence: 1})
			sleep(time.Second)
			d.change(func() { d.deaf = deaf })
			b.stop()
			if d.set != left || left && d.deaf != 100-releasesAtEnd {
				t.Errorf("deaf %d times: commanded %t, %d left", deaf, d.set, d.deaf)
			}
		})
	}
}

// TestHangingDevice: its neighbour on the line goes on, with fewer and fewer
// interruptions, and another bus does not notice at all.
func TestHangingDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good, other := battery(), battery(), battery()
		bad.hang = true
		b := newBench(t, Config{}, bad, good)
		defer b.stop()
		far := newBench(t, Config{}, other)
		defer far.stop()
		sleep(5 * time.Minute)
		if n := other.count(); n < 300 {
			t.Errorf("the other bus was read %d times in 300 s", n)
		}
		// One discovery of the bad one takes twelve timeouts; it is tried every eighth round.
		if n := good.count(); n < 100 {
			t.Errorf("the neighbour was read %d times in 300 s", n)
		}
		bad.change(func() { bad.hang = false })
		sleep(30 * time.Second)
		if !b.loop.pollers[0].status().Online || len(b.samples()) < 2 {
			t.Error("it did not come back")
		}
	})
}

func TestStaleAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		b := newBench(t, Config{StaleAfter: 5 * energy.Second}, d)
		defer b.stop()
		sleep(3 * time.Second)
		d.change(func() { d.err = errors.New("no answer in time") })
		sleep(4 * time.Second)
		if r := b.lastReading("a"); r.Quality != energy.Good || r.At > energy.InstantOf(b.begun.Add(4*time.Second)) {
			t.Errorf("after 4 s: %+v", r)
		}
		sleep(3 * time.Second)
		r := b.lastReading("a")
		if r.Quality != energy.Stale || !strings.Contains(r.Reason, "no answer") || r.At > energy.InstantOf(b.begun.Add(4*time.Second)) {
			t.Errorf("after 7 s: %+v", r)
		}
	})
}

// TestReplacedDevice: another serial number means another counter, also where
// it stands higher.
func TestReplacedDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		b := newBench(t, Config{}, d)
		defer b.stop()
		sleep(3 * time.Second)
		d.change(func() { d.err = errors.New("gone") })
		sleep(10 * time.Second)
		d.change(func() { d.err, d.serial, d.value = nil, "2", 5000 })
		sleep(20 * time.Second)
		kept := b.samples()
		if len(kept) != 3 || kept[1].Value != 100 || kept[1].Reset || kept[2].Value != 5000 || !kept[2].Reset {
			t.Errorf("kept %+v", kept)
		}
	})
}

// TestSleepingInverter: one that shows 0 at night has not begun a new counter.
func TestSleepingInverter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		d.kind = roll.Inverter
		b := newBench(t, Config{}, d)
		defer b.stop()
		sleep(3 * time.Second)
		d.change(func() { d.quality, d.value = energy.Sleeping, 0 })
		sleep(time.Hour)
		d.change(func() { d.quality, d.value = energy.Good, 100 })
		sleep(time.Hour)
		for _, s := range b.samples() {
			if s.Reset || s.Value != 100 {
				t.Errorf("kept %+v", s)
			}
		}
	})
}

func TestRefusedCommandsAreSaid(t *testing.T) {
	for want, p := range map[string]*poller{
		"the device was not found yet": {},
		"read_only in gateway.yaml":    {cfg: Device{ReadOnly: true}, dev: battery()},
		"takes no commands":            {dev: &fakeDevice{kind: roll.Meter}},
	} {
		p.offer(guard.Setpoint{Epoch: 1, Sequence: 7})
		if s := p.status().Setpoint; s == nil || s.Sequence != 7 || !strings.Contains(s.Note, want) {
			t.Errorf("%s: %+v", want, s)
		}
	}
}
