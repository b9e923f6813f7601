// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

const protectedSite = `site: test
latitude: 48.2
longitude: 16.4
seed: 5
step: 5s
houses:
  - house: home-1
    load: {kwh_per_year: 4000}
    pv: {peak_w: 6000, tilt_deg: 30, azimuth_deg: 180}
listeners:
  - address: 127.0.0.1:0
    devices:
      - {asset: roof-1, unit: 1, kind: inverter, house: home-1, control: 704}
      - {asset: meter-1, unit: 2, kind: meter, house: home-1}
  - address: 127.0.0.1:0
    devices:
      - {asset: wallbox-1, unit: 1, kind: charger, house: home-1, profile: alfen-eve, load: {wants_w: 11000, least_w: 4140}}
  - address: 127.0.0.1:0
    devices:
      - {asset: ripple-1, unit: 1, kind: contact, profile: modbus-contact, limited: [{from: 10m, until: 20m}]}
`

// TestProtectionOverModbus: a grid operator's contact limits a charger, and a
// setpoint of the coordinator an inverter, over real sockets; both end.
func TestProtectionOverModbus(t *testing.T) {
	w := newWorldOf(t, protectedSite)
	limit, failsafe := guard.FreeGrid(), guard.FreeGrid()
	limit.Draw, failsafe.Draw = guard.UsualDraw, guard.UsualDraw
	for i := range w.devices {
		switch d := &w.devices[i]; d.Asset {
		case "wallbox-1":
			d.Profile = "alfen-eve"
		case "ripple-1":
			d.Profile = "modbus-contact"
		}
	}
	w.gateway(func(c *gateway.Config) {
		c.Poll, c.Uplink.StatusEvery = 5*energy.Second, 20*time.Millisecond
		c.Contacts = []gateway.GridContact{{
			Contact: "ripple-1", Limited: "limit", Free: "free", Devices: []roll.AssetID{"wallbox-1"},
			Limit: limit, Failsafe: failsafe, Heartbeat: guard.UsualHeartbeat, Hold: guard.UsualHold,
		}}
	})
	w.connected()
	controls := func(minute int64, asset string) *allmendev1.ControlState {
		t.Helper()
		w.to(minute)
		v := w.peer.Wait(w.ctx, t, "a status of this minute", func(v uplinktest.View) bool {
			return v.Status.GetAtUnixMs() >= int64(start.Add(energy.Span(minute-1)*energy.Minute))
		})
		for _, d := range v.Status.GetDevices() {
			if d.GetAssetId() == asset {
				if len(d.GetControls()) != 1 {
					t.Fatalf("%s at minute %d: %v", asset, minute, d)
				}
				return d.GetControls()[0]
			}
		}
		t.Fatalf("no %s in the status", asset)
		return nil
	}
	if c := controls(8, "wallbox-1"); c.GetInForce() || c.GetQuantity() != allmendev1.Quantity_QUANTITY_LOAD_POWER {
		t.Errorf("before the limit: %v", c)
	}
	if c := controls(15, "wallbox-1"); !c.GetInForce() || c.GetValue() != int64(guard.UsualDraw) || c.GetWhy() != "grid operator" {
		t.Errorf("while it holds: %v", c)
	}
	if c := controls(25, "wallbox-1"); c.GetInForce() {
		t.Errorf("after it: %v", c)
	}

	power := func(minute int64) energy.Power {
		t.Helper()
		w.to(minute)
		v := w.peer.Wait(w.ctx, t, "live values", func(uplinktest.View) bool { return true })
		last := v.Live[len(v.Live)-1]
		for _, r := range last.GetReadings() {
			switch r.GetAssetId() {
			case "roof-1":
				return energy.Power(r.GetPowerMilliwatts())
			case "wallbox-1", "ripple-1":
				t.Fatalf("%s is sent, which no register knows", r.GetAssetId())
			}
		}
		t.Fatalf("no roof in %v", last)
		return 0
	}
	free := power(26)
	v := w.peer.Wait(w.ctx, t, "live values", func(uplinktest.View) bool { return true })
	w.peer.Command(&allmendev1.Setpoint{
		AssetId: "roof-1", Quantity: allmendev1.Quantity_QUANTITY_ACTIVE_POWER_PERMILLE, Permille: 100,
		StampMs: v.Live[len(v.Live)-1].GetStampMs(), TimeToLiveMs: 5 * 60_000, Epoch: 1, Sequence: 1,
	})
	limited, after := power(29), power(39)
	if free < energy.Kilowatt || limited > 660*energy.Watt || after < limited+500*energy.Watt {
		t.Errorf("free %s, limited %s, after it %s", free, limited, after)
	}
}
