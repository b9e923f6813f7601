// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// liveCmd shows the present: what a browser would, for a terminal.
type liveCmd struct {
	where
	JSON bool `help:"Print as JSON, as REST does."`
}

// Help is shown by allmende live --help.
func (c *liveCmd) Help() string {
	return `Shows what is produced, used and shared now, and how each gateway is. Powers are
in kW. Shares of the moment are indicative; what is booked stands in the ledger.

  allmende live --dir sunny-lane
  watch -n 2 allmende live --dir sunny-lane`
}

// Run asks once.
func (c *liveCmd) Run(ctx context.Context, out *output) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	live, err := allmendev1.NewCommunityServiceClient(conn).GetLive(ctx, &allmendev1.GetLiveRequest{})
	if err != nil {
		return err
	}
	if c.JSON {
		b, err := protojson.MarshalOptions{Multiline: true, EmitUnpopulated: true}.Marshal(live)
		out.Printf("%s\n", b)
		return err
	}
	showFlow(out, live)
	showMembers(out, live.GetMembers())
	showGateways(out, live.GetGateways())
	return nil
}

func showFlow(out *output, live *allmendev1.Live) {
	f := live.GetFlow()
	out.Printf("At %s: %s\n", time.UnixMilli(live.GetAtUnixMs()).Local().Format(time.TimeOnly), qualityWord(f.GetQuality()))
	t := peopleTable{}
	for _, row := range []struct {
		name  string
		power int64
	}{
		{"production", f.GetProductionMilliwatts()},
		{"consumption", f.GetConsumptionMilliwatts()},
		{"own use", f.GetOwnUseMilliwatts()},
		{"shared", f.GetSharedMilliwatts() + f.GetSharedFromStorageMilliwatts()},
		{"from the grid", f.GetGridImportMilliwatts()},
		{"to the grid", f.GetGridExportMilliwatts()},
	} {
		t = append(t, []string{"  " + row.name, kilowatts(row.power)})
	}
	t.print(out)
	if n := f.GetMissingAssets(); n > 0 {
		out.Printf("  %d devices have no fresh value, and are left out.\n", n)
	}
}

func showMembers(out *output, members []*allmendev1.MemberLive) {
	t := peopleTable{{"MEMBER", "PRODUCES", "CONSUMES", "IMPORTS", "EXPORTS", "SHARE", "QUALITY"}}
	for _, m := range members {
		t = append(t, []string{
			m.GetMemberId(), kilowatts(m.GetProductionMilliwatts()), kilowatts(m.GetConsumptionMilliwatts()), kilowatts(m.GetImportMilliwatts()),
			kilowatts(m.GetExportMilliwatts()), kilowatts(m.GetShareMilliwatts()), qualityWord(m.GetQuality()),
		})
	}
	out.Printf("\n")
	t.print(out)
}

func showGateways(out *output, gateways []*allmendev1.GatewayHealth) {
	t := peopleTable{{"GATEWAY", "STATE", "DEVICES", "PROBLEM"}}
	for _, g := range gateways {
		state := "not enrolled"
		switch {
		case g.GetConnected():
			state = "connected"
		case g.GetEnrolled():
			state = "away"
		}
		t = append(t, []string{g.GetGatewayId(), state, fmt.Sprintf("%d of %d answer", g.GetDevicesOnline(), g.GetDevicesTotal()), g.GetProblem()})
	}
	out.Printf("\n")
	t.print(out)
}

// kilowatts is a power with three decimals, cut off.
func kilowatts(milliwatts int64) string {
	sign := ""
	if milliwatts < 0 {
		sign, milliwatts = "-", -milliwatts
	}
	const perWatt, perKilowatt = int64(energy.Watt), 1_000 * int64(energy.Watt)
	return fmt.Sprintf("%s%d.%03d", sign, milliwatts/perKilowatt, milliwatts%perKilowatt/perWatt)
}

func qualityWord(q allmendev1.Quality) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(q.String(), "QUALITY_"), "_", " "))
}
