// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler"
)

const now = energy.Instant(1_780_000_000_000)

var assetList = []roll.Asset{
	{ID: "anna-meter", Kind: roll.Meter, Gateway: "gw-a"},
	{ID: "anna-roof", Kind: roll.Inverter, Gateway: "gw-a"},
	{ID: "anna-battery", Kind: roll.Battery, Gateway: "gw-a"},
	{ID: "ben-meter", Kind: roll.Meter, Gateway: "gw-b"},
}

func assetOf(id roll.AssetID) (a roll.Asset) {
	for _, a := range assetList {
		if a.ID == id {
			return a
		}
	}
	return a
}

var assets = api.AssetsOf(roll.Community{Assets: assetList})

func sample() *allmendev1.MeterSample {
	return &allmendev1.MeterSample{AssetId: "anna-meter", Register: "import", AtUnixMs: int64(now), ValueMilliwattHours: 1_000}
}

func batch(samples ...*allmendev1.MeterSample) *allmendev1.MeterBatch {
	return &allmendev1.MeterBatch{SpoolId: "s1", FirstSequence: 1, Samples: samples}
}

func TestDecodeMeter(t *testing.T) {
	b, err := api.DecodeMeter(assets, "gw-a", now, batch(sample(), &allmendev1.MeterSample{
		AssetId: "anna-battery", Register: "charged", AtUnixMs: int64(now) - 5, ValueMilliwattHours: 7, Quality: allmendev1.Quality_QUALITY_ESTIMATED, Reset_: true, SocPermille: 500,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if s := b.Samples[0]; s.Asset != "anna-meter" || s.Register != "import" || s.At != now || s.Value != 1_000 || s.SoC != -1 {
		t.Errorf("%+v", s)
	}
	if s := b.Samples[1]; !s.Reset || s.Quality != energy.Estimated || s.SoC != 500 || s.At != now-5 {
		t.Errorf("%+v", s)
	}
}

// TestSetAside: what cannot be counted is kept from being counted, and says why.
func TestSetAside(t *testing.T) {
	for field, change := range map[string]func(*allmendev1.MeterSample){
		"asset_id: \"ben-meter\" is no asset of gateway gw-a": func(s *allmendev1.MeterSample) { s.AssetId = "ben-meter" },
		"asset_id: \"nobody\"":                                func(s *allmendev1.MeterSample) { s.AssetId = "nobody" },
		"register: a meter has no":                            func(s *allmendev1.MeterSample) { s.Register = "production" },
		"value_milliwatt_hours: -":                            func(s *allmendev1.MeterSample) { s.ValueMilliwattHours = -1 },
		"value_milliwatt_hours: ":                             func(s *allmendev1.MeterSample) { s.ValueMilliwattHours = math.MaxInt64 },
		"ahead of the coordinator":                            func(s *allmendev1.MeterSample) { s.AtUnixMs = int64(now.Add(api.MaxAhead)) + 1 },
		"at_unix_ms: 9223372036854775807":                     func(s *allmendev1.MeterSample) { s.AtUnixMs = math.MaxInt64 },
		"days back":                                           func(s *allmendev1.MeterSample) { s.AtUnixMs = int64(now.Add(-api.MaxBehind)) - 1 },
		"at_unix_ms: -":                                       func(s *allmendev1.MeterSample) { s.AtUnixMs = math.MinInt64 },
		"soc_permille: 1001": func(s *allmendev1.MeterSample) {
			s.AssetId, s.Register, s.SocPermille = "anna-battery", "charged", 1001
		},
	} {
		bad := sample()
		change(bad)
		b, err := api.DecodeMeter(assets, "gw-a", now, batch(sample(), bad, sample()))
		if err != nil || len(b.Samples) != 3 || len(b.Aside) != 1 || b.Aside[0].Index != 1 {
			t.Errorf("%s: %+v, %v", field, b, err)
			continue
		}
		if err := b.Aside[0].Why; !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "meter.samples[1].") || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
		if assets.Bookable("gw-a", now, b.Samples[1]) == nil {
			t.Errorf("%s: it would count when the inbox is read back", field)
		}
	}
}

func TestMeterRefusals(t *testing.T) {
	for field, change := range map[string]func(*allmendev1.MeterSample){
		"asset_id: ":  func(s *allmendev1.MeterSample) { s.AssetId = "A" },
		"register: ":  func(s *allmendev1.MeterSample) { s.Register = "" },
		"quality: 7":  func(s *allmendev1.MeterSample) { s.Quality = 7 },
		"quality: -1": func(s *allmendev1.MeterSample) { s.Quality = -1 },
	} {
		bad := sample()
		change(bad)
		_, err := api.DecodeMeter(assets, "gw-a", now, batch(sample(), bad))
		if !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "meter.samples[1].") || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for field, b := range map[string]*allmendev1.MeterBatch{
		"meter.spool_id":       {FirstSequence: 1},
		"meter.first_sequence": {SpoolId: "s"},
		"meter.samples":        {SpoolId: "s", FirstSequence: 1, Samples: make([]*allmendev1.MeterSample, 5_001)},
	} {
		if _, err := api.DecodeMeter(assets, "gw-a", now, b); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	over := batch(sample(), sample())
	over.FirstSequence = math.MaxInt64
	if _, err := api.DecodeMeter(assets, "gw-a", now, over); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a sequence beyond what counts: %v", err)
	}
}

func TestLiveRefusals(t *testing.T) {
	good := func() *allmendev1.Reading {
		return &allmendev1.Reading{AssetId: "anna-battery", AtUnixMs: int64(now), PowerMilliwatts: -5, SocPermille: 300}
	}
	b, err := api.DecodeLive(assets, "gw-a", now, &allmendev1.LiveBatch{StampMs: 9, Readings: []*allmendev1.Reading{good()}})
	if err != nil || b.StampMS != 9 || b.Readings[0].Power != -5 || b.Readings[0].SoC != 300 {
		t.Errorf("%+v, %v", b, err)
	}
	for field, change := range map[string]func(*allmendev1.Reading){
		"asset_id":         func(r *allmendev1.Reading) { r.AssetId = "ben-meter" },
		"at_unix_ms":       func(r *allmendev1.Reading) { r.AtUnixMs = math.MaxInt64 },
		"power_milliwatts": func(r *allmendev1.Reading) { r.PowerMilliwatts = math.MinInt64 },
		"quality":          func(r *allmendev1.Reading) { r.Quality = 99 },
		"soc_permille":     func(r *allmendev1.Reading) { r.SocPermille = -2 },
	} {
		bad := good()
		change(bad)
		_, err := api.DecodeLive(assets, "gw-a", now, &allmendev1.LiveBatch{Readings: []*allmendev1.Reading{good(), bad}})
		if !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "live.readings[1]."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := api.DecodeLive(assets, "gw-a", now, &allmendev1.LiveBatch{StampMs: -1}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a negative stamp: %v", err)
	}
}

// FuzzDecodeMeter feeds the bytes of a message: whatever passes keeps to its
// bounds, and only the gateway's own assets pass.
func FuzzDecodeMeter(f *testing.F) {
	for _, b := range []*allmendev1.MeterBatch{batch(sample()), batch(), {}} {
		raw, err := proto.Marshal(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m allmendev1.MeterBatch
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		for _, gateway := range []roll.GatewayID{"gw-a", "gw-b", "gw-c"} {
			b, err := api.DecodeMeter(assets, gateway, now, &m)
			if err != nil {
				if !errors.Is(err, api.ErrInvalid) || b.Samples != nil {
					t.Fatalf("refused with %v and %d samples", err, len(b.Samples))
				}
				continue
			}
			if len(b.Samples) != len(m.GetSamples()) || b.First == 0 || b.SpoolID == "" || len(b.SpoolID) > 64 {
				t.Fatalf("batch %+v", b)
			}
			aside := map[int]bool{}
			for _, a := range b.Aside {
				aside[a.Index] = true
			}
			for i, s := range b.Samples {
				asset := assetOf(s.Asset)
				if roll.CheckID(string(s.Asset)) != nil || s.Quality > energy.NotImplemented {
					t.Fatalf("cannot be stored: %+v", s)
				}
				if aside[i] {
					if assets.Bookable(gateway, now, s) == nil {
						t.Fatalf("set aside without need: %+v", s)
					}
					continue
				}
				switch {
				case asset.Gateway != gateway, !scheduler.HasRegister(asset.Kind, s.Register):
					t.Fatalf("gateway %s reported %v", gateway, s.Key)
				case s.Value < 0, s.At > now.Add(api.MaxAhead), s.At < now.Add(-api.MaxBehind), s.Quality > energy.NotImplemented, s.SoC < -1, s.SoC > 1000:
					t.Fatalf("out of bounds: %+v", s)
				}
			}
		}
	})
}

// FuzzDecodeLive does the same for the live lane.
func FuzzDecodeLive(f *testing.F) {
	raw, err := proto.Marshal(&allmendev1.LiveBatch{StampMs: 1, Readings: []*allmendev1.Reading{{AssetId: "anna-meter", AtUnixMs: int64(now)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m allmendev1.LiveBatch
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		b, err := api.DecodeLive(assets, "gw-a", now, &m)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, r := range b.Readings {
			if assetOf(r.Asset).Gateway != "gw-a" || r.SoC < -1 || r.SoC > 1000 || r.Quality > energy.NotImplemented || len(r.Reason) > 400 {
				t.Fatalf("out of bounds: %+v", r)
			}
		}
	})
}
