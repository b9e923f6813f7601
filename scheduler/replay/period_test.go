// SPDX-License-Identifier: AGPL-3.0-or-later

package replay_test

import (
	"testing"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/replay"
)

// A cap over a day or a month counts over all its intervals, as in service, where
// sun and storage give; and days begin where the calendar says.
func TestCapsOverAPeriodCount(t *testing.T) {
	const hours, each = 31*24 + 24, 3 * energy.KilowattHour // each hour, of a member who needs it and one who gives it
	for name, c := range map[string]struct {
		per     charter.Period
		zone    string
		battery bool
		want    energy.Energy // that she receives under a cap of 2 kWh
	}{
		"day":                   {charter.PerDay, "UTC", false, 32 * 2 * energy.KilowattHour},
		"day, with storage":     {charter.PerDay, "UTC", true, 32 * 2 * energy.KilowattHour},
		"day, beginning later":  {charter.PerDay, "Asia/Kolkata", false, 32*2*energy.KilowattHour + 5*each/10}, // the last day has five hours
		"month":                 {charter.PerMonth, "UTC", false, 2 * 2 * energy.KilowattHour},
		"year":                  {charter.PerYear, "UTC", false, 2 * energy.KilowattHour},
		"year, beginning later": {charter.PerYear, "America/New_York", false, 2*energy.KilowattHour + 5*each/10},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		ch := *template(t, "equal-shares")
		ch.RulesVersion = 2
		ch.Sharing.Rounds = []charter.Round{{Name: "a little", Method: charter.Equal, CapPeriod: &charter.PeriodCap{Energy: 2 * energy.KilowattHour, Per: c.per}}}
		rec := replay.Record{
			Length: energy.Hour, Prices: make([]energy.Price, hours), Calendar: charters.CalendarOf(zone),
			Homes: []replay.Home{
				{Member: "anna", Load: make([]energy.Energy, hours), Sun: make([]energy.Energy, hours)},
				{Member: "ben", Load: make([]energy.Energy, hours), Sun: make([]energy.Energy, hours)},
			},
		}
		for i := range hours {
			rec.Homes[1].Load[i] = each / 10
			if !c.battery || i%2 == 0 {
				rec.Homes[0].Sun[i] = each
			}
		}
		if c.battery {
			rec.Batteries = []replay.Battery{{Asset: "store", Capacity: 100 * energy.KilowattHour, Power: energy.Power(5_000_000), ChargeEff: 1_000_000, DischargeEff: 1_000_000}}
		}
		ben := run(t, &ch, rec).ByMember[1]
		if got := ben.Shared + ben.FromStorage; got != c.want {
			t.Errorf("%s: he received %v, want %v", name, got, c.want)
		}
		rec.Calendar = nil
		if _, err := replay.New(&ch, rec); err == nil {
			t.Errorf("%s: nobody says when it begins, and it is replayed", name)
		}
	}
}
