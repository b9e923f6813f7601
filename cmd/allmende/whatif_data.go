// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/meters/citylearn"
	"github.com/allmende-energy/allmende/scheduler/settlement"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// homes compares over recorded homes, whose hours are cut evenly into the
// charter's intervals.
func (t *trial) homes(ctx context.Context) (whatif.Report, error) {
	name := t.cmd.Against
	if name == "" {
		name = "equal-shares"
	}
	var err error
	if t.old, err = charterNamed(name); err != nil {
		return whatif.Report{}, err
	}
	rec, err := citylearn.Read(os.DirFS(t.cmd.Homes))
	if err != nil {
		return whatif.Report{}, err
	}
	ids := make([]roll.MemberID, len(rec.Buildings))
	for i, b := range rec.Buildings {
		ids[i] = roll.MemberID(b.ID)
	}
	groups, err := t.cmd.groupsOf(ids)
	if err != nil {
		return whatif.Report{}, err
	}
	length := t.proposed.Interval
	cuts := int64(energy.Hour / length)
	facts := make([]expr.Facts, len(ids))
	for i, b := range rec.Buildings {
		facts[i] = expr.Facts{Member: ids[i], Groups: groups[ids[i]], Sites: 1, BatteryWh: b.BatteryCapacity.WattHours()}
		for h := range b.Load {
			facts[i].UsedWh += b.Load[h].WattHours()
			facts[i].FedInWh += max(0, b.Sun[h]-b.Load[h]).WattHours()
		}
	}
	run, err := t.start(facts)
	if err != nil {
		return whatif.Report{}, err
	}
	rows := make([]ledger.MemberRow, len(ids))
	for i, id := range ids {
		rows[i] = ledger.MemberRow{Member: id, Pool: roll.GridPool, Groups: groups[id], Sites: []ledger.SiteInput{{Site: roll.SiteID(id), Metered: true}}}
	}
	return t.each(ctx, run, len(rec.Prices)*int(cuts), func(i int) (settlement.Input, whatif.Grid, bool, error) {
		hour, cut := i/int(cuts), int64(i)%cuts
		at := energy.Interval{Start: energy.Instant(i) * energy.Instant(length), Length: length}
		if at.Start < t.from || at.Start >= t.until {
			return settlement.Input{}, whatif.Grid{}, false, nil
		}
		for k, b := range rec.Buildings {
			load, sun := slice(b.Load[hour], cut, cuts), slice(b.Sun[hour], cut, cuts)
			s := &rows[k].Sites[0]
			s.Production, s.Import, s.Export = sun, max(load-sun, 0), max(sun-load, 0)
		}
		grid := t.grid
		if t.cmd.Retail == "" {
			grid.Retail = energy.Price{Micro: rec.Prices[hour].Micro, Currency: t.proposed.Currency}
		}
		return settlement.Input{Interval: at, Members: rows}, grid, true, nil
	})
}

// slice is the k-th of n even pieces of e; the pieces sum to e.
func slice(e energy.Energy, k, n int64) energy.Energy {
	return energy.Energy(int64(e)*(k+1)/n - int64(e)*k/n)
}

// settledLeaf is a settlement that stands.
type settledLeaf struct {
	index   int64
	settled *ledger.IntervalSettled
}

// openLedger opens the ledger of a community's folder for reading.
func openLedger(ctx context.Context, dir string) (*store.Reader, error) {
	serve, err := config.LoadServe(dir)
	if err != nil {
		return nil, err
	}
	if there, err := store.Exists(ctx, serve.Database.Reveal()); err != nil {
		return nil, err
	} else if !there {
		return nil, fmt.Errorf("there is no ledger at %s yet: start the coordinator with \"allmende serve --dir %s\" first", serve.Database, dir)
	}
	return store.OpenReader(ctx, serve.Database.Reveal())
}

