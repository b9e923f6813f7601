// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// imageFile is a device as it is on the wire, with what a person expects to
// read of it. Its numbers were worked out from the sources, not by this package.
type imageFile struct {
	Profile   string `yaml:"profile"`
	Source    string `yaml:"source"` // where the registers are from
	Registers []struct {
		Table   profile.Table `yaml:"table"`
		Address uint16        `yaml:"address"`
		Hex     string        `yaml:"hex"`
		Text    string        `yaml:"text"`
		Count   int           `yaml:"count"`
	} `yaml:"registers"`
	Expect []struct {
		Kind      profile.Kind `yaml:"kind"`
		Power     string       `yaml:"power"` // in mW; empty: none
		SoC       string       `yaml:"soc"`   // in permille
		State     string       `yaml:"state"`
		Quality   string       `yaml:"quality"`
		Serial    string       `yaml:"serial"`
		Registers []counter    `yaml:"registers"`
		Points    []struct {
			Name  string `yaml:"name"`
			Value string `yaml:"value"` // a decimal or a text; empty: not implemented
		} `yaml:"points"`
	} `yaml:"expect"`
}

type counter struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"` // kWh
}

func readImage(t *testing.T, file string) (imageFile, *profile.Image) {
	t.Helper()
	src, err := strictyaml.ReadFile(file, strictyaml.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var f imageFile
	if err := strictyaml.Read(file, src, &f, strictyaml.Options{}).Err(); err != nil {
		t.Fatal(err)
	}
	img := &profile.Image{}
	for _, r := range f.Registers {
		raw, err := hex.DecodeString(strings.ReplaceAll(r.Hex, " ", ""))
		if err != nil {
			t.Fatalf("%s: register %d: %v", file, r.Address, err)
		}
		if r.Text != "" {
			raw = make([]byte, 2*r.Count)
			copy(raw, r.Text)
		}
		for i := 0; i+1 < len(raw); i += 2 {
			img.Set(r.Table, r.Address+uint16(i/2), uint16(raw[i])<<8|uint16(raw[i+1]))
		}
	}
	return f, img
}

// TestImages reads each recorded device and finds what a person expects.
func TestImages(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no images: %v", err)
	}
	lib := library(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, img := readImage(t, file)
			if len(f.Expect) == 0 {
				t.Fatal("expects nothing")
			}
			for _, want := range f.Expect {
				dev, err := profile.Open(t.Context(), &board{img: img}, 1, profile.Options{Profile: f.Profile, Kind: want.Kind, Library: lib})
				if err != nil {
					t.Fatal(err)
				}
				s, err := dev.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				checkSnapshot(t, string(want.Kind), s, want.Power, want.SoC, want.State, want.Quality, want.Registers)
				if want.Serial != "" && dev.Identity().Serial != want.Serial {
					t.Errorf("serial %q, want %q", dev.Identity().Serial, want.Serial)
				}
				values, err := dev.Points(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range want.Points {
					checkPoint(t, values, p.Name, p.Value)
				}
			}
		})
	}
}

func checkSnapshot(t *testing.T, kind string, s device.Snapshot, power, soc, state, quality string, registers []counter) {
	t.Helper()
	if quality == "" {
		quality = "good"
	}
	if s.Quality.String() != quality {
		t.Errorf("%s: quality %s (%s), want %s", kind, s.Quality, s.Reason, quality)
	}
	if s.Quality != energy.Good && s.Reason == "" {
		t.Errorf("%s: quality %s without a reason", kind, s.Quality)
	}
	if power != "" {
		want, err := profile.ParseDecimal(power)
		if err != nil || int64(s.Power) != want.Raw {
			t.Errorf("%s: power %d mW, want %s", kind, s.Power, power)
		}
	}
	if soc != "" {
		want, err := profile.ParseDecimal(soc)
		if err != nil || s.SoC != want.Raw {
			t.Errorf("%s: state of charge %d ‰, want %s", kind, s.SoC, soc)
		}
	}
	if state != "" && s.State != state {
		t.Errorf("%s: state %q, want %q", kind, s.State, state)
	}
	if len(s.Registers) != len(registers) {
		t.Errorf("%s: registers %v, want %v", kind, s.Registers, registers)
	}
	for name, e := range s.Registers {
		found := false
		for _, r := range registers {
			want, err := energy.ParseKWh(r.Value)
			if r.Name == string(name) {
				found = true
				if err != nil || want != e {
					t.Errorf("%s: %s is %s kWh, want %s", kind, name, e.KWh(), r.Value)
				}
			}
		}
		if !found {
			t.Errorf("%s: %s is %s kWh, and was not expected", kind, name, e.KWh())
		}
	}
}

func checkPoint(t *testing.T, values []device.Value, name, want string) {
	t.Helper()
	for _, v := range values {
		if v.Name != name {
			continue
		}
		got := v.Decimal
		if v.Text != "" {
			got = v.Text
		}
		if a, err := profile.ParseDecimal(got); err == nil {
			if b, err := profile.ParseDecimal(want); err == nil && a.Cmp(b) == 0 {
				got = want
			}
		}
		if got != want || (want == "") != (v.Quality != energy.Good) {
			t.Errorf("point %s is %q (%s, %s), want %q", name, got, v.Quality, v.Reason, want)
		}
		return
	}
	t.Errorf("no point %s", name)
}
