// SPDX-License-Identifier: AGPL-3.0-or-later

package meters_test

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

var limits = meters.Limits{MaxGap: 5 * energy.Minute, MaxPower: 100 * energy.Kilowatt}

func sample(at energy.Instant, v energy.Energy) meters.Sample {
	return meters.Sample{At: at, Value: v, SoC: -1}
}

func track(samples ...meters.Sample) *meters.Track {
	t := &meters.Track{}
	for _, s := range samples {
		t.Add(s)
	}
	return t
}

func quarter(n int64) energy.Interval {
	return energy.Interval{Start: energy.Instant(n * int64(energy.QuarterHour)), Length: energy.QuarterHour}
}

func TestDifference(t *testing.T) {
	const q, m = energy.Instant(energy.QuarterHour), energy.Instant(energy.Minute)
	reset := sample(7*m, 5)
	reset.Reset = true
	corrected := sample(q, 900_000)
	corrected.Quality = energy.Corrected
	for name, c := range map[string]struct {
		track   *meters.Track
		energy  energy.Energy
		quality energy.Quality
		state   meters.State
	}{
		"exact":            {track(sample(0, 100), sample(q, 350)), 250, energy.Good, meters.Complete},
		"interpolated":     {track(sample(-m, 0), sample(m, 2_000), sample(q-m, 20_000), sample(q+m, 22_000)), 20_000, energy.Good, meters.Complete},
		"gap":              {track(sample(0, 0), sample(2*q, 30_000)), 15_000, energy.Estimated, meters.Complete},
		"nothing":          {track(), 0, energy.Stale, meters.Missing},
		"old only":         {track(sample(-q, 5)), 0, energy.Stale, meters.Missing},
		"ends inside":      {track(sample(0, 0), sample(5*m, 500)), 500, energy.Estimated, meters.Partial},
		"begins inside":    {track(sample(5*m, 0), sample(q, 500)), 500, energy.Estimated, meters.Complete},
		"reset":            {track(sample(0, 90_000), sample(5*m, 91_000), reset, sample(q, 805)), 1_800, energy.Estimated, meters.Complete},
		"runs backwards":   {track(sample(0, 90_000), sample(5*m, 91_000), sample(7*m, 10), sample(q, 810)), 1_800, energy.Estimated, meters.Complete},
		"jumps":            {track(sample(0, 0), sample(5*m, 1_000), sample(6*m, 1e12), sample(q, 1e12+700)), 1_700, energy.Estimated, meters.Complete},
		"glitch up":        {track(sample(0, 0), sample(5*m, 1e12), sample(q, 3_000)), 3_000, energy.Estimated, meters.Complete},
		"glitch to zero":   {track(sample(0, 50_000), sample(5*m, 0), sample(q, 53_000)), 3_000, energy.Estimated, meters.Complete},
		"corrected sample": {track(sample(0, 0), corrected), 900_000, energy.Corrected, meters.Complete},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.track.Difference(quarter(0), limits)
			if got.Energy != c.energy || got.Quality != c.quality || got.State != c.state {
				t.Errorf("%+v, want %v mWh, %v, state %d", got, int64(c.energy), c.quality, c.state)
			}
			if (got.Quality == energy.Good) != (got.Reason == "") {
				t.Errorf("quality %v with reason %q", got.Quality, got.Reason)
			}
		})
	}
}

// However samples are spread, in whatever order and however often they come,
// the intervals' differences add up to the register's own difference.
func TestDifferencesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "samples")
		at, value := energy.Instant(0), energy.Energy(rapid.Int64Range(0, 1e15).Draw(t, "start"))
		samples := []meters.Sample{sample(at, value)}
		for range n {
			step := energy.Span(rapid.Int64Range(1, int64(40*energy.Minute)).Draw(t, "span"))
			at = at.Add(step)
			value += energy.Energy(rapid.Int64Range(0, int64(limits.MaxPower.Over(step))).Draw(t, "rise"))
			samples = append(samples, sample(at, value))
		}
		last := energy.IntervalAt(at, energy.QuarterHour)
		if last.Start < at {
			last = last.Next()
		}
		samples = append(samples, sample(last.Start, value)) // end on a boundary

		shuffled := append(append([]meters.Sample{}, samples...), samples[rapid.IntRange(0, n).Draw(t, "duplicate")])
		seed := rapid.Uint64().Draw(t, "order")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		tr := track(shuffled...)

		var sum energy.Energy
		for iv := quarter(0); iv.Start < last.Start; iv = iv.Next() {
			d := tr.Difference(iv, limits)
			if d.Energy < 0 || d.State != meters.Complete {
				t.Fatalf("%v: %+v", iv, d)
			}
			sum += d.Energy
		}
		if want := value - samples[0].Value; sum != want {
			t.Fatalf("intervals add up to %d mWh, the register rose by %d", sum, want)
		}
	})
}

// No register, however wild, invents energy: what is booked never exceeds what
// its rises add up to, nor what the limit lets through.
func TestNothingIsInvented(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := &meters.Track{}
		at := energy.Instant(0)
		for range rapid.IntRange(1, 30).Draw(t, "samples") {
			s := sample(at, energy.Energy(rapid.Int64Range(0, 1e14).Draw(t, "value")))
			s.Reset = rapid.IntRange(0, 9).Draw(t, "reset") == 0
			tr.Add(s)
			at = at.Add(energy.Span(rapid.Int64Range(1, int64(energy.QuarterHour)).Draw(t, "span")))
		}
		for iv := quarter(0); iv.Start < at; iv = iv.Next() {
			d := tr.Difference(iv, limits)
			// Each segment has a slack of its own; at most 30 touch an interval.
			if most := limits.MaxPower.Over(iv.Length) + 30*100*energy.WattHour; d.Energy < 0 || d.Energy > most {
				t.Fatalf("%v: %v, at most %v can flow", iv, d.Energy, most)
			}
		}
	})
}

func TestPruneKeepsTheCut(t *testing.T) {
	tr := track(sample(0, 0), sample(30_000, 5), sample(60_000, 10), sample(120_000, 30), sample(1_800_000, 9_000), sample(3_600_000, 20_000))
	before := tr.Difference(quarter(2), limits)
	tr.Prune(quarter(2).Start)
	if got := tr.Difference(quarter(2), limits); got != before {
		t.Fatalf("after pruning %+v, before %+v", got, before)
	}
	if tr.Len() != 5 {
		t.Fatalf("%d samples kept", tr.Len())
	}
}

// A misreading exactly on a boundary belongs to neither interval beside it, and
// one that could be true is told by the lower count behind it.
func TestMisreadingOnABoundary(t *testing.T) {
	for name, misread := range map[string]energy.Energy{"impossible": 1 << 40, "possible": 30_000, "too low": 0} {
		tr := track(sample(0, 10_000), sample(890_000, 19_000), sample(900_000, misread), sample(910_000, 21_000), sample(1_800_000, 25_000))
		a, b := tr.Difference(quarter(0), limits), tr.Difference(quarter(1), limits)
		if a.Energy != 10_000 || b.Energy != 5_000 {
			t.Errorf("%s: %v and %v", name, a, b)
		}
	}
}

func BenchmarkDifference(b *testing.B) {
	tr := &meters.Track{}
	for i := range int64(96 * 31) {
		tr.Add(sample(energy.Instant(i*int64(energy.QuarterHour)), energy.Energy(i*1000)))
	}
	b.ReportAllocs()
	for b.Loop() {
		tr.Difference(quarter(1500), limits)
	}
}
