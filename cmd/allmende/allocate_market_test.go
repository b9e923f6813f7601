// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// marketCharter gives each half a kilowatt-hour, and lets the rest be traded.
const marketCharter = `charter: allmende/1
rules_version: 2
name: Half each, then a market
interval: 15m
settle_after: 24h
currency: EUR
price: 12 ct/kWh EUR
sharing:
  exporting_sites: wait
  rounds:
    - name: everybody
      method: equal
      cap: 0.5
  market:
    lowest: 5 ct/kWh EUR
    highest: 30 ct/kWh EUR
residual:
  by: proportional
storage:
  use: none
`

func TestAllocateWithMarket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "charter.yaml")
	if err := os.WriteFile(file, []byte(marketCharter), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(bids ...string) (a struct {
		answered
		Market *struct {
			Price        string
			Bought, Sold map[string]string
			Flows        []struct{ Source, Sink, Energy string }
		}
	},
	) {
		t.Helper()
		q := `{"sources":{"roof":{"energy":"3.00","offer":"8"},"mill":{"energy":"1.00","offer":{"price":"20","energy":"0.4"}},"carl":{"energy":"0.2","offer":"30"}},
 "sinks":{"anna":{"demand":"1.50"` + bids[0] + `},"ben":{"demand":"4.00"` + bids[1] + `},"carl":{"demand":"1.00"` + bids[2] + `}}}`
		code, said, errs := allocateRun(t, q, "--charter", file)
		if code != 0 {
			t.Fatal(errs)
		}
		if err := json.Unmarshal([]byte(said), &a); err != nil {
			t.Fatal(err)
		}
		conserves(t, "market", q, a.answered)
		return a
	}
	quiet := ask("", "", "")
	if quiet.Market == nil || len(quiet.Market.Flows) != 0 || quiet.Market.Price != "0.00" {
		t.Errorf("nobody bids: %+v", quiet.Market)
	}
	// The roof has 3.00 less its part of what the rounds took; anna would pay 25 for
	// 0.5 kWh, ben 15 for all he still needs; carl feeds in, waits, and so cannot buy.
	a := ask(`,"bid":{"price":"25","energy":"0.5"}`, `,"bid":"15"`, `,"bid":"30"`)
	m := a.Market
	if m.Bought["anna"] != "0.50" || m.Bought["carl"] != "" || m.Sold["mill"] != "" || m.Sold["roof"] != a.Left["roof"] {
		t.Errorf("bought %v, sold %v", m.Bought, m.Sold)
	}
	if m.Price != "15.00" { // ben, who goes short, is the marginal bidder
		t.Errorf("price %s", m.Price)
	}
	for name, share := range quiet.Shares {
		if a.Shares[name] != share {
			t.Errorf("%s's share was %s, and with bids %s", name, share, a.Shares[name])
		}
	}
	sum := decimal(t, "0")
	for _, f := range m.Flows {
		if f.Source != "roof" {
			t.Errorf("flow %+v", f)
		}
		sum.Add(sum, decimal(t, f.Energy))
	}
	if sum.Cmp(decimal(t, m.Sold["roof"])) != 0 {
		t.Errorf("flows %v do not add up to %v", m.Flows, m.Sold)
	}
}

func TestAllocateRefusesOrders(t *testing.T) {
	for q, want := range map[string]string{
		`{"sources":{"a":{"offer":"1"}},"sinks":{}}`:                                       "sources.a.energy: is missing",
		`{"sources":{"a":{"energy":"1","bid":"1"}},"sinks":{}}`:                            "sources.a.bid: is not a field",
		`{"sources":{"a":{"energy":"1","offer":"x"}},"sinks":{}}`:                          "sources.a.offer: \"x\" is no price",
		`{"sources":{"a":{"energy":"1","offer":"1 ct/kWh EUR"}},"sinks":{}}`:               "sources.a.offer: ",
		`{"sources":{"a":{"energy":"1","offer":8}},"sinks":{}}`:                            "sources.a.offer: write it as a string",
		`{"sources":{},"sinks":{"x":{"demand":"1","bid":{"energy":"1"}}}}`:                 "sinks.x.bid.price: is missing",
		`{"sources":{},"sinks":{"x":{"demand":"1","bid":{"price":"1","energy":"-1"}}}}`:    "sinks.x.bid.energy: is negative",
		`{"sources":{},"sinks":{"x":{"demand":"1","bid":{"price":"1","until":"sunset"}}}}`: "sinks.x.bid.until: is not a field",
		`{"sources":{},"sinks":{"x":{"demand":"1","bid":"12"}}}`:                           "sinks.x.bid: the charter has no market round",
	} {
		if code, _, errs := allocateRun(t, q, "--scheme", "equal"); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s, want %q", q, code, errs, want)
		}
	}
}
