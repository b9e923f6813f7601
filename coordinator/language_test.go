// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// allOfIt is a charter that counts over a day, weighs by an expression, serves
// tiers and sells.
const allOfIt = `charter: allmende/1
name: All of it
rules_version: 2
currency: EUR
interval: 15m
settle_after: 48h
price: 12 ct/kWh EUR
weighting_period: day
expressions:
  - {name: counts, gives: weight, cel: "1000000 + min(last.received_wh, 1000) * 1000"}
sharing:
  exporting_sites: receive
  reserve: [{for: sale, percent: 5}]
  rounds:
    - name: first the vulnerable
      method: priority
      tiers: [{groups: [vulnerable]}]
      cap_period: {energy: 0.5, per: day}
    - name: by what they got
      method: weighted
      weights: {expression: counts}
      rest: grid
residual: {by: equal}
storage: {use: none}
`

// TestAllOfTheLanguageInService: a charter with caps over a day and expressions
// settles over a day's end and a restart, and verification finds nothing.
func TestAllOfTheLanguageInService(t *testing.T) {
	// There the day begins at one in the morning, UTC: at the fifth interval.
	dir, w := folder(t, strings.Replace(needsOf(), "Europe/Vienna", "Atlantic/Cape_Verde", 1)), newWorld(t, dawn)
	if err := os.WriteFile(filepath.Join(dir, "charter.yaml"), []byte(allOfIt), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startInService(t, dir, w)
	tls := enrol(t, c, "gw-a")
	samples := sunnyQuarters(dawn, 9)
	const each = 12 // samples of one boundary
	deliver := func(from, to int) {
		d, _ := connect(t, c, tls, "s1")
		d.meter(uint64(from*each+1), samples[from*each:to*each]...)
		d.barrier()
		w.bookedUntil(c, dawn.Add(quarter*energy.Span(to-1)))
	}
	w.until(dawn.Add(6*quarter + minute))
	deliver(0, 7)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = startInService(t, dir, w)
	w.until(dawn.Add(8*quarter + minute))
	deliver(7, 9)

	fay := rowsOf(t, c, "fay")
	if len(fay) != 8 {
		t.Fatalf("%d intervals of fay", len(fay))
	}
	var received energy.Energy // within a day
	for i, m := range fay {
		if i == 4 {
			received = 0
		}
		use := m.Periods[0]
		if use.Before != received || use.Before+use.Got > 500*energy.WattHour {
			t.Errorf("interval %d: %v and %v, after %v", i, use.Before, use.Got, received)
		}
		received += use.Got
		weight, first := m.Terms[0].Value, fay[i/4*4]
		switch {
		case i < 4 && weight != 1_000_000:
			t.Errorf("interval %d: she weighs %d before she has received anything", i, weight)
		case i >= 4 && weight <= 1_000_000, weight != first.Terms[0].Value, m.TermsFrom != first.TermsFrom:
			t.Errorf("interval %d: she weighs %d since %v", i, weight, m.TermsFrom)
		}
	}
	if received != 500*energy.WattHour {
		t.Errorf("the second day's cap of half a kWh is not reached: %v", received)
	}
	var sold energy.Energy
	for _, m := range rowsOf(t, c, "anna") {
		sold += m.ForSale
	}
	if sold < 8*30*energy.WattHour {
		t.Errorf("a twentieth of what Anna fed in is the community's to sell, and it sold %v", sold)
	}
	triedAsBooked(t, c)
	report, err := ledger.Verify(t.Context(), c.store, c.commons.verifiers, settlement.Recompute, nil)
	if err != nil || !report.Holds() || report.Intervals != 8 {
		t.Errorf("%d intervals verified, %v, %v", report.Intervals, report.Fault, err)
	}
}

// rowsOf are a member's rows of the intervals that stand, in their order.
func rowsOf(t *testing.T, c *Coordinator, id roll.MemberID) []ledger.MemberRow {
	t.Helper()
	records, err := c.store.LatestSettled(t.Context(), dawn)
	if err != nil {
		t.Fatal(err)
	}
	var out []ledger.MemberRow
	for _, r := range records {
		for _, row := range r.Rows {
			if row.Kind == ledger.RowMember && row.Subject == id {
				m, err := row.Member()
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, m)
			}
		}
	}
	return out
}

// triedAsBooked: trying out the charter that was in force gives what is booked. Each
// day is weighed by the one before it, also by one that is not compared, and the
// first by nothing, which is said.
func triedAsBooked(t *testing.T, c *Coordinator) {
	t.Helper()
	try := func(against *charter.Charter, from energy.Instant) trial.Answer {
		t.Helper()
		q := trial.Question{Proposed: c.commons.inForce.Charter, Against: against, From: from, Until: 1 << 50, Zone: c.register.zone}
		got, err := trial.Run(t.Context(), c.store, &q, func(int64, int64) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := c.commons.inForce.Charter
	for first, without := range map[int]int{0: 1, 4: 0} {
		from := dawn.Add(quarter * energy.Span(first))
		got := try(&same, from)
		if got.OldWithoutPast != without || got.NewWithoutPast != without {
			t.Errorf("from interval %d on, %d and %d days are without a past, want %d", first, got.OldWithoutPast, got.NewWithoutPast, without)
		}
		for _, m := range got.Members {
			var booked energy.Energy
			for _, row := range rowsOf(t, c, m.Member)[first:] {
				booked += row.Share + row.FromStorage
			}
			if m.Old.Received != booked || m.New.Received != booked {
				t.Errorf("from interval %d on, %s received %v, and by the same rules would have received %v and %v", first, m.Member, booked, m.Old.Received, m.New.Received)
			}
		}
		if own := try(nil, from); own.OldWithoutPast != 0 || own.DataHash == "" {
			t.Errorf("what its own expressions gave stands in the rows: %d", own.OldWithoutPast)
		}
	}
}
