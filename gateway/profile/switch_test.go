// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

const sgReady = `controls:
  - quantity: load_power
    switch: true
    confirmed: true
    least: 6000
    reversion: {by: none}
    stop:
      - {address: 20, function: 6, takes: constant, value: 0}
      - {address: 21, function: 6, takes: constant, value: 1}
    release:
      - {address: 21, function: 6, takes: constant, value: 0}
      - {address: 20, function: 6, takes: constant, value: 0}
`

var pump = strings.Replace(head, "kinds: [battery]", "kinds: [heat_pump]", 1) + sgReady

// A limit below what a load draws blocks it, one at or above lets it go; what a
// very device draws is known better than what its family may.
func TestSwitch(t *testing.T) {
	for _, c := range []struct {
		draws, limit energy.Power
		blocked      bool
	}{
		{0, 0, true}, {0, 5999 * energy.Watt, true}, {0, 6 * energy.Kilowatt, false}, {0, 60 * energy.Kilowatt, false},
		{4 * energy.Kilowatt, 4200 * energy.Watt, false}, {4 * energy.Kilowatt, 3999 * energy.Watt, true},
		{9 * energy.Kilowatt, 8 * energy.Kilowatt, true},
	} {
		for _, before := range [][]uint16{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
			b := regs(7, 0)
			b.img.Set(profile.Holding, 20, before...)
			b.onWrite = func(b *board, w written) error {
				b.img.Set(w.table, w.addr, w.values...)
				if now, err := b.img.Get(profile.Holding, 20, 2); err == nil && slices.Equal(now, []uint16{1, 1}) && !slices.Equal(before, now) {
					t.Errorf("told %s after %v, it was forced on", c.limit, before)
				}
				return nil
			}
			dev, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: "mine", Library: mine(t, pump), Draws: c.draws})
			if err != nil {
				t.Fatal(err)
			}
			least := 6 * energy.Kilowatt
			if c.draws > 0 {
				least = c.draws
			}
			if k := dev.Controls()[0]; !k.Switch || k.Least != int64(least) || k.Most != 0 {
				t.Errorf("it draws %s: %+v", c.draws, k)
			}
			if err := dev.Apply(t.Context(), device.Command{Quantity: device.LoadPower, Value: int64(c.limit)}); err != nil {
				t.Fatal(err)
			}
			want := []uint16{0, 0}
			if c.blocked {
				want[1] = 1
			}
			if now, err := b.img.Get(profile.Holding, 20, 2); err != nil || !slices.Equal(now, want) {
				t.Errorf("it draws %s, told %s after %v: %v, %v", c.draws, c.limit, before, now, err)
			}
			if a, err := dev.Applied(t.Context()); err != nil || a.Active != c.blocked || a.Value != 0 {
				t.Errorf("told %s: %+v, %v", c.limit, a, err)
			}
		}
	}
}

// A library is shared: what one device draws is not what another does.
func TestSwitchIsTheDevicesOwn(t *testing.T) {
	lib := mine(t, pump)
	for _, c := range []struct{ draws, least energy.Power }{{3 * energy.Kilowatt, 3 * energy.Kilowatt}, {0, 6 * energy.Kilowatt}} {
		dev, err := profile.Open(t.Context(), regs(7, 0), 1, profile.Options{Profile: "mine", Library: lib, Draws: c.draws})
		if err != nil {
			t.Fatal(err)
		}
		if k := dev.Controls()[0]; k.Least != int64(c.least) {
			t.Errorf("%s: %+v", c.draws, k)
		}
	}
}

// A switch that would be none is refused.
func TestSwitchRefused(t *testing.T) {
	if _, err := profile.Parse("mine.yaml", []byte(pump)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, field, says string }{
		"it has a range":             {"least: 6000", "least: 6000\n    most: 9000", "controls[0].most", "two states"},
		"nobody knows what it draws": {"    least: 6000\n", "", "controls[0].least", "draws at most"},
		"it takes values":            {"    stop:", "    set:\n      - {address: 22, function: 6, takes: value}\n    stop:", "controls[0].set", "no values"},
		"nothing blocks it":          {"    stop:\n      - {address: 20, function: 6, takes: constant, value: 0}\n      - {address: 21, function: 6, takes: constant, value: 1}\n", "", "controls[0].stop", "what blocks it"},
		"stop takes a value":         {"{address: 21, function: 6, takes: constant, value: 1}", "{address: 21, function: 6, takes: value}", "controls[0].stop[1].takes", "constant"},
		"it stays blocked":           {"      - {address: 21, function: 6, takes: constant, value: 0}\n", "", "controls[0].release", "stay blocked"},
		"a timer":                    {"by: none", "by: timer, least_seconds: 1, most_seconds: 9", "controls[0].reversion.by", "watchdog, or none"},
		"a battery":                  {"kinds: [heat_pump]", "kinds: [battery]", "controls[0].quantity", "battery_power"},
		"no switch, and no value": {
			"    switch: true\n    confirmed: true\n    least: 6000\n", "    confirmed: true\n    least: 0\n    most: 1\n    set:\n      - {address: 20, function: 6, takes: constant, value: 0}\n", "controls[0].set", "switch: true",
		},
	} {
		src := strings.Replace(pump, c.old, c.new, 1)
		if src == pump {
			t.Fatalf("%s: nothing replaced", name)
		}
		_, err := profile.Parse("mine.yaml", []byte(src))
		problems, ok := errors.AsType[strictyaml.Problems](err)
		if !ok {
			t.Errorf("%s: loaded: %v", name, err)
			continue
		}
		if !slices.ContainsFunc(problems, func(p strictyaml.Problem) bool {
			return strings.Contains(p.Error(), c.field) && strings.Contains(p.Error(), c.says)
		}) {
			t.Errorf("%s: no problem of %s that says %q:\n%v", name, c.field, c.says, err)
		}
	}
}

// Stiebel Eltron's two inputs mean "run at once" where both are on: no way from
// one state to another goes through that.
func TestSGReadyIsNeverForced(t *testing.T) {
	for _, before := range [][]uint16{{0, 0, 0}, {1, 0, 1}, {1, 1, 0}, {1, 1, 1}} {
		_, img := readImage(t, "testdata/images/stiebel-eltron-isg.yaml")
		img.Set(profile.Holding, 4000, before...)
		b := &board{img: img, onWrite: func(b *board, w written) error {
			b.img.Set(w.table, w.addr, w.values...)
			if now, err := b.img.Get(profile.Holding, 4001, 2); err == nil && slices.Equal(now, []uint16{1, 1}) && !slices.Equal(before[1:], now) {
				t.Errorf("from %v it was forced on", before)
			}
			return nil
		}}
		dev, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: "stiebel-eltron-isg", Library: library(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.Apply(t.Context(), device.Command{Quantity: device.LoadPower}); err != nil {
			t.Fatal(err)
		}
		if now, err := img.Get(profile.Holding, 4000, 3); err != nil || !slices.Equal(now, []uint16{1, 0, 1}) {
			t.Errorf("from %v, blocked: %v, %v", before, now, err)
		}
		if err := dev.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now, err := img.Get(profile.Holding, 4001, 2); err != nil || !slices.Equal(now, []uint16{0, 0}) {
			t.Errorf("from %v, let go: %v, %v", before, now, err)
		}
	}
}
