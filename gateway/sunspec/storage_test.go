// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

func TestSetBattery(t *testing.T) {
	const control = 40002 + 68 + 155 + 9 + 45 // the id of model 124
	for _, c := range []struct {
		name   string
		power  energy.Power
		revert time.Duration
		before map[string]int64
		want   []write
	}{
		{
			"discharge, from rest", 2000 * energy.Watt, 90 * time.Second, nil,
			[]write{{control + 15, []uint16{90}}, {control + 12, []uint16{4000, neg(4000)}}, {control + 5, []uint16{3}}},
		},
		{
			"charge, cut to the maximum", -9000 * energy.Watt, 1500 * time.Millisecond, nil,
			[]write{{control + 15, []uint16{2}}, {control + 12, []uint16{neg(10000), 10000}}, {control + 5, []uint16{3}}},
		},
		{
			"again, nothing but the limits", 0, time.Minute, map[string]int64{"StorCtl_Mod": 3, "InOutWRte_RvrtTms": 60},
			[]write{{control + 12, []uint16{0, 0}}},
		},
		{
			"rounded toward rest", -1999*energy.Watt - 999, time.Minute, map[string]int64{"StorCtl_Mod": 3, "InOutWRte_RvrtTms": 60, "InOutWRte_SF": 0},
			[]write{{control + 12, []uint16{neg(39), 39}}},
		},
		{
			"in tens of percent", 2600 * energy.Watt, time.Minute, map[string]int64{"StorCtl_Mod": 1, "InOutWRte_RvrtTms": 60, "InOutWRte_SF": 1},
			[]write{{control + 12, []uint16{5, neg(5)}}, {control + 5, []uint16{3}}},
		},
	} {
		b := battery(t)
		b.set(t, StorageControl, c.before)
		d := openBoard(t, b)
		if err := d.Apply(t.Context(), batteryPower(c.power, c.revert)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if fmt.Sprint(b.wrote) != fmt.Sprint(c.want) {
			t.Errorf("%s: wrote %v, want %v", c.name, b.wrote, c.want)
		}
		b.wrote = nil
		if err := d.Release(t.Context()); err != nil || fmt.Sprint(b.wrote) != fmt.Sprint([]write{{control + 5, []uint16{0}}}) {
			t.Errorf("%s: released by %v, %v", c.name, b.wrote, err)
		}
	}
}

func batteryPower(p energy.Power, reversion time.Duration) device.Command {
	return device.Command{Quantity: device.BatteryPower, Value: int64(p), Reversion: reversion}
}

func neg(v int16) uint16 { return uint16(-v) }

// No setpoint leaves without a reversion timer that is known to run.
func TestNoSetpointWithoutReversion(t *testing.T) {
	for _, c := range []struct {
		name   string
		values map[string]int64
		on     func(*board, *write)
		want   error
	}{
		{"the device has none", map[string]int64{"InOutWRte_RvrtTms": 0xFFFF}, nil, ErrNoReversion},
		{"the device forgets it", nil, func(_ *board, w *write) { w.values[0] = 0 }, ErrNoReversion},
		{"it does not say its maximum", map[string]int64{"WChaMax": 0xFFFF}, nil, nil},
		{"its maximum is 0", map[string]int64{"WChaMax": 0}, nil, nil},
		{"its factor is missing", map[string]int64{"InOutWRte_SF": -0x8000}, nil, nil},
		{"its factor is too fine", map[string]int64{"InOutWRte_SF": -3}, nil, nil},
	} {
		b := battery(t)
		b.set(t, StorageControl, c.values)
		b.onWrite = c.on
		err := openBoard(t, b).Apply(t.Context(), batteryPower(energy.Kilowatt, time.Minute))
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, w := range b.wrote {
			if w.addr%100 != (40002+68+155+9+45+15)%100 {
				t.Errorf("%s: wrote %v", c.name, w)
			}
		}
	}
	b := battery(t)
	d := openBoard(t, b)
	for _, reversion := range []time.Duration{0, -time.Second, 24 * time.Hour} {
		if err := d.Apply(t.Context(), batteryPower(energy.Kilowatt, reversion)); err == nil || len(b.wrote) > 0 {
			t.Errorf("with a reversion of %s: %v, wrote %v", reversion, err, b.wrote)
		}
	}
	meter := openBoard(t, newBoard(t, 40000, Common, MeterThree))
	if err := meter.Apply(t.Context(), batteryPower(0, time.Minute)); !errors.Is(err, device.ErrNoControl) {
		t.Errorf("a meter was commanded: %v", err)
	}
	if err := meter.Release(t.Context()); !errors.Is(err, device.ErrNoControl) {
		t.Errorf("a meter was released: %v", err)
	}
}
