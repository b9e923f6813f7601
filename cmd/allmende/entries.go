// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// looking is what the commands that only look have in common.
type looking struct {
	where
	JSON bool `help:"Print as JSON."`
}

// acting is what the commands that change the register have in common.
type acting struct {
	where
	On     string `placeholder:"DATE" help:"From when: a day such as 2026-12-01, a local time such as 2026-12-01T14:15, or now for the quarter-hour that runs. Without it: from the next quarter-hour on. A day up to 40 days back is settled again."`
	Note   string `help:"Why, for those who read the history."`
	DryRun bool   `help:"Only check, and say what would be done."`
	JSON   bool   `help:"Print as JSON."`
}

// administration opens the AdministrationService.
func (w *where) administration(ctx context.Context) (allmendev1.AdministrationServiceClient, func(), error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return allmendev1.NewAdministrationServiceClient(conn), func() { _ = conn.Close() }, nil
}

// listEntries lists a kind of entry.
type listEntries struct {
	looking
	On  string `placeholder:"DATE" help:"The register of that day or time, past or planned; without it, of now."`
	All bool   `help:"With those that left, or will come."`
}

func (c *listEntries) list(ctx context.Context, out *output, kind roll.Kind) error {
	client, done, err := c.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	req := &allmendev1.ListEntriesRequest{Kind: string(kind), On: c.On, All: c.All}
	var all []*allmendev1.EntryState
	for {
		page, err := client.ListEntries(ctx, req)
		if err != nil {
			return err
		}
		all = append(all, page.GetEntries()...)
		if !page.GetMore() || len(page.GetEntries()) == 0 {
			break
		}
		req.After = idOf(all[len(all)-1].GetEntry())
		if req.On == "" { // all pages of one instant
			req.On = energy.Instant(page.GetAtUnixMs()).String()
		}
	}
	if c.JSON {
		list := make([]entryJSON, len(all))
		for i, e := range all {
			list[i] = entryAsJSON(e)
		}
		return out.JSON(list)
	}
	switch {
	case len(all) == 0 && c.On == "":
		out.Remark("There is none yet. Add one: allmende %s add --help\n", kind)
		return nil
	case len(all) == 0:
		out.Remark("There is none at that time.\n")
		return nil
	}
	return printEntries(out, kind, all)
}

// printEntries prints a table that is as wide as its contents.
func printEntries(out *output, kind roll.Kind, list []*allmendev1.EntryState) error {
	t := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\tSINCE\tUNTIL\n", strings.Join(headings(kind), "\t"))
	for _, e := range list {
		cells := cellsOf(e.GetEntry())
		for i, cell := range cells {
			cells[i] = orDash(cell)
		}
		zone := zoneOf(e.GetTimezone())
		since := dayIn(zone, e.GetSinceUnixMs())
		if e.GetAbsent() {
			since += " (absent)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", strings.Join(cells, "\t"), since, orDash(dayIn(zone, e.GetUntilUnixMs())))
	}
	return t.Flush()
}

// showEntry shows one entry.
type showEntry struct {
	ID string `arg:"" help:"The id."`
	looking
	On string `placeholder:"DATE" help:"As it was or will be then; without it, now."`
}

func (c *showEntry) show(ctx context.Context, out *output, kind roll.Kind) error {
	client, done, err := c.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	e, err := client.GetEntry(ctx, &allmendev1.GetEntryRequest{Kind: string(kind), Id: c.ID, On: c.On})
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(entryAsJSON(e))
	}
	t := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%s\n", kind, c.ID)
	for _, f := range fieldsOf(e.GetEntry())[1:] {
		fmt.Fprintf(t, "%s\t%s\n", f.name, orDash(f.value))
	}
	zone := zoneOf(e.GetTimezone())
	fmt.Fprintf(t, "since\t%s\n", moment(zone, e.GetSinceUnixMs()))
	if until := e.GetUntilUnixMs(); until != 0 {
		fmt.Fprintf(t, "until\t%s\n", moment(zone, until))
	}
	if e.GetAbsent() {
		fmt.Fprintf(t, "\tIt is not in the register at that time.\n")
	}
	return t.Flush()
}

// historyOfEntry shows who changed what, and when.
type historyOfEntry struct {
	ID string `arg:"" help:"The id."`
	looking
}

