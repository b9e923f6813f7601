// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// registerCommands are those that keep the register.
type registerCommands struct {
	Member     memberCmd     `cmd:"" help:"List, add, change and retire members; import them from a spreadsheet."`
	Connection connectionCmd `cmd:"" help:"The connections that sites hang under."`
	Site       siteCmd       `cmd:"" help:"The members' places, each with its meter."`
	Asset      assetCmd      `cmd:"" help:"The devices: meters, inverters, batteries."`
	Register   registerCmd   `cmd:"" help:"The whole register of any day; many changes in one step."`
}

type registerCmd struct {
	Show   registerShowCmd   `cmd:"" help:"Show the whole register of a day."`
	Export registerExportCmd `cmd:"" help:"Write the register of a day in the form of community.yaml."`
	Apply  registerApplyCmd  `cmd:"" help:"Make many changes in one step, from a JSON file."`
}

// Help is shown by allmende register --help.
func (registerCmd) Help() string {
	return `The register says who takes part, where and with what. community.yaml founded it;
since then it is in the database, dated.

  allmende register show --on 2026-06-01
  allmende register export > community-today.yaml
  allmende register apply changes.json --dry-run`
}

type registerShowCmd struct {
	looking
	On string `placeholder:"DATE" help:"Of that day or time, past or planned; without it, of now."`
}

// Run shows every kind of entry.
func (c *registerShowCmd) Run(ctx context.Context, out *output) error {
	if c.JSON {
		return c.json(ctx, out)
	}
	for i, kind := range roll.Kinds()[1:] {
		if i > 0 {
			out.Printf("\n")
		}
		list := listEntries{looking: c.looking, On: c.On}
		if err := list.list(ctx, out, kind); err != nil {
			return err
		}
	}
	return nil
}

func (c *registerShowCmd) json(ctx context.Context, out *output) error {
	all := []json.RawMessage{}
	for _, kind := range roll.Kinds()[1:] {
		var b strings.Builder
		list := listEntries{looking: c.looking, On: c.On}
		if err := list.list(ctx, &output{Out: &b, Err: io.Discard}, kind); err != nil {
			return err
		}
		var some []json.RawMessage
		if err := json.Unmarshal([]byte(b.String()), &some); err != nil {
			return fmt.Errorf("listing: %w", err)
		}
		all = append(all, some...)
	}
	return out.JSON(all)
}

type registerExportCmd struct {
	where
	On string `placeholder:"DATE" help:"Of that day or time, past or planned; without it, of now."`
}

// Run prints the file.
func (c *registerExportCmd) Run(ctx context.Context, out *output) error {
	client, done, err := c.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	res, err := client.ExportRegister(ctx, &allmendev1.ExportRegisterRequest{On: c.On})
	if err != nil {
		return err
	}
	out.Printf("%s", res.GetYaml())
	return nil
}

type registerApplyCmd struct {
	File string `arg:"" help:"A JSON file, or - for the standard input."`
	acting
}

// Help is shown by allmende register apply --help.
func (registerApplyCmd) Help() string {
	return `The file holds a list of changes in the form of the API (RegisterChange in
proto/allmende/v1/administration.proto). All of them are made, or none.

  [{"op": "retire", "entry": {"asset": {"id": "ben-meter"}}},
   {"op": "add", "entry": {"asset": {"id": "ben-meter-2", "kind": "meter",
     "siteId": "ben-home", "gatewayId": "gw-lane"}}, "from": "2026-12-01"}]

--on is the date of those that have none.`
}

// maxChangesFile bounds the file.
const maxChangesFile = 16 << 20

// Run applies.
func (c *registerApplyCmd) Run(ctx context.Context, out *output) error {
	r := out.In
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // it was only read
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxChangesFile))
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.File, err)
	}
	req := &allmendev1.ApplyChangesRequest{}
	if err := protojson.Unmarshal([]byte(`{"changes":`+string(b)+`}`), req); err != nil {
		return fmt.Errorf("%s is no list of changes: %w; see allmende register apply --help", c.File, err)
	}
	client, done, err := c.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, change := range req.GetChanges() {
		if change.GetFrom() == "" {
			change.From = c.On
		}
	}
	req.Note, req.DryRun = c.Note, c.DryRun
	res, err := client.ApplyChanges(ctx, req)
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(appliedAsJSON(res))
	}
	printApplied(out, res)
	return nil
}
