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

type memberCmd struct {
	List    memberListCmd    `cmd:"" help:"List the members."`
	Show    memberShowCmd    `cmd:"" help:"Show a member."`
	Add     memberAddCmd     `cmd:"" help:"Add a member."`
	Change  memberChangeCmd  `cmd:"" help:"Change a member's name or groups."`
	Retire  memberRetireCmd  `cmd:"" help:"Let a member leave; her history stays."`
	Bid     memberBidCmd     `cmd:"" help:"Bid for what others have left, or withdraw the bid."`
	Offer   memberOfferCmd   `cmd:"" help:"Offer what a member has left, or withdraw the offer."`
	Orders  memberOrdersCmd  `cmd:"" help:"Show what a member bids and offers."`
	History memberHistoryCmd `cmd:"" help:"Who changed what of a member, and when."`
	Import  memberImportCmd  `cmd:"" help:"Add and change members with their sites and meters from a spreadsheet."`
}

// Help is shown by allmende member --help.
func (memberCmd) Help() string {
	return `Members are the people and bodies of the community. Everything is dated: what
is entered for last week changes last week, and the register of any past day can
be shown as it was.

  allmende member list
  allmende member add clara --name "Clara Moser" --group families --on 2026-12-01
  allmende member retire ben --with-sites --on 2027-01-01 --note "moved away"
  allmende member list --on 2026-06-01
  allmende member import members.xlsx --dry-run`
}

type memberListCmd struct{ listEntries }

// Run lists.
func (c *memberListCmd) Run(ctx context.Context, out *output) error {
	return c.list(ctx, out, roll.KindMember)
}

type memberShowCmd struct{ showEntry }

// Run shows.
func (c *memberShowCmd) Run(ctx context.Context, out *output) error {
	return c.show(ctx, out, roll.KindMember)
}

type memberHistoryCmd struct{ historyOfEntry }

// Run shows the history.
func (c *memberHistoryCmd) Run(ctx context.Context, out *output) error {
	return c.history(ctx, out, roll.KindMember)
}

type memberAddCmd struct {
	ID    string   `arg:"" help:"A short name for machines, for good: lower-case letters, digits, '-' and '_'."`
	Name  string   `help:"The name for people; it may change at any time."`
	Group []string `help:"A group that the charter may name; may be given several times."`
	Again bool     `help:"This is the member who had this id before and left."`
	acting
}

// Run adds.
func (c *memberAddCmd) Run(ctx context.Context, out *output) error {
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpAdd), Entry: memberEntry(c.ID, c.Name, c.Group), Again: c.Again})
}

func memberEntry(id, name string, groups []string) *allmendev1.RegisterEntry {
	return &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Member{Member: &allmendev1.MemberEntry{Id: id, Name: name, Groups: groups}}}
}

type memberChangeCmd struct {
	ID       string   `arg:"" help:"The id."`
	Name     *string  `help:"Another name."`
	Group    []string `xor:"groups" help:"The groups that she is in; those not named she leaves. May be given several times."`
	NoGroups bool     `xor:"groups" help:"She leaves all groups."`
	acting
}

// Run changes.
func (c *memberChangeCmd) Run(ctx context.Context, out *output) error {
	e, fields := memberEntry(c.ID, "", c.Group), []string{}
	if c.Name != nil {
		e.GetMember().Name = *c.Name
		fields = append(fields, roll.FieldName)
	}
	if len(c.Group) > 0 || c.NoGroups {
		fields = append(fields, roll.FieldGroups)
	}
	return c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpChange), Entry: e, Fields: fields})
}

type memberRetireCmd struct {
	ID        string `arg:"" help:"The id."`
	WithSites bool   `help:"Retire her sites, and what stands there, in the same step."`
	acting
}

// Run retires.
func (c *memberRetireCmd) Run(ctx context.Context, out *output) error {
	err := c.do(ctx, out, &allmendev1.RegisterChange{Op: string(roll.OpRetire), Entry: memberEntry(c.ID, "", nil), WithDependents: c.WithSites})
	if status.Code(err) == codes.InvalidArgument && !c.WithSites {
		return fmt.Errorf("%w\nWhat hangs from it can be retired in the same step: --with-sites", err)
	}
	return err
}
