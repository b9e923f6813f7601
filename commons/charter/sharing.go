// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"slices"

	"github.com/allmende-energy/allmende/energy"
)

// InPower is the sharing rule for a live tick: a round's cap, an energy per
// interval, becomes the power that fills it exactly over the interval. Caps of
// the result count milliwatts. Caps over longer periods stay the energies that they
// are, of which whoever runs a tick says what is left; units of rounding have no
// power, and a tick leaves them to the interval's settlement, as it does the market
// round, whose orders are for the energy of an interval. The rule itself is copied,
// not changed.
func (c *Charter) InPower() Sharing {
	s := c.Sharing
	s.Rounding, s.Market = nil, nil
	s.Rounds = slices.Clone(s.Rounds)
	for i := range s.Rounds {
		if most := s.Rounds[i].Cap; most != nil {
			milliwatts := energy.Energy(most.MeanPower(c.Interval))
			s.Rounds[i].Cap = &milliwatts
		}
	}
	return s
}

// ForStorage is the sharing rule for what storage gives: that is a part of every
// round's pool, but nobody has a key to it as to a source, and nothing of it is
// held back or sold. The rule itself is copied, not changed.
func (s *Sharing) ForStorage() Sharing {
	t := *s
	t.Sources, t.Reserve, t.Market = nil, nil, nil
	t.Rounds = slices.Clone(s.Rounds)
	for i := range t.Rounds {
		r := &t.Rounds[i]
		r.Sources, r.Rest = nil, ""
		if slices.ContainsFunc(r.Keys, MemberKeys.namesSource) {
			r.Method, r.Keys = Pairs, nil // without keys, nobody holds anything of it
		}
	}
	return t
}

func (m MemberKeys) namesSource() bool {
	return slices.ContainsFunc(m.Keys, func(k Key) bool { return k.Source != "" })
}

// OfOthers is the part of a member's demand that she may have met from a pool
// to which everybody together gave all, and she own of it.
func (s *Sharing) OfOthers(demand, own, all int64) int64 {
	if s.ExportingSites != ExportersOthers || own == 0 {
		return demand
	}
	return min(demand, max(all-own, 0))
}
