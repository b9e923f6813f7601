// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"strconv"
	"time"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// auditCmd shows what was refused, and what was changed.
type auditCmd struct {
	Limit   int    `default:"50" help:"How many entries, newest first."`
	Outcome string `enum:"done,denied,failed,all" default:"all" help:"Those that ended so: done, denied, failed or all."`
	where
	JSON bool `help:"Print as JSON."`
}

// Help is shown by allmende audit --help.
func (c *auditCmd) Help() string {
	return `The audit log holds each call that was refused and each one that changed
something: who, what, whom it was about, from where, how it ended. Refusals that
repeat are counted in one entry.

  allmende audit --dir sunny-lane
  allmende audit --outcome denied --limit 500 --json`
}

// auditRow is an entry as the command prints it.
type auditRow struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Who     string    `json:"who,omitempty"`
	Name    string    `json:"name,omitempty"`
	Origin  string    `json:"origin,omitempty"`
	Act     string    `json:"act"`
	Object  string    `json:"object,omitempty"`
	Outcome string    `json:"outcome"`
	Why     string    `json:"why,omitempty"`
	Times   int64     `json:"times"`
}

// Run reads page by page.
func (c *auditCmd) Run(ctx context.Context, out *output) error {
	return c.people(ctx, func(ctx context.Context, s allmendev1.PeopleServiceClient) error {
		rows, err := c.read(ctx, s)
		if err != nil {
			return err
		}
		if c.JSON {
			return out.JSON(map[string]any{"entries": rows})
		}
		t := peopleTable{{"WHEN", "WHO", "FROM", "DID", "TO", "OUTCOME", "TIMES", "WHY"}}
		for _, r := range rows {
			who := r.Name
			if who == "" {
				who = r.Kind + " " + r.Who
			}
			t = append(t, []string{r.At.Local().Format(time.DateTime), who, r.Origin, r.Act, r.Object, r.Outcome, strconv.FormatInt(r.Times, 10), r.Why})
		}
		t.print(out)
		return nil
	})
}

func (c *auditCmd) read(ctx context.Context, s allmendev1.PeopleServiceClient) ([]auditRow, error) {
	const most = 1_000
	rows, before, outcome := []auditRow{}, int64(0), c.Outcome
	if outcome == "all" {
		outcome = ""
	}
	for len(rows) < c.Limit {
		page, err := s.ListAudit(ctx, &allmendev1.ListAuditRequest{PageSize: int32(min(c.Limit-len(rows), most)), BeforeId: before, Outcome: outcome})
		if err != nil {
			return nil, err
		}
		for _, e := range page.GetEntries() {
			rows = append(rows, auditRow{
				e.GetId(), time.UnixMilli(e.GetAtUnixMs()).UTC(), e.GetKind(), e.GetWho(), e.GetWhoName(), e.GetOrigin(),
				e.GetAct(), e.GetObject(), e.GetOutcome(), e.GetWhy(), e.GetTimes(),
			})
			before = e.GetId()
		}
		if len(page.GetEntries()) == 0 {
			break
		}
	}
	return rows, nil
}
