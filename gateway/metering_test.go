// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

const quarter = energy.QuarterHour

func at(minutes, ms int64) energy.Instant {
	return energy.Instant(1_780_000_200_000 + minutes*60_000 + ms) // 20:30 UTC, on a boundary
}

// run feeds a counter and returns what it kept.
func run(samples []meters.Sample) []meters.Sample {
	c := counter{interval: quarter}
	var kept []meters.Sample
	for _, s := range samples {
		kept = append(kept, c.take(s)...)
	}
	return append(kept, c.rest()...)
}

func TestCounterExamples(t *testing.T) {
	s := func(at energy.Instant, value energy.Energy) meters.Sample { return meters.Sample{At: at, Value: value} }
	reset := func(at energy.Instant, value energy.Energy) meters.Sample {
		return meters.Sample{At: at, Value: value, Reset: true}
	}
	if energy.IntervalAt(at(0, 0), quarter).Start != at(0, 0) {
		t.Fatal("the example does not begin on a boundary")
	}
	for name, c := range map[string]struct{ in, want []meters.Sample }{
		"exactly on the boundary": {
			[]meters.Sample{s(at(1, 0), 1), s(at(14, 0), 2), s(at(15, 0), 3), s(at(16, 0), 4)},
			[]meters.Sample{s(at(1, 0), 1), s(at(15, 0), 3), s(at(16, 0), 4)},
		},
		"around the boundary": {
			[]meters.Sample{s(at(1, 0), 1), s(at(14, 3), 2), s(at(15, 3), 3), s(at(16, 3), 4), s(at(17, 3), 5)},
			[]meters.Sample{s(at(1, 0), 1), s(at(14, 3), 2), s(at(15, 3), 3), s(at(17, 3), 5)},
		},
		"away over two boundaries": {
			[]meters.Sample{s(at(1, 0), 1), s(at(8, 0), 2), s(at(45, 0), 3)},
			[]meters.Sample{s(at(1, 0), 1), s(at(8, 0), 2), s(at(45, 0), 3)},
		},
		"backwards": {
			[]meters.Sample{s(at(1, 0), 100), s(at(2, 0), 101), s(at(3, 0), 102), s(at(4, 0), 5), s(at(5, 0), 6)},
			[]meters.Sample{s(at(1, 0), 100), s(at(3, 0), 102), reset(at(4, 0), 5), s(at(5, 0), 6)},
		},
		"the same instant twice": {
			[]meters.Sample{s(at(1, 0), 1), s(at(1, 0), 1)},
			[]meters.Sample{s(at(1, 0), 1)},
		},
	} {
		if got := run(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, c.want)
		}
	}
}

// TestCounterKeepsWhatSettlementNeeds: for every boundary between the first and
// the last sample, the nearest samples on both sides are kept, those around each
// reset are, and of what is kept nothing was invented.
func TestCounterKeepsWhatSettlementNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []meters.Sample
		now, value := at(0, rapid.Int64Range(0, 1_000_000).Draw(t, "start")), energy.Energy(1_000_000)
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			in = append(in, meters.Sample{At: now, Value: value})
			now = now.Add(energy.Span(rapid.SampledFrom([]int64{1_000, 60_000, 299_999, 900_000, 3_000_000}).Draw(t, "gap")))
			value += energy.Energy(rapid.Int64Range(0, 5_000).Draw(t, "wh"))
			if value > 100_000 && rapid.IntRange(0, 20).Draw(t, "reset") == 0 {
				value = 1_000
			}
		}
		for in[len(in)-1].Value == 1_000 { // a reset is told by the sample behind it
			in = in[:len(in)-1]
		}
		kept := run(in)
		has := func(s meters.Sample) bool {
			return slices.ContainsFunc(kept, func(k meters.Sample) bool { return k.At == s.At && k.Value == s.Value })
		}
		for _, k := range kept {
			if !slices.ContainsFunc(in, func(s meters.Sample) bool { return k.At == s.At && k.Value == s.Value }) {
				t.Fatalf("%v was never read", k)
			}
		}
		if !has(in[0]) || !has(in[len(in)-1]) {
			t.Fatal("the first or the last sample is missing")
		}
		for i, s := range in[1:] {
			before := in[i]
			if s.Value < before.Value && (!has(before) || !slices.ContainsFunc(kept, func(k meters.Sample) bool { return k.At == s.At && k.Reset })) {
				t.Fatalf("a reset at %v is not marked between its neighbours", s.At)
			}
			// The obvious way: walk over every boundary there is.
			for b := energy.IntervalAt(before.At, quarter).End(); b <= s.At; b = b.Add(quarter) {
				if !has(s) || b != s.At && !has(before) {
					t.Fatalf("boundary %v between %v and %v", b, before.At, s.At)
				}
			}
		}
		if !slices.IsSortedFunc(kept, func(a, b meters.Sample) int { return int(a.At.Sub(b.At)) }) {
			t.Fatal("out of order")
		}
	})
}
