// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
)

// greenwich is where the bubble's clock begins in the dark: it is midnight there.
var greenwich = &Place{Latitude: 51.5, Longitude: 0}

// TestInverterSleeps: one that does not answer at night is no fault, and is
// asked less often; by day it is one.
func TestInverterSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		d.kind = roll.Inverter
		b := newBench(t, Config{Place: greenwich}, d)
		defer b.stop()
		sleep(3 * time.Second)
		d.change(func() { d.err = errors.New("no answer in time") })
		reads := d.count()
		sleep(time.Hour)
		r, s := b.lastReading("a"), b.loop.pollers[0].status()
		if r.Quality != energy.Sleeping || r.Power != 0 || r.Reason == "" || b.env.now().Sub(r.At) > 10*energy.Second {
			t.Errorf("at night: %+v", r)
		}
		if s.Online || s.Error != "" || !s.Sleeping {
			t.Errorf("at night: %+v", s)
		}
		if n := d.count() - reads; n > 3600/(maxSkips+1)+5 {
			t.Errorf("asked %d times in an hour of the night", n)
		}
		sleep(11 * time.Hour)
		r, s = b.lastReading("a"), b.loop.pollers[0].status()
		if r.Quality != energy.Stale || !strings.Contains(r.Reason, "old: no answer") || s.Error == "" || s.Sleeping {
			t.Errorf("at noon: %+v, %+v", r, s)
		}
		d.change(func() { d.err = nil })
		sleep(time.Minute)
		if r, s := b.lastReading("a"), b.loop.pollers[0].status(); r.Quality != energy.Good || !s.Online {
			t.Errorf("awake: %+v, %+v", r, s)
		}
	})
}

// TestOthersDoNotSleep: a meter or battery that does not answer at night is a
// fault, and so is an inverter whose place nobody told.
func TestOthersDoNotSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter, lost := battery(), battery()
		meter.kind, lost.kind = roll.Meter, roll.Inverter
		b := newBench(t, Config{Place: greenwich}, meter)
		defer b.stop()
		far := newBench(t, Config{}, lost)
		defer far.stop()
		sleep(3 * time.Second)
		for _, d := range []*fakeDevice{meter, lost} {
			d.change(func() { d.err = errors.New("no answer in time") })
		}
		sleep(time.Minute)
		for _, b := range []*bench{b, far} {
			if s := b.loop.pollers[0].status(); s.Error == "" || s.Sleeping {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestFrozenAtNight: a power that does not move in the dark is the last of the day.
func TestFrozenAtNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		d.kind, d.power = roll.Inverter, 1200*energy.Watt
		b := newBench(t, Config{Place: greenwich}, d)
		defer b.stop()
		sleep(time.Minute)
		if r := b.lastReading("a"); r.Quality != energy.Good {
			t.Errorf("after a minute: %+v", r)
		}
		sleep(10 * time.Minute)
		if r := b.lastReading("a"); r.Quality != energy.Stale || !strings.Contains(r.Reason, "froze") {
			t.Errorf("after eleven: %+v", r)
		}
	})
}

// TestContactLimitsALoad: a grid operator's contact holds a charger to 4.2 kW;
// when it can't be read that holds for two hours more, and then nothing does.
// The coordinator gets neither: its register has no such assets.
func TestContactLimitsALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		contact, charger := battery(), battery()
		contact.kind, contact.state, contact.takes = "contact", "open", "none"
		charger.kind, charger.takes = "charger", device.LoadPower
		limit, failsafe := guard.FreeGrid(), guard.FreeGrid()
		limit.Draw, failsafe.Draw = 3*energy.Kilowatt, guard.UsualDraw
		b := newBench(t, Config{Contacts: []GridContact{{
			Contact: "a", Limited: "closed", Free: "open", Devices: []roll.AssetID{"b"},
			Limit: limit, Failsafe: failsafe, Heartbeat: guard.UsualHeartbeat, Hold: guard.UsualHold,
		}}}, contact, charger)
		defer b.stop()
		expect := func(when string, set bool, p energy.Power) {
			t.Helper()
			charger.change(func() {
				if charger.set != set || set && charger.power != p {
					t.Errorf("%s: %v", when, charger.log)
				}
			})
		}
		sleep(10 * time.Second)
		expect("open", false, 0)
		contact.change(func() { contact.state = "closed" })
		sleep(3 * time.Second)
		expect("closed", true, 3*energy.Kilowatt)
		contact.change(func() { contact.state = "wire broken" })
		sleep(time.Minute)
		expect("a strange state, for a minute", true, 3*energy.Kilowatt)
		contact.change(func() { contact.err = errors.New("no answer in time") })
		sleep(3 * time.Minute)
		expect("silent", true, guard.UsualDraw)
		sleep(time.Hour + 50*time.Minute)
		expect("silent for two hours", true, guard.UsualDraw)
		sleep(15 * time.Minute)
		expect("silent for longer", false, 0)
		if r := b.lastReading("a"); r.Asset != "" {
			t.Errorf("a contact's reading is sent: %+v", r)
		}
		if len(b.samples()) != 0 {
			t.Errorf("samples of loads are kept: %v", b.samples())
		}
	})
}

