// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// Gain is what a member got in one step of one source, and from what.
type Gain struct {
	Source ledger.Source
	Round  int // place in the charter; -1: the reserve for solidarity
	Name   string
	Rank   uint64 // hers, where remainders are equal
	allocation.Gain
}

// Why goes through the rounds that a member was in, with nothing but her own
// row and the rounds' certificates: it works when the neighbours' rows are
// erased, and she can do it by herself. It is of rules version 2.
func Why(ch *charter.Charter, settled *ledger.IntervalSettled, row *ledger.MemberRow) ([]Gain, error) {
	at := slices.IndexFunc(settled.Pools, func(t ledger.PoolTotals) bool { return t.Pool == row.Pool })
	if at < 0 {
		return nil, fmt.Errorf("pool %q is not in the settlement of %v", row.Pool, settled.Interval)
	}
	ch = Rules(ch, &settled.Pools[at])
	var s Settler
	n, err := s.plansFor(ch, row.Pool, []*ledger.MemberRow{row})
	if err != nil {
		return nil, err
	}
	seed := allocation.SeedOf(settled.Interval)
	need := ch.Sharing.OfOthers(int64(row.Demand), int64(row.Supply), int64(settled.Pools[at].Supply))
	line := allocation.Line{Need: need, Rank: n.sun.Rank(0, seed)}
	for i := range ch.Sharing.Rounds {
		left := int64(0)
		if r := &ch.Sharing.Rounds[i]; r.Capped() {
			left = budget(r, row)
		}
		line.Budget = append(line.Budget, left)
	}
	full := int64(row.Demand) - need // what she may have met from storage only
	if row.Supply > 0 && ch.Sharing.ExportingSites == charter.ExportersWait {
		line.Need = 0
	}
	var all []Gain
	for _, source := range []struct {
		src  ledger.Source
		plan *allocation.Plan
	}{{ledger.FromSun, n.sun}, {ledger.FromStorage, n.storage}} {
		steps, err := Steps(ch, &settled.Pools[at], source.src)
		if err != nil {
			return nil, err
		}
		gains, err := source.plan.Gains(0, line, steps)
		if err != nil {
			return nil, err
		}
		for _, g := range gains {
			name := solidarityRound
			if g.Step.Round >= 0 {
				name = ch.Sharing.Rounds[g.Step.Round].Name
			}
			all = append(all, Gain{Source: source.src, Round: g.Step.Round, Name: name, Rank: line.Rank, Gain: g})
			line.Need -= g.Share
			if g.Step.Round >= 0 {
				line.Budget[g.Step.Round] -= g.Share
			}
		}
		line.Need += full
		full = 0
	}
	return all, nil
}

// CheckRow says whether a member's shares, and what she bought and sold, are what the
// certificates give for her line.
func CheckRow(ch *charter.Charter, settled *ledger.IntervalSettled, row *ledger.MemberRow) error {
	gains, err := Why(ch, settled, row)
	if err != nil {
		return err
	}
	var sun, storage energy.Energy
	for _, g := range gains {
		if g.Source == ledger.FromSun {
			sun += energy.Energy(g.Share)
		} else {
			storage += energy.Energy(g.Share)
		}
	}
	if sun != row.Share || storage != row.FromStorage {
		return fmt.Errorf("member %q has %v from the sun and %v from storage; by her line and the certificates it is %v and %v", row.Member, row.Share, row.FromStorage, sun, storage)
	}
	at := slices.IndexFunc(settled.Pools, func(t ledger.PoolTotals) bool { return t.Pool == row.Pool })
	totals := &settled.Pools[at] // Why found it
	rules := Rules(ch, totals)
	if err := checkMarket(rules, settled.Interval, totals); err != nil {
		return err
	}
	return checkTrade(rules, totals, row)
}

// Steps reads a pool's certificates of one source back; the charter is as it held
// for the pool, see [Rules].
func Steps(ch *charter.Charter, totals *ledger.PoolTotals, src ledger.Source) ([]allocation.Step, error) {
	var steps []allocation.Step
	for _, r := range totals.Rounds {
		if r.Source != src {
			continue
		}
		if r.Exact == nil {
			return nil, fmt.Errorf("round %q has no exact certificate; it is of rules version 1", r.Round)
		}
		s := allocation.Step{
			Round: -1, Tier: r.Exact.Tier, Pass: r.Exact.Pass, Part: -1, Method: r.Method,
			Pool: int64(r.Pool), Demand: int64(r.Demand), Unit: int64(r.Exact.Unit), Floor: r.Exact.Floor,
		}
		s.Num, s.Den, s.Cut, s.TieRank = r.Exact.Num, r.Exact.Den, r.Exact.Cut, r.Exact.TieRank
		s.Gave, s.Extra = int64(r.Shared), r.Remainder
		for i := range ch.Sharing.Rounds {
			if ch.Sharing.Rounds[i].Name == r.Round {
				s.Round = i
			}
		}
		if r.Exact.Keyed {
			s.Part = slices.IndexFunc(ch.Sharing.Sources, func(x charter.Source) bool { return x.Name == r.Exact.Part })
			if s.Part < 0 {
				s.Part = len(ch.Sharing.Sources)
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}
