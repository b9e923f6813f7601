// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"strings"
	"time"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// tokenCmd looks after the tokens of programs.
type tokenCmd struct {
	List   tokenListCmd   `cmd:"" help:"List the tokens, and when each was last used."`
	Create tokenCreateCmd `cmd:"" help:"Make a token for a program. It is shown once."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token at once."`
}

// Help is shown by allmende token --help.
func (c *tokenCmd) Help() string {
	return `A program sends its token with each call, in the header
"Authorization: Bearer alm_…". Its scopes say what it may: see docs/access.md.

  allmende token create --name "screen in the hall" --scope live
  allmende token create --name prometheus --scope monitoring --days 365
  allmende token revoke t-…`
}

// tokenRow is a token as the commands print it.
type tokenRow struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Scopes  []string   `json:"scopes"`
	By      string     `json:"by"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires"`
	Used    *time.Time `json:"used,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
	Token   string     `json:"token,omitempty"` // once, when it is made
}

func newTokenRow(t *allmendev1.Token) tokenRow {
	return tokenRow{
		ID: t.GetTokenId(), Name: t.GetName(), Scopes: t.GetScopes(), By: t.GetBy(), Created: time.UnixMilli(t.GetCreatedUnixMs()).UTC(),
		Expires: time.UnixMilli(t.GetExpiresUnixMs()).UTC(), Used: instant(t.GetUsedUnixMs()), Revoked: instant(t.GetRevokedUnixMs()),
	}
}

type tokenListCmd struct {
	where
	JSON bool `help:"Print as JSON."`
}

// Run lists.
func (c *tokenListCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		answer, err := s.ListTokens(ctx, &allmendev1.ListTokensRequest{})
		if err != nil {
			return err
		}
		rows := []tokenRow{}
		t := peopleTable{{"NAME", "SCOPES", "LAST USED", "EXPIRES", "REVOKED", "ID"}}
		for _, tok := range answer.GetTokens() {
			r := newTokenRow(tok)
			rows = append(rows, r)
			t = append(t, []string{r.Name, strings.Join(r.Scopes, " "), day(r.Used, "never"), day(&r.Expires, ""), day(r.Revoked, ""), r.ID})
		}
		if c.JSON {
			return out.JSON(map[string]any{"tokens": rows})
		}
		t.print(out)
		return nil
	})
}

type tokenCreateCmd struct {
	Name  string   `required:"" placeholder:"TEXT" help:"What it is for, so that somebody can tell in a year."`
	Scope []string `required:"" placeholder:"SCOPE" help:"What it may: live, ledger, curves or monitoring. May be given several times."`
	Days  int32    `default:"365" help:"How long it is good, 1 to 730."`
	where
	JSON bool `help:"Print as JSON."`
}

// Run makes one.
func (c *tokenCreateCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		made, err := s.CreateToken(ctx, &allmendev1.CreateTokenRequest{Name: c.Name, Scopes: c.Scope, ValidDays: c.Days})
		if err != nil {
			return err
		}
		row := newTokenRow(made.GetToken())
		if c.JSON {
			row.Token = made.GetSecret()
			return out.JSON(row)
		}
		out.Printf("%s\n", made.GetSecret())
		out.Remark("This is shown once; only a hash is kept. It is good until %s. Revoke it with: allmende token revoke %s\n", day(&row.Expires, ""), row.ID)
		return nil
	})
}

type tokenRevokeCmd struct {
	ID string `arg:"" help:"The token's id (allmende token list)."`
	where
}

// Run revokes.
func (c *tokenRevokeCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		if _, err := s.RevokeToken(ctx, &allmendev1.RevokeTokenRequest{TokenId: c.ID}); err != nil {
			return err
		}
		out.Remark("Token %s opens nothing any more, and what it had open is closed.\n", c.ID)
		return nil
	})
}
