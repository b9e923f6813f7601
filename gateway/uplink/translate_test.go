// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"testing"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// TestQuantities: each quantity comes through as itself, and what a newer
// coordinator may invent is not taken for anything.
func TestQuantities(t *testing.T) {
	batch := &allmendev1.SetpointBatch{}
	for q := range allmendev1.Quantity_name {
		batch.Setpoints = append(batch.Setpoints, &allmendev1.Setpoint{AssetId: "a", Quantity: allmendev1.Quantity(q), Permille: 7, PowerMilliwatts: 9, GridOperator: q == 6})
	}
	batch.Setpoints = append(batch.Setpoints, &allmendev1.Setpoint{AssetId: "a", Quantity: 99})
	got, err := decodeSetpoints(batch)
	if err != nil || len(got) != len(allmendev1.Quantity_name) {
		t.Fatalf("%d setpoints, %v", len(got), err)
	}
	seen := map[device.Quantity]int{}
	for _, sp := range got {
		seen[sp.Quantity]++
		if sp.Permille != 7 || sp.Power != 9 || (sp.From == guard.GridOperator) != (sp.Quantity == device.LoadPower) {
			t.Errorf("%+v", sp)
		}
		if sp.Quantity != "" && sp.Quantity != mustDecode(t, encodeQuantity(sp.Quantity)) {
			t.Errorf("%s does not come back", sp.Quantity)
		}
	}
	if len(seen) != 6 || seen[""] != 2 {
		t.Errorf("%v", seen)
	}
}

func mustDecode(t *testing.T, q allmendev1.Quantity) device.Quantity {
	t.Helper()
	d, known := decodeQuantity(q)
	if !known {
		t.Fatalf("%s is not known", q)
	}
	return d
}
