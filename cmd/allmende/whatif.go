// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// whatIfCmd tries a charter out before anybody votes on it.
type whatIfCmd struct {
	Charter string   `required:"" placeholder:"FILE" help:"The charter that is proposed: a file, or the name of a template."`
	Against string   `placeholder:"FILE" help:"The charter to compare it with: a file, or the name of a template. Left out: the one in force, and equal-shares for --homes."`
	Dir     string   `xor:"data" placeholder:"DIR" help:"Take the recorded intervals of the community in this folder, whether its coordinator runs or not."`
	Homes   string   `xor:"data" type:"existingdir" placeholder:"DIR" help:"Take recorded homes (CityLearn challenge 2022), cut to the charter's intervals."`
	Server  string   `xor:"data" placeholder:"URL" help:"Have a coordinator elsewhere compare: the address of its page, such as https://sun.example.org."`
	Token   string   `env:"ALLMENDE_TOKEN" placeholder:"TOKEN" help:"With --server: an access token (allmende token create). Better given as ALLMENDE_TOKEN, which other users don't see."`
	From    string   `placeholder:"DATE" help:"First day, as 2026-03-01; left out: from the beginning."`
	To      string   `placeholder:"DATE" help:"Day to stop before; left out: to the end."`
	Group   []string `sep:"none" placeholder:"NAME=ID,ID" help:"With --homes: put these homes into a group that a charter names. May be given more than once."`
	Retail  string   `placeholder:"PRICE" help:"What a kWh from the grid costs, such as \"30 ct/kWh EUR\"; a charter's tariff goes before it, and with --homes the recorded prices are the default."`
	FeedIn  string   `placeholder:"PRICE" help:"What the grid pays for a kWh; left out: nothing."`
	Zone    string   `placeholder:"ZONE" help:"Time zone for prices by the hour, and in which days, months and years begin, such as Europe/Vienna. Left out: the community's own with --dir, UTC otherwise."`
	Picture string   `placeholder:"FILE" help:"Write a picture of who gets more and who less into this file, as SVG."`
	Lines   bool     `help:"Say for each member what she pays for under each charter, line by line, each with the charter's rule."`
	JSON    bool     `help:"Print as JSON, for programs."`
}

// Help is what "allmende whatif --help" adds.
func (*whatIfCmd) Help() string {
	return `Settles recorded intervals under both charters, with the arithmetic that books them
otherwise, and says for each member what would change in energy and in money. Nothing is
stored. The same data and charters give the same result: both are named by a hash.

Without --dir and --homes the running coordinator of the working directory compares, beside
its work; Ctrl-C cancels it there.

Expressions are worked out as in service: once for each weighting period, from the register as
the period begins and from the period before, under each charter by itself. Before the compared
time the ledger says what was; where it says nothing, what they ask for counts 0, and the result
says so. In a market round members trade by the bids and offers that were recorded; where none
were, nobody does. A recorded home (--homes) has one site, its battery, and joined when the recording begins.

  allmende whatif --charter new.yaml
  allmende whatif --charter new.yaml --dir village --from 2026-03-01 --to 2026-04-01
  allmende whatif --charter needs-first --homes DATA --group vulnerable=Building_1,Building_7`
}

// Run compares the charters.
func (c *whatIfCmd) Run(ctx context.Context, out *output) error {
	if c.Dir == "" && c.Homes == "" {
		return c.running(ctx, out)
	}
	proposed, err := charterNamed(c.Charter)
	if err != nil {
		return err
	}
	t := comparison{cmd: c, out: out, proposed: proposed}
	if err := t.span(c.Zone); err != nil {
		return err
	}
	if t.grid, err = c.prices(proposed.Currency); err != nil {
		return err
	}
	var report whatif.Report
	if c.Homes != "" {
		report, err = t.homes(ctx)
	} else {
		report, err = t.recorded(ctx)
	}
	if err != nil {
		return err
	}
	if c.Picture != "" {
		title := fmt.Sprintf("From “%s” to “%s”", t.old.Name, proposed.Name)
		if err := os.WriteFile(c.Picture, changePicture(title, &report), 0o644); err != nil { //nolint:gosec // a picture for everybody
			return fmt.Errorf("writing the picture: %w", err)
		}
	}
	if c.JSON {
		return out.JSON(report)
	}
	return t.print(&report)
}

// comparison is one at work, over files.
type comparison struct {
	cmd           *whatIfCmd
	out           *output
	old, proposed charter.Charter
	zone          *time.Location
	from, until   energy.Instant
	grid          whatif.Grid
}

// span reads the days of the comparison in a time zone; "" is UTC.
func (t *comparison) span(zone string) (err error) {
	if t.zone, err = time.LoadLocation(zone); err != nil {
		return fmt.Errorf("--zone: %w; write one such as Europe/Vienna", err)
	}
	t.from, t.until, err = days(t.cmd.From, t.cmd.To, t.zone)
	return err
}

// charterNamed is a template by its name, or a file.
func charterNamed(name string) (charter.Charter, error) {
	for _, t := range charters.Templates() {
		if t.Name == name {
			return charters.Decode(t.YAML)
		}
	}
	return readCharter(name)
}

// charterText is the YAML of a template by its name, or of a file.
func charterText(name string) ([]byte, error) {
	for _, t := range charters.Templates() {
		if t.Name == name {
			return t.YAML, nil
		}
	}
	if _, err := readCharter(name); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Clean(name))
}

