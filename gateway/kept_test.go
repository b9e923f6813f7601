// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
)

// TestWear: the file is ahead of the device, whatever the process does next.
func TestWear(t *testing.T) {
	dir := t.TempDir()
	w := openWear(dir, patient)
	made := guard.Budget{Most: 500}
	for range 100 {
		if err := w.spend("a", map[device.Quantity]guard.Budget{device.BatteryPower: made}); err != nil {
			t.Fatal(err)
		}
		made.Spent++ // and it is written
		kept := openWear(dir, patient).of("a")[device.BatteryPower]
		if kept.Spent < made.Spent || kept.Spent > made.Spent+reserve {
			t.Fatalf("%d were written, the file has %d", made.Spent, kept.Spent)
		}
	}
	if err := w.settle("a", map[device.Quantity]guard.Budget{device.BatteryPower: made}); err != nil {
		t.Fatal(err)
	}
	if again := openWear(dir, patient); again.of("a")[device.BatteryPower] != made {
		t.Errorf("settled: %+v", again.budgets)
	}
	if err := os.WriteFile(filepath.Join(dir, wearFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := openWear(dir, patient)
	if err := damaged.spend("a", map[device.Quantity]guard.Budget{device.BatteryPower: made}); err == nil || !strings.Contains(err.Error(), "doctor") {
		t.Errorf("damaged: %v", err)
	}
	if k := KeptWrites(dir); k.Err == nil || !strings.Contains(k.Mend, "remove "+k.Path) {
		t.Errorf("damaged: %+v", k)
	}
}

// patient is longer than any disk of a test takes.
const patient = time.Hour

// disk is a disk that may be full or hang.
type disk struct {
	full bool
	hang chan struct{} // closed: it answers again
}

func (d *disk) save(path string, b []byte) error {
	if d.hang != nil {
		<-d.hang
	}
	if d.full {
		return syscall.ENOSPC
	}
	return replaceFile(path, b)
}

// TestFullDiskTakesAway: on a disk that is full, or hangs, nothing is added to
// what a battery with flash memory does, and what takes away is done at once:
// less power, the end of a setpoint, the end of the gateway.
func TestFullDiskTakesAway(t *testing.T) {
	for name, hangs := range map[string]bool{"full": false, "hanging": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := battery()
				d.flash = 100_000
				b := newBench(t, Config{Spool: SpoolConfig{Dir: t.TempDir()}}, d)
				defer b.stop()
				sequence := uint64(0)
				post := func(p energy.Power, ttl energy.Span) {
					sequence++
					b.loop.mail.post(guard.Setpoint{Asset: "a", Power: p, Stamp: b.env.stamp(), TTL: ttl, Epoch: 1, Sequence: sequence})
				}
				expect := func(when string, set bool, p energy.Power) {
					t.Helper()
					d.change(func() {
						if d.set != set || set && d.power != p {
							t.Errorf("%s: %v, not %s", when, d.log, p)
						}
					})
				}
				b.env.epochs.hear(1)
				sleep(3 * time.Second)
				post(2*energy.Kilowatt, energy.Minute)
				sleep(time.Second)
				expect("with room", true, 2*energy.Kilowatt)

				bad := &disk{full: !hangs}
				if hangs {
					bad.hang = make(chan struct{})
				}
				b.env.wear.mu.Lock()
				b.env.wear.save = bad.save
				clear(b.env.wear.budgets) // what was reserved is used up
				b.env.wear.mu.Unlock()
				post(3*energy.Kilowatt, energy.Minute)
				sleep(2 * time.Second) // one look at a disk that hangs, of a second
				expect("more on a bad disk", true, 2*energy.Kilowatt)
				if why := b.loop.pollers[0].status().Controls[0].Why; !strings.Contains(why, "can't be counted") {
					t.Errorf("said: %q", why)
				}
				post(energy.Kilowatt, energy.Minute)
				sleep(0)
				expect("less on a bad disk", true, energy.Kilowatt)
				post(-energy.Kilowatt, 10*energy.Second)
				sleep(0)
				expect("the other way on a bad disk", true, 0)
				sleep(11 * time.Second)
				expect("after its end", false, 0)
				if hangs {
					close(bad.hang)
				}
				b.env.wear.mu.Lock()
				b.env.wear.save = replaceFile
				b.env.wear.mu.Unlock()
				sleep(time.Second)
				post(2*energy.Kilowatt, energy.Minute)
				sleep(time.Second)
				expect("with room again", true, 2*energy.Kilowatt)
				bad.full, bad.hang = true, nil
				b.env.wear.mu.Lock()
				b.env.wear.save = bad.save
				b.env.wear.mu.Unlock()
				b.stop()
				expect("stopped", false, 0)
			})
		})
	}
}

