// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/citylearn"
	"github.com/allmende-energy/allmende/scheduler/allocation"
	"github.com/allmende-energy/allmende/scheduler/replay"
)

type replayCmd struct {
	Folder  string `arg:"" type:"existingdir" help:"Folder with the recorded data."`
	Format  string `enum:"citylearn" default:"citylearn" help:"Format of the data: citylearn (hourly homes of the CityLearn challenge 2022)."`
	Charter string `required:"" type:"existingfile" placeholder:"FILE" help:"Charter to share by; see charters/ for templates."`
	Storage string `enum:"none,shared" default:"none" help:"none: batteries stand still. shared: each home's battery serves the community, charging from surplus and discharging into need."`
	JSON    bool   `help:"Print the result as JSON, energies in whole watt-hours."`
}

// Help is shown by allmende replay --help.
func (c *replayCmd) Help() string {
	return `Runs every recorded interval through the same dispatch and settlement that the
coordinator uses, and says what members would have shared and what the grid
would still have supplied. Nothing is stored. A cap over a day, month or year counts over all
of it; the recording begins with a day, a month and a year. Example:

  allmende replay --charter charters/equal-shares.yaml --storage shared DATA`
}

func (c *replayCmd) Run(ctx context.Context, out *output) error {
	ch, err := readCharter(c.Charter)
	if err != nil {
		return err
	}
	if len(ch.Expressions) > 0 {
		return fmt.Errorf("%s: expressions: recorded homes have no groups and no past that they could ask about; use fixed weights to replay", c.Charter)
	}
	recording, err := citylearn.Read(os.DirFS(c.Folder))
	if err != nil {
		return err
	}
	if c.Storage == "none" {
		ch.Storage.Use = charter.StorageNone
	}
	run, err := replay.New(&ch, recordOf(recording, c.Storage == "shared"))
	if err != nil {
		return err
	}
	bar := newProgress(out, "replaying")
	for {
		more, err := run.Next()
		if err != nil {
			bar.clear()
			return err
		}
		if !more {
			break
		}
		if ctx.Err() != nil {
			bar.clear()
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
		done, total := run.Done()
		bar.show(int64(done), int64(total))
	}
	bar.clear()
	report := newReplayReport(recording, run.Result())
	if c.JSON {
		return out.JSON(report)
	}
	return report.print(out, &ch, c.Storage)
}

// readCharter reads and checks a charter file.
func readCharter(path string) (charter.Charter, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return charter.Charter{}, fmt.Errorf("reading the charter: %w", err)
	}
	ch, err := charters.Decode(b)
	if err != nil {
		return charter.Charter{}, fmt.Errorf("%s: %w", path, err)
	}
	return ch, nil
}

// sqrtMillionths is the efficiency one way of a battery whose round trip is
// given, both in millionths: half of the loss falls on each way.
func sqrtMillionths(roundTrip int64) int64 {
	return new(big.Int).Sqrt(big.NewInt(roundTrip * 1_000_000)).Int64()
}

func recordOf(rec *citylearn.Recording, shared bool) replay.Record {
	r := replay.Record{Length: energy.Hour, Prices: rec.Prices, Calendar: charters.CalendarOf(time.UTC)}
	for _, b := range rec.Buildings {
		r.Homes = append(r.Homes, replay.Home{Member: roll.MemberID(b.ID), Load: b.Load, Sun: b.Sun})
		if shared {
			eff := sqrtMillionths(b.RoundTripMillionths)
			r.Batteries = append(r.Batteries, replay.Battery{
				Asset: roll.AssetID(b.ID + "-battery"), Capacity: b.BatteryCapacity, Power: b.BatteryPower,
				ChargeEff: eff, DischargeEff: eff,
			})
		}
	}
	return r
}

// replayTotals are whole watt-hours. Consumption, production, own use and
// shared are rounded, grid import and export are what remains of them:
//
//	consumption_wh = own_use_wh + shared_wh + grid_import_wh
//	production_wh + discharged_wh = own_use_wh + shared_wh + charged_wh + grid_export_wh (community)
//	production_wh = own_use_wh + sold_wh + stored_wh + grid_export_wh (member)
//
// and every value of the community is the sum of its members'.
type replayTotals struct {
	ProductionWh               int64   `json:"production_wh"`
	ConsumptionWh              int64   `json:"consumption_wh"`
	OwnUseWh                   int64   `json:"own_use_wh"`
	SharedWh                   int64   `json:"shared_wh"` // received, from sun and storage
	SoldWh                     int64   `json:"sold_wh"`   // given to members from the sun
	StoredWh                   int64   `json:"stored_wh"` // given to storage from the sun
	GridImportWh               int64   `json:"grid_import_wh"`
	GridExportWh               int64   `json:"grid_export_wh"`
	GridImportWithoutSharingWh int64   `json:"grid_import_without_sharing_wh"`
	CostRatio                  float64 `json:"cost_ratio"`
}

type replayReport struct {
	Intervals int `json:"intervals"`
	Members   int `json:"members"`
	replayTotals
	ChargedWh     int64                   `json:"charged_wh"`
	DischargedWh  int64                   `json:"discharged_wh"`
	StorageLossWh int64                   `json:"storage_loss_wh"`
	ByMember      map[string]replayTotals `json:"by_member"`
	order         []string
}

