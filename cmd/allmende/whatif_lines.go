// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// money is an amount without its currency.
func (t *comparison) money(minor int64) string {
	text, _, _ := strings.Cut(energy.Money{Minor: minor, Currency: t.proposed.Currency}.String(), " ")
	return text
}

// outside says what becomes of the members' money.
func (t *comparison) outside(r *whatif.Report) {
	t.out.Printf("\n")
	for _, x := range []struct {
		name string
		a    *whatif.Account
	}{{"The community", &r.Community}, {"The retailer", &r.Retailer}, {"The grid operator", &r.GridOperator}} {
		if x.a.Old.Total != 0 || x.a.New.Total != 0 {
			t.out.Printf("%s gets %s, and would get %s.\n", x.name, t.money(-x.a.Old.Total), t.money(-x.a.New.Total))
		}
	}
}

// tellTrades says what the market rounds did, and by whose orders.
func tellTrades(out *output, ordered, intervals int, before, after energy.Energy) {
	if ordered == 0 {
		out.Printf("\nNobody's bid or offer was recorded in this time, so nobody trades in the market round: what it would bring cannot be told from this.\n")
		return
	}
	out.Printf("\nThe market round trades %s kWh, and would trade %s, by the bids and offers that were recorded in %d of %d intervals; nobody knows who would bid otherwise under another charter.\n",
		kwh(before.WattHours()), kwh(after.WattHours()), ordered, intervals)
}

// lines prints the statements of all parties under both charters.
func (t *comparison) lines(r *whatif.Report) error {
	for i := range r.Members {
		c := &r.Members[i]
		if err := t.statement(string(c.Member), c.Old.Lines, c.New.Lines); err != nil {
			return err
		}
	}
	for _, x := range []struct {
		name string
		a    *whatif.Account
	}{{"the community", &r.Community}, {"the retailer", &r.Retailer}, {"the grid operator", &r.GridOperator}} {
		if err := t.statement(x.name, x.a.Old.Lines, x.a.New.Lines); err != nil {
			return err
		}
	}
	return nil
}

// statement prints one party's lines, those of both charters that are for the
// same thing beside each other.
func (t *comparison) statement(party string, before, after []statement.Line) error {
	if len(before)+len(after) == 0 {
		return nil
	}
	t.out.Printf("\n%s\n", party)
	w := tabwriter.NewWriter(t.out.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "  for\tby the rule\tpays\twould\tchange")
	type key struct {
		kind  statement.Kind
		rule  string
		level charter.Proximity
	}
	of := func(l statement.Line) key { return key{l.Kind, l.Rule, l.Level} }
	var order []key
	amounts, is := map[key][2]int64{}, map[key][2]*statement.Line{}
	for side, list := range [][]statement.Line{before, after} {
		for i := range list {
			k := of(list[i])
			if !slices.Contains(order, k) {
				order = append(order, k)
			}
			a, l := amounts[k], is[k]
			a[side], l[side] = a[side]+list[i].Amount, &list[i]
			amounts[k], is[k] = a, l
		}
	}
	slices.SortStableFunc(order, func(a, b key) int { return kindOrder(a.kind) - kindOrder(b.kind) })
	var sum [2]int64
	for _, k := range order {
		a := amounts[k]
		sum[0], sum[1] = sum[0]+a[0], sum[1]+a[1]
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", forWhat(k.kind, k.level), k.rule, t.money(a[0]), t.money(a[1]), signed(t.money(a[1]-a[0])))
	}
	fmt.Fprintf(w, "  together\t\t%s\t%s\t%s\n", t.money(sum[0]), t.money(sum[1]), signed(t.money(sum[1]-sum[0])))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing a statement: %w", err)
	}
	return nil
}

// kindOrder is where a kind stands in a statement.
func kindOrder(k statement.Kind) int {
	return slices.Index([]statement.Kind{
		statement.Received, statement.Given, statement.Bought, statement.Sold, statement.Network, statement.Solidarity, statement.Wear, statement.WearOwner,
		statement.Membership, statement.StorageIn, statement.StorageOut, statement.GridImport, statement.GridExport,
		statement.HouseImport, statement.HouseExport, statement.Rounding,
	}, k)
}

// forWhat is a kind of line in words.
func forWhat(k statement.Kind, level charter.Proximity) string {
	words := map[statement.Kind]string{
		statement.Received: "received from neighbours", statement.Given: "given to neighbours", statement.Network: "grid in between",
		statement.Bought: "bought in the market", statement.Sold: "sold in the market",
		statement.Solidarity: "solidarity fund", statement.Wear: "wear of batteries", statement.WearOwner: "wear of own batteries",
		statement.Membership: "membership", statement.StorageIn: "into storage", statement.StorageOut: "out of storage",
		statement.GridImport: "from the grid", statement.GridExport: "to the grid",
		statement.HouseImport: "never drawn by the house", statement.HouseExport: "never fed in by the house", statement.Rounding: "rounding of all lines",
	}[k]
	if level != "" {
		words += ", " + string(level)
	}
	return words
}