// TestFullDiskHoldsLimits: a grid operator's limit is written, held over its
// device's timer and lowered on a disk that is full; it is not raised.
func TestFullDiskHoldsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		d.kind, d.takes, d.flash = "charger", device.LoadPower, 100_000
		b := newBench(t, Config{Spool: SpoolConfig{Dir: t.TempDir()}}, d)
		defer b.stop()
		sequence := uint64(0)
		post := func(p energy.Power) {
			sequence++
			b.loop.mail.post(guard.Setpoint{
				Asset: "a", Quantity: device.LoadPower, From: guard.GridOperator, Power: p, Stamp: b.env.stamp(), TTL: 5 * energy.Minute, Epoch: 1, Sequence: sequence,
			})
		}
		b.env.wear.save = (&disk{full: true}).save
		b.env.epochs.hear(1)
		sleep(3 * time.Second)
		for _, step := range []struct{ asked, want energy.Power }{{4000, 4000}, {3000, 3000}, {5000, 3000}, {2000, 2000}} {
			post(step.asked * energy.Watt)
			sleep(4 * time.Minute) // its timer is armed anew meanwhile
			d.change(func() {
				if !d.set || d.power != step.want*energy.Watt {
					t.Errorf("asked for %s: %v", step.asked*energy.Watt, d.log)
				}
				if len(d.log) == 0 {
					t.Errorf("it was not armed anew: %v", d.log)
				}
				d.log = nil
			})
		}
		sleep(10 * time.Minute)
		d.change(func() {
			if d.set {
				t.Errorf("after its end: %v", d.log)
			}
		})
	})
}

// TestEpochBeforeItsCommands: no command of an epoch is acted on before the
// epoch is on the disk; what only takes away is. Nothing needs to be restarted
// once there is room.
func TestEpochBeforeItsCommands(t *testing.T) {
	for name, hangs := range map[string]bool{"full": false, "hanging": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				battery, charger := battery(), battery()
				charger.kind, charger.takes = "charger", device.LoadPower
				b := newBench(t, Config{Spool: SpoolConfig{Dir: dir}}, battery, charger)
				defer b.stop()
				m := &machine{epochs: b.env.epochs, loops: []*loop{b.loop}, log: slog.New(slog.DiscardHandler)}
				m.mail = map[roll.AssetID]*mailbox{"a": b.loop.mail, "b": b.loop.mail}
				sequence := uint64(0)
				post := func(epoch uint64, power, load energy.Power) {
					sequence++
					m.Setpoints([]guard.Setpoint{
						{Asset: "a", Power: power, Stamp: b.env.stamp(), TTL: energy.Minute, Epoch: epoch, Sequence: sequence},
						{Asset: "b", Quantity: device.LoadPower, Power: load, Stamp: b.env.stamp(), TTL: energy.Minute, Epoch: epoch, Sequence: sequence},
					})
					sleep(time.Second)
				}
				expect := func(when string, power, load energy.Power) {
					t.Helper()
					for d, p := range map[*fakeDevice]energy.Power{battery: power, charger: load} {
						d.change(func() {
							if d.power != p || d.set != (p != 0) {
								t.Errorf("%s: %v, not %s", when, d.log, p)
							}
						})
					}
				}
				sleep(3 * time.Second)
				post(7, 2*energy.Kilowatt, 5*energy.Kilowatt)
				expect("epoch 7", 2*energy.Kilowatt, 5*energy.Kilowatt)
				bad := &disk{full: !hangs}
				if hangs {
					bad.hang = make(chan struct{})
				}
				b.env.epochs.save = bad.save
				post(9, 3*energy.Kilowatt, 6*energy.Kilowatt)
				post(9, 3*energy.Kilowatt, 6*energy.Kilowatt)
				expect("epoch 9 on a bad disk", 2*energy.Kilowatt, 5*energy.Kilowatt)
				if s := b.loop.pollers[0].status().Setpoint; s == nil || !strings.Contains(s.Note, "epoch 9 can't be kept") {
					t.Errorf("said: %+v", s)
				}
				if p := m.epochs.problem(); !strings.Contains(p, "nothing is commanded") {
					t.Errorf("said: %q", p)
				}
				post(9, energy.Kilowatt, 4*energy.Kilowatt)
				expect("a lower limit on a bad disk", 2*energy.Kilowatt, 4*energy.Kilowatt)
				post(8, 3*energy.Kilowatt, 2*energy.Kilowatt)
				expect("a lower epoch than was heard of", 2*energy.Kilowatt, 4*energy.Kilowatt)
				if kept := openEpochs(dir, patient).highest(); kept != 7 {
					t.Errorf("the disk has %d", kept)
				}
				if hangs {
					close(bad.hang)
				}
				sleep(0)
				bad.full = false
				post(9, 3*energy.Kilowatt, 6*energy.Kilowatt)
				expect("with room again", 3*energy.Kilowatt, 6*energy.Kilowatt)
				if kept := openEpochs(dir, patient).highest(); kept != 9 || m.epochs.problem() != "" {
					t.Errorf("the disk has %d, %q", kept, m.epochs.problem())
				}
			})
		})
	}
}

