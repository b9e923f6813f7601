// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// TestMisreadingsCostNothing: whatever single readings of a register were, the
// energy that settlement finds in the samples kept is that of the others.
func TestMisreadingsCostNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		poll := energy.Span(rapid.SampledFrom([]int64{1_000, 10_000, 60_000}).Draw(t, "poll"))
		start := at(0, rapid.Int64Range(0, 100_000).Draw(t, "start"))
		value := energy.Energy(rapid.Int64Range(1_000, 100_000).Draw(t, "count")) * energy.WattHour
		var in []meters.Sample
		quiet := 0 // since the latest misreading: one that follows another is no single one
		for i := range 200 {
			s := meters.Sample{At: start.Add(energy.Span(i) * poll), Value: value}
			value += energy.Energy(rapid.Int64Range(0, 2_000).Draw(t, "rise"))
			quiet++
			if i > 2 && i < 197 && quiet > 4 && rapid.IntRange(0, 9).Draw(t, "misread") == 0 {
				s.Value = rapid.SampledFrom([]energy.Energy{0, 3, s.Value / 10, s.Value * 10, 1 << 40, 1 << 50}).Draw(t, "as")
				quiet = 0
			}
			in = append(in, s)
		}
		var track meters.Track
		for _, s := range run(in) {
			track.Add(s)
		}
		lim := meters.Limits{MaxGap: 5 * energy.Minute, MaxPower: 1_000 * energy.Kilowatt}
		var found energy.Energy
		last := in[len(in)-1]
		for iv := energy.IntervalAt(in[0].At, quarter); iv.Start <= last.At; iv = iv.Next() {
			found += track.Difference(iv, lim).Energy
		}
		if want := last.Value - in[0].Value; found != want {
			t.Fatalf("found %v of %v", found, want)
		}
	})
}

// TestAnEndedCountIsNotBookedAnew: an inverter that shows 0 for a night without
// saying that it sleeps did not make all it ever made on the next morning.
func TestAnEndedCountIsNotBookedAnew(t *testing.T) {
	var in []meters.Sample
	for m := range int64(180) {
		s := meters.Sample{At: at(m, 0), Value: 200 * energy.KilowattHour}
		if m >= 40 && m < 130 {
			s.Value = 0
		}
		in = append(in, s)
	}
	var track meters.Track
	for _, s := range run(in) {
		track.Add(s)
	}
	lim := meters.Limits{MaxGap: 5 * energy.Minute, MaxPower: 1_000 * energy.Kilowatt}
	for iv := energy.IntervalAt(at(0, 0), quarter); iv.Start < at(179, 0); iv = iv.Next() {
		if v := track.Difference(iv, lim); v.Energy != 0 {
			t.Errorf("%v is booked in %v", v.Energy, iv)
		}
	}
}
