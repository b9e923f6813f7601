// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// mill is Anna's roof, Ben's flat and a battery that everybody shares, with
// deadlines after an hour.
func mill(t *testing.T, horizon energy.Span) *scenario {
	t.Helper()
	s := &scenario{}
	if _, err := s.found(&datadriven.TestData{Input: "anna: sun\nben\nmill: battery\n"}); err != nil {
		t.Fatal(err)
	}
	s.cfg.Charter.SettleAfter, s.cfg.Horizon = energy.Hour, horizon
	hash, err := s.cfg.Charter.Hash()
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.CharterHash, s.leaves = hash, nil
	if err := s.start(true); err != nil {
		t.Fatal(err)
	}
	return s
}

// quarter brings everybody's registers at the end of the n-th quarter-hour:
// Anna feeds in, and the battery charges. Ben's come only if he is there.
func (s *scenario) quarter(n int64, anna energy.Energy, ben bool) {
	at := s.day.Add(energy.Span(n) * energy.QuarterHour)
	batch := scheduler.Samples{Gateway: "gw"}
	add := func(asset string, r meters.Register, v energy.Energy) {
		batch.Samples = append(batch.Samples, meters.Sample{
			Key: meters.Key{Asset: roll.AssetID(asset), Register: r}, At: at, Value: v, SoC: -1,
		})
	}
	count := energy.Energy(n)
	add("anna-meter", meters.Import, 0)
	add("anna-meter", meters.Export, anna)
	add("anna-inverter", meters.Production, anna)
	add("mill-meter", meters.Import, 0)
	add("mill-meter", meters.Export, 0)
	add("mill-battery", meters.Charged, count*5*energy.WattHour)
	add("mill-battery", meters.Discharged, 0)
	if ben {
		add("ben-meter", meters.Import, count*20*energy.WattHour)
		add("ben-meter", meters.Export, 0)
	}
	s.samples = append(s.samples, batch)
	s.step(batch)
	s.step(scheduler.Tick{At: at, DayStart: s.day})
}

// standing is the settlement in force of each interval.
func (s *scenario) standing(t *testing.T) map[energy.Instant]settlement.Input {
	t.Helper()
	in := map[energy.Instant]settlement.Input{}
	for _, l := range s.leaves {
		if l.Leaf.Settled == nil {
			continue
		}
		settled, err := settlement.FromRows(*l.Leaf.Settled, l.Rows)
		if err != nil {
			t.Fatal(err)
		}
		in[l.Leaf.Settled.Interval.Start] = settled
	}
	return in
}

// unbroken says that every battery opens as it closed before.
func (s *scenario) unbroken(t *testing.T) {
	t.Helper()
	in := s.standing(t)
	for start, iv := range in {
		before, there := in[start.Add(-energy.QuarterHour)]
		if !there {
			continue
		}
		if iv.Storage[0].Opening != before.Storage[0].Closing {
			t.Errorf("%v opens with %v, but closed with %v before", start, iv.Storage[0].Opening, before.Storage[0].Closing)
		}
	}
}

// A meter that was silent for longer than the horizon re-settles everything up
// to it. The oldest interval still known must not open its accounts anew.
func TestAccountsGoOnAtTheHorizon(t *testing.T) {
	const silent = 2 * 96
	run := func(t *testing.T, restart bool) {
		s := mill(t, energy.Day)
		for n := range int64(silent) {
			s.quarter(n, energy.Energy(n)*30*energy.WattHour, n < 3)
		}
		if restart {
			all := s.leaves
			s.leaves = all[:0:0]
			if err := s.start(false); err != nil {
				t.Fatal(err)
			}
			for i, l := range all {
				if set := l.Leaf.Settled; set != nil && set.Interval.Start >= s.day.Add((silent-96)*energy.QuarterHour) {
					s.step(scheduler.Restored{Index: int64(i), Settled: *set, Rows: l.Rows})
				}
			}
			s.leaves = all
			for _, batch := range s.samples {
				batch.Replayed = true
				s.step(batch)
			}
			s.step(scheduler.Started{At: s.day.Add((silent - 1) * energy.QuarterHour)})
		}
		before := len(s.leaves)
		for n := int64(silent); n < silent+20; n++ {
			s.quarter(n, energy.Energy(n)*30*energy.WattHour, true)
		}
		if len(s.leaves) < before+2*80 {
			t.Fatalf("only %d leaves: nothing was settled again", len(s.leaves)-before)
		}
		s.unbroken(t)
	}
	t.Run("running", func(t *testing.T) { run(t, false) })
	t.Run("restarted", func(t *testing.T) { run(t, true) })
}