func newReplayReport(rec *citylearn.Recording, res replay.Result) replayReport {
	r := replayReport{Intervals: res.Intervals, Members: len(rec.Buildings), ByMember: map[string]replayTotals{}}
	sold, stored := make([]int64, len(res.ByMember)), make([]int64, len(res.ByMember))
	ids := make([]roll.MemberID, len(res.ByMember))
	members := make([]replayTotals, len(res.ByMember))
	var direct, charged int64
	for i, t := range res.ByMember {
		ids[i], sold[i], stored[i] = roll.MemberID(rec.Buildings[i].ID), int64(t.Sold), int64(t.Stored)
		fromSun, fromStorage := t.Shared.WattHours(), t.FromStorage.WattHours()
		direct += fromSun
		members[i] = replayTotals{
			ProductionWh: t.Production.WattHours(), ConsumptionWh: t.Consumption.WattHours(), OwnUseWh: t.OwnUse.WattHours(),
			SharedWh: fromSun + fromStorage, CostRatio: costRatio(t),
		}
		r.DischargedWh += fromStorage
	}
	charged = res.Community.Charged.WattHours()
	// What was given is apportioned so that it adds up to what was received.
	var w allocation.Workspace
	w.Split(sold, direct, append([]int64(nil), sold...), ids, allocation.Seed{})
	w.Split(stored, charged, append([]int64(nil), stored...), ids, allocation.Seed{})
	for i := range members {
		m := &members[i]
		m.SoldWh, m.StoredWh = sold[i], stored[i]
		m.GridImportWh = m.ConsumptionWh - m.OwnUseWh - m.SharedWh
		m.GridExportWh = m.ProductionWh - m.OwnUseWh - m.SoldWh - m.StoredWh
		m.GridImportWithoutSharingWh = m.ConsumptionWh - m.OwnUseWh
		r.add(*m)
		r.ByMember[string(ids[i])] = *m
		r.order = append(r.order, string(ids[i]))
	}
	r.ChargedWh, r.StorageLossWh = charged, res.Community.StorageLoss.WattHours()
	r.CostRatio = costRatio(res.Community)
	return r
}

func (t *replayTotals) add(m replayTotals) {
	t.ProductionWh += m.ProductionWh
	t.ConsumptionWh += m.ConsumptionWh
	t.OwnUseWh += m.OwnUseWh
	t.SharedWh += m.SharedWh
	t.SoldWh += m.SoldWh
	t.StoredWh += m.StoredWh
	t.GridImportWh += m.GridImportWh
	t.GridExportWh += m.GridExportWh
	t.GridImportWithoutSharingWh += m.GridImportWithoutSharingWh
}

// costRatio is what the grid's energy cost, over what it would have cost
// without sharing and storage; 1 where it would have cost nothing.
func costRatio(t replay.Totals) float64 {
	cost := func(at map[energy.Price]energy.Energy) *big.Float {
		sum := new(big.Int)
		for price, e := range at {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(price.Micro), big.NewInt(int64(e))))
		}
		return new(big.Float).SetInt(sum)
	}
	alone := cost(t.AloneAt)
	if alone.Sign() == 0 {
		return 1
	}
	ratio, _ := new(big.Float).Quo(cost(t.ImportAt), alone).Float64()
	return float64(int64(ratio*1e6+0.5)) / 1e6
}

func (r *replayReport) print(out *output, ch *charter.Charter, storage string) error {
	out.Printf("%d intervals, %d members, charter “%s”, storage %s\n\n", r.Intervals, r.Members, ch.Name, storage)
	w := tabwriter.NewWriter(out.Out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "kWh\tproduction\tconsumption\town use\tshared\tgrid import\twithout sharing\tgrid export\tcost\t")
	row := func(name string, t replayTotals) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.4f\t\n", name, kwh(t.ProductionWh), kwh(t.ConsumptionWh), kwh(t.OwnUseWh),
			kwh(t.SharedWh), kwh(t.GridImportWh), kwh(t.GridImportWithoutSharingWh), kwh(t.GridExportWh), t.CostRatio)
	}
	for _, id := range r.order {
		row(id, r.ByMember[id])
	}
	row("community", r.replayTotals)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	if r.ChargedWh > 0 {
		out.Printf("\nStorage took %s kWh, gave %s kWh and lost %s kWh.\n", kwh(r.ChargedWh), kwh(r.DischargedWh), kwh(r.StorageLossWh))
	}
	out.Printf("\nGrid import is %.4f of what it would be without sharing; its cost is %.4f.\n",
		float64(r.GridImportWh)/float64(max(r.GridImportWithoutSharingWh, 1)), r.CostRatio)
	return nil
}

// kwh prints watt-hours as kWh with one decimal, rounded half up.
func kwh(wh int64) string {
	tenths := (wh + 50) / 100
	if wh < 0 {
		tenths = -((-wh + 50) / 100)
	}
	return fmt.Sprintf("%d.%d", tenths/10, max(tenths%10, -(tenths%10)))
}
