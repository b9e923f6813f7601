// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// checkCertificates checks each member's shares with nothing but her own row
// and the rounds' certificates, as she could herself: in a round of equal
// shares she got min(need, level), in a proportional one need · level, cut to
// the milliwatt-hour below, plus at most one. It stays possible when the
// neighbours' rows are erased. The certificates of rules version 2 are exact, and
// checked where they are made (scheduler/settlement): by settling again, or row by
// row where some are erased.
func checkCertificates(ch charter.Charter, set *IntervalSettled, sheet *Sheet) error {
	if ch.RulesVersion > 1 {
		return nil
	}
	rounds := make(map[roll.PoolID][]Round, len(set.Pools))
	for _, p := range set.Pools {
		rounds[p.Pool] = p.Rounds
	}
	byName := make(map[string]*charter.Round, len(ch.Sharing.Rounds))
	for i := range ch.Sharing.Rounds {
		byName[ch.Sharing.Rounds[i].Name] = &ch.Sharing.Rounds[i]
	}
	for i := range sheet.Members {
		m := &sheet.Members[i]
		c := certificate{rules: &ch.Sharing, byName: byName, member: m}
		sun, err := c.bounds(rounds[m.Pool], FromSun, m.Demand, nil)
		if err != nil {
			return err
		}
		storage, err := c.bounds(rounds[m.Pool], FromStorage, m.Demand-m.Share, nil)
		if err != nil {
			return err
		}
		if !sun.holds(m.Share) || !storage.holds(m.FromStorage) {
			return findingf("the shares of member %q in pool %q are not what the rounds' certificates give", m.Member, m.Pool)
		}
	}
	return nil
}

// Bound is what a member needed and got in a round of rules version 1, as far as
// its certificate tells: to the single units that the divisions left.
type Bound struct {
	Round
	NeedLow, NeedHigh energy.Energy
	GotLow, GotHigh   energy.Energy
}

// Bounds goes through the rounds that a member was in, of rules version 1, with
// nothing but her own row and the certificates of her pool.
func Bounds(ch *charter.Charter, rounds []Round, m *MemberRow) ([]Bound, error) {
	byName := make(map[string]*charter.Round, len(ch.Sharing.Rounds))
	for i := range ch.Sharing.Rounds {
		byName[ch.Sharing.Rounds[i].Name] = &ch.Sharing.Rounds[i]
	}
	c := certificate{rules: &ch.Sharing, byName: byName, member: m}
	var all []Bound
	note := func(r Round, need, got span) {
		all = append(all, Bound{Round: r, NeedLow: need.low, NeedHigh: need.high, GotLow: got.low, GotHigh: got.high})
	}
	if _, err := c.bounds(rounds, FromSun, m.Demand, note); err != nil {
		return nil, err
	}
	_, err := c.bounds(rounds, FromStorage, m.Demand-m.Share, note)
	return all, err
}

// certificate checks one member's row.
type certificate struct {
	rules  *charter.Sharing
	byName map[string]*charter.Round
	member *MemberRow
}

// span is what an amount may be, both ends included.
type span struct{ low, high energy.Energy }

func (s span) holds(e energy.Energy) bool { return s.low <= e && e <= s.high }

// bounds is what a member got over all rounds of one source, up to the single
// units that a division leaves. Each round that she was in goes to note, which may be nil.
func (c certificate) bounds(rounds []Round, src Source, demand energy.Energy, note func(r Round, need, got span)) (span, error) {
	var got span
	for _, r := range rounds {
		if r.Source != src {
			continue
		}
		rule := c.byName[r.Round]
		if rule == nil || rule.Method != r.Method || r.LevelNum < 0 || r.LevelDen < 0 {
			return span{}, findingf("round %q of pool %q is not one of its charter", r.Round, c.member.Pool)
		}
		if !c.eligible(rule) || r.LevelDen == 0 {
			continue
		}
		need := c.need(rule, demand, got)
		one := r.give(need)
		if note != nil {
			note(r, need, one)
		}
		got = span{got.low + one.low, min(got.high+one.high, max(demand, 0))}
	}
	return got, nil
}

// need is what a member may still ask for in a round.
func (c certificate) need(rule *charter.Round, demand energy.Energy, got span) span {
	need := span{max(demand-got.high, 0), max(demand-got.low, 0)}
	if rule.Cap != nil {
		need.low, need.high = min(need.low, *rule.Cap), min(need.high, *rule.Cap)
	}
	return need
}

// give is what a round gives to a need.
func (r Round) give(need span) span {
	extra := min(energy.Energy(max(r.Remainder, 0)), 1)
	if r.Method == charter.Equal {
		level := energy.Energy(r.LevelNum / r.LevelDen)
		return span{min(need.low, level), min(need.high, level+extra)}
	}
	part := func(e energy.Energy) energy.Energy {
		return energy.Energy(energy.MulDiv(int64(e), r.LevelNum, r.LevelDen))
	}
	return span{min(part(need.low), need.low), min(part(need.high)+extra, need.high)}
}

func (c certificate) eligible(rule *charter.Round) bool {
	if c.member.Supply > 0 && c.rules.ExportingSites == charter.ExportersWait {
		return false
	}
	return len(rule.Groups) == 0 || slices.ContainsFunc(rule.Groups, func(g roll.Group) bool {
		return slices.Contains(c.member.Groups, g)
	})
}
