// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
)

// A corrected sample becomes durable, and the coordinator dies before it could
// settle the complete interval again: the next one does, once.
func TestSampleJustBeforeACrashIsSettled(t *testing.T) {
	s := &scenario{}
	if _, err := s.found(&datadriven.TestData{Cmd: "community", Input: "anna: sun\nben"}); err != nil {
		t.Fatal(err)
	}
	ben := meters.Key{Asset: "ben-meter", Register: meters.Import}
	at := s.day.Add(energy.QuarterHour)
	if err := s.meters("00:00 anna import 0 export 0 production 0\n00:00 ben import 0 export 0\n" +
		"00:15 anna import 0 export 1 production 1\n00:15 ben export 0\n" +
		"00:30 anna import 0 export 2 production 2\n00:30 ben import 1 export 0"); err != nil {
		t.Fatal(err)
	}
	guess := scheduler.Samples{Gateway: "gw", Samples: []meters.Sample{{Key: ben, At: at, Value: 500 * energy.WattHour, Quality: energy.Substituted, SoC: -1}}}
	s.samples = append(s.samples, guess)
	s.step(guess)
	tick := func() int {
		before := len(s.leaves)
		for range 5 {
			s.step(scheduler.Tick{At: s.day.Add(energy.Hour), DayStart: s.day})
		}
		return len(s.leaves) - before
	}
	if n := tick(); n != 2 {
		t.Fatalf("%d intervals settled", n)
	}
	// In the inbox, but not in the state machine: what Ben's meter really said.
	s.samples = append(s.samples, scheduler.Samples{Gateway: "gw", Samples: []meters.Sample{{Key: ben, At: at, Value: 700 * energy.WattHour, SoC: -1}}})
	for i, want := range []int{4, 0} {
		if _, err := s.restart(); err != nil {
			t.Fatal(err)
		}
		if n := tick(); n != want {
			t.Fatalf("after restart %d: %d leaves more", i+1, n)
		}
	}
}
