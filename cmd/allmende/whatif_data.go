// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/meters/citylearn"
	"github.com/allmende-energy/allmende/scheduler/settlement"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// homes compares over recorded homes, whose hours are cut evenly into the
// charter's intervals.
func (t *comparison) homes(ctx context.Context) (whatif.Report, error) {
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
	run, err := whatif.New(&t.old, &t.proposed, statement.In(t.zone))
	if err != nil {
		return whatif.Report{}, err
	}
	cal := charters.CalendarOf(t.zone)
	run.Calendar(cal)
	weighings := trial.Weigh(run, &t.old, &t.proposed, cal, func(at energy.Instant, last expr.Tally) []expr.Facts {
		return expr.FactsOf(homesRegister(rec, groups), func(roll.MemberID) (energy.Instant, bool) { return 0, true }, at, last)
	})
	rows := make([]ledger.MemberRow, len(ids))
	for i, id := range ids {
		rows[i] = ledger.MemberRow{Member: id, Pool: roll.GridPool, Groups: groups[id], Sites: []ledger.SiteInput{{Site: roll.SiteID(id), Metered: true}}}
	}
	// Nobody settled the homes before: what expressions look back at is settled
	// under each charter as well, and not compared.
	warm, err := whatif.New(&t.old, &t.proposed, statement.In(t.zone))
	if err != nil {
		return whatif.Report{}, err
	}
	warm.Calendar(cal)
	weighings.Before(warm, max(0, t.from))
	begins := t.from
	if begins > 0 {
		begins = weighings.Begins(begins)
	}
	return t.each(ctx, run, len(rec.Prices)*int(cuts), func(i int) (settlement.Input, whatif.Grid, bool, error) {
		hour, cut := i/int(cuts), int64(i)%cuts
		at := energy.Interval{Start: energy.Instant(i) * energy.Instant(length), Length: length}
		if at.Start < begins || at.Start >= t.until {
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
		terms, err := weighings.Terms(at.Start, rows, false)
		if err != nil {
			return settlement.Input{}, grid, false, err
		}
		if in := (settlement.Input{Interval: at, Members: rows}); at.Start < t.from {
			warm.Terms(terms[0], terms[1])
			return in, grid, false, warm.Add(in, grid)
		}
		run.Terms(terms[0], terms[1])
		run.WithoutPast(weighings.WithoutPast())
		return settlement.Input{Interval: at, Members: rows}, grid, true, nil
	})
}

// homesRegister is the register of a community that recorded homes would be.
func homesRegister(rec *citylearn.Recording, groups map[roll.MemberID][]roll.Group) *roll.Community {
	c := &roll.Community{}
	for _, b := range rec.Buildings {
		id := roll.MemberID(b.ID)
		c.Members = append(c.Members, roll.Member{ID: id, Groups: groups[id]})
		c.Sites = append(c.Sites, roll.Site{ID: roll.SiteID(b.ID), Member: id})
		if b.BatteryCapacity > 0 {
			c.Assets = append(c.Assets, roll.Asset{
				ID: roll.AssetID(b.ID), Site: roll.SiteID(b.ID), Kind: roll.Battery, Owner: id,
				Battery: &roll.BatteryData{Capacity: b.BatteryCapacity, MaxSoC: 1000, Dispatchable: true},
			})
		}
	}
	return c
}

// slice is the k-th of n even pieces of e; the pieces sum to e.
func slice(e energy.Energy, k, n int64) energy.Energy {
	return energy.Energy(int64(e)*(k+1)/n - int64(e)*k/n)
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

// recorded compares over a community's own ledger, as its coordinator would.
func (t *comparison) recorded(ctx context.Context) (whatif.Report, error) {
	db, err := openLedger(ctx, t.cmd.Dir)
	if err != nil {
		return whatif.Report{}, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	if t.cmd.Zone == "" {
		revisions, err := db.Register(ctx)
		if err != nil {
			return whatif.Report{}, err
		}
		if err := t.span(roll.HistoryOf(revisions).At(t.until).Timezone); err != nil {
			return whatif.Report{}, err
		}
	}
	q := trial.Question{Proposed: t.proposed, From: t.from, Until: t.until, Grid: t.grid, Zone: t.zone}
	if t.cmd.Against != "" {
		against, err := charterNamed(t.cmd.Against)
		if err != nil {
			return whatif.Report{}, err
		}
		q.Against = &against
	}
	bar := newProgress(t.out, "comparing")
	defer bar.clear()
	answer, err := trial.Run(ctx, db, &q, func(done, total int64) error {
		bar.show(done, total)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
		return nil
	})
	if err != nil {
		return whatif.Report{}, err
	}
	t.old = answer.Against
	if answer.LeftOut > 0 {
		bar.clear()
		t.out.Remark("%d intervals are left out: rows of members who left are erased in them\n", answer.LeftOut)
	}
	return answer.Report, nil
}
