// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"math/big"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// bySource says whether a static round has a key for each source, as pairs have.
func bySource(r *charter.Round) bool {
	for _, m := range r.Keys {
		for _, k := range m.Keys {
			if k.Source != "" {
				return true
			}
		}
	}
	return false
}

// held is a part of something, before it is cut to whole units.
type held struct {
	id    roll.MemberID
	exact *big.Rat
}

// whole cuts parts to units; the units that this leaves of their sum go to whose
// part was cut the most, then by rank, or under a rule that cuts down to nobody.
func (s *slow) whole(parts []held) map[roll.MemberID]int64 {
	units, got, lost := new(big.Rat), map[roll.MemberID]int64{}, map[roll.MemberID]*big.Rat{}
	for _, h := range parts {
		cut := new(big.Int).Quo(h.exact.Num(), h.exact.Denom())
		got[h.id] = cut.Int64()
		lost[h.id] = new(big.Rat).Sub(h.exact, new(big.Rat).SetInt(cut))
		units.Add(units, lost[h.id])
	}
	if s.floors() {
		return got
	}
	slices.SortFunc(parts, func(a, b held) int {
		if c := lost[b.id].Cmp(lost[a.id]); c != 0 {
			return c
		}
		if s.rank(a.id) < s.rank(b.id) {
			return -1
		}
		return 1
	})
	for _, h := range parts[:new(big.Int).Quo(units.Num(), units.Denom()).Int64()] {
		got[h.id]++
	}
	return got
}

func (s *slow) waits(id roll.MemberID) bool {
	i := slices.IndexFunc(s.takers, func(t Taker) bool { return t.ID == id })
	return s.rules.ExportingSites == charter.ExportersWait && s.fig.Exports[i]
}

// static gives each a fixed part of the pool, and takes it back where she does not need it.
func (s *slow) static(r *charter.Round, pool int64) map[roll.MemberID]int64 {
	weights, of := map[roll.MemberID]int64{}, int64(0)
	for _, t := range s.takers {
		if !s.in(r, t) || s.waits(t.ID) {
			continue
		}
		if len(r.Keys) == 0 {
			weights[t.ID] = weightOf(r)(t)
			of += weights[t.ID]
			continue
		}
		for _, m := range r.Keys {
			for _, k := range m.Keys {
				if m.Member == t.ID {
					weights[t.ID] += int64(k.Percent)
				}
			}
		}
	}
	if len(r.Keys) > 0 {
		of = charter.Whole
	}
	got := map[roll.MemberID]int64{}
	if of == 0 {
		return got
	}
	var parts []held
	for id, w := range weights {
		exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(pool/s.unit), big.NewInt(w)), big.NewInt(of))
		parts = append(parts, held{id, exact})
	}
	for id, units := range s.whole(parts) {
		got[id] = min(units, capped(s.demand[id], r.Cap)/s.unit) * s.unit
	}
	return got
}

// pairs gives each the parts of the sources that she has keys to, in her order,
// as far as she needs them.
func (s *slow) pairs(r *charter.Round, offer []int64) {
	pieces := make([]map[roll.MemberID]int64, len(s.parts))
	for i, p := range s.parts {
		var parts []held
		units := big.NewRat(offer[i]/s.unit, 1)
		if s.floors() {
			units = big.NewRat(offer[i], s.unit) // cut once, at the end
		}
		for _, m := range r.Keys {
			for _, k := range m.Keys {
				if k.Source == p.Source && s.eligible(r, m.Member) {
					parts = append(parts, held{m.Member, new(big.Rat).Mul(units, big.NewRat(int64(k.Percent), charter.Whole))})
				}
			}
		}
		pieces[i] = s.whole(parts)
	}
	room := map[roll.MemberID]int64{}
	for id, need := range s.demand {
		room[id] = capped(need, r.Cap)
	}
	for _, m := range r.Keys {
		for _, k := range m.Keys {
			for i, p := range s.parts {
				if k.Source != p.Source {
					continue
				}
				flow := min(pieces[i][m.Member]*s.unit, room[m.Member])
				room[m.Member] -= flow
				s.demand[m.Member] -= flow
				s.share[m.Member] += flow
				s.left[i] -= flow
			}
		}
	}
}

func (s *slow) eligible(r *charter.Round, id roll.MemberID) bool {
	return slices.ContainsFunc(s.takers, func(t Taker) bool { return t.ID == id && s.in(r, t) })
}
