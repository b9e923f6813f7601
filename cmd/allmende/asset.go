// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

type assetCmd struct {
	List    assetListCmd    `cmd:"" help:"List the devices."`
	Show    assetShowCmd    `cmd:"" help:"Show a device."`
	Add     assetAddCmd     `cmd:"" help:"Add a device, or exchange one for another."`
	Change  assetChangeCmd  `cmd:"" help:"Change a device's owner, gateway, place or battery data."`
	Retire  assetRetireCmd  `cmd:"" help:"Retire a device; its history stays."`
	History assetHistoryCmd `cmd:"" help:"Who changed what of a device, and when."`
}

// Help is shown by allmende asset --help.
func (assetCmd) Help() string {
	return `A device: a meter, an inverter or a battery. It is at a site (a binding meter: at
a connection) and is read by a gateway. Its kind never changes: another device is
another id.

  allmende asset add anna-roof --kind inverter --site anna-home --gateway gw-lane --owner anna
  allmende asset add ben-meter-2 --replaces ben-meter --on now
  allmende asset add anna-battery --kind battery --site anna-home --gateway gw-lane \
      --capacity-kwh 9.6 --max-charge-w 5000 --max-discharge-w 5000 --placement behind_meter --dispatchable
  allmende asset change anna-battery --reserve-soc-percent 30`
}

type assetListCmd struct{ listEntries }

// Run lists.
func (c *assetListCmd) Run(ctx context.Context, out *output) error {
	return c.list(ctx, out, roll.KindAsset)
}

type assetShowCmd struct{ showEntry }

// Run shows.
func (c *assetShowCmd) Run(ctx context.Context, out *output) error {
	return c.show(ctx, out, roll.KindAsset)
}

type assetHistoryCmd struct{ historyOfEntry }

// Run shows the history.
func (c *assetHistoryCmd) Run(ctx context.Context, out *output) error {
	return c.history(ctx, out, roll.KindAsset)
}

func assetEntry(e *allmendev1.AssetEntry) *allmendev1.RegisterEntry {
	return &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Asset{Asset: e}}
}

type assetAddCmd struct {
	ID         string  `arg:"" help:"A short name for machines, for good."`
	Kind       string  `help:"meter, inverter or battery."`
	Site       *string `help:"The site where it is."`
	Connection *string `help:"Of a binding meter: its connection."`
	Owner      *string `help:"Who owns it; without it, the community."`
	Gateway    *string `help:"The gateway that reads it."`
	Replaces   string  `placeholder:"ID" help:"The device that it is exchanged for, which is retired in the same step. What is not said is as it was there."`
	Again      bool    `help:"This is the device that had this id before."`
	batteryFlags
	acting
}

// Run adds.
func (c *assetAddCmd) Run(ctx context.Context, out *output) error {
	client, done, err := c.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	e := &allmendev1.AssetEntry{Id: c.ID, Kind: c.Kind}
	var changes []*allmendev1.RegisterChange
	if c.Replaces != "" {
		old, err := client.GetEntry(ctx, &allmendev1.GetEntryRequest{Kind: string(roll.KindAsset), Id: c.Replaces, On: c.On})
		if err != nil {
			return err
		}
		changes, e = exchange(old.GetEntry().GetAsset(), e)
	}
	for _, f := range []struct {
		value *string
		into  *string
	}{{c.Site, &e.SiteId}, {c.Connection, &e.ConnectionId}, {c.Owner, &e.OwnerId}, {c.Gateway, &e.GatewayId}} {
		if f.value != nil {
			*f.into = *f.value
		}
	}
	if e.GetKind() == "" {
		return errors.New("--kind is missing: meter, inverter or battery")
	}
	if e.GetKind() == string(roll.Battery) && e.GetBattery() == nil {
		e.Battery = usualBattery()
	}
	fields, err := c.into(e.GetBattery())
	if err != nil {
		return err
	}
	if len(fields) > 0 && e.GetBattery() == nil {
		return errors.New("only a battery has " + fields[0] + ": leave it out, or write --kind battery")
	}
	changes = append(changes, &allmendev1.RegisterChange{Op: string(roll.OpAdd), Entry: assetEntry(e), Again: c.Again})
	if e.GetConnectionId() != "" { // the connection names the meter that binds it
		changes = append(changes, &allmendev1.RegisterChange{Op: string(roll.OpChange), Fields: []string{roll.FieldMeter}, Entry: connectionEntry(
			&allmendev1.ConnectionEntry{Id: e.GetConnectionId(), MeterAssetId: e.GetId()})})
	}
	return c.apply(ctx, out, client, changes...)
}

// exchange begins the new device with what the old one was.
func exchange(old, with *allmendev1.AssetEntry) ([]*allmendev1.RegisterChange, *allmendev1.AssetEntry) {
	retire := []*allmendev1.RegisterChange{{Op: string(roll.OpRetire), Entry: assetEntry(&allmendev1.AssetEntry{Id: old.GetId()})}}
	e := &allmendev1.AssetEntry{
		Id: with.GetId(), Kind: with.GetKind(), SiteId: old.GetSiteId(), ConnectionId: old.GetConnectionId(),
		OwnerId: old.GetOwnerId(), GatewayId: old.GetGatewayId(),
	}
	if e.GetKind() == "" {
		e.Kind = old.GetKind()
	}
	if e.GetKind() == old.GetKind() {
		e.Battery = old.GetBattery()
	}
	return retire, e
}

type assetChangeCmd struct {
	ID         string  `arg:"" help:"The id."`
	Site       *string `help:"Another site."`
	Connection *string `help:"Of a binding meter: another connection."`
	Owner      *string `help:"Another owner; empty: the community."`
	Gateway    *string `help:"Another gateway reads it."`
	batteryFlags
	acting
}

// Run changes.
func (c *assetChangeCmd) Run(ctx context.Context, out *output) error {
	e, fields := &allmendev1.AssetEntry{Id: c.ID}, []string{}
	for _, f := range []struct {
		value *string
		into  *string
		field string
	}{
		{c.Site, &e.SiteId, roll.FieldSite}, {c.Connection, &e.ConnectionId, roll.FieldConnection},
		{c.Owner, &e.OwnerId, roll.FieldOwner}, {c.Gateway, &e.GatewayId, roll.FieldGateway},
	} {
		if f.value != nil {
			*f.into = *f.value
			fields = append(fields, f.field)
		}
	}
	battery := &allmendev1.BatteryEntry{}
	more, err := c.into(battery)
	if err != nil {
		return err
	}
	if len(more) > 0 {
		e.Battery = battery
	}
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpChange), Entry: assetEntry(e), Fields: append(fields, more...)})
}

type assetRetireCmd struct {
	ID string `arg:"" help:"The id."`
	acting
}

// Run retires.
func (c *assetRetireCmd) Run(ctx context.Context, out *output) error {
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpRetire), Entry: assetEntry(&allmendev1.AssetEntry{Id: c.ID})})
}
