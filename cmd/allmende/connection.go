// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

type connectionCmd struct {
	List    connectionListCmd    `cmd:"" help:"List the connections."`
	Show    connectionShowCmd    `cmd:"" help:"Show a connection."`
	Add     connectionAddCmd     `cmd:"" help:"Add a connection."`
	Change  connectionChangeCmd  `cmd:"" help:"Change a connection's limits or its binding meter."`
	Island  connectionIslandCmd  `cmd:"" help:"Say that a connection runs cut off from the grid, or no longer does."`
	Retire  connectionRetireCmd  `cmd:"" help:"Retire a connection; its history stays."`
	History connectionHistoryCmd `cmd:"" help:"Who changed what of a connection, and when."`
}

// Help is shown by allmende connection --help.
func (connectionCmd) Help() string {
	return `A connection is how sites hang together: over the public grid, each with its
own contract (public_grid), or behind one billing meter (one_meter).

  allmende connection add village --kind public_grid
  allmende connection add mill --kind one_meter --meter mill-main --gateway gw-mill
  allmende connection change mill --import-limit-w 43000`
}

type connectionListCmd struct{ listEntries }

// Run lists.
func (c *connectionListCmd) Run(ctx context.Context, out *output) error {
	return c.list(ctx, out, roll.KindConnection)
}

type connectionShowCmd struct{ showEntry }

// Run shows.
func (c *connectionShowCmd) Run(ctx context.Context, out *output) error {
	return c.show(ctx, out, roll.KindConnection)
}

type connectionHistoryCmd struct{ historyOfEntry }

// Run shows the history.
func (c *connectionHistoryCmd) Run(ctx context.Context, out *output) error {
	return c.history(ctx, out, roll.KindConnection)
}

type connectionAddCmd struct {
	ID           string `arg:"" help:"A short name for machines, for good."`
	Kind         string `enum:"public_grid,one_meter" required:"" help:"public_grid or one_meter."`
	Meter        string `help:"one_meter: the id of the meter that binds. With --gateway it is added in the same step."`
	Gateway      string `help:"The gateway that reads the meter."`
	ImportLimitW string `placeholder:"W" help:"The fuse or the contract, where you know it."`
	ExportLimitW string `placeholder:"W" help:"The contract, where you know it."`
	Again        bool   `help:"This is the connection that had this id before."`
	acting
}

// Run adds.
func (c *connectionAddCmd) Run(ctx context.Context, out *output) error {
	e := &allmendev1.ConnectionEntry{Id: c.ID, Kind: c.Kind, MeterAssetId: c.Meter}
	if err := wattsInto(&e.ImportLimitMilliwatts, "--import-limit-w", c.ImportLimitW); err != nil {
		return err
	}
	if err := wattsInto(&e.ExportLimitMilliwatts, "--export-limit-w", c.ExportLimitW); err != nil {
		return err
	}
	changes := []*allmendev1.RegisterChange{{Op: string(roll.OpAdd), Entry: connectionEntry(e), Again: c.Again}}
	if c.Meter != "" && c.Gateway != "" {
		changes = append(changes, &allmendev1.RegisterChange{Op: string(roll.OpAdd), Again: c.Again, Entry: assetEntry(&allmendev1.AssetEntry{
			Id: c.Meter, Kind: string(roll.Meter), ConnectionId: c.ID, GatewayId: c.Gateway,
		})})
	}
	return c.do(ctx, out, changes...)
}

func connectionEntry(e *allmendev1.ConnectionEntry) *allmendev1.RegisterEntry {
	return &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Connection{Connection: e}}
}

// wattsInto reads watts; nothing is no limit.
func wattsInto(into *int64, flag, text string) error {
	if text == "" {
		return nil
	}
	p, err := energy.ParseWatts(text)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	*into = int64(p)
	return nil
}

type connectionChangeCmd struct {
	ID           string  `arg:"" help:"The id."`
	Meter        *string `help:"Another binding meter."`
	ImportLimitW *string `placeholder:"W" help:"0: none is stated."`
	ExportLimitW *string `placeholder:"W" help:"0: none is stated."`
	acting
}

// Run changes.
func (c *connectionChangeCmd) Run(ctx context.Context, out *output) error {
	e, fields := &allmendev1.ConnectionEntry{Id: c.ID}, []string{}
	if c.Meter != nil {
		e.MeterAssetId = *c.Meter
		fields = append(fields, roll.FieldMeter)
	}
	for _, limit := range []struct {
		text        *string
		into        *int64
		flag, field string
	}{
		{c.ImportLimitW, &e.ImportLimitMilliwatts, "--import-limit-w", roll.FieldImportLimit},
		{c.ExportLimitW, &e.ExportLimitMilliwatts, "--export-limit-w", roll.FieldExportLimit},
	} {
		if limit.text == nil {
			continue
		}
		if err := wattsInto(limit.into, limit.flag, *limit.text); err != nil {
			return err
		}
		fields = append(fields, limit.field)
	}
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpChange), Entry: connectionEntry(e), Fields: fields})
}

type connectionIslandCmd struct {
	ID    string `arg:"" help:"The id."`
	State string `arg:"" enum:"on,off" help:"on: it is cut off from the grid; off: it is not any more."`
	acting
}

// Help is what "allmende connection island --help" adds.
func (*connectionIslandCmd) Help() string {
	return `While a connection is cut off, its sites share by the rule that the charter has for
that (island), where it has one. Connections over the public grid share together, so
that theirs holds only while all of them are cut off.

It counts from the next interval on, or from --on, which may lie in the past: what
was settled since then is settled again.

  allmende connection island mill on
  allmende connection island mill off --on 2026-06-01T14:15`
}

// Run says so.
func (c *connectionIslandCmd) Run(ctx context.Context, out *output) error {
	e := &allmendev1.ConnectionEntry{Id: c.ID, Island: c.State == "on"}
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpChange), Entry: connectionEntry(e), Fields: []string{roll.FieldIsland}})
}

type connectionRetireCmd struct {
	ID      string `arg:"" help:"The id."`
	WithAll bool   `help:"Retire its sites, their devices and its meter in the same step."`
	acting
}

// Run retires.
func (c *connectionRetireCmd) Run(ctx context.Context, out *output) error {
	err := c.do(ctx, out, &allmendev1.RegisterChange{
		Op: string(roll.OpRetire), Entry: connectionEntry(&allmendev1.ConnectionEntry{Id: c.ID}), WithDependents: c.WithAll,
	})
	if status.Code(err) == codes.InvalidArgument && !c.WithAll {
		return fmt.Errorf("%w\nWhat hangs from it can be retired in the same step: --with-all", err)
	}
	return err
}
