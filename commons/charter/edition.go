// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"
)

// Methods are all methods of the newest rules version.
func Methods() []Method {
	return []Method{Equal, Proportional, Static, Weighted, Priority, Passes, Pairs}
}

// validateEdition keeps what version 1 does not have out of charters of version
// 1: the program of then would have refused them.
func (c *Charter) validateEdition(p *Problems) {
	if c.RulesVersion != 1 {
		return
	}
	later := func(path string, used bool) {
		if used {
			p.add(path, "is not part of rules version 1; write rules_version: 2, or remove it")
		}
	}
	for i := range c.Sharing.Rounds {
		r := &c.Sharing.Rounds[i]
		at := fmt.Sprintf("sharing.rounds[%d].", i)
		later(at+"method", slices.Contains(Methods(), r.Method) && r.Method != Equal && r.Method != Proportional)
		later(at+"tags", len(r.Tags) > 0)
		later(at+"eligible", r.Eligible != "")
		later(at+"cap_period", r.CapPeriod != nil)
		later(at+"sources", len(r.Sources) > 0)
		later(at+"offer", r.Offer != nil)
		later(at+"weights", r.Weights != nil)
		later(at+"keys", len(r.Keys) > 0)
		later(at+"tiers", len(r.Tiers) > 0)
		later(at+"within", r.Within != "")
		later(at+"passes", r.Passes != 0)
		later(at+"rest", r.Rest != "")
	}
	s := &c.Sharing
	later("sharing.exporting_sites", s.ExportingSites == ExportersOthers)
	later("sharing.rounding", s.Rounding != nil)
	later("sharing.sources", len(s.Sources) > 0)
	later("sharing.attribution", s.Attribution != "")
	later("sharing.participation", len(s.Participation) > 0)
	later("sharing.reserve", len(s.Reserve) > 0)
	later("sharing.market", s.Market != nil)
	later("storage.grid_charging", c.Storage.GridCharging != "")
	later("tariff", c.Tariff != nil)
	later("weighting_period", c.WeightingPeriod != "")
	later("expressions", len(c.Expressions) > 0)
	later("island", c.Island != nil)
	later("jurisdiction", c.Jurisdiction != nil)
}
