// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import (
	"slices"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// asking is a charter whose weights come from an expression, worked out once a day.
func asking(t *testing.T, cel string) *charter.Charter {
	t.Helper()
	ch := charterOf(t, "contribution-weighted")
	ch.WeightingPeriod = charter.PerDay
	ch.Expressions = []charter.Expression{{Name: ch.Expressions[0].Name, Gives: charter.GivesWeight, CEL: cel}}
	if err := ch.Validate(); err != nil {
		t.Fatal(err)
	}
	return &ch
}

// What expressions ask of the register is what it said when the day began, or when
// a member came; and what they ask of the day before is that day's, not another's.
func TestWeighing(t *testing.T) {
	day := func(d float64) energy.Instant { return energy.Instant(d * float64(energy.Day)) }
	member := func(at energy.Instant, id string) []roll.Change {
		return []roll.Change{
			{From: at, Op: roll.OpAdd, Entry: roll.Entry{Member: &roll.Member{ID: roll.MemberID(id)}}},
			{From: at, Op: roll.OpAdd, Entry: roll.Entry{Site: &roll.Site{ID: roll.SiteID(id), Member: roll.MemberID(id)}}},
		}
	}
	changes := append(member(0, "anna"), member(day(1.5), "ben")...)
	changes = append(changes, roll.Change{From: day(2.5), Op: roll.OpAdd, Entry: roll.Entry{Asset: &roll.Asset{
		ID: "store", Site: "anna", Kind: roll.Battery, Owner: "anna",
		Battery: &roll.BatteryData{Capacity: 10 * energy.KilowattHour, MaxSoC: 1000, ReserveSoC: 200, Dispatchable: true},
	}}})
	ch := asking(t, "1 + member.since_days + 1000 * min(last.gave_wh, 100) + min(member.battery_wh, 10000) * 1000000")
	w := NewWeighing(ch, charters.CalendarOf(time.UTC), FactsFrom(roll.Recorded(changes)))
	rows := func(ids ...string) (out []ledger.MemberRow) {
		for _, id := range ids {
			out = append(out, ledger.MemberRow{Member: roll.MemberID(id), Pool: roll.GridPool})
		}
		return out
	}
	weigh := func(at energy.Instant, ids ...string) (out []int64) {
		t.Helper()
		got, err := w.Terms(at, rows(ids...))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			of := got[roll.MemberID(id)]
			if len(of) != 1 {
				t.Fatalf("%s has %d terms", id, len(of))
			}
			out = append(out, of[0].Value)
		}
		return out
	}
	gave := func(at energy.Instant, wh int64) {
		all := rows("anna")
		all[0].Sold = energy.Energy(wh) * energy.WattHour
		w.Add(at, all)
	}
	if got := w.Begins(day(3.3)); got != day(2) {
		t.Errorf("it is told from %v on", got)
	}
	for _, step := range []struct {
		at   float64
		ids  []string
		want []int64
	}{
		{1.25, []string{"anna"}, []int64{1 + 1}},
		{1.5, []string{"anna", "ben"}, []int64{1 + 1, 1 + 0}},                          // he comes, hers hold
		{2, []string{"anna", "ben"}, []int64{1 + 2 + 20_000, 1 + 0}},                   // she gave 20 on the day before
		{2.75, []string{"anna", "ben"}, []int64{1 + 2 + 20_000, 1 + 0}},                // the battery counts from the next day on
		{3, []string{"anna", "ben"}, []int64{1 + 3 + 20_000 + 8_000*1_000_000, 1 + 1}}, // and what is lent of it
		{5.25, []string{"anna", "ben"}, []int64{1 + 5 + 8_000*1_000_000, 1 + 5 - 2}},   // of the fourth day nothing is known
		{5.5, []string{"anna", "ben", "ben"}, []int64{1 + 5 + 8_000*1_000_000, 4, 4}},
	} {
		if got := weigh(day(step.at), step.ids...); !slices.Equal(got, step.want) {
			t.Errorf("day %v: %v, want %v", step.at, got, step.want)
		}
		gave(day(step.at), 10)
	}
	if w.WithoutPast() != 2 { // the first day, and the fifth
		t.Errorf("%d days without a past", w.WithoutPast())
	}
	if NewWeighing(asking(t, "1000000"), nil, nil) == nil || NewWeighing(&charter.Charter{}, nil, nil) != nil {
		t.Error("who has expressions is weighed, and nobody else")
	}
}
