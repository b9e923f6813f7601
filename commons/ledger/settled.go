// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/canon"
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
	ch, _ := v.chain.inForce(set.Interval.Start)
	if err := checkCertificates(ch.Charter, set, rows); err != nil {
		return err
	}
	if erased > 0 {
		v.report.States[len(v.report.States)-1].State = StateErased
		err = checkRemains(set.Pools, rows)
	} else {
		err = v.recomputed(ch, l, rows)
	}
	if err != nil {
		return err
	}
	if err := v.entries(ctx, index, set.Pools, rows); err != nil {
		return err
	}
	return v.openings(ctx, set.Interval, rows)
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
func (v *verification) recomputed(ch CharterActivated, l Leaf, rows []Row) error {
	if err := CheckTotals(l.Settled.Pools, rows); err != nil {
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

func sameRows(have, again []Row) error {
	if len(have) != len(again) {
		return findingf("settled again it has %d rows, not %d", len(again), len(have))
	}
	for i := range have {
		a, err := canon.Marshal(have[i])
		if err != nil {
			return finding{err}
		}
		b, err := canon.Marshal(again[i])
		if err != nil {
			return finding{err}
		}
		if !bytes.Equal(a, b) {
			return findingf("settled again, %s %q comes out differently", have[i].Kind, have[i].Key)
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
	return findingf("settled again, the pools' rounds come out differently")
}

// checkRemains checks what erased rows leave: sums that need no rows, and that
// the rows which are still there fit into them.
func checkRemains(pools []PoolTotals, rows []Row) error {
	sums, _, err := foldRows(rows)
	if err != nil {
		return finding{err}
	}
	for _, p := range pools {
		var sun, storage energy.Energy
		for _, r := range p.Rounds {
			if r.Source == FromSun {
				sun += r.Shared
			} else {
				storage += r.Shared
			}
		}
		inside := p.Shared + p.FromStorage + p.Charged - p.ChargedGrid
		switch {
		case sun != p.Shared || storage != p.FromStorage:
			return findingf("pool %q shared more or less than its rounds did", p.Pool)
		case p.GridImport != p.Demand+p.Charged-inside || p.GridExport != p.Supply+p.Discharged-inside:
			return findingf("pool %q does not balance", p.Pool)
		}
		s := sums[p.Pool]
		delete(sums, p.Pool)
		if s != nil && (s.Shared > p.Shared || s.FromStorage > p.FromStorage || s.Charged > p.Charged || s.Discharged > p.Discharged) {
			return findingf("the rows of pool %q that remain are more than its totals", p.Pool)
		}
	}
	for _, pool := range sortedPools(sums) {
		return findingf("rows of pool %q, which the leaf does not name", pool)
	}
	return nil
}

// entries checks a settled leaf's postings: those of the rows that are there,
// and the pools' own.
func (v *verification) entries(ctx context.Context, index int64, pools []PoolTotals, rows []Row) error {
	_, bookings, err := foldRows(rows)
	if err != nil {
		return finding{err}
	}
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

// openings checks that every battery's account goes on where the interval
// before, as it stands now, closed it.
func (v *verification) openings(ctx context.Context, i energy.Interval, rows []Row) error {
	before := v.chain.live(previous(i))
	if before == nil {
		return nil
	}
	closing, err := v.closings(ctx, before.leaf)
	if err != nil {
		return err
	}
	asset, is, was, err := brokenAccount(closing, rows)
	if err != nil || asset == "" {
		return err
	}
	return findingf("storage %q opens with %v, but closed with %v in leaf %d", asset, is, was, before.leaf)
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
		closing, err := v.closings(ctx, st.Leaf)
		if err != nil {
			return err
		}
		stored, err := v.log.Rows(ctx, next.leaf)
		if err != nil {
			return err
		}
		rows := make([]Row, len(stored))
		for i := range stored {
			rows[i] = stored[i].Row
		}
		asset, _, _, err := brokenAccount(closing, rows)
		if err != nil {
			return err
		}
		if asset != "" {
			v.report.States[next.state].State = StatePending
		}
	}
	return nil
}

// closings are the batteries' stocks at the end of a settled leaf.
type closings struct {
	leaf int64
	of   map[roll.AssetID]Stock
}

// closings reads the stocks at the end of a settled leaf and keeps them: most
// often the next leaf asks for the same.
func (v *verification) closings(ctx context.Context, leaf int64) (map[roll.AssetID]Stock, error) {
	if v.last.leaf == leaf {
		return v.last.of, nil
	}
	stored, err := v.log.Rows(ctx, leaf)
	if err != nil {
		return nil, fmt.Errorf("annex of leaf %d: %w", leaf, err)
	}
	out := make(map[roll.AssetID]Stock)
	for _, r := range stored {
		if r.Row.Kind != RowStorage {
			continue
		}
		s, err := r.Row.Storage()
		if err != nil {
			return nil, finding{err}
		}
		out[s.Asset] = s.Closing
	}
	v.last = closings{leaf, out}
	return out, nil
}

// brokenAccount names the first battery that does not open as it closed.
func brokenAccount(closing map[roll.AssetID]Stock, rows []Row) (asset roll.AssetID, opens, closed Stock, err error) {
	for _, r := range rows {
		if r.Kind != RowStorage {
			continue
		}
		s, err := r.Storage()
		if err != nil {
			return "", Stock{}, Stock{}, finding{err}
		}
		if was, ok := closing[s.Asset]; ok && was != s.Opening {
			return s.Asset, s.Opening, was, nil
		}
	}
	return "", Stock{}, Stock{}, nil
}

func previous(i energy.Interval) energy.Interval {
	return energy.Interval{Start: i.Start.Add(-i.Length), Length: i.Length}
}