func (c *historyOfEntry) history(ctx context.Context, out *output, kind roll.Kind) error {
	client, done, err := c.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	h, err := client.ListHistory(ctx, &allmendev1.ListHistoryRequest{Kind: string(kind), Id: c.ID})
	if err != nil {
		return err
	}
	if c.JSON {
		list := make([]changeJSON, len(h.GetChanges()))
		for i, x := range h.GetChanges() {
			list[i] = changeAsJSON(x)
		}
		return out.JSON(list)
	}
	t := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RECORDED\tBY\tFROM\tWHAT\tNOTE")
	zone := zoneOf(h.GetTimezone())
	for _, x := range h.GetChanges() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", moment(zone, x.GetRecordedUnixMs()), orDash(x.GetActor()), moment(zone, x.GetFromUnixMs()), whatOf(x), orDash(oneLine(x.GetNote())))
	}
	return t.Flush()
}

// do applies changes in one step and tells what came of it.
func (a *acting) do(ctx context.Context, out *output, changes ...*allmendev1.RegisterChange) error {
	client, done, err := a.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	return a.apply(ctx, out, client, changes...)
}

func (a *acting) apply(ctx context.Context, out *output, client allmendev1.AdministrationServiceClient, changes ...*allmendev1.RegisterChange) error {
	for _, c := range changes {
		c.From = a.On
	}
	res, err := client.ApplyChanges(ctx, &allmendev1.ApplyChangesRequest{Changes: changes, Note: a.Note, DryRun: a.DryRun})
	if err != nil {
		return err
	}
	if a.JSON {
		return out.JSON(appliedAsJSON(res))
	}
	printApplied(out, res)
	return nil
}

func printApplied(out *output, res *allmendev1.ApplyChangesResponse) {
	if res.GetUnchanged() {
		out.Printf("Nothing to do: the register is so already.\n")
		return
	}
	verb := "Recorded"
	if res.GetDryRun() {
		verb = "It would be recorded"
	}
	out.Printf("%s as revision %d, in force from %s on:\n", verb, res.GetRevision(), moment(zoneOf(res.GetTimezone()), res.GetFromUnixMs()))
	const most = 20
	for i, c := range res.GetChanges() {
		if i == most {
			out.Printf("  and %d more\n", len(res.GetChanges())-most)
			break
		}
		out.Printf("  %s %s: %s\n", kindOf(c.GetEntry()), idOf(c.GetEntry()), whatOf(c))
	}
	if n := res.GetIntervalsSettledAgain(); n > 0 {
		out.Printf("That reaches back: %d intervals are settled again, as far as they come out differently.\n", n)
	}
}

// whatOf says a change in a few words.
func whatOf(c *allmendev1.RecordedChange) string {
	var parts []string
	add, change := c.GetOp() == string(roll.OpAdd), c.GetOp() == string(roll.OpChange)
	for _, f := range fieldsOf(c.GetEntry())[1:] {
		small := !strings.HasPrefix(f.name, "battery.") || f.name == roll.FieldCapacity
		switch {
		case add && f.value != "" && f.value != withheld && small, change && f.value != "" && named(c.GetFields(), f):
			parts = append(parts, f.name+" "+f.value)
		case change && (f.name == roll.FieldBid+".price" || f.name == roll.FieldOffer+".price") && named(c.GetFields(), f):
			parts = append(parts, strings.TrimSuffix(f.name, ".price")+" withdrawn")
		case change && slices.Contains(c.GetFields(), f.name):
			parts = append(parts, f.name+" "+orDash(f.value))
		}
	}
	switch {
	case add:
		return strings.TrimSuffix("added, "+strings.Join(parts, ", "), ", ")
	case change:
		return strings.Join(parts, ", ")
	}
	return "retired"
}

// zoneOf is the community's time zone, in which its dates are told.
func zoneOf(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" {
		return time.Local
	}
	return zone
}

func dayIn(zone *time.Location, ms int64) string {
	if ms == 0 {
		return ""
	}
	t := time.UnixMilli(ms).In(zone)
	if t.Hour() == 0 && t.Minute() == 0 {
		return t.Format(time.DateOnly)
	}
	return moment(zone, ms)
}

func moment(zone *time.Location, ms int64) string {
	return time.UnixMilli(ms).In(zone).Format("2006-01-02 15:04")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
