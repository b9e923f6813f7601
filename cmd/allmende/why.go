// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// whyCmd tells a member how her share of an interval came about.
type whyCmd struct {
	Member   string `arg:"" help:"The member's id."`
	Interval string `arg:"" optional:"" help:"An instant in the interval, such as 2026-06-01T12:00:00+02:00; left out: the newest that is settled."`
	Dir      string `xor:"where" type:"existingdir" placeholder:"DIR" help:"Read the ledger of the community in this folder, whether its coordinator runs or not."`
	Server   string `xor:"where" placeholder:"URL" help:"Ask a coordinator elsewhere: the address of its page, such as https://sun.example.org."`
	Token    string `env:"ALLMENDE_TOKEN" placeholder:"TOKEN" help:"With --server: an access token (allmende token create). Better given as ALLMENDE_TOKEN, which other users don't see."`
	JSON     bool   `help:"Print as JSON, as REST does."`
}

// Help is what "allmende why --help" adds.
func (*whyCmd) Help() string {
	return `Goes through the rounds that she was in: what she needed when the round began, her weight or
key, the round's certificate, and what follows from both. It uses nothing but her own row and
the certificates, which stand in the ledger for everybody: she can do the sums by hand.

  share = min(need, weight · num / den), cut to the unit below, and one unit more where the
  remainder of that division is above the cut, or equals it and her rank is not above tie_rank

Under a charter with a market round it also says what she bid and offered, the price, whether her
order was at the margin, and what she bought and sold.

Without --dir and --server it asks the running coordinator of the working directory.

  allmende why anna
  allmende why anna 2026-06-01T12:00:00+02:00 --dir village
  allmende why anna --server https://sun.example.org`
}

// Run tells.
func (c *whyCmd) Run(ctx context.Context, out *output) error {
	at := energy.Instant(0) // the newest
	if c.Interval != "" {
		t, err := time.Parse(time.RFC3339, c.Interval)
		if err != nil {
			return fmt.Errorf("interval %q: write an instant such as 2026-06-01T12:00:00+02:00", c.Interval)
		}
		at = energy.Instant(t.UnixMilli())
	}
	why, err := c.ask(ctx, at)
	if err != nil {
		return err
	}
	if c.JSON {
		b, err := protojson.MarshalOptions{Multiline: true, EmitUnpopulated: true}.Marshal(why)
		out.Printf("%s\n", b)
		return err
	}
	for _, pool := range why.GetPools() {
		if err := tellPool(out, why, pool); err != nil {
			return err
		}
	}
	return nil
}

// ask gets the answer from the ledger's file, or from the running coordinator.
func (c *whyCmd) ask(ctx context.Context, at energy.Instant) (*allmendev1.WhyShareResponse, error) {
	if c.Dir != "" {
		return c.read(ctx, at)
	}
	conn, err := (&where{Server: c.Server, Token: c.Token}).connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	return allmendev1.NewSharingServiceClient(conn).WhyShare(ctx, &allmendev1.WhyShareRequest{MemberId: c.Member, AtUnixMs: int64(at)})
}

