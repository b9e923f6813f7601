// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

type gatewayListCmd struct{ listEntries }

// Run lists.
func (c *gatewayListCmd) Run(ctx context.Context, out *output) error {
	return c.list(ctx, out, roll.KindGateway)
}

type gatewayShowCmd struct{ showEntry }

// Run shows.
func (c *gatewayShowCmd) Run(ctx context.Context, out *output) error {
	return c.show(ctx, out, roll.KindGateway)
}

type gatewayHistoryCmd struct{ historyOfEntry }

// Run shows the history.
func (c *gatewayHistoryCmd) Run(ctx context.Context, out *output) error {
	return c.history(ctx, out, roll.KindGateway)
}

func gatewayEntry(id, name string) *allmendev1.RegisterEntry {
	return &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Gateway{Gateway: &allmendev1.GatewayEntry{Id: id, Name: name}}}
}

type gatewayAddCmd struct {
	ID    string `arg:"" help:"A short name for machines, for good."`
	Name  string `help:"Where it is, for people."`
	Again bool   `help:"This is the gateway that had this id before."`
	acting
}

// Run adds.
func (c *gatewayAddCmd) Run(ctx context.Context, out *output) error {
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpAdd), Entry: gatewayEntry(c.ID, c.Name), Again: c.Again})
}

type gatewayChangeCmd struct {
	ID   string `arg:"" help:"The id."`
	Name string `required:"" help:"Another name."`
	acting
}

// Run changes.
func (c *gatewayChangeCmd) Run(ctx context.Context, out *output) error {
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpChange), Entry: gatewayEntry(c.ID, c.Name), Fields: []string{roll.FieldName}})
}

type gatewayRetireCmd struct {
	ID string `arg:"" help:"The id."`
	acting
}

// Run retires. What the gateway measured before still arrives; to shut it out
// there is revoke.
func (c *gatewayRetireCmd) Run(ctx context.Context, out *output) error {
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpRetire), Entry: gatewayEntry(c.ID, "")})
}
