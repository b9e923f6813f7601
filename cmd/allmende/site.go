// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

type siteCmd struct {
	List    siteListCmd    `cmd:"" help:"List the sites."`
	Show    siteShowCmd    `cmd:"" help:"Show a site."`
	Add     siteAddCmd     `cmd:"" help:"Add a site with its grid meter."`
	Change  siteChangeCmd  `cmd:"" help:"Give a site to another member, or correct where it is."`
	Retire  siteRetireCmd  `cmd:"" help:"Retire a site; its history stays."`
	History siteHistoryCmd `cmd:"" help:"Who changed what of a site, and when."`
}

// Help is shown by allmende site --help.
func (siteCmd) Help() string {
	return `A site is a member's place under a connection. It has exactly one grid meter,
which is added with it.

  allmende site add clara-flat --member clara --connection mill --meter clara-meter --gateway gw-mill
  allmende site change clara-flat --member dora --on 2026-12-01       a new tenant
  allmende site retire clara-flat --with-devices --on 2026-12-01`
}

type siteListCmd struct{ listEntries }

// Run lists.
func (c *siteListCmd) Run(ctx context.Context, out *output) error {
	return c.list(ctx, out, roll.KindSite)
}

type siteShowCmd struct{ showEntry }

// Run shows.
func (c *siteShowCmd) Run(ctx context.Context, out *output) error {
	return c.show(ctx, out, roll.KindSite)
}

type siteHistoryCmd struct{ historyOfEntry }

// Run shows the history.
func (c *siteHistoryCmd) Run(ctx context.Context, out *output) error {
	return c.history(ctx, out, roll.KindSite)
}

type siteAddCmd struct {
	ID         string `arg:"" help:"A short name for machines, for good."`
	Member     string `required:"" help:"Whose place it is."`
	Connection string `required:"" help:"The connection under which it hangs."`
	Meter      string `required:"" help:"The id of its grid meter, which is added with it."`
	Gateway    string `required:"" help:"The gateway that reads the meter."`
	Owner      string `help:"Who owns the meter; without it, the community."`
	Latitude   string `help:"In decimal degrees, such as 48.2082; both or neither."`
	Longitude  string `help:"In decimal degrees."`
	Again      bool   `help:"This is the site, with its meter, that had this id before."`
	acting
}

// Run adds.
func (c *siteAddCmd) Run(ctx context.Context, out *output) error {
	site := &allmendev1.SiteEntry{Id: c.ID, MemberId: c.Member, ConnectionId: c.Connection, Latitude: c.Latitude, Longitude: c.Longitude}
	meter := &allmendev1.AssetEntry{Id: c.Meter, Kind: string(roll.Meter), SiteId: c.ID, OwnerId: c.Owner, GatewayId: c.Gateway}
	return c.do(ctx, out,
		&allmendev1.RegisterChange{Op: string(roll.OpAdd), Entry: siteEntry(site), Again: c.Again},
		&allmendev1.RegisterChange{Op: string(roll.OpAdd), Entry: assetEntry(meter), Again: c.Again})
}

func siteEntry(e *allmendev1.SiteEntry) *allmendev1.RegisterEntry {
	return &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Site{Site: e}}
}

type siteChangeCmd struct {
	ID         string  `arg:"" help:"The id."`
	Member     *string `help:"Whose place it is from then on."`
	Connection *string `help:"Another connection."`
	Latitude   *string `help:"In decimal degrees; empty: not known."`
	Longitude  *string `help:"In decimal degrees; empty: not known."`
	acting
}

// Run changes.
func (c *siteChangeCmd) Run(ctx context.Context, out *output) error {
	e, fields := &allmendev1.SiteEntry{Id: c.ID}, []string{}
	for _, f := range []struct {
		value *string
		into  *string
		field string
	}{
		{c.Member, &e.MemberId, roll.FieldMember}, {c.Connection, &e.ConnectionId, roll.FieldConnection},
		{c.Latitude, &e.Latitude, roll.FieldLatitude}, {c.Longitude, &e.Longitude, roll.FieldLongitude},
	} {
		if f.value != nil {
			*f.into = *f.value
			fields = append(fields, f.field)
		}
	}
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpChange), Entry: siteEntry(e), Fields: fields})
}

type siteRetireCmd struct {
	ID          string `arg:"" help:"The id."`
	WithDevices bool   `help:"Retire what stands there in the same step."`
	acting
}

// Run retires.
func (c *siteRetireCmd) Run(ctx context.Context, out *output) error {
	err := c.do(ctx, out, &allmendev1.RegisterChange{
		Op: string(roll.OpRetire), Entry: siteEntry(&allmendev1.SiteEntry{Id: c.ID}), WithDependents: c.WithDevices,
	})
	if status.Code(err) == codes.InvalidArgument && !c.WithDevices {
		return fmt.Errorf("%w\nWhat hangs from it can be retired in the same step: --with-devices", err)
	}
	return err
}
