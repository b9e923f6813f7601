// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// peopleCmd looks after accounts.
type peopleCmd struct {
	SetupLink   setupLinkCmd    `cmd:"" help:"Make the link for the first account, or to get in again. On the coordinator's own computer."`
	List        peopleListCmd   `cmd:"" help:"List who has an account, with which roles."`
	Invite      inviteCmd       `cmd:"" help:"Make a link by which somebody gets an account."`
	Invitations invitationsCmd  `cmd:"" help:"List the invitations that nobody used yet."`
	Uninvite    uninviteCmd     `cmd:"" help:"Take an invitation back."`
	Change      peopleChangeCmd `cmd:"" help:"Change an account: its roles, its member, whether it may sign in."`
	Delete      peopleDeleteCmd `cmd:"" help:"Delete an account. What the ledger holds of a member stays."`
}

// Help is shown by allmende people --help.
func (c *peopleCmd) Help() string {
	return `Who may do what stands in docs/access.md, how people get in in docs/people.md.

  allmende people setup-link --dir sunny-lane
  allmende people invite --role member --member anna --note "Anna, by mail"
  allmende people change anna --role member --role treasurer
  allmende people change ben --disable`
}

type setupLinkCmd struct {
	where
	JSON bool `help:"Print as JSON."`
}

// Run asks for the link.
func (c *setupLinkCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		link, err := s.CreateSetupLink(ctx, &allmendev1.CreateSetupLinkRequest{})
		if err != nil {
			return err
		}
		expires := time.UnixMilli(link.GetExpiresUnixMs())
		if c.JSON {
			return out.JSON(map[string]any{"url": link.GetUrl(), "expires": expires.UTC()})
		}
		out.Printf("%s\n", link.GetUrl())
		out.Remark("Open it in a browser. It works once, until %s, and makes an account that may look after everything.\n", expires.Local().Format(time.DateTime))
		return nil
	})
}

// people calls fn with the coordinator's PeopleService.
func (w *where) people(ctx context.Context, fn func(context.Context, allmendev1.PeopleServiceClient) error) error {
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	return fn(ctx, allmendev1.NewPeopleServiceClient(conn))
}

// personRow is an account as the commands print it.
type personRow struct {
	ID       string     `json:"id"`
	Login    string     `json:"login"`
	Name     string     `json:"name"`
	Roles    []string   `json:"roles"`
	Member   string     `json:"member,omitempty"`
	Created  time.Time  `json:"created"`
	Disabled *time.Time `json:"disabled,omitempty"`
	SignedIn *time.Time `json:"signed_in,omitempty"`
}

func newPersonRow(p *allmendev1.Person) personRow {
	return personRow{
		p.GetPersonId(), p.GetLogin(), p.GetName(), p.GetRoles(), p.GetMemberId(),
		time.UnixMilli(p.GetCreatedUnixMs()).UTC(), instant(p.GetDisabledUnixMs()), instant(p.GetSignedInUnixMs()),
	}
}

// instant is nil for 0.
func instant(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

func day(t *time.Time, never string) string {
	if t == nil {
		return never
	}
	return t.Local().Format(time.DateOnly)
}

type peopleListCmd struct {
	where
	JSON bool `help:"Print as JSON."`
}

// Run lists.
func (c *peopleListCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		answer, err := s.ListPeople(ctx, &allmendev1.ListPeopleRequest{})
		if err != nil {
			return err
		}
		rows := []personRow{}
		for _, p := range answer.GetPeople() {
			rows = append(rows, newPersonRow(p))
		}
		if c.JSON {
			return out.JSON(map[string]any{"people": rows})
		}
		if len(rows) == 0 {
			out.Remark("Nobody has an account yet. Make the link for the first one with: allmende people setup-link\n")
			return nil
		}
		t := peopleTable{{"SIGNS IN AS", "NAME", "ROLES", "MEMBER", "LAST SIGN-IN", "DISABLED", "ID"}}
		for _, r := range rows {
			t = append(t, []string{r.Login, r.Name, strings.Join(r.Roles, " "), r.Member, day(r.SignedIn, "never"), day(r.Disabled, ""), r.ID})
		}
		t.print(out)
		return nil
	})
}

type inviteCmd struct {
	Role   []string `required:"" placeholder:"ROLE" help:"A role: member, steward, treasurer, installer or observer. May be given several times."`
	Member string   `placeholder:"ID" help:"The member whose curves are her own."`
	Note   string   `placeholder:"TEXT" help:"For whom it is, as a reminder."`
	Days   int32    `default:"7" help:"How long it is good, 1 to 30."`
	where
	JSON bool `help:"Print as JSON."`
}

