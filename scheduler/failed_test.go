// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
)

// An interval that cannot be settled is said, holds up no others beyond its
// deadline, and is settled when what was wrong is mended, also after a restart.
func TestWhatCannotBeSettledHoldsUpNothing(t *testing.T) {
	s := &scenario{}
	if _, err := s.found(&datadriven.TestData{Cmd: "community", Input: "anna: sun\nmill: battery",
		CmdArgs: []datadriven.CmdArg{{Key: "settle_after", Vals: []string{"30m"}}}}); err != nil {
		t.Fatal(err)
	}
	quarter := func(n int64, soc int64, quality energy.Quality) scheduler.Samples {
		batch := scheduler.Samples{Gateway: "gw"}
		for _, k := range []meters.Key{
			{Asset: "anna-meter", Register: meters.Import}, {Asset: "anna-meter", Register: meters.Export}, {Asset: "anna-inverter", Register: meters.Production},
			{Asset: "mill-meter", Register: meters.Import}, {Asset: "mill-meter", Register: meters.Export},
			{Asset: "mill-battery", Register: meters.Charged}, {Asset: "mill-battery", Register: meters.Discharged},
		} {
			batch.Samples = append(batch.Samples, meters.Sample{Key: k, At: s.day.Add(energy.Span(n) * energy.QuarterHour), Value: energy.Energy(n) * energy.WattHour, SoC: soc, Quality: quality})
		}
		return batch
	}
	say := func(n, soc int64, q energy.Quality) {
		s.samples = append(s.samples, quarter(n, soc, q))
		s.step(s.samples[len(s.samples)-1])
	}
	var failed []scheduler.Failed
	var mended []scheduler.Mended
	tick := func(n int64) int {
		before := len(s.leaves)
		s.now = s.day.Add(energy.Span(n) * energy.QuarterHour)
		for range 4 {
			for _, e := range s.step(scheduler.Tick{At: s.now, DayStart: s.day}) {
				switch e := e.(type) {
				case scheduler.Failed:
					failed = append(failed, e)
				case scheduler.Mended:
					mended = append(mended, e)
				}
			}
		}
		return len(s.leaves) - before
	}
	for n, soc := range []int64{500, 500, 1100, 500, 500} {
		say(int64(n), soc, energy.Substituted)
	}
	if n := tick(3); n != 1 || len(failed) != 0 {
		t.Fatalf("%d intervals settled before the deadline, %v", n, failed)
	}
	if n := tick(4); n != 2 || len(failed) != 1 || failed[0].Interval.Start != s.day.Add(energy.QuarterHour) || !strings.Contains(failed[0].Err.Error(), "mill-battery") {
		t.Fatalf("%d intervals settled after the deadline of the second, %v", n, failed)
	}
	if _, err := s.restart(); err != nil {
		t.Fatal(err)
	}
	if n := tick(4); n != 0 || len(failed) != 2 || len(mended) != 0 {
		t.Fatalf("%d leaves more after a restart, %v", n, failed)
	}
	say(2, 500, energy.Good)
	if n := tick(5); n < 1 || s.leaves[len(s.leaves)-1].Leaf.Settled == nil || len(failed) != 2 {
		t.Fatalf("%d leaves more when it is mended, %v", n, failed)
	}
	if len(mended) != 1 || mended[0].Interval != failed[0].Interval {
		t.Errorf("what is mended is not said: %v", mended)
	}
	if got := s.standing(t); len(got) != 4 {
		t.Errorf("%d intervals stand", len(got))
	}
}
