// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/profile"
)

// madeBy is a SunSpec device: model 1, and model 103 with 4000 W.
func madeBy(maker string) *board {
	b := &board{img: &profile.Image{}}
	text := func(at uint16, s string, count int) {
		raw := make([]byte, 2*count)
		copy(raw, s)
		for i := range count {
			b.img.Set(profile.Holding, at+uint16(i), uint16(raw[2*i])<<8|uint16(raw[2*i+1]))
		}
	}
	text(40000, "SunS", 2)
	b.img.Set(profile.Holding, 40002, 1, 66)
	b.img.Set(profile.Holding, 40004, make([]uint16, 66)...)
	text(40004, maker, 16)
	text(40020, "Symo GEN24 10.0", 16)
	b.img.Set(profile.Holding, 40070, 103, 50)
	values := make([]uint16, 50)
	for i := range values {
		values[i] = 0x8000
	}
	values[12], values[13] = 400, 1 // W and its factor
	b.img.Set(profile.Holding, 40072, values...)
	b.img.Set(profile.Holding, 40122, 0xFFFF, 0)
	return b
}

// A family that speaks SunSpec is read by its models; the profile adds how it
// wants to be spoken to, and knows its maker.
func TestProfileOfASunSpecDevice(t *testing.T) {
	lib := library(t)
	dev, err := profile.Open(t.Context(), madeBy("Fronius"), 1, profile.Options{Profile: "fronius-gen24", Library: lib})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := dev.Read(t.Context()); err != nil || s.Power != 4*energy.Kilowatt {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = profile.Open(t.Context(), madeBy("SolarEdge"), 1, profile.Options{Profile: "fronius-gen24", Library: lib})
	if !errors.Is(err, profile.ErrMismatch) || !strings.Contains(err.Error(), "SolarEdge") {
		t.Errorf("another maker: %v", err)
	}
	if dev, err := profile.Open(t.Context(), madeBy("Anybody"), 1, profile.Options{Library: lib}); err != nil || dev.Identity().Manufacturer != "Anybody" {
		t.Errorf("without a profile it is read as SunSpec: %v", err)
	}
}
