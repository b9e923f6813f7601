// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

type gatewayRevokeCmd struct {
	Gateway string `arg:"" help:"The gateway's id."`
	Serial  string `placeholder:"HEX" help:"Revoke this certificate alone, as \"allmende gateway certificates\" lists it. Otherwise: everything that the gateway was given until now."`
	Reason  string `placeholder:"TEXT" help:"Why, for the list and the gateway's log; at most 200 characters."`
	where
	JSON bool `help:"Print as JSON."`
}

// Help is shown by allmende gateway revoke --help.
func (c *gatewayRevokeCmd) Help() string {
	return `Shuts a gateway out: its stream ends within seconds, its certificates and unused
enrolment tokens are of no use any more, and batteries that it commands are
released when their last setpoint expires. Do this when a gateway was stolen or
its disk was copied. Its measurements so far stay what they are.

To let it back in, make a new token and enrol it anew; what it has spooled
meanwhile arrives then.

  allmende gateway revoke gw-cellar --reason "stolen on Sunday"
  allmende gateway token gw-cellar`
}

// Run revokes.
func (c *gatewayRevokeCmd) Run(ctx context.Context, out *output) error {
	if err := roll.CheckID(c.Gateway); err != nil {
		return err
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	answer, err := allmendev1.NewIdentityServiceClient(conn).RevokeGateway(ctx, &allmendev1.RevokeGatewayRequest{
		GatewayId: c.Gateway, Serial: c.Serial, Reason: c.Reason,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(map[string]any{
			"gateway": c.Gateway, "serial": c.Serial, "reason": c.Reason,
			"disconnected": answer.GetDisconnected(), "revoked": time.UnixMilli(answer.GetRevokedUnixMs()).UTC(),
		})
	}
	what := "Gateway " + c.Gateway + " is revoked"
	if c.Serial != "" {
		what = "That certificate of gateway " + c.Gateway + " is revoked"
	}
	if answer.GetDisconnected() {
		what += "; its stream has ended"
	}
	out.Printf("%s.\n", what)
	out.Remark("To let it back in: allmende gateway token %s, then on its computer: allmende gateway enrol TOKEN\n", c.Gateway)
	return nil
}

type gatewayCertificatesCmd struct {
	Gateway string `arg:"" optional:"" help:"Of this gateway alone."`
	where
	JSON bool `help:"Print as JSON."`
}

// certificateView is a certificate as --json prints it.
type certificateView struct {
	Gateway   string     `json:"gateway"`
	Serial    string     `json:"serial"`
	State     string     `json:"state"`
	Origin    string     `json:"origin"`
	Connected bool       `json:"connected"`
	Issued    *time.Time `json:"issued"`
	Ends      *time.Time `json:"ends"`
	LastSeen  *time.Time `json:"last_seen"`
	Revoked   *time.Time `json:"revoked"`
	Reason    string     `json:"reason,omitempty"`
}

// Run lists.
func (c *gatewayCertificatesCmd) Run(ctx context.Context, out *output) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	answer, err := allmendev1.NewIdentityServiceClient(conn).ListGatewayCertificates(ctx, &allmendev1.ListGatewayCertificatesRequest{GatewayId: c.Gateway})
	if err != nil {
		return err
	}
	views := make([]certificateView, 0, len(answer.GetCertificates()))
	for _, g := range answer.GetCertificates() {
		views = append(views, certificateView{
			g.GetGatewayId(), g.GetSerial(), g.GetState(), g.GetOrigin(), g.GetConnected(),
			instantOf(g.GetIssuedUnixMs()), instantOf(g.GetEndsUnixMs()), instantOf(g.GetLastSeenUnixMs()), instantOf(g.GetRevokedUnixMs()), g.GetReason(),
		})
	}
	if c.JSON {
		return out.JSON(views)
	}
	if len(views) == 0 {
		out.Remark("No gateway has a certificate yet: make a token with allmende gateway token GATEWAY\n")
		return nil
	}
	table := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "GATEWAY\tSTATE\tENDS\tLAST SEEN\tORIGIN\tSERIAL\tREASON")
	for _, v := range views {
		state := v.State
		if v.Connected {
			state += ", connected"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Gateway, state, shownInstant(v.Ends), shownInstant(v.LastSeen), v.Origin, v.Serial, v.Reason)
	}
	return table.Flush()
}

// instantOf is nil for never.
func instantOf(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

func shownInstant(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}
