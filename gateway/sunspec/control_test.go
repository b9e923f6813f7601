// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// named are the writes, by point: "WMaxLimPct=55".
func (b *board) named(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, w := range b.wrote {
		_, p, ok := b.img.PointAt(w.addr)
		if !ok {
			t.Fatalf("wrote %v, where no point is", w)
		}
		at := 0
		for at < len(w.values) {
			_, p, _ = b.img.PointAt(w.addr + uint16(at))
			v := decode(&p, w.values[at:at+int(p.Size)], true)
			out = append(out, fmt.Sprintf("%s=%d", p.Name, v.Raw))
			at += int(p.Size)
		}
	}
	return out
}

func (b *board) wants(t *testing.T, name string, want ...string) {
	t.Helper()
	if got := b.named(t); !slices.Equal(got, want) {
		t.Errorf("%s: wrote %q, want %q", name, got, want)
	}
	b.wrote = nil
}

// roof is an inverter of 10 kW that can be curtailed by model 123.
func roof(t testing.TB, more ...uint16) *board {
	b := newBoard(t, 40000, append([]uint16{Common, InverterThree, Nameplate, Settings, Controls}, more...)...)
	b.set(t, Nameplate, map[string]int64{"WRtg": 1200, "WRtg_SF": 1})
	b.set(t, Settings, map[string]int64{"WMax": 1000, "WMax_SF": 1})
	b.set(t, Controls, map[string]int64{"WMaxLimPct": 10000, "WMaxLimPct_SF": -2, "WMaxLimPct_RvrtTms": 0, "WMaxLim_Ena": 0})
	return b
}

func pct(permille int64) device.Command {
	return device.Command{Quantity: device.ActivePowerPct, Value: permille, Reversion: time.Minute}
}

