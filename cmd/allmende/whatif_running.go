// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// askEvery is how often the coordinator is asked how far it is.
const askEvery = 300 * time.Millisecond

// running has the coordinator at work compare, and waits for the answer.
func (c *whatIfCmd) running(ctx context.Context, out *output) error {
	if c.Picture != "" || len(c.Group) > 0 {
		return fmt.Errorf("--picture and --group go with --dir or --homes")
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("--zone: %w; write one such as Europe/Vienna", err)
	}
	ask := &allmendev1.StartWhatIfRequest{RetailPrice: c.Retail, FeedInPrice: c.FeedIn}
	if ask.CharterTemplate, ask.CharterYaml, err = handIn(c.Charter); err != nil {
		return err
	}
	if c.Against != "" {
		if ask.AgainstTemplate, ask.AgainstYaml, err = handIn(c.Against); err != nil {
			return err
		}
	}
	first, until, err := days(c.From, c.To, zone)
	if err != nil {
		return err
	}
	if c.From != "" {
		ask.FromUnixMs = int64(first)
	}
	if c.To != "" {
		ask.ToUnixMs = int64(until)
	}
	conn, err := (&where{Server: c.Server, Token: c.Token}).connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	client := allmendev1.NewSharingServiceClient(conn)
	op, err := client.StartWhatIf(ctx, ask)
	if err != nil {
		return err
	}
	if op.GetFromUnixMs() != ask.GetFromUnixMs() || op.GetToUnixMs() != ask.GetToUnixMs() {
		day := func(ms int64) string { return time.UnixMilli(ms).In(zone).Format(time.DateTime) }
		out.Remark("whole weeks are compared, from %s to %s: few members come first under this charter, and one's own share would show when they use energy\n", day(op.GetFromUnixMs()), day(op.GetToUnixMs()))
	}
	if op, err = c.await(ctx, client, op, out); err != nil {
		return err
	}
	if op.GetState() != allmendev1.WhatIfState_WHAT_IF_STATE_DONE {
		return fmt.Errorf("the coordinator could not compare: %s", notEmpty(op.GetError(), "somebody cancelled it"))
	}
	if err := remainingLines(ctx, client, op); err != nil {
		return err
	}
	if c.JSON {
		b, err := protojson.MarshalOptions{Multiline: true, EmitUnpopulated: true}.Marshal(op)
		out.Printf("%s\n", b)
		return err
	}
	return tellWhatIf(out, op)
}

// handIn is how a charter goes to the coordinator: by a template's name, or as text.
func handIn(name string) (template, yaml string, err error) {
	if slices.ContainsFunc(charters.Templates(), func(t charters.Template) bool { return t.Name == name }) {
		return name, "", nil
	}
	text, err := charterText(name)
	return "", string(text), err
}

// await asks until it has ended. Who stops waiting cancels it.
func (c *whatIfCmd) await(ctx context.Context, client allmendev1.SharingServiceClient, op *allmendev1.WhatIf, out *output) (*allmendev1.WhatIf, error) {
	bar := newProgress(out, "comparing")
	defer bar.clear()
	for op.GetEndedUnixMs() == 0 || op.GetState() == allmendev1.WhatIfState_WHAT_IF_STATE_DONE && op.GetResult() == nil {
		bar.show(op.GetDoneIntervals(), op.GetTotalIntervals())
		timer := time.NewTimer(askEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			const within = 5 * time.Second
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
			defer cancel()
			if _, err := client.CancelWhatIf(last, &allmendev1.CancelWhatIfRequest{WhatIfId: op.GetId()}); err != nil {
				return nil, fmt.Errorf("stopped, but the coordinator could not be told: %w", err)
			}
			return nil, fmt.Errorf("stopped, and cancelled: %w", context.Cause(ctx))
		}
		next, err := client.GetWhatIf(ctx, &allmendev1.GetWhatIfRequest{WhatIfId: op.GetId(), Lines: c.Lines})
		if err != nil && ctx.Err() != nil {
			continue // cancelled above
		}
		if err != nil {
			return nil, err
		}
		op = next
	}
	return op, nil
}

