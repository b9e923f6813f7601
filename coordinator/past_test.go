// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"fmt"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// curves is a History as REST answers it.
type curves struct {
	FromUnixMs, ToUnixMs, ResolutionMs string
	Curves                             []struct {
		Quantity, Unit string
		Buckets        []struct {
			StartUnixMs, Mean, Min, Max, EnergyMilliwattHours, CoveredMs, Count, Quality string
		}
	}
}

// of is a curve's only bucket, "mean energy count", or what is there instead.
func (c curves) of(quantity string) string {
	for _, x := range c.Curves {
		if x.Quantity != quantity {
			continue
		}
		if len(x.Buckets) != 1 {
			return fmt.Sprintf("%d buckets", len(x.Buckets))
		}
		b := x.Buckets[0]
		return fmt.Sprint(b.Mean, " ", b.EnergyMilliwattHours, " ", b.Count)
	}
	return "no such curve"
}

// What gateways report and what ticks show can be asked for afterwards, also
// after a restart, and beside it what was booked.
func TestThePastIsAnswered(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	idA, idB := enrol(t, c, "gw-a"), enrol(t, c, "gw-b")
	a, _ := connect(t, c, idA, "s1")
	b, _ := connect(t, c, idB, "s1")
	for i := range energy.Span(31) {
		at := int64(dawn.Add(i * minute))
		a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: &allmendev1.LiveBatch{StampMs: 1 + int64(i), Readings: []*allmendev1.Reading{
			{AssetId: "anna-meter", AtUnixMs: at, PowerMilliwatts: -600_000}, {AssetId: "anna-roof", AtUnixMs: at, PowerMilliwatts: 1_000_000},
		}}}})
		b.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: &allmendev1.LiveBatch{StampMs: 1 + int64(i), Readings: []*allmendev1.Reading{
			{AssetId: "ben-meter", AtUnixMs: at, PowerMilliwatts: 250_000},
		}}}})
		a.barrier()
		b.barrier()
		w.until(dawn.Add((i + 1) * minute))
	}
	a.meter(1, quarterHoursA(dawn, 0, 3)...)
	b.meter(1, quarterHoursB(dawn, 0, 3)...)
	a.barrier()
	b.barrier()
	w.settledUntil(c, dawn.Add(2*quarter))

	hour := fmt.Sprintf("?from_unix_ms=%d&to_unix_ms=%d&resolution_ms=3600000", dawn, dawn.Add(energy.Hour))
	check := func(c *Coordinator) {
		t.Helper()
		for path, want := range map[string]map[string]string{
			"assets/anna-roof":  {"power": "1000000 500000 31"}, // half an hour, the first point stands for none
			"assets/anna-meter": {"power": "-600000 -300000 31"},
			"assets/ben-meter":  {"power": "250000 125000 31"},
		} {
			var got curves
			get(t, c, "/v1/history/"+path+hour, &got)
			for quantity, text := range want {
				if got.of(quantity) != text {
					t.Errorf("%s: %s is %q, want %q", path, quantity, got.of(quantity), text)
				}
			}
			if got.ToUnixMs != fmt.Sprint(int64(dawn.Add(energy.Hour))) || got.ResolutionMs != "3600000" {
				t.Errorf("%s: %+v", path, got)
			}
		}
		var anna, all curves
		get(t, c, "/v1/history/members/anna"+hour, &anna)
		get(t, c, "/v1/history/community"+hour, &all)
		if len(anna.Curves) != 5 || len(all.Curves) != 9 || anna.Curves[0].Unit != "milliwatts" {
			t.Errorf("anna has %d curves, the community %d", len(anna.Curves), len(all.Curves))
		}
		for _, x := range append(anna.Curves, all.Curves...) {
			if len(x.Buckets) != 1 || x.Buckets[0].Count == "0" {
				t.Errorf("%s: %+v", x.Quantity, x.Buckets)
			}
		}
		var booked struct {
			Energies []struct {
				StartUnixMs, EndUnixMs, ShareMilliwattHours, ConsumptionMilliwattHours string
				Intervals                                                              int
			}
		}
		get(t, c, "/v1/history/members/ben/booked"+hour+"&by=BOOKED_BY_DAY", &booked)
		if len(booked.Energies) != 1 || booked.Energies[0].Intervals != 2 || booked.Energies[0].ShareMilliwattHours != "500000" || booked.Energies[0].EndUnixMs != fmt.Sprint(int64(dawn.Add(2*quarter))) {
			t.Errorf("booked by day: %+v", booked)
		}
		get(t, c, "/v1/history/members/ben/booked"+hour, &booked)
		if len(booked.Energies) != 2 || booked.Energies[1].StartUnixMs != fmt.Sprint(int64(dawn.Add(quarter))) || booked.Energies[1].ConsumptionMilliwattHours != "250000" {
			t.Errorf("booked by interval: %+v", booked)
		}
	}
	allRecorded(t, c)
	check(c)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	check(start(t, dir, w))
}

// allRecorded waits until what was handed over to the recorder has been recorded.
func allRecorded(t *testing.T, c *Coordinator) {
	t.Helper()
	for began := time.Now(); len(c.record.queue) > 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatal("the recorder stands still")
		}
	}
	if s := c.record.Stats(); s.Dropped["hand_over"] > 0 || len(s.Problems) > 0 {
		t.Errorf("%+v", s)
	}
}
