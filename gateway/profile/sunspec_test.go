// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"errors"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// chain is a board with these SunSpec models; all else that is asked for is 0,
// as many devices and servers answer.
func chain(t *testing.T, models ...uint16) *board {
	t.Helper()
	img, err := sunspec.NewImage(40000, 1, models...)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{img: &profile.Image{}}
	for _, table := range []profile.Table{profile.Holding, profile.Input, profile.Coil, profile.Discrete} {
		b.img.Set(table, 0, make([]uint16, 1<<16)...)
	}
	for addr := uint16(40000); ; addr++ {
		regs, ok := img.Read(addr, 1)
		if !ok {
			return b
		}
		b.img.Set(profile.Holding, addr, regs...)
	}
}

// A device that shows SunSpec models, though none that measure, can be looked at:
// what profiles make of its other registers is a guess, the chain is not.
func TestAChainThatMeasuresNothing(t *testing.T) {
	dev, err := profile.Open(t.Context(), chain(t, sunspec.Common, sunspec.Nameplate), 1, profile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := device.Probe(t.Context(), 1, dev)
	if err != nil || p.Profile != "sunspec" || p.Base == nil || *p.Base != 40000 || len(p.Models) != 2 || len(p.Points) != 35 {
		t.Errorf("%d points, %+v, %v", len(p.Points), p.Models, err)
	}
	if _, err := dev.Read(t.Context()); !errors.Is(err, sunspec.ErrNoUse) {
		t.Errorf("it measures: %v", err)
	}
}

// The kind that is configured chooses among what a chain has.
func TestKindOfAChain(t *testing.T) {
	b := chain(t, sunspec.Common, sunspec.InverterThree, sunspec.StorageControl)
	for kind, want := range map[profile.Kind]roll.AssetKind{"": roll.Battery, profile.Inverter: roll.Inverter, profile.Battery: roll.Battery} {
		for _, name := range []string{"", profile.SunSpec} {
			dev, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: name, Kind: kind})
			if err != nil || dev.Kind() != want {
				t.Errorf("as %q: %v, %v", kind, dev, err)
			}
		}
	}
	if _, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: profile.SunSpec, Kind: profile.Meter}); !errors.Is(err, sunspec.ErrNoUse) {
		t.Errorf("as a meter: %v", err)
	}
}
