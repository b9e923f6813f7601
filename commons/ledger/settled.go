// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/allmende-energy/allmende/commons/canon"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// settled checks a settled interval against everything that speaks of it.
func (v *verification) settled(ctx context.Context, index int64, l Leaf) error {
	set := l.Settled
	if err := v.chain.settle(index, set, len(v.report.States)); err != nil {
		return err
	}
	rows, err := v.rows(ctx, index, set)
	if err != nil {
		return err
	}
	erased := len(set.Commitments) - len(rows)
	v.report.States = append(v.report.States, IntervalState{
		Leaf: index, Interval: set.Interval, Revision: set.Revision, State: StateHolds,
		Rows: len(set.Commitments), Erased: erased,
	})
	v.report.Rows += int64(len(rows))
	v.report.Erased += int64(erased)
	sheet, err := ReadRows(rows)
	if err != nil {
		return finding{err}
	}
	ch, _ := v.chain.inForce(set.Interval.Start)
	if err := checkMarkets(&ch.Charter, set, sheet); err != nil {
		return err
	}
	if err := checkCertificates(ch.Charter, set, sheet); err != nil {
		return err
	}
	if erased > 0 {
		v.report.States[len(v.report.States)-1].State = StateErased
		if err = checkRemains(set.Pools, sheet); err == nil {
			err = v.remaining(ch, l, rows)
		}
	} else {
		err = v.recomputed(ch, l, rows, sheet)
	}
	if err != nil {
		return err
	}
	if err := v.entries(ctx, index, set.Pools, sheet); err != nil {
		return err
	}
	return v.openings(ctx, index, set.Interval, sheet, erased == 0, &ch.Charter)
}

// rows reads the annex of a leaf and opens its commitments.
func (v *verification) rows(ctx context.Context, index int64, set *IntervalSettled) ([]Row, error) {
	stored, err := v.log.Rows(ctx, index)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(stored))
	last := -1
	for i, s := range stored {
		if s.Index <= last || s.Index >= len(set.Commitments) {
			return nil, findingf("annex row %d is one that the leaf does not know", s.Index)
		}
		last = s.Index
		got, err := Commit(s.Salt, s.Row)
		if err != nil {
			return nil, findingf("annex row %d: %w", s.Index, err)
		}
		if got != set.Commitments[s.Index] {
			return nil, findingf("annex row %d (%s %s) is not the one that the leaf commits to", s.Index, s.Row.Kind, s.Row.Key)
		}
		rows[i] = s.Row
	}
	return rows, nil
}

// recomputed checks sums and, by settling again, shares of an interval whose
// rows are all there.
func (v *verification) recomputed(ch CharterActivated, l Leaf, rows []Row, sheet *Sheet) error {
	if err := sheet.CheckTotals(l.Settled.Pools); err != nil {
		return finding{err}
	}
	if v.re == nil {
		return nil
	}
	pools, again, err := v.re(ch.Charter, *l.Settled, slices.Clone(rows))
	if err != nil {
		return findingf("it can't be settled again: %w", err)
	}
	if err := sameRows(rows, again); err != nil {
		return err
	}
	return samePools(l.Settled.Pools, pools)
}

// remaining has the rows that are there checked against the certificates, each by
// itself. Those of rules version 1 were checked with every row already.
func (v *verification) remaining(ch CharterActivated, l Leaf, rows []Row) error {
	if v.re == nil || ch.Charter.RulesVersion < 2 {
		return nil
	}
	if _, _, err := v.re(ch.Charter, *l.Settled, slices.Clone(rows)); err != nil {
		return findingf("with rows erased, a row that remains does not follow from the certificates: %w", err)
	}
	return nil
}

func sameRows(have, again []Row) error {
	if len(have) != len(again) {
		return findingf("settled again it has %d rows, not %d", len(again), len(have))
	}
	for i := range have {
		a, b := have[i], again[i]
		if a.Kind != b.Kind || a.Key != b.Key || a.Subject != b.Subject || !bytes.Equal(a.Body, b.Body) {
			return findingf("settled again, %s %q comes out differently", a.Kind, a.Key)
		}
	}
	return nil
}

func samePools(have, again []PoolTotals) error {
	a, err := canon.Marshal(IntervalSettled{Pools: have}.normalised())
	if err != nil {
		return finding{err}
	}
	b, err := canon.Marshal(IntervalSettled{Pools: again}.normalised())
	if err != nil {
		return finding{err}
	}
	if bytes.Equal(a, b) {
		return nil
	}
	for i := range min(len(have), len(again)) {
		if name, was, is := firstDifference(have[i], again[i]); name != "" {
			return findingf("settled again, %s of pool %q is %s, not %s", name, have[i].Pool, is, was)
		}
	}
	return findingf("settled again, the pools' rounds, or what was traded, come out differently")
}

// checkRemains checks what erased rows leave: sums that need no rows, and that
// the rows which are still there fit into them.
func checkRemains(pools []PoolTotals, sheet *Sheet) error {
	sums := maps.Clone(sheet.totals)
	for _, p := range pools {
		var sun, storage energy.Energy
		for _, r := range p.Rounds {
			if r.Source == FromSun {
				sun += r.Shared
			} else {
				storage += r.Shared
			}
		}
		if !plausible(&p) {
			return findingf("a total of pool %q is below zero or beyond measure", p.Pool)
		}
		inside := p.Shared + p.FromStorage + p.Charged - p.ChargedGrid + p.Traded()
		switch {
		case sun != p.Shared || storage != p.FromStorage:
			return findingf("pool %q shared more or less than its rounds did", p.Pool)
		case p.GridImport != p.Demand+p.Charged-inside || p.GridExport != p.Supply+p.Discharged-inside:
			return findingf("pool %q does not balance", p.Pool)
		case p.GridImport < p.ChargedGrid:
			return findingf("pool %q received more than it needed", p.Pool)
		case p.ForSale < 0 || p.ForSale > p.GridExport:
			return findingf("pool %q sold more than it gave to the grid", p.Pool)
		case p.Traded() < max(0, sheet.traded[p.Pool].bought, sheet.traded[p.Pool].sold):
			return findingf("the rows of pool %q that remain bought or sold more than its market round traded", p.Pool)
		}
		s := sums[p.Pool]
		delete(sums, p.Pool)
		if s != nil && exceeds(s, &p) {
			return findingf("the rows of pool %q that remain are more than its totals", p.Pool)
		}
	}
	for _, pool := range sortedPools(sums) {
		return findingf("rows of pool %q, which the leaf does not name", pool)
	}
	return nil
}

// amounts are the totals that are never below zero, and that each row adds to.
func amounts(p *PoolTotals) []energy.Energy {
	return []energy.Energy{p.Supply, p.Demand, p.Shared, p.FromStorage, p.Charged, p.ChargedGrid, p.Discharged, p.ForSale}
}

// plausible says whether a leaf's totals can be added up without passing 63 bits,
// where there are not all rows to add up instead.
func plausible(p *PoolTotals) bool {
	const most = 1 << 60 // mWh; what a large country uses in a year
	all := append(amounts(p), p.Traded())
	return slices.Min(all) >= 0 && max(slices.Max(all), p.GridImport, -p.GridImport, p.GridExport, -p.GridExport) <= most
}

// exceeds says whether rows that remain have more of something than the whole pool.
func exceeds(rows, pool *PoolTotals) bool {
	whole := amounts(pool)
	for i, e := range amounts(rows) {
		if e > whole[i] {
			return true
		}
	}
	return rows.GridImport > pool.GridImport
}

// entries checks a settled leaf's postings: those of the rows that are there,
// and the pools' own.
func (v *verification) entries(ctx context.Context, index int64, pools []PoolTotals, sheet *Sheet) error {
	bookings := slices.Clone(sheet.bookings)
	totals := make(map[roll.PoolID]*PoolTotals, len(pools))
	for i := range pools {
		totals[pools[i].Pool] = &pools[i]
	}
	for _, pool := range sortedPools(totals) {
		bookings = append(bookings, poolBookings(totals[pool])...)
	}
	return v.sameEntries(ctx, index, entriesOf(bookings))
}