// A charter that waits for data as long as the horizon reaches back settles its
// intervals at the horizon: each still goes on from the one before it.
func TestAccountsGoOnWhereSettlingWaitsForTheHorizon(t *testing.T) {
	s := mill(t, energy.Day)
	s.cfg.Charter.SettleAfter = energy.Day
	hash, err := s.cfg.Charter.Hash()
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.CharterHash, s.leaves = hash, nil
	if err := s.start(true); err != nil {
		t.Fatal(err)
	}
	for n := range int64(3 * 96) {
		s.quarter(n, energy.Energy(n)*30*energy.WattHour, n < 5)
		s.step(scheduler.Tick{At: s.day.Add(energy.Span(n)*energy.QuarterHour + energy.Minute), DayStart: s.day})
	}
	if n := len(s.standing(t)); n < 96 {
		t.Fatalf("%d intervals were settled", n)
	}
	s.unbroken(t)
}

// A correction changes a battery's account, and with it every later one. When
// the coordinator dies between two of its steps, the next one goes on with it.
func TestCorrectionGoesOnAfterRestart(t *testing.T) {
	s := mill(t, 0)
	const n = 40
	for i := range int64(n) {
		s.quarter(i, energy.Energy(i)*energy.WattHour, true)
	}
	s.unbroken(t)
	// The second interval was settled otherwise, as if its correction had been
	// stored a moment ago and the ones behind it not yet.
	for i, l := range s.leaves {
		if l.Leaf.Settled == nil || l.Leaf.Settled.Interval.Start != s.day.Add(energy.QuarterHour) {
			continue
		}
		in, err := settlement.FromRows(*l.Leaf.Settled, l.Rows)
		if err != nil {
			t.Fatal(err)
		}
		in.Storage[0].Opening = ledger.Stock{Grid: energy.KilowattHour}
		var settler settlement.Settler
		res, err := settler.Settle(&s.cfg.Charter, in)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := res.Rows(func(a roll.AssetID) roll.MemberID { return "mill" })
		if err != nil {
			t.Fatal(err)
		}
		s.leaves[i].Rows, s.leaves[i].Leaf.Settled.Pools = rows, res.Pools
	}
	if _, err := s.restart(); err != nil {
		t.Fatal(err)
	}
	for range 2 * n {
		s.step(scheduler.Tick{At: s.day.Add(n * energy.QuarterHour), DayStart: s.day})
	}
	in := s.standing(t)
	for i := energy.Span(2); i < n-1; i++ {
		start := s.day.Add(i * energy.QuarterHour)
		if got, want := in[start].Storage[0].Opening, in[start.Add(-energy.QuarterHour)].Storage[0].Closing; got != want {
			t.Fatalf("%v opens with %v, but closed with %v before", start, got, want)
		}
	}
}

// A gateway's clock of commands starts anew with it. Its old stamps would be
// refused by it, all of them, until it had run as long as before.
func TestStampsAreOfOneStream(t *testing.T) {
	s := mill(t, 0)
	now := s.day
	stamp := func(session uint64, ms int64) int64 {
		now = now.Add(energy.Second)
		batch := scheduler.Readings{Gateway: "gw", Session: session, StampMS: ms}
		for _, a := range []string{"anna-meter", "anna-inverter", "ben-meter", "mill-meter", "mill-battery"} {
			batch.Readings = append(batch.Readings, meters.Reading{Asset: roll.AssetID(a), At: now, SoC: 500})
		}
		s.step(batch)
		for _, e := range s.step(scheduler.Tick{At: now, DayStart: s.day}) {
			if sp, ok := e.(scheduler.Setpoints); ok {
				return sp.Setpoints[0].StampMS
			}
		}
		t.Fatal("no setpoint")
		return 0
	}
	for i, c := range []struct {
		session    uint64
		sent, want int64
	}{
		{1, 900_000_000, 900_000_000}, {1, 899_999_000, 900_000_000}, // out of order
		{2, 1_500, 1_500}, {1, 900_001_000, 1_500}, // a late word of the old stream
		{2, 2_500, 2_500},
	} {
		if got := stamp(c.session, c.sent); got != c.want {
			t.Errorf("step %d: setpoints echo %d, want %d", i, got, c.want)
		}
	}
}