// TestEpochFile: what was kept is found again, and a file that is damaged in any
// way is never taken for another epoch, or for none.
func TestEpochFile(t *testing.T) {
	dir := t.TempDir()
	if e := openEpochs(dir, patient); e.highest() != 0 || e.covers(0) != nil || e.covers(1) == nil {
		t.Error("without a file")
	}
	e := openEpochs(dir, patient)
	for _, epoch := range []uint64{5, 1_795_000_000_123, 6, guard.MaxEpoch + 1} {
		e.hear(epoch)
	}
	const want = 1_795_000_000_123
	if again := openEpochs(dir, patient); again.highest() != want || again.covers(want) != nil {
		t.Errorf("kept %d", again.highest())
	}
	path := filepath.Join(dir, epochFile)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range sound {
		for _, b := range [][]byte{sound[:cut], slices.Concat(sound[:cut], []byte{sound[cut] ^ 1}, sound[cut+1:])} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			again := openEpochs(dir, patient)
			again.hear(want + 1)
			if again.covers(want+1) == nil || again.covers(0) == nil {
				t.Fatalf("%q passes", b)
			}
			if k := KeptEpoch(dir); k.Err == nil || !strings.Contains(k.Mend, "remove "+path) {
				t.Fatalf("%q: %+v", b, k)
			}
		}
	}
	if err := os.Remove(path); err != nil { // as the doctor said
		t.Fatal(err)
	}
	mended := openEpochs(dir, patient)
	mended.hear(want)
	if err := mended.covers(want); err != nil {
		t.Error(err)
	}
}

func FuzzEpochFile(f *testing.F) {
	f.Add(encodeEpoch(0))
	f.Add(encodeEpoch(guard.MaxEpoch))
	f.Add([]byte("allmende-epoch-1 5 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if epoch, err := decodeEpoch(b); err == nil && string(encodeEpoch(epoch)) != string(b) {
			t.Errorf("%q is taken for %d", b, epoch)
		}
	})
}

// TestScribe: one job at a time, whoever waits gets its own answer, and nobody
// waits twice for a disk that hangs.
func TestScribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scribe{within: time.Second}
		running := 0
		for i := range 10 {
			go func() {
				want := errors.New("mine")
				if i%2 == 0 {
					want = nil
				}
				got := s.do(func() error {
					if running++; running > 1 {
						t.Error("two at a time")
					}
					time.Sleep(time.Millisecond)
					running--
					return want
				})
				if !errors.Is(got, want) {
					t.Errorf("%v, not %v", got, want)
				}
			}()
		}
		sleep(time.Second)
		hang := make(chan struct{})
		begun := time.Now()
		for range 100 {
			if err := s.do(func() error { <-hang; return nil }); !errors.Is(err, errDiskHangs) {
				t.Error(err)
			}
			s.start(func() error { t.Error("while another hangs"); return nil })
		}
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("waited %s for a disk that hangs", waited)
		}
		close(hang)
		sleep(0)
		if err := s.do(func() error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