func (v *verification) sameEntries(ctx context.Context, index int64, want []Entry) error {
	have, err := v.log.Entries(ctx, index)
	if err != nil {
		return err
	}
	for i := range max(len(have), len(want)) {
		switch {
		case i >= len(have):
			return findingf("the entry of %s to %s in pool %q is missing", want[i].Amount, want[i].Account, want[i].Pool)
		case i >= len(want):
			return findingf("an entry of %s to %s in pool %q stands for nothing", have[i].Amount, have[i].Account, have[i].Pool)
		case have[i] != want[i]:
			return findingf("entry %d books %s to %s in pool %q instead of %s to %s", i, have[i].Amount, have[i].Account, have[i].Pool, want[i].Amount, want[i].Account)
		}
	}
	return nil
}

// reversal checks that a settled leaf is taken back whole.
func (v *verification) reversal(ctx context.Context, index int64, r Reversal) error {
	s, err := v.chain.reverse(index, r)
	if err != nil {
		return err
	}
	v.report.States[s.state].State = StateReversed
	booked, err := v.log.Entries(ctx, r.Leaf)
	if err != nil {
		return err
	}
	return v.sameEntries(ctx, index, Negate(booked))
}

// openings checks that every account goes on where the interval before, as it
// stands now, closed it: a battery's, and a member's of a cap over a period.
func (v *verification) openings(ctx context.Context, index int64, i energy.Interval, sheet *Sheet, whole bool, ch *charter.Charter) error {
	if err := checkPeriods(i, sheet, ch.PeriodRounds()); err != nil {
		return err
	}
	if err := checkTerms(i, sheet, ch); err != nil {
		return err
	}
	if before := v.chain.live(previous(i)); before != nil {
		closing, err := v.closings(ctx, &v.report.States[before.state])
		if err != nil {
			return err
		}
		if b, was := brokenAccount(closing.of, sheet.Storage); b != nil {
			return findingf("storage %q opens with %v, but closed with %v in leaf %d", b.Asset, b.Opening, was, before.leaf)
		}
		if m, use, want := closing.brokenUse(sheet.Members); m != nil {
			return findingf("member %q has received %v in round %q since %v, but %v by leaf %d", m.Member, use.Before, use.Round, use.From, want, before.leaf)
		}
		if m := closing.brokenTerms(sheet.Members, ch.WeightingPeriod); m != nil {
			return findingf("what the expressions gave for member %q is not what they gave in leaf %d of the same weighting period, or a period begins in the middle of that one", m.Member, before.leaf)
		}
	}
	v.last = closingsOf(index, i.Start, sheet, whole)
	return nil
}

// pending marks intervals whose batteries were corrected in the interval before
// after they were settled. The ledger was stopped in the middle of a
// correction; the coordinator goes on with it.
func (v *verification) pending(ctx context.Context) error {
	for _, st := range v.report.States {
		if st.Revision == 0 || st.State == StateReversed {
			continue
		}
		next := v.chain.live(st.Interval.Next())
		if next == nil || next.leaf > st.Leaf {
			continue // settled later, and checked then
		}
		closing, err := v.closings(ctx, &st)
		if err != nil {
			return err
		}
		sheet, err := v.sheet(ctx, next.leaf)
		if err != nil {
			return err
		}
		b, _ := brokenAccount(closing.of, sheet.Storage)
		if m, _, _ := closing.brokenUse(sheet.Members); b != nil || m != nil {
			v.report.States[next.state].State = StatePending
		}
	}
	return nil
}

// brokenAccount is the first battery that does not open as it closed.
func brokenAccount(closing map[roll.AssetID]Stock, storage []StorageRow) (b *StorageRow, was Stock) {
	for i := range storage {
		if was, ok := closing[storage[i].Asset]; ok && was != storage[i].Opening {
			return &storage[i], was
		}
	}
	return nil, Stock{}
}

func previous(i energy.Interval) energy.Interval {
	return energy.Interval{Start: i.Start.Add(-i.Length), Length: i.Length}
}
