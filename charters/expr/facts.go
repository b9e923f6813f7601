// SPDX-License-Identifier: AGPL-3.0-or-later

package expr

import (
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Tally adds up what members did in a weighting period, for the facts of the next.
type Tally map[roll.MemberID]*done

type done struct{ used, fedIn, gave, received energy.Energy }

// Add takes a member's settled interval in.
func (t Tally) Add(m *ledger.MemberRow) {
	d := t[m.Member]
	if d == nil {
		d = &done{}
		t[m.Member] = d
	}
	d.used += m.OwnUse + m.Demand
	d.fedIn += m.Supply
	d.gave += m.Sold + m.Stored
	d.received += m.Share + m.FromStorage
}

// AddAll takes in a settled interval of all.
func (t Tally) AddAll(members []ledger.MemberRow) {
	for i := range members {
		t.Add(&members[i])
	}
}

// LooksBack says whether any expression of a charter asks about the period
// before; where none does, nobody needs to add it up.
func LooksBack(c *charter.Charter) bool {
	for _, e := range c.Expressions {
		compiled, err := Compile(e)
		if err != nil {
			return true // it is refused where it is evaluated
		}
		if slices.ContainsFunc(compiled.Asks, func(v string) bool { return strings.HasPrefix(v, "last.") || v == "community.gave_wh" }) {
			return true
		}
	}
	return false
}

// FactsOf is what the register and the period before say of all members at an
// instant. joined is when a member came; a battery is its owner's.
func FactsOf(register *roll.Community, joined func(roll.MemberID) (energy.Instant, bool), at energy.Instant, last Tally) []Facts {
	sites, batteries := map[roll.MemberID]int64{}, map[roll.MemberID]energy.Energy{}
	for _, s := range register.Sites {
		sites[s.Member]++
	}
	for _, a := range register.Assets {
		if b := a.Battery; b != nil && a.Owner != "" && b.Dispatchable {
			batteries[a.Owner] += energy.Energy(energy.MulDiv(int64(b.Capacity), max(0, b.MaxSoC-max(b.MinSoC, b.ReserveSoC)), 1000))
		}
	}
	facts := make([]Facts, len(register.Members))
	for i, m := range register.Members {
		f := Facts{Member: m.ID, Groups: m.Groups, Sites: sites[m.ID], BatteryWh: batteries[m.ID].WattHours()}
		if since, ok := joined(m.ID); ok {
			f.SinceDays = int64(at.Sub(since) / energy.Day)
		}
		if d := last[m.ID]; d != nil {
			f.UsedWh, f.FedInWh, f.GaveWh, f.ReceivedWh = d.used.WattHours(), d.fedIn.WattHours(), d.gave.WattHours(), d.received.WattHours()
		}
		facts[i] = f
	}
	return facts
}
