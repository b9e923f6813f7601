// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/gateway"
)

type gatewayStatusCmd struct {
	Dir  string `default:"." type:"path" placeholder:"DIR" help:"The gateway's folder."`
	JSON bool   `help:"Print as JSON."`
}

// Help is shown by allmende gateway status --help.
func (c *gatewayStatusCmd) Help() string {
	return `Looks at the gateway in a folder, also while it runs: who it is, until when its
certificate is good, what waits in its spool, and whether its coordinator can be
reached and takes it. It changes nothing. Ends with status 1 if something needs
attention, and says what to do.`
}

// gatewayStatusView is a report as --json prints it.
type gatewayStatusView struct {
	Gateway     string `json:"gateway"`
	Community   string `json:"community"`
	Certificate struct {
		Serial string     `json:"serial"`
		Issued *time.Time `json:"issued"`
		Ends   *time.Time `json:"ends"`
		Renew  *time.Time `json:"renew"`
	} `json:"certificate"`
	Running     bool `json:"running"`
	Coordinator struct {
		Address       string `json:"address"`
		Reached       bool   `json:"reached"`
		ClockOffsetMS *int64 `json:"clock_offset_ms"`
	} `json:"coordinator"`
	Spool struct {
		Pending uint64     `json:"pending"`
		Sure    bool       `json:"pending_is_sure"`
		Bytes   int64      `json:"bytes"`
		Newest  *time.Time `json:"newest"`
	} `json:"spool"`
	Problems []string `json:"problems"`
}

// Run reports.
func (c *gatewayStatusCmd) Run(ctx context.Context, out *output) error {
	r, err := gateway.Inspect(ctx, c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		err = out.JSON(statusView(r))
	} else {
		c.print(out, r)
	}
	if err == nil && len(r.Problems) > 0 {
		return errReported
	}
	return err
}

func statusView(r gateway.Report) gatewayStatusView {
	v := gatewayStatusView{Gateway: string(r.Gateway), Community: string(r.Community), Running: r.Running, Problems: r.Problems}
	v.Certificate.Serial, v.Certificate.Issued, v.Certificate.Ends, v.Certificate.Renew = r.Serial, knownTime(r.Issued), knownTime(r.Ends), knownTime(r.Renew)
	v.Coordinator.Address, v.Coordinator.Reached = r.Coordinator, r.Reached
	if r.Reached {
		ms := r.ClockOffset.Milliseconds()
		v.Coordinator.ClockOffsetMS = &ms
	}
	v.Spool.Pending, v.Spool.Sure, v.Spool.Bytes = r.Pending, r.PendingSure, r.SpoolBytes
	if r.Newest != 0 {
		v.Spool.Newest = knownTime(r.Newest.Time())
	}
	if v.Problems == nil {
		v.Problems = []string{}
	}
	return v
}

func knownTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (c *gatewayStatusCmd) print(out *output, r gateway.Report) {
	line := func(name, format string, args ...any) { out.Printf("%-12s %s\n", name, fmt.Sprintf(format, args...)) }
	if r.Gateway != "" {
		line("gateway", "%s of %s", r.Gateway, r.Community)
		renew := ""
		if !r.Renew.IsZero() {
			renew = ", renewed by itself from " + r.Renew.Local().Format(time.DateOnly)
		}
		line("certificate", "good until %s%s", r.Ends.Local().Format("2006-01-02 15:04"), renew)
	}
	running := "no"
	if r.Running {
		running = "yes"
	}
	line("running", "%s", running)
	reached := "not reached"
	if r.Reached {
		reached = fmt.Sprintf("reached, takes this gateway; clocks differ by %s", r.ClockOffset)
	}
	line("coordinator", "%s %s", r.Coordinator, reached)
	most := ""
	if !r.PendingSure && r.Pending > 0 {
		most = "at most "
	}
	newest := ""
	if r.Newest != 0 {
		newest = ", the latest of " + r.Newest.Time().Local().Format("2006-01-02 15:04:05")
	}
	line("spool", "%s%d samples wait for the coordinator%s; %d KiB", most, r.Pending, newest, r.SpoolBytes>>10)
	for _, p := range r.Problems {
		out.Remark("needs attention: %s\n", p)
	}
}