// read is what the coordinator does, without it.
func (c *whyCmd) read(ctx context.Context, at energy.Instant) (*allmendev1.WhyShareResponse, error) {
	db, err := openLedger(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	before := at.Add(1)
	if at == 0 {
		const ever = energy.Instant(1) << 52
		before = ever
	}
	records, err := db.SettledPage(ctx, before, 1)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || at != 0 && !records[0].Settled.Interval.Contains(at) {
		return nil, fmt.Errorf("no settled interval contains %s; \"allmende ledger verify %s --intervals\" lists them", c.Interval, c.Dir)
	}
	r := &records[0]
	ch, err := db.CharterOf(ctx, &r.Settled)
	if err != nil {
		return nil, fmt.Errorf("%w; check the ledger with \"allmende ledger verify %s\"", err, c.Dir)
	}
	return api.Why(&api.Account{Settled: api.Settled{Index: r.Index, IntervalSettled: r.Settled}, Rows: r.Rows, Charter: ch}, roll.MemberID(c.Member))
}

// tellPool prints a member's line in a pool, and how it came about.
func tellPool(out *output, why *allmendev1.WhyShareResponse, p *allmendev1.PoolShare) error {
	from := time.UnixMilli(why.GetStartUnixMs()).UTC()
	until := from.Add(time.Duration(why.GetLengthMs()) * time.Millisecond)
	out.Printf("%s, %s to %s UTC, pool “%s”, charter “%s”\n", why.GetMemberId(), from.Format("2 January 2006 15:04"), until.Format("15:04"), p.GetPoolId(), why.GetCharterName())
	if !why.GetComplete() {
		out.Printf("Settled at its deadline, without all readings; when they come it is settled again.\n")
	}
	tellFigures(out, p)
	if len(p.GetRounds()) > 0 && p.GetDemandMilliwattHours() > 0 {
		if err := tellRounds(out, p.GetRounds()); err != nil {
			return err
		}
	}
	tellMarket(out, p.GetMarket())
	out.Printf("\n")
	for _, r := range p.GetRemarks() {
		out.Printf("%s\n", wrap(r, 80))
	}
	out.Printf("%s\n", wrap(p.GetSum(), 80))
	switch {
	case p.GetChecked():
		out.Printf("%s\n", wrap("This line and the certificates, which stand in the ledger for everybody, give exactly what was booked.", 80))
	default:
		out.Printf("%s\n", wrap("THIS DOES NOT AGREE with what was booked: ask the steward, and run \"allmende ledger verify\".", 80))
	}
	out.Printf("\nEntry %d of the ledger, charter %.16s…\n", why.GetLeafIndex(), why.GetCharterHash())
	return nil
}

// tellFigures prints what she needed and got, and what she gave.
func tellFigures(out *output, p *allmendev1.PoolShare) {
	line := func(what string, milliwattHours int64) { out.Printf("%-19s  %12s\n", what, kwhOf(milliwattHours)) }
	line("needed from outside", p.GetDemandMilliwattHours())
	line("from the sun", p.GetShareMilliwattHours())
	line("from storage", p.GetFromStorageMilliwattHours())
	if m := p.GetMarket(); m != nil {
		line("bought", m.GetBoughtMilliwattHours())
	}
	line("from the grid", p.GetGridImportMilliwattHours())
	line("fed in", p.GetSupplyMilliwattHours())
	if m := p.GetMarket(); m != nil {
		line("of that sold", m.GetSoldMilliwattHours())
	}
}

// tellMarket prints what became of her orders in the market round.
func tellMarket(out *output, m *allmendev1.MarketShare) {
	if m == nil {
		return
	}
	order := func(what, price string, most int64, of string) {
		switch {
		case price == "":
			out.Printf("  %s: none\n", what)
		case most == 0:
			out.Printf("  %s: %s, for all that %s\n", what, price, of)
		default:
			out.Printf("  %s: %s, for %s at most\n", what, price, kwhOf(most))
		}
	}
	out.Printf("\nmarket round\n")
	order("bid", m.GetBidPrice(), m.GetBidMostMilliwattHours(), "was still needed: "+kwhOf(m.GetNeededMilliwattHours()))
	order("offer", m.GetOfferPrice(), m.GetOfferMostMilliwattHours(), "was left: "+kwhOf(m.GetLeftMilliwattHours()))
	switch {
	case m.GetPrice() != "":
		out.Printf("  price: %s\n", m.GetPrice())
	case m.GetCertificate() != nil:
		out.Printf("  price: none, nothing was traded\n")
	}
	if says := m.GetSays(); says != "" {
		out.Printf("%s\n", indent(wrap("The charter: "+says, 76)))
	}
	if sums := m.GetArithmetic(); sums != "" {
		out.Printf("%s\n", indent(wrap(sums, 76)))
	}
}

// tellRounds prints the rounds as a table, and then the sums of each.
func tellRounds(out *output, rounds []*allmendev1.RoundShare) error {
	lines := tabwriter.NewWriter(out.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(lines, "\nROUND\tFROM\tNEED\tWEIGHT OR KEY\tCAP\tGOT\tPOOL OF THE ROUND")
	for _, r := range rounds {
		most, weight, pool := "", "", ""
		if r.CapMilliwattHours != nil {
			most = kwhOf(r.GetCapMilliwattHours())
		}
		if w := r.GetWeightMillionths(); w > 0 {
			weight = charter.Weight(w).String()
		}
		if r.GetCertificate() != nil {
			pool = kwhOf(r.GetCertificate().GetPoolMilliwattHours())
		}
		fmt.Fprintf(lines, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.GetRound(), r.GetSource(), kwhOf(r.GetNeedMilliwattHours()), weight, most, kwhOf(r.GetGotMilliwattHours()), pool)
	}
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	said := map[string]bool{}
	for _, r := range rounds {
		out.Printf("\n%s, %s\n", r.GetRound(), r.GetSource())
		if says := r.GetSays(); says != "" && !said[says] {
			said[says] = true
			out.Printf("%s\n", indent(wrap("The charter: "+says, 76)))
		}
		if sums := r.GetArithmetic(); sums != "" {
			out.Printf("%s\n", indent(wrap(sums, 76)))
		}
	}
	return nil
}

func kwhOf(milliwattHours int64) string { return energy.Energy(milliwattHours).String() }

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }
