// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"slices"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// FuzzDownlink: whatever comes down is translated or refused, and no setpoint
// is other than the wire said.
func FuzzDownlink(f *testing.F) {
	seed, _ := proto.Marshal(&allmendev1.Downlink{Message: &allmendev1.Downlink_Setpoints{Setpoints: &allmendev1.SetpointBatch{
		Setpoints: []*allmendev1.Setpoint{{AssetId: "b", PowerMilliwatts: -7, StampMs: 1, TimeToLiveMs: 2, Epoch: 3, Sequence: 4}},
	}}})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m allmendev1.Downlink
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		var clock clockEstimate
		clock.add(m.GetClockReply(), 1_000)
		got, err := decodeSetpoints(m.GetSetpoints())
		if err != nil {
			return
		}
		for i, s := range m.GetSetpoints().GetSetpoints() {
			if string(got[i].Asset) != s.GetAssetId() || int64(got[i].Power) != s.GetPowerMilliwatts() || got[i].Epoch != s.GetEpoch() {
				t.Fatalf("%v became %+v", s, got[i])
			}
			g := guard.New(guard.Config{Limits: guard.DeviceLimits(), Poll: 1000, Controls: []device.Control{{Quantity: device.BatteryPower, Reversion: device.RevertsByTimer}}})
			if g.Offer(got[i], 10) == nil && (got[i].TTL <= 0 || got[i].Stamp > 10) {
				t.Fatalf("the guard took %+v", got[i])
			}
		}
	})
}

// FuzzBatch: a batch that is encoded can always be sent and read back the same.
func FuzzBatch(f *testing.F) {
	f.Add("roof-1", "import", int64(1), int64(2), int64(-1), true)
	f.Fuzz(func(t *testing.T, asset, register string, at, value, soc int64, reset bool) {
		if !utf8.ValidString(asset) || !utf8.ValidString(register) || soc < -1 || soc > 1000 {
			return // ids are slugs, registers constants; the spool's source checks
		}
		in := &allmendev1.MeterSample{AssetId: asset, Register: register, AtUnixMs: at, ValueMilliwattHours: value, SocPermille: int32(soc), Reset_: reset}
		sample := uplinktest.Sample(in)
		b, err := proto.Marshal(encodeMeter("id", 1, []meters.Sample{sample, sample}))
		if err != nil {
			t.Fatal(err)
		}
		var up allmendev1.Uplink
		if err := proto.Unmarshal(b, &up); err != nil {
			t.Fatal(err)
		}
		var out []meters.Sample
		for _, s := range up.GetMeter().GetSamples() {
			out = append(out, uplinktest.Sample(s))
		}
		if !slices.Equal(out, []meters.Sample{sample, sample}) {
			t.Fatalf("%+v became %+v", sample, out)
		}
	})
}
