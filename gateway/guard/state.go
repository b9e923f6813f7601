// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// State is what is said about a guard.
type State struct {
	Setpoint Setpoint     // the latest accepted one for the battery's power
	Power    energy.Power // what of it is commanded after limits
	Expires  Stamp
	InForce  bool
	Note     string // why a command was refused, changed or ended; empty if all is well
	Controls []Standing
	Rival    string // a second master that was noticed
	Yields   bool   // and is left alone at the moment
	Waived   bool   // the device never reverts, and an operator has signed for that
	Watched  bool   // the device takes commands but gets none, for want of a waiver
}

// Standing is one quantity as it stands.
type Standing struct {
	Quantity device.Quantity
	From     Authority
	Held     bool // a setpoint is in force
	InForce  bool // something is commanded
	Value    int64
	Stop     bool
	Expires  Stamp // of the setpoint
	Why      string
	Budget   Budget
}

// State is what is to be reported.
func (g *Guard) State() State {
	o := g.orders[battery][Charter]
	s := State{Setpoint: o.setpoint, Expires: o.expires, InForce: o.held, Note: g.note, Rival: g.rival.told}
	if b := g.slots[battery]; b != nil && b.known {
		s.Power = energy.Power(b.written.Value)
	}
	for at, slot := range g.slots {
		if slot == nil {
			continue
		}
		s.Waived = s.Waived || !slot.reverts() && g.cfg.Waived
		s.Watched = s.Watched || !slot.reverts() && !g.cfg.Waived
		st := Standing{Quantity: slot.control.Quantity, InForce: slot.known, Budget: slot.budget}
		if slot.known {
			st.Value, st.Stop, st.Why = slot.written.Value, slot.written.Stop, slot.note
		}
		for from := range authorities {
			if o := g.orders[at][from]; o.held {
				st.Held, st.From, st.Expires = true, from, o.expires
			}
		}
		if s.Note == "" && slot.note != "" && (st.Held || st.InForce) {
			s.Note = slot.note
		}
		s.Controls = append(s.Controls, st)
	}
	return s
}

// At adds to the state whether a rival is being left alone.
func (s State) at(now Stamp, r rival) State {
	s.Yields = r.yields(now)
	return s
}

// StateAt is [Guard.State] with what depends on the time.
func (g *Guard) StateAt(now Stamp) State { return g.State().at(now, g.rival) }

// Budgets are what is to be kept between two runs.
func (g *Guard) Budgets() map[device.Quantity]Budget {
	out := map[device.Quantity]Budget{}
	for _, s := range g.slots {
		if s != nil && s.budget.Most > 0 {
			out[s.control.Quantity] = s.budget
		}
	}
	return out
}

// Restore takes up the budgets of an earlier run.
func (g *Guard) Restore(budgets map[device.Quantity]Budget) {
	for _, s := range g.slots {
		if s == nil || s.budget.Most <= 0 {
			continue
		}
		if b, ok := budgets[s.control.Quantity]; ok {
			s.budget.Spent, s.budget.Rest, s.budget.At = max(b.Spent, 0), max(b.Rest, 0), b.At
		}
	}
}