// TestWaiver: a device that never reverts is commanded only where an operator
// has signed for the very one that answers.
func TestWaiver(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(serial string) string {
		line, err := guard.Waiver{Asset: "a", Serial: serial, Operator: "Anna", Date: "2026-11-21"}.Sign(private)
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	for name, c := range map[string]struct {
		waiver string
		want   bool
	}{"none": {"", false}, "signed": {sign("1"), true}, "for any": {sign(""), true}, "for another": {sign("2"), false}} {
		synctest.Test(t, func(t *testing.T) {
			d := battery()
			d.never = true
			b := newBench(t, Config{WaiverKeys: []ed25519.PublicKey{public}, Devices: []Device{{Asset: "a", Waiver: c.waiver}}}, d)
			defer b.stop()
			sleep(3 * time.Second)
			b.loop.mail.post(guard.Setpoint{Asset: "a", Power: energy.Kilowatt, Stamp: b.env.stamp(), TTL: energy.Minute, Epoch: 1, Sequence: 1})
			sleep(time.Second)
			d.change(func() {
				if d.set != c.want {
					t.Errorf("%s: %v", name, d.log)
				}
			})
			if s := b.loop.pollers[0].status().Setpoint; !c.want && (s == nil || !strings.Contains(s.Note, "waiver")) {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}

// TestWaiverIsNotInherited: the device is exchanged for another of its kind,
// which answers in its place; nobody has signed for that one.
func TestWaiverIsNotInherited(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	line, err := guard.Waiver{Asset: "a", Serial: "1", Operator: "Anna", Date: "2026-11-21"}.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		d.never = true
		b := newBench(t, Config{WaiverKeys: []ed25519.PublicKey{public}, Devices: []Device{{Asset: "a", Waiver: line}}}, d)
		defer b.stop()
		sleep(3 * time.Second)
		d.change(func() { d.err = errors.New("unplugged") })
		sleep(10 * time.Second)
		d.change(func() { d.err, d.serial = nil, "2" })
		sleep(time.Minute)
		b.loop.mail.post(guard.Setpoint{Asset: "a", Power: energy.Kilowatt, Stamp: b.env.stamp(), TTL: energy.Minute, Epoch: 1, Sequence: 1})
		sleep(time.Second)
		d.change(func() {
			if d.set || d.opens < 2 {
				t.Errorf("opened %d times, commanded %v: %v", d.opens, d.set, d.log)
			}
		})
	})
}

// TestUpdatedDeviceIsReleased: a commanded device comes back as another, by its
// serial number or its firmware; what it was told does not go on behind its new guard's back.
func TestUpdatedDeviceIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		b := newBench(t, Config{}, d)
		defer b.stop()
		sleep(3 * time.Second)
		b.loop.mail.post(guard.Setpoint{Asset: "a", Power: energy.Kilowatt, Stamp: b.env.stamp(), TTL: energy.Hour, Epoch: 1, Sequence: 1})
		sleep(time.Second)
		d.change(func() { d.err = errors.New("restarts") })
		sleep(10 * time.Second)
		d.change(func() { d.err, d.serial = nil, "2" })
		sleep(time.Minute)
		d.change(func() {
			if d.set || d.opens < 2 {
				t.Errorf("opened %d times, commanded %v: %v", d.opens, d.set, d.log)
			}
		})
	})
}

// TestSecondMasterIsReported with what he did, and the device is left alone.
func TestSecondMasterIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := battery()
		d.applied = &device.Applied{Quantity: device.BatteryPower, Value: -2_000_000, Active: true}
		b := newBench(t, Config{}, d)
		defer b.stop()
		sleep(2 * time.Second)
		for n := range 600 {
			b.loop.mail.post(guard.Setpoint{Asset: "a", Power: energy.Kilowatt, Stamp: b.env.stamp(), TTL: energy.Minute, Epoch: 1, Sequence: uint64(n) + 1})
			sleep(time.Second)
		}
		s := b.loop.pollers[0].status()
		if !strings.Contains(s.SecondMaster, "-2000 W") || !strings.Contains(s.SecondMaster, "left alone") {
			t.Errorf("%+v", s)
		}
		d.change(func() {
			if n := len(slices.DeleteFunc(slices.Clone(d.log), func(s string) bool { return s == "release" })); n > 7 { // the first, and three times by way of rest
				t.Errorf("written over %d times", n)
			}
		})
	})
}

