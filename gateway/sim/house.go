// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// source tells what a house would use and yield; both are functions of time
// alone, constant from one step to the next.
type source interface {
	powers(at energy.Instant) (load, pv energy.Power)
}

// counters are a house's energies since its beginning.
type counters struct {
	Consumption microjoules
	Production  microjoules
	Import      microjoules // of the house's meter
	Export      microjoules
}

// house is a household, its roof and its batteries.
type house struct {
	id        string
	source    source
	load, pv  energy.Power // since the world's last decision
	batteries []*battery
	inverter  *inverter // nil: nothing holds the roof back
	loads     []*flexLoad
	count     counters
}

// net is the power through the house's meter, import +. A battery with a meter
// of its own hangs beside it.
func (h *house) net() energy.Power {
	p := h.load - h.pv
	for _, b := range h.batteries {
		if b.spec.Placement == roll.BehindMeter {
			p -= b.power
		}
	}
	return p
}

// all is the power of the house and all its batteries together.
func (h *house) all() energy.Power {
	p := h.load - h.pv
	for _, b := range h.batteries {
		p -= b.power
	}
	return p
}

// after is what the counters will be after d at the present powers. Import and
// export each count one direction only.
func (h *house) after(d energy.Span) counters {
	c := h.count
	c.Consumption += during(h.load, d)
	c.Production += during(h.pv, d)
	directed(h.net(), d, &c.Import, &c.Export)
	return c
}

func directed(net energy.Power, d energy.Span, taken, given *microjoules) {
	if net > 0 {
		*taken += during(net, d)
	} else {
		*given += during(-net, d)
	}
}

// binding is a meter over several houses.
type binding struct {
	houses []*house
	common energy.Power
	count  struct{ Import, Export microjoules }
}

func (m *binding) net() energy.Power {
	p := m.common
	for _, h := range m.houses {
		p += h.all()
	}
	return p
}

func (m *binding) after(d energy.Span) (taken, given microjoules) {
	taken, given = m.count.Import, m.count.Export
	directed(m.net(), d, &taken, &given)
	return taken, given
}
