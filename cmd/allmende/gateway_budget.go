// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"

	"github.com/allmende-energy/allmende/gateway"
)

// gatewayBudgetCmd works out how long a round takes, and connects to nothing.
type gatewayBudgetCmd struct {
	Dir  string `default:"." type:"path" placeholder:"DIR" help:"The gateway's folder, with gateway.yaml in it."`
	JSON bool   `help:"Print as JSON."`
}

// Help is shown by allmende gateway budget --help.
func (c *gatewayBudgetCmd) Help() string {
	return `Works out from gateway.yaml, before anything is connected, how long one round over
the devices of each bus takes, and whether it fits between two polls. On a serial
line that is the speed of the line; on a network it is mostly the devices, which
are taken to answer after 20 ms.

  allmende gateway budget --dir gateway

Devices without a profile are counted as SunSpec devices with one request each.
Ends with status 1 where a round does not fit. "allmende gateway commission"
measures the same at the real devices.`
}

// budgetRow is a bus as --json prints it.
type budgetRow struct {
	URL      string `json:"url"`
	Devices  int    `json:"devices"`
	Guessed  int    `json:"guessed"`
	Requests int    `json:"requests"`
	CycleMS  int64  `json:"cycle_ms"`
	PollMS   int64  `json:"poll_ms"`
	Fits     bool   `json:"fits"`
	Says     string `json:"says"`
}

// Run prints the budgets.
func (c *gatewayBudgetCmd) Run(out *output) error {
	cfg, err := gateway.Load(c.Dir)
	if err != nil {
		return err
	}
	budgets, err := gateway.Budgets(cfg)
	if err != nil {
		return err
	}
	rows := make([]budgetRow, len(budgets))
	fits := true
	for i, b := range budgets {
		rows[i] = budgetRow{b.URL, b.Devices, b.Guessed, b.Requests, b.Cycle.Milliseconds(), b.Poll.Milliseconds(), b.Fits(), b.Says}
		fits = fits && b.Fits()
	}
	if c.JSON {
		err = out.JSON(rows)
	} else {
		for _, r := range rows {
			guessed := ""
			if r.Guessed > 0 {
				guessed = fmt.Sprintf(", %d of them counted as SunSpec devices", r.Guessed)
			}
			out.Printf("%s\n  %d devices%s, %d requests a round, a poll each %d ms\n  %s\n", r.URL, r.Devices, guessed, r.Requests, r.PollMS, r.Says)
		}
	}
	if err == nil && !fits {
		return errReported
	}
	return err
}