// tellWhatIf prints what of a result the coordinator shows.
func tellWhatIf(out *output, op *allmendev1.WhatIf) error {
	r := op.GetResult()
	out.Printf("From “%s” to “%s”, %d intervals, %d members.\n\n", op.GetAgainstName(), op.GetCharterName(), r.GetIntervals(), r.GetMemberCount())
	w := tabwriter.NewWriter(out.Out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "member\tneeds kWh\treceives\twould\tchange\tpays\twould\tchange\t")
	row := func(name string, o, n *allmendev1.WhatIfTotals) {
		money := func(minor int64) string {
			text, _, _ := strings.Cut(energy.Money{Minor: minor, Currency: energy.Currency(r.GetCurrency())}.String(), " ")
			return text
		}
		part := func(milliwattHours int64) string { return kwh(energy.Energy(milliwattHours).WattHours()) }
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, part(o.GetDemandMilliwattHours()), part(o.GetReceivedMilliwattHours()), part(n.GetReceivedMilliwattHours()),
			signed(part(n.GetReceivedMilliwattHours()-o.GetReceivedMilliwattHours())), money(o.GetCostMinor()), money(n.GetCostMinor()), signed(money(n.GetCostMinor()-o.GetCostMinor())))
	}
	for _, m := range r.GetMembers() {
		row(m.GetMemberId(), m.GetBefore(), m.GetAfter())
	}
	if r.GetBefore() != nil {
		row("all", r.GetBefore(), r.GetAfter())
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	if r.OrderedIntervals != nil && (r.GetOrderedIntervals() == 0 || r.GetBefore() != nil) {
		tellTrades(out, int(r.GetOrderedIntervals()), int(r.GetIntervals()),
			energy.Energy(r.GetBefore().GetBoughtMilliwattHours()), energy.Energy(r.GetAfter().GetBoughtMilliwattHours()))
	}
	if s := r.GetSpread(); s != nil {
		out.Printf("\n%d members would receive more, %d less, %d the same; half of them at or below %s kWh.\n",
			s.GetGain(), s.GetLose(), s.GetSame(), signed(kwh(energy.Energy(s.GetHalfMilliwattHours()).WattHours())))
	}
	if n := r.GetLeftOut(); n > 0 {
		out.Printf("%d intervals are left out: rows of members who left are erased in them.\n", n)
	}
	if len(r.GetWithheld()) > 0 {
		out.Printf("Left out, because it would show single members: %s.\n", strings.Join(r.GetWithheld(), ", "))
	}
	tellPast(out, op.GetAgainstName(), r.GetBeforeWithoutPast())
	tellPast(out, op.GetCharterName(), r.GetAfterWithoutPast())
	if err := tellLines(out, r); err != nil {
		return err
	}
	out.Printf("Energy is conserved in every interval. Money in %s; positive is paid.\ndata %s\nresult %s\n", r.GetCurrency(), r.GetDataHash(), r.GetResultHash())
	return nil
}

// remainingLines asks for the lines of members for whom there was no room in one answer.
func remainingLines(ctx context.Context, client allmendev1.SharingServiceClient, op *allmendev1.WhatIf) error {
	for _, m := range op.GetResult().GetMembers() {
		if op.GetResult().GetLinesLeftOut() == 0 {
			return nil
		}
		if len(m.GetBeforeLines())+len(m.GetAfterLines()) > 0 {
			continue
		}
		one, err := client.GetWhatIf(ctx, &allmendev1.GetWhatIfRequest{WhatIfId: op.GetId(), Lines: true, LinesOfMemberId: m.GetMemberId()})
		if err != nil {
			return err
		}
		for _, same := range one.GetResult().GetMembers() {
			if same.GetMemberId() == m.GetMemberId() {
				m.BeforeLines, m.AfterLines = same.GetBeforeLines(), same.GetAfterLines()
				op.Result.LinesLeftOut--
			}
		}
	}
	return nil
}

// tellLines prints the statements that came along.
func tellLines(out *output, r *allmendev1.WhatIfResult) error {
	t := comparison{out: out, proposed: charter.Charter{Currency: energy.Currency(r.GetCurrency())}}
	for _, m := range r.GetMembers() {
		if err := t.statement(m.GetMemberId(), decodeLines(m.GetBeforeLines()), decodeLines(m.GetAfterLines())); err != nil {
			return err
		}
	}
	for _, p := range r.GetParties() {
		name := "the " + strings.ReplaceAll(p.GetRole(), "_", " ")
		if err := t.statement(name, decodeLines(p.GetBeforeLines()), decodeLines(p.GetAfterLines())); err != nil {
			return err
		}
	}
	if len(r.GetParties()) > 0 {
		out.Printf("\n")
	}
	return nil
}

// decodeLines reads lines as far as they are printed.
func decodeLines(lines []*allmendev1.WhatIfLine) []statement.Line {
	out := make([]statement.Line, len(lines))
	for i, l := range lines {
		out[i] = statement.Line{Kind: statement.Kind(l.GetKind()), Rule: l.GetRule(), Level: charter.Proximity(l.GetLevel()), Amount: l.GetAmountMinor()}
	}
	return out
}

func tellPast(out *output, name string, periods int64) {
	if periods > 0 {
		out.Printf("\nExpressions of “%s” ask for the weighting period before; of %d periods nothing is recorded, and it counted 0.\n", name, periods)
	}
}

func notEmpty(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
