// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import "github.com/allmende-energy/allmende/energy"

// InPower is the sharing rule for a live tick: a round's cap, an energy per
// interval, becomes the power that fills it exactly over the interval. Caps of
// the result count milliwatts. The rule itself is copied, not changed.
func (c *Charter) InPower() Sharing {
	s := Sharing{ExportingSites: c.Sharing.ExportingSites, Rounds: make([]Round, len(c.Sharing.Rounds))}
	copy(s.Rounds, c.Sharing.Rounds)
	for i := range s.Rounds {
		if most := s.Rounds[i].Cap; most != nil {
			milliwatts := energy.Energy(most.MeanPower(c.Interval))
			s.Rounds[i].Cap = &milliwatts
		}
	}
	return s
}