// TestDecodeProtection reads what stands in gateway.yaml about protection.
func TestDecodeProtection(t *testing.T) {
	c, err := Decode("gateway.yaml", []byte(`site: {latitude: 48.2, longitude: 16.4}
devices:
  - {asset: ripple, url: "tcp://h:502", unit: 9, kind: contact}
  - asset: battery-1
    url: tcp://h:502
    unit: 1
    kind: battery
    fallback: hold
    request_gap: 50ms
    max_registers: 64
    limits: {max_charge_w: 3000, min_soc_percent: 10, soc_hysteresis_percent: 3, capacity_kwh: 9.6, ramp_w_per_s: 250}
  - asset: roof-1
    url: tcp://h:502
    unit: 1
    kind: inverter
    limits: {rated_w: 10000, max_feed_in_percent: 70, offline_feed_in_w: 4000}
  - asset: wallbox-1
    url: tcp://h:502
    unit: 3
    limits: {max_load_w: 11000, min_load_w: 4140, min_run: 5m, min_pause: 2m}
grid_operator:
  - {contact: ripple, limited: closed, free: open, draw_w: 4200, feed_in_percent: 60, devices: [wallbox-1, roof-1]}
`))
	if err != nil {
		t.Fatal(err)
	}
	b, r, w, g := c.Devices[1], c.Devices[2].Limits, c.Devices[3].Limits, c.Contacts[0]
	if c.Place == nil || c.Place.Longitude != 16.4 || b.Fallback != guard.Rest || b.Timing.RequestGap != 50*time.Millisecond || b.Timing.MaxRegisters != 64 ||
		b.Limits.Hysteresis != 30 || b.Limits.Capacity != 9_600_000 || b.Limits.Ramp != 250*energy.Watt {
		t.Errorf("%+v, %+v, %+v", c.Place, b, b.Limits)
	}
	if r.MaxFeedIn != 7*energy.Kilowatt || r.OfflineFeedIn != 4*energy.Kilowatt || r.MaxLoad != guard.NoLimit {
		t.Errorf("%+v", r)
	}
	if w.LeastLoad != 4140*energy.Watt || w.MinRun != 5*energy.Minute || w.MinPause != 2*energy.Minute {
		t.Errorf("%+v", w)
	}
	if g.Limit.FeedPermille != 600 || g.Failsafe.Draw != guard.UsualDraw || g.Hold != 2*energy.Hour || len(g.Devices) != 2 {
		t.Errorf("%+v", g)
	}
}

func TestDecodeProtectionRefuses(t *testing.T) {
	const device = "devices:\n  - {asset: a, url: \"tcp://h:502\", unit: 1"
	for src, want := range map[string]string{
		device + "}\nsite: {latitude: 48}\n":                                                          "both",
		device + "}\nsite: {latitude: 148, longitude: 1}\n":                                           "no place",
		device + "}\nsite: {latitude: north, longitude: 1}\n":                                         "degrees",
		device + ", fallback: last}\n":                                                                "release",
		device + ", kind: toaster}\n":                                                                 "heat_pump",
		device + ", waiver: yes}\n":                                                                   "allmende gateway waiver",
		device + ", max_registers: 200}\n":                                                            "max_registers",
		device + ", limits: {max_feed_in_percent: 70}}\n":                                             "rated_w",
		device + ", limits: {max_feed_in_w: 0}}\n":                                                    "standby",
		device + ", limits: {max_load_w: 1000, min_load_w: 2000}}\n":                                  "never run",
		device + ", limits: {min_soc_percent: 40, max_soc_percent: 50, soc_hysteresis_percent: 6}}\n": "half",
		device + ", limits: {min_run: soon}}\n":                                                       "such as",
		device + "}\nwaiver_keys: [abc]\n":                                                            "is no key",
		device + "}\ngrid_operator: [{contact: b, limited: x, free: y, draw_w: 1, devices: [a]}]\n":   "none of the devices",
		device + "}\ngrid_operator: [{contact: a, limited: x, free: x, draw_w: 1, devices: [a]}]\n":   "two states",
		device + "}\ngrid_operator: [{contact: a, limited: x, free: y, devices: [a]}]\n":              "limits nothing",
	} {
		if _, err := Decode("gateway.yaml", []byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}
}