// Run invites.
func (c *inviteCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		made, err := s.CreateInvitation(ctx, &allmendev1.CreateInvitationRequest{Roles: c.Role, MemberId: c.Member, Note: c.Note, ValidDays: c.Days})
		if err != nil {
			return err
		}
		expires := time.UnixMilli(made.GetInvitation().GetExpiresUnixMs())
		if c.JSON {
			return out.JSON(map[string]any{"id": made.GetInvitation().GetInvitationId(), "url": made.GetUrl(), "expires": expires.UTC()})
		}
		out.Printf("%s\n", made.GetUrl())
		out.Remark("Send it to whom it is for. It works once, until %s. Take it back with: allmende people uninvite %s\n",
			expires.Local().Format(time.DateTime), made.GetInvitation().GetInvitationId())
		return nil
	})
}

type invitationsCmd struct {
	where
	JSON bool `help:"Print as JSON."`
}

// Run lists.
func (c *invitationsCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		answer, err := s.ListInvitations(ctx, &allmendev1.ListInvitationsRequest{})
		if err != nil {
			return err
		}
		type row struct {
			ID      string    `json:"id"`
			Roles   []string  `json:"roles"`
			Member  string    `json:"member,omitempty"`
			Note    string    `json:"note,omitempty"`
			By      string    `json:"by"`
			Expires time.Time `json:"expires"`
		}
		rows := []row{}
		t := peopleTable{{"FOR", "ROLES", "MEMBER", "MADE BY", "GOOD UNTIL", "ID"}}
		for _, i := range answer.GetInvitations() {
			expires := time.UnixMilli(i.GetExpiresUnixMs())
			note := i.GetNote()
			if i.GetSetup() {
				note = "(setup link)"
			}
			rows = append(rows, row{i.GetInvitationId(), i.GetRoles(), i.GetMemberId(), note, i.GetBy(), expires.UTC()})
			t = append(t, []string{note, strings.Join(i.GetRoles(), " "), i.GetMemberId(), i.GetBy(), expires.Local().Format(time.DateTime), i.GetInvitationId()})
		}
		if c.JSON {
			return out.JSON(map[string]any{"invitations": rows})
		}
		t.print(out)
		return nil
	})
}

type uninviteCmd struct {
	ID string `arg:"" help:"The invitation's id (allmende people invitations)."`
	where
}

// Run takes it back.
func (c *uninviteCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		if _, err := s.RemoveInvitation(ctx, &allmendev1.RemoveInvitationRequest{InvitationId: c.ID}); err != nil {
			return err
		}
		out.Remark("The link of invitation %s opens nothing any more.\n", c.ID)
		return nil
	})
}

// findPerson is an account by its id, or by what it signs in with.
func findPerson(ctx context.Context, s allmendev1.PeopleServiceClient, who string) (*allmendev1.Person, error) {
	answer, err := s.ListPeople(ctx, &allmendev1.ListPeopleRequest{})
	if err != nil {
		return nil, err
	}
	for _, p := range answer.GetPeople() {
		if p.GetPersonId() == who || strings.EqualFold(p.GetLogin(), who) {
			return p, nil
		}
	}
	return nil, fmt.Errorf("nobody signs in as %q: see who there is with: allmende people list", who)
}

type peopleChangeCmd struct {
	Person  string   `arg:"" help:"Whom: what she signs in with, or the account's id."`
	Role    []string `placeholder:"ROLE" help:"A role in the place of those she has. May be given several times."`
	Member  *string  `placeholder:"ID" help:"The member whose curves are her own; empty for none."`
	Name    *string  `placeholder:"TEXT" help:"What she is called."`
	Disable bool     `xor:"able" help:"She may not sign in any more, and is signed out."`
	Enable  bool     `xor:"able" help:"She may sign in again."`
	SignOut bool     `help:"Sign her out everywhere."`
	where
	JSON bool `help:"Print as JSON."`
}

// Run changes.
func (c *peopleChangeCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		p, err := findPerson(ctx, s, c.Person)
		if err != nil {
			return err
		}
		req := &allmendev1.UpdatePersonRequest{
			PersonId: p.GetPersonId(), Name: c.Name, MemberId: c.Member, Roles: c.Role, ChangeRoles: len(c.Role) > 0, SignOut: c.SignOut,
		}
		if c.Disable || c.Enable {
			req.Disabled = &c.Disable
		}
		after, err := s.UpdatePerson(ctx, req)
		if err != nil {
			return err
		}
		row := newPersonRow(after)
		if c.JSON {
			return out.JSON(row)
		}
		state := "may sign in"
		if row.Disabled != nil {
			state = "may not sign in"
		}
		member := ""
		if row.Member != "" {
			member = ", member " + row.Member
		}
		out.Printf("%s (%s): %s%s; %s.\n", row.Login, row.Name, strings.Join(row.Roles, " "), member, state)
		return nil
	})
}

type peopleDeleteCmd struct {
	Person string `arg:"" help:"Whom: what she signs in with, or the account's id."`
	where
}

// Run deletes.
func (c *peopleDeleteCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		p, err := findPerson(ctx, s, c.Person)
		if err != nil {
			return err
		}
		if _, err := s.DeletePerson(ctx, &allmendev1.DeletePersonRequest{PersonId: p.GetPersonId()}); err != nil {
			return err
		}
		out.Remark("The account %s is gone. What the ledger holds of a member stays.\n", p.GetLogin())
		return nil
	})
}
