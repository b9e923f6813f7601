// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"fmt"
	"math"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Uses are the accounts of rounds with a cap over a period as an interval ended:
// what the next one goes on from.
type Uses map[UseKey]ledger.PeriodUse

// UseKey names such an account.
type UseKey struct {
	Member roll.MemberID
	Pool   roll.PoolID
	Round  string
	Per    charter.Period
}

// UsesOf are the accounts in the rows of a settled interval.
func UsesOf(members []ledger.MemberRow) Uses {
	var u Uses
	for i := range members {
		m := &members[i]
		for _, p := range m.Periods {
			if u == nil {
				u = Uses{}
			}
			u[UseKey{m.Member, m.Pool, p.Round, p.Per}] = p
		}
	}
	return u
}

// Open gives a member's accounts as an interval begins, from those of the
// interval before. It is empty for a charter without caps over a period.
func (u Uses) Open(ch *charter.Charter, cal charter.Calendar, at energy.Instant, m roll.MemberID, pool roll.PoolID) []ledger.PeriodUse {
	var out []ledger.PeriodUse
	for _, r := range ch.PeriodRounds() {
		from, _ := cal(r.Per, at)
		p := ledger.PeriodUse{Round: r.Round, Per: r.Per, From: from}
		if before, had := u[UseKey{m, pool, r.Round, r.Per}]; had && before.From == from {
			p.Before = before.Before + before.Got
		}
		out = append(out, p)
	}
	return out
}

// used finds a member's account of a round.
func used(periods []ledger.PeriodUse, r *charter.Round) *ledger.PeriodUse {
	for i := range periods {
		if periods[i].Round == r.Name && periods[i].Per == r.CapPeriod.Per {
			return &periods[i]
		}
	}
	return nil
}

// budgets are what a charter's caps still allow each member, round by round; nil
// for rounds that have none. What a round gives of the sun counts against its caps
// when it gives what storage gave.
func budgets(into [][]int64, rounds []charter.Round, members []*ledger.MemberRow) [][]int64 {
	into = into[:0]
	for i := range rounds {
		r := &rounds[i]
		if !r.Capped() {
			into = append(into, nil)
			continue
		}
		left := make([]int64, len(members))
		for k, m := range members {
			left[k] = budget(r, m)
		}
		into = append(into, left)
	}
	return into
}

func budget(r *charter.Round, m *ledger.MemberRow) int64 {
	left := int64(math.MaxInt64)
	if r.CapPeriod != nil {
		left = int64(r.CapPeriod.Energy)
		if u := used(m.Periods, r); u != nil {
			left -= int64(u.Before)
		}
	}
	if r.Cap != nil {
		left = min(left, int64(*r.Cap))
	}
	return max(0, left)
}

// draw lowers what is left for members by what they got in rounds with a cap, and
// books it where the cap is over a period.
func draw(budgets [][]int64, rounds []charter.Round, members []*ledger.MemberRow, got [][]int64) {
	for i := range rounds {
		if !rounds[i].Capped() {
			continue
		}
		for k, m := range members {
			budgets[i][k] -= got[i][k]
			if rounds[i].CapPeriod == nil {
				continue
			}
			if u := used(m.Periods, &rounds[i]); u != nil {
				u.Got += energy.Energy(got[i][k])
			}
		}
	}
}

func checkPeriods(m *ledger.MemberRow) error {
	if len(m.Periods) > 2*charter.MaxRounds {
		return fmt.Errorf("member %q has %d accounts of rounds, more than a charter has rounds", m.Member, len(m.Periods))
	}
	for i, p := range m.Periods {
		for _, q := range m.Periods[:i] {
			if p.Round == q.Round && p.Per == q.Per {
				return fmt.Errorf("member %q has two accounts of round %q", m.Member, p.Round)
			}
		}
		if p.Before < 0 || p.Before > maxEnergy*maxRows {
			return fmt.Errorf("member %q has received %v in round %q before, which is below zero or beyond measure", m.Member, p.Before, p.Round)
		}
	}
	return nil
}