// standing reads which settlements stand in a ledger, in their order, and the
// charter in force at each.
func standing(ctx context.Context, log ledger.Log) (leaves []settledLeaf, charterAt func(energy.Instant) *ledger.CharterActivated, err error) {
	at := map[energy.Instant]int{}
	var activated []*ledger.CharterActivated
	err = log.Leaves(ctx, 0, func(index int64, body []byte) error {
		l, err := ledger.DecodeLeaf(body)
		if err != nil {
			return fmt.Errorf("leaf %d: %w; check the ledger with \"allmende ledger verify\"", index, err)
		}
		switch {
		case l.Charter != nil:
			activated = append(activated, l.Charter)
		case l.Settled != nil:
			start := l.Settled.Interval.Start
			if i, ok := at[start]; ok {
				leaves[i] = settledLeaf{index, l.Settled}
				return nil
			}
			at[start] = len(leaves)
			leaves = append(leaves, settledLeaf{index, l.Settled})
		}
		return nil
	})
	return leaves, func(at energy.Instant) *ledger.CharterActivated {
		var in *ledger.CharterActivated
		for _, a := range activated {
			if a.Effective <= at {
				in = a
			}
		}
		return in
	}, err
}

// rowsOf are the annex rows of a leaf, and whether any is erased.
func rowsOf(ctx context.Context, log ledger.Log, l settledLeaf) (rows []ledger.Row, erased bool, err error) {
	stored, err := log.Rows(ctx, l.index)
	for _, s := range stored {
		rows = append(rows, s.Row)
	}
	return rows, len(rows) < len(l.settled.Commitments), err
}

// recorded compares over a community's own ledger.
func (t *trial) recorded(ctx context.Context) (rep whatif.Report, err error) {
	db, err := openLedger(ctx, t.cmd.Dir)
	if err != nil {
		return rep, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	all, charterAt, err := standing(ctx, db)
	if err != nil {
		return rep, err
	}
	var leaves []settledLeaf
	for _, l := range all {
		if at := l.settled.Interval.Start; at >= t.from && at < t.until {
			leaves = append(leaves, l)
		}
	}
	if len(leaves) == 0 {
		return rep, errors.New("no settled interval lies in that time; widen --from and --to")
	}
	if t.cmd.Against != "" {
		t.old, err = charterNamed(t.cmd.Against)
	} else if in := charterAt(leaves[len(leaves)-1].settled.Interval.Start); in != nil {
		t.old = in.Charter
	}
	if err != nil {
		return rep, err
	}
	t.owners = map[roll.AssetID]roll.MemberID{}
	first, _, err := t.input(ctx, db, leaves[0])
	if err != nil {
		return rep, err
	}
	facts := make([]expr.Facts, len(first.Members))
	for i, m := range first.Members {
		facts[i] = expr.Facts{Member: m.Member, Groups: m.Groups, Sites: int64(len(m.Sites))}
	}
	run, err := t.start(facts)
	if err != nil {
		return rep, err
	}
	run.Owners(t.owners)
	erased := 0
	rep, err = t.each(ctx, run, len(leaves), func(i int) (settlement.Input, whatif.Grid, bool, error) {
		in, whole, err := t.input(ctx, db, leaves[i])
		if !whole {
			erased++
		}
		return in, t.grid, whole, err
	})
	if erased > 0 {
		t.out.Remark("%d intervals are left out: rows of members who left are erased in them\n", erased)
	}
	return rep, err
}

func (t *trial) input(ctx context.Context, db ledger.Log, l settledLeaf) (in settlement.Input, whole bool, err error) {
	rows, erased, err := rowsOf(ctx, db, l)
	if err != nil || erased {
		return in, false, err
	}
	for _, row := range rows {
		if row.Kind == ledger.RowStorage {
			t.owners[roll.AssetID(row.Key)] = row.Subject
		}
	}
	in, err = settlement.FromRows(*l.settled, rows)
	return in, err == nil, err
}