// days reads the span of a comparison.
func days(from, to string, zone *time.Location) (first, until energy.Instant, err error) {
	const ever = energy.Instant(1) << 52
	first, until = -ever, ever
	for _, d := range []struct {
		flag, text string
		at         *energy.Instant
	}{{"--from", from, &first}, {"--to", to, &until}} {
		if d.text == "" {
			continue
		}
		t, err := time.ParseInLocation(time.DateOnly, d.text, zone)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: write a day as 2026-03-01", d.flag)
		}
		*d.at = energy.Instant(t.UnixMilli())
	}
	if first >= until {
		return 0, 0, fmt.Errorf("--from is not before --to")
	}
	return first, until, nil
}

func (c *whatIfCmd) prices(currency energy.Currency) (g whatif.Grid, err error) {
	g.Retail, g.FeedIn = energy.Price{Currency: currency}, energy.Price{Currency: currency}
	if c.Retail != "" {
		if g.Retail, err = energy.ParsePrice(c.Retail); err != nil {
			return g, fmt.Errorf("--retail: %w", err)
		}
	}
	if c.FeedIn != "" {
		if g.FeedIn, err = energy.ParsePrice(c.FeedIn); err != nil {
			return g, fmt.Errorf("--feed-in: %w", err)
		}
	}
	return g, nil
}

// each settles intervals, with a bar, until there are none or somebody stops it.
func (t *comparison) each(ctx context.Context, run *whatif.Run, total int, interval func(i int) (settlement.Input, whatif.Grid, bool, error)) (whatif.Report, error) {
	bar := newProgress(t.out, "comparing")
	defer bar.clear()
	for i := range total {
		if ctx.Err() != nil {
			return whatif.Report{}, fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
		in, grid, ok, err := interval(i)
		if err != nil {
			return whatif.Report{}, err
		}
		if !ok {
			continue
		}
		if err := run.Add(in, grid); err != nil {
			return whatif.Report{}, err
		}
		bar.show(int64(i), int64(total))
	}
	return run.Report()
}

func (t *comparison) print(r *whatif.Report) error {
	t.out.Printf("From “%s” to “%s”, %d intervals, %d members.\n\n", t.old.Name, t.proposed.Name, r.Intervals, len(r.Members))
	w := tabwriter.NewWriter(t.out.Out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "member\tneeds kWh\treceives\twould\tchange\tpays\twould\tchange\t")
	money := t.money
	row := func(name string, o, n *whatif.Totals) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, kwh(o.Demand.WattHours()), kwh(o.Received.WattHours()), kwh(n.Received.WattHours()),
			signed(kwh((n.Received - o.Received).WattHours())), money(o.Cost), money(n.Cost), signed(money(n.Cost-o.Cost)))
	}
	for i := range r.Members {
		row(string(r.Members[i].Member), &r.Members[i].Old, &r.Members[i].New)
	}
	row("all", &r.Old, &r.New)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	t.outside(r)
	if r.Market != nil {
		tellTrades(t.out, r.Market.Ordered, r.Intervals, r.Old.Bought, r.New.Bought)
	}
	if c := t.cmd; c.Lines {
		if err := t.lines(r); err != nil {
			return err
		}
	}
	tellPast(t.out, t.old.Name, int64(r.OldWithoutPast))
	tellPast(t.out, t.proposed.Name, int64(r.NewWithoutPast))
	least, middle, most := spread(r)
	t.out.Printf("\n%d members would receive more, %d less, %d the same; from %s to %s kWh, half of them at or below %s kWh.\n",
		r.Gain, r.Lose, len(r.Members)-r.Gain-r.Lose, signed(kwh(least.WattHours())), signed(kwh(most.WattHours())), signed(kwh(middle.WattHours())))
	t.out.Printf("Energy is conserved in every interval. Money in %s; positive is paid, and what somebody pays, somebody gets.\ndata %s\nresult %s\n", t.proposed.Currency, r.DataHash, r.Hash)
	return nil
}

func signed(s string) string {
	if strings.HasPrefix(s, "-") || strings.Trim(s, "0.") == "" {
		return s
	}
	return "+" + s
}

// spread is the least, the middle and the greatest change in energy.
func spread(r *whatif.Report) (least, middle, most energy.Energy) {
	if len(r.Members) == 0 {
		return 0, 0, 0
	}
	all := make([]energy.Energy, len(r.Members))
	for i := range r.Members {
		all[i] = r.Members[i].Received()
	}
	slices.Sort(all)
	return all[0], all[(len(all)-1)/2], all[len(all)-1]
}

// groupsOf reads --group.
func (c *whatIfCmd) groupsOf(known []roll.MemberID) (map[roll.MemberID][]roll.Group, error) {
	groups := map[roll.MemberID][]roll.Group{}
	for _, text := range c.Group {
		name, list, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--group %q: write NAME=ID,ID", text)
		}
		for _, id := range strings.Split(list, ",") {
			m := roll.MemberID(id)
			if !slices.Contains(known, m) {
				return nil, fmt.Errorf("--group %s: there is no home %q in the data", name, id)
			}
			groups[m] = append(groups[m], roll.Group(name))
		}
	}
	return groups, nil
}