func TestCurtailment(t *testing.T) {
	for _, c := range []struct {
		name    string
		command device.Command
		factor  int64
		want    []string
		applied device.Applied
	}{
		{
			"40 percent", pct(400), -2, []string{"WMaxLimPct_RvrtTms=60", "WMaxLimPct=4000", "WMaxLim_Ena=1"},
			device.Applied{Quantity: device.ActivePowerPct, Value: 400, Active: true},
		},
		{
			"in watts, rounded down", device.Command{Quantity: device.ActivePower, Value: 4_199_999, Reversion: time.Minute}, 0,
			[]string{"WMaxLimPct_RvrtTms=60", "WMaxLimPct=41", "WMaxLim_Ena=1"},
			device.Applied{Quantity: device.ActivePower, Value: 4_100_000, Active: true},
		},
		{
			"0 is not standby", pct(0), -1, []string{"WMaxLimPct_RvrtTms=60", "WMaxLimPct=10", "WMaxLim_Ena=1"},
			device.Applied{Quantity: device.ActivePowerPct, Value: 10, Active: true},
		},
		{
			"0 W is not standby", device.Command{Quantity: device.ActivePower, Reversion: 90 * time.Second}, 0,
			[]string{"WMaxLimPct_RvrtTms=90", "WMaxLimPct=1", "WMaxLim_Ena=1"},
			device.Applied{Quantity: device.ActivePower, Value: 100_000, Active: true},
		},
		{
			"a stop is 0", device.Command{Quantity: device.ActivePowerPct, Stop: true, Value: 500, Reversion: time.Minute}, 0,
			[]string{"WMaxLimPct_RvrtTms=60", "WMaxLimPct=0", "WMaxLim_Ena=1"},
			device.Applied{Quantity: device.ActivePowerPct, Active: true},
		},
		{
			"no limit any more", pct(2000), 0, []string{"WMaxLimPct_RvrtTms=60", "WMaxLimPct=100", "WMaxLim_Ena=1"},
			device.Applied{Quantity: device.ActivePowerPct},
		},
	} {
		b := roof(t)
		b.set(t, Controls, map[string]int64{"WMaxLimPct_SF": c.factor, "WMaxLimPct": 50})
		d := openBoard(t, b)
		if err := d.Apply(t.Context(), c.command); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		b.wants(t, c.name, c.want...)
		if a, err := d.Applied(t.Context()); err != nil || a != c.applied {
			t.Errorf("%s: in force is %+v, %v; want %+v", c.name, a, err, c.applied)
		}
		if err := d.Apply(t.Context(), c.command); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		b.wants(t, c.name+", again", c.want[1:]...) // the timer is kept: its memory is spared
		if err := d.Release(t.Context()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if a, err := d.Applied(t.Context()); err != nil || a.Active {
			t.Errorf("%s: released, but %+v, %v", c.name, a, err)
		}
	}
	b := roof(t)
	b.set(t, Controls, map[string]int64{"WMaxLimPct_SF": 1, "WMaxLimPct": 10})
	if err := openBoard(t, b).Apply(t.Context(), pct(90)); !errors.Is(err, device.ErrRange) || len(b.wrote) > 0 {
		t.Errorf("9 %% in steps of ten: %v, wrote %v", err, b.wrote)
	}
}

// What is curtailed is never above what was asked for, and never 0.
func TestCurtailmentIsRoundedDown(t *testing.T) {
	m, _ := Lookup(Controls)
	rapid.Check(t, func(t *rapid.T) {
		factor := rapid.Int64Range(-2, 0).Draw(t, "factor")
		regs := make([]uint16, m.Size())
		p, _ := m.Point("WMaxLimPct_SF")
		regs[p.Offset] = uint16(factor)
		rating := rapid.Int64Range(1000, 1<<40).Draw(t, "rating")
		l := limit{by: immediate(), rating: rating}
		value := rapid.Int64Range(0, 2*rating).Draw(t, "value")
		raw, _, err := l.raw(Block{Model: m, Regs: regs}, device.Command{Quantity: device.ActivePower, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		full := map[int64]int64{-2: 10000, -1: 1000, 0: 100}[factor]
		if raw < full/100 || raw > full {
			t.Fatalf("%d of %d mW is %d of %d", value, rating, raw, full)
		}
		if value >= (rating+99)/100 && float64(raw)/float64(full)*float64(rating) > float64(value)*(1+1e-12)+1e-6 {
			t.Fatalf("%d of %d mW is %d of %d: more than asked for", value, rating, raw, full)
		}
	})
}

func TestWhatCanBeControlled(t *testing.T) {
	quantities := func(d *Device) string {
		var s []string
		for _, c := range d.Controls() {
			s = append(s, fmt.Sprintf("%s %s %d..%d", c.Quantity, c.Reversion, c.Least, c.Most))
			if c.Source == "" || (c.Reversion == device.RevertsByTimer) != (c.MostReversion > 0) {
				t.Errorf("%+v", c)
			}
		}
		return strings.Join(s, ", ")
	}
	for _, c := range []struct {
		name string
		make func() *board
		want string
	}{
		{"a roof", func() *board { return roof(t) }, "active_power_pct timer 10..1000, active_power timer 100000..10000000"},
		{
			"a roof without a timer (Kostal)",
			func() *board {
				b := roof(t)
				b.set(t, Controls, map[string]int64{"WMaxLimPct_RvrtTms": 0xFFFF})
				return b
			}, "active_power_pct none 10..1000, active_power none 100000..10000000",
		},
		{
			"its new model has one",
			func() *board {
				b := roof(t, ControlAC)
				b.set(t, Controls, map[string]int64{"WMaxLimPct_RvrtTms": 0xFFFF})
				b.set(t, ControlAC, map[string]int64{"WMaxLimPctEna": 0, "WMaxLimPct": 0, "WMaxLimPct_SF": 0, "WMaxLimPctRvrtTms": 0})
				return b
			}, "active_power_pct timer 10..1000, active_power timer 100000..10000000",
		},
		{
			"it does not say what its percentages are of",
			func() *board {
				b := roof(t)
				b.set(t, Nameplate, map[string]int64{"WRtg": 0xFFFF})
				b.set(t, Settings, map[string]int64{"WMax": 0xFFFF})
				return b
			}, "active_power_pct timer 10..1000",
		},
		{"a battery", func() *board { return battery(t) }, "battery_power timer -5000000..5000000, charge_limit timer 0..5000000, discharge_limit timer 0..5000000"},
		{"a meter", func() *board { return newBoard(t, 40000, Common, MeterThree) }, ""},
		{"an inverter that only measures", func() *board { return newBoard(t, 40000, Common, InverterThree) }, ""},
	} {
		if got := quantities(openBoard(t, c.make())); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

// derBattery is a battery of the 700 models alone.
func derBattery(t testing.TB) *board {
	b := newBoard(t, 40000, Common, MeasureAC, Capacity, ControlAC, StorageCapacity, ControlDER)
	b.set(t, MeasureAC, map[string]int64{"W": 0, "W_SF": 0})
	b.set(t, StorageCapacity, map[string]int64{"SoC": 50, "Pct_SF": 0})
	b.set(t, ControlDER, map[string]int64{"LocRemCtl": 0, "ControllerHb": 7})
	b.set(t, ControlAC, map[string]int64{
		"WSetEna": 0, "WSetMod": 0, "WSet": 0, "WSetRvrt": 300, "WSetEnaRvrt": 1, "WSetRvrtTms": 0, "WSet_SF": 1,
	})
	return b
}

func TestSetpointOfModel704(t *testing.T) {
	b := derBattery(t)
	d := openBoard(t, b)
	if err := d.Apply(t.Context(), batteryPower(-2_999_999, 70000*time.Second)); err != nil {
		t.Fatal(err)
	}
	b.wants(t, "charging", "ControllerHb=1", "WSetRvrt=0", "WSetEnaRvrt=0", "WSetRvrtTms=70000", "WSetMod=1", "WSet=-299", "WSetEna=1")
	if a, err := d.Applied(t.Context()); err != nil || a != (device.Applied{Quantity: device.BatteryPower, Value: -2_990_000, Active: true}) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := d.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wants(t, "while it is in force", "ControllerHb=2")
	if err := d.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wants(t, "released", "WSetEna=0")
	if _, err := d.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wants(t, "afterwards")
	b.set(t, ControlDER, map[string]int64{"LocRemCtl": 1})
	if err := d.Apply(t.Context(), batteryPower(0, time.Minute)); !errors.Is(err, device.ErrNoControl) || !strings.Contains(err.Error(), "local control") {
		t.Errorf("under local control: %v", err)
	}
	b.wants(t, "under local control")
}

func TestChargeAndDischargeLimits(t *testing.T) {
	b := battery(t)
	d := openBoard(t, b)
	step := func(name string, c device.Command, want ...string) {
		t.Helper()
		c.Reversion = time.Minute
		if err := d.Apply(t.Context(), c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.wants(t, name, want...)
	}
	step("charge at most 2 kW", device.Command{Quantity: device.ChargeLimit, Value: 2_000_000}, "InOutWRte_RvrtTms=60", "InWRte=4000", "StorCtl_Mod=1")
	step("and discharge nothing", device.Command{Quantity: device.DischargeLimit}, "OutWRte=0", "StorCtl_Mod=3")
	if a, err := d.Applied(t.Context()); err != nil || a != (device.Applied{Quantity: device.DischargeLimit, Active: true}) {
		t.Errorf("%+v, %v", a, err)
	}
	step("a negative limit is none", device.Command{Quantity: device.ChargeLimit, Value: -5}, "InWRte=0")
	step("a setpoint", batteryPower(-energy.Kilowatt, 0), "OutWRte=-2000", "InWRte=2000")
	step("and a limit alone", device.Command{Quantity: device.DischargeLimit, Value: 5_000_000}, "OutWRte=10000", "StorCtl_Mod=2")
	if a, err := d.Applied(t.Context()); err != nil || a != (device.Applied{Quantity: device.DischargeLimit, Value: 5_000_000, Active: true}) {
		t.Errorf("%+v, %v", a, err)
	}
}

// A device may refuse function 16 for one register (Kostal), and take a pair of
// limits one by one: then the looser one comes first.
func TestFunctionSix(t *testing.T) {
	b := roof(t)
	pctAt := openBoard(t, b).mustAddr(t, Controls, "WMaxLimPct")
	enaAt := pctAt + 4
	b.only6 = map[uint16]bool{pctAt: true}
	b.fixed = map[uint16]bool{enaAt: true}
	b.set(t, Controls, map[string]int64{"WMaxLim_Ena": 1, "WMaxLimPct_RvrtTms": 0xFFFF})
	d := openBoard(t, b)
	c := pct(300)
	c.Reversion = 0 // with a waiver: it has no timer
	for range 2 {
		if err := d.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		b.wants(t, "Kostal", "WMaxLimPct=3000")
	}
	if b.singles != 4 { // the switch is refused in both ways, each time
		t.Errorf("%d writes with function 6", b.singles)
	}
	if err := d.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wants(t, "Kostal, released", "WMaxLimPct=10000")

	s := battery(t)
	out := openBoard(t, s).mustAddr(t, StorageControl, "OutWRte")
	s.only6 = map[uint16]bool{out: true}
	d = openBoard(t, s)
	if err := d.Apply(t.Context(), batteryPower(energy.Kilowatt, time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.wants(t, "one by one", "InOutWRte_RvrtTms=60", "OutWRte=2000", "InWRte=-2000", "StorCtl_Mod=3")
	if err := d.Apply(t.Context(), batteryPower(-energy.Kilowatt, time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.wants(t, "the other way", "InWRte=2000", "OutWRte=-2000")
}

func (d *Device) mustAddr(t *testing.T, model uint16, point string) uint16 {
	t.Helper()
	at, err := d.place(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	return at.addr(point)
}

// What a device does not show is not in force, and is said.
func TestReadBack(t *testing.T) {
	for _, c := range []struct {
		name string
		on   func(b *board, w *write)
		want error
	}{
		{"it counts in whole percents", func(_ *board, w *write) {
			if len(w.values) == 1 && w.values[0] == 3333 {
				w.values[0] = 3300
			}
		}, nil},
		{"it keeps what it had", func(_ *board, w *write) {
			if w.values[0] == 3333 {
				w.values[0] = 10000
			}
		}, device.ErrReadBack},
		{"it takes something else", func(_ *board, w *write) {
			if w.values[0] == 3333 {
				w.values[0] = 1000
			}
		}, device.ErrReadBack},
		{"it does not switch", func(b *board, w *write) {
			if w.values[0] == 1 {
				w.values[0] = 0
			}
		}, device.ErrReadBack},
		{"its factor moves", func(b *board, w *write) {
			if w.values[0] == 1 {
				b.set(t, Controls, map[string]int64{"WMaxLimPct_SF": 0})
			}
		}, device.ErrReadBack},
	} {
		b := roof(t)
		b.set(t, Controls, map[string]int64{"WMaxLimPct": 0})
		d := openBoard(t, b)
		b.onWrite = c.on
		command := device.Command{Quantity: device.ActivePower, Value: 3_333_000, Reversion: time.Minute}
		if err := d.Apply(t.Context(), command); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if a, err := d.Applied(t.Context()); c.want != nil && (err != nil || a.Active) {
			t.Errorf("%s: %+v is in force, %v", c.name, a, err)
		}
	}
}

// A timer that does not keep its time is none: from then on the device is one
// that never reverts, and takes commands only as such.
func TestATimerThatDoesNotWork(t *testing.T) {
	b := roof(t)
	b.onWrite = func(_ *board, w *write) {
		if w.values[0] == 60 {
			w.values[0] = 0
		}
	}
	d := openBoard(t, b)
	if err := d.Apply(t.Context(), pct(500)); !errors.Is(err, ErrNoReversion) {
		t.Error(err)
	}
	b.wants(t, "a timer that reads back 0", "WMaxLimPct_RvrtTms=0")
	for _, c := range d.Controls() {
		if c.Reversion != device.NeverReverts {
			t.Errorf("%+v", c)
		}
	}
	if err := d.Apply(t.Context(), pct(500)); !errors.Is(err, ErrNoReversion) || len(b.wrote) > 0 {
		t.Errorf("again: %v, %v", err, b.wrote)
	}
	c := pct(500)
	c.Reversion = 0
	if err := d.Apply(t.Context(), c); err != nil {
		t.Error(err)
	}
	b.wants(t, "with a waiver", "WMaxLimPct=5000", "WMaxLim_Ena=1")
	whole := openBoard(t, roof(t))
	if err := whole.Apply(t.Context(), c); err == nil || !strings.Contains(err.Error(), "must be above 0") {
		t.Errorf("without a reversion on a device that has one: %v", err)
	}
}

// A battery that is disconnected or in a fault is left alone.
func TestBatteryThatCannotFollow(t *testing.T) {
	for state, want := range map[int64]string{1: "DISCONNECTED", 99: "FAULT", 3: ""} {
		b := battery(t)
		b.set(t, BatteryBase, map[string]int64{"State": state, "SetOp": 2})
		err := openBoard(t, b).Apply(t.Context(), batteryPower(0, time.Minute))
		if want == "" && err != nil || want != "" && (!errors.Is(err, device.ErrNoControl) || !strings.Contains(err.Error(), want) || len(b.wrote) > 0) {
			t.Errorf("state %d: %v, wrote %v", state, err, b.wrote)
		}
	}
}

// A model that has moved is commanded where it is now, and nothing is written
// where it was.
func TestCommandsFollowModelsThatMove(t *testing.T) {
	b := roof(t)
	d := openBoard(t, b)
	moved := newBoard(t, 40000, Common, InverterThree, ControlDER, Nameplate, Settings, Controls)
	moved.set(t, Controls, map[string]int64{"WMaxLimPct": 100, "WMaxLimPct_SF": 0, "WMaxLimPct_RvrtTms": 0, "WMaxLim_Ena": 0})
	b.img = moved.img
	if err := d.Apply(t.Context(), pct(500)); err != nil {
		t.Fatal(err)
	}
	b.wants(t, "moved", "WMaxLimPct_RvrtTms=60", "WMaxLimPct=50", "WMaxLim_Ena=1")
}

// A device that was told one thing by one model and another by another is given
// back by both.
func TestReleaseOfTwoModels(t *testing.T) {
	b := newBoard(t, 40000, Common, MeasureAC, Capacity, ControlAC, StorageCapacity, ControlDER, StorageControl)
	b.set(t, MeasureAC, map[string]int64{"W": 0, "W_SF": 0})
	b.set(t, StorageCapacity, map[string]int64{"SoC": 50, "Pct_SF": 0})
	b.set(t, ControlDER, map[string]int64{"LocRemCtl": 0, "ControllerHb": 7})
	b.set(t, ControlAC, map[string]int64{
		"WSetEna": 0, "WSetMod": 0, "WSet": 0, "WSetRvrt": 300, "WSetEnaRvrt": 1, "WSetRvrtTms": 0, "WSet_SF": 1,
	})
	b.set(t, StorageControl, map[string]int64{
		"ChaState": 222, "ChaState_SF": -1, "WChaMax": 5000, "WChaMax_SF": 0, "StorCtl_Mod": 0,
		"InOutWRte_SF": -2, "InOutWRte_RvrtTms": 0xFFFF,
	})
	d := openBoard(t, b)
	for _, c := range []device.Command{batteryPower(-energy.Kilowatt, time.Minute), {Quantity: device.ChargeLimit, Value: 2_000_000}} {
		if err := d.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	b.wrote = nil
	if err := d.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if wrote := b.named(t); !slices.Contains(wrote, "WSetEna=0") || !slices.Contains(wrote, "StorCtl_Mod=0") {
		t.Errorf("released by %q", wrote)
	}
}
