// SPDX-License-Identifier: AGPL-3.0-or-later

package sun_test

import (
	"math"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sun"
)

// TestElevation: at the solstices the sun culminates at 90° less the latitude,
// plus or less the tilt of the earth's axis, and it stands as far below the
// horizon at night.
func TestElevation(t *testing.T) {
	const latitude, tilt = 48.2, 23.44
	for _, c := range []struct {
		month time.Month
		high  float64
	}{{time.June, 90 - latitude + tilt}, {time.December, 90 - latitude - tilt}} {
		highest, lowest := -90.0, 90.0
		for minute := range 24 * 60 {
			at := energy.InstantOf(time.Date(2026, c.month, 21, 0, minute, 0, 0, time.UTC))
			e := sun.Elevation(at, latitude, 16.4)
			highest, lowest = max(highest, e), min(lowest, e)
		}
		night := c.high - 2*(90-latitude)
		if math.Abs(highest-c.high) > 0.3 || math.Abs(lowest-night) > 0.3 {
			t.Errorf("%s: from %.2f° to %.2f°, want %.2f° to %.2f°", c.month, lowest, highest, night, c.high)
		}
	}
	// Noon is an hour later 15° further west.
	at := energy.InstantOf(time.Date(2026, 3, 21, 11, 0, 0, 0, time.UTC))
	if a, b := sun.Elevation(at, latitude, 15), sun.Elevation(at.Add(energy.Hour), latitude, 0); math.Abs(a-b) > 0.1 {
		t.Errorf("%.2f° and %.2f°", a, b)
	}
}
