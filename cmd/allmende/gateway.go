// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/worldtime"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// gatewayCmd is the edge: on the computer that speaks to the devices, except
// for what its help says belongs to the coordinator's.
type gatewayCmd struct {
	Token        gatewayTokenCmd        `cmd:"" help:"At the coordinator: make a one-time token with which a gateway enrols."`
	Revoke       gatewayRevokeCmd       `cmd:"" help:"At the coordinator: shut a gateway out, or one of its certificates."`
	Certificates gatewayCertificatesCmd `cmd:"" help:"At the coordinator: list the certificates that gateways were given."`
	Enrol        gatewayEnrolCmd        `cmd:"" help:"At the gateway: exchange a token for its certificate, and write a gateway.yaml."`
	Run          gatewayRunCmd          `cmd:"" help:"At the gateway: read the devices, spool, send, obey setpoints."`
	Status       gatewayStatusCmd       `cmd:"" help:"At the gateway: its identity, its spool, and whether the coordinator takes it."`

	Waiver gatewayWaiverCmd `cmd:"" help:"Sign for a device that never comes back to itself, so that it may be commanded."`

	Scan       gatewayScanCmd       `cmd:"" help:"Find devices in a network or on a serial line that you name."`
	Probe      gatewayProbeCmd      `cmd:"" help:"Read one device: what it is, its points with value, unit and quality."`
	Watch      gatewayWatchCmd      `cmd:"" help:"Show devices as they are now, again and again."`
	Budget     gatewayBudgetCmd     `cmd:"" help:"Work out how long a round over the devices of each bus takes, before anything is connected."`
	Commission gatewayCommissionCmd `cmd:"" help:"Prove that the gateway and its devices are ready, and write a signed report."`
	Report     gatewayReportCmd     `cmd:"" help:"Check a report of commission."`
	Dump       gatewayDumpCmd       `cmd:"" help:"Write the registers of a device to a file, refusals included."`
	ServeDump  gatewayServeDumpCmd  `cmd:"" name:"serve-dump" help:"Serve such a file over Modbus, as the device itself."`
	Proxy      gatewayProxyCmd      `cmd:"" help:"Share a device that takes one connection with other software."`
	Profiles   gatewayProfilesCmd   `cmd:"" help:"Descriptions of devices that do not speak SunSpec: list, show, check."`

	List    gatewayListCmd    `cmd:"" help:"At the coordinator: list the gateways."`
	Show    gatewayShowCmd    `cmd:"" help:"At the coordinator: show a gateway."`
	Add     gatewayAddCmd     `cmd:"" help:"At the coordinator: add a gateway to the register."`
	Change  gatewayChangeCmd  `cmd:"" help:"At the coordinator: give a gateway another name."`
	Retire  gatewayRetireCmd  `cmd:"" help:"At the coordinator: retire a gateway; its history stays."`
	History gatewayHistoryCmd `cmd:"" help:"At the coordinator: who changed what of a gateway, and when."`
}

type gatewayEnrolCmd struct {
	Token string `arg:"" help:"The whole line that \"allmende gateway token\" printed."`
	Dir   string `default:"." type:"path" placeholder:"DIR" help:"The gateway's folder."`
}

// Run enrols.
func (c *gatewayEnrolCmd) Run(ctx context.Context, out *output) error {
	e, err := gateway.Enrol(ctx, c.Token, c.Dir)
	if err != nil {
		return err
	}
	out.Printf("Enrolled as gateway %s of %s; the certificate is good until %s, and the gateway renews it by itself.\n", e.Gateway, e.Community, e.NotAfter.UTC().Format(time.DateOnly))
	if e.Replaced {
		out.Printf("A gateway that runs here goes on with it within seconds.\n")
		return nil
	}
	next := "Write your devices into " + e.Config + ", then run"
	if !e.Wrote {
		next = fmt.Sprintf("%s was there already: see that it says coordinator: %s, then run", e.Config, e.Address)
	}
	out.Printf("%s: allmende gateway run --dir %s\n", next, c.Dir)
	return nil
}

type gatewayRunCmd struct {
	Dir   string `default:"." type:"path" placeholder:"DIR" help:"The gateway's folder, with gateway.yaml in it."`
	World string `hidden:"" placeholder:"HOST:PORT" help:"Take part in a simulated world that another process keeps."`
}

// Run runs the gateway until ctx ends.
func (c *gatewayRunCmd) Run(ctx context.Context, out *output) error {
	cfg, err := gateway.Load(c.Dir)
	if err != nil {
		return fmt.Errorf("the configuration needs a correction:\n%w", err)
	}
	cfg.Software, cfg.Build = "allmende "+buildInformation().Version, telemetryBuild()
	var clock worldtime.Clock = worldtime.NewReal()
	if c.World != "" {
		world, err := worldtime.Dial(ctx, c.World)
		if err != nil {
			return err
		}
		defer func() { _ = world.Close() }() // only questions of the time end
		clock = world
	}
	return c.run(ctx, out, cfg, clock)
}

// run is the gateway under systemd, where there is one.
func (c *gatewayRunCmd) run(ctx context.Context, out *output, cfg gateway.Config, clock worldtime.Clock) error {
	service, err := beginService()
	if err != nil {
		return err
	}
	defer service.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running := make(chan gateway.Running, 1)
	cfg.Ready = func(r gateway.Running) { running <- r }
	ended := make(chan struct{})
	var failed error
	go func() {
		defer close(ended)
		failed = gateway.Run(ctx, cfg, clock, logs.New(out.Err, cfg.Log))
	}()
	select {
	case <-ended:
		return failed
	case r := <-running:
		out.Printf("The gateway runs with %d devices; stop it with Ctrl-C.\n", len(cfg.Devices))
		if r.Metrics != "" {
			out.Printf("  metrics  http://%s/metrics\n", r.Metrics)
		}
		err = service.serve(ctx, ended, "The gateway runs", r.Alive, nil)
	}
	cancel()
	<-ended
	return errors.Join(err, failed)
}

type gatewayTokenCmd struct {
	Gateway string `arg:"" help:"The gateway's id in the community's register."`
	where
	JSON bool `help:"Print as JSON."`
}

// Run asks the running coordinator: it alone writes to its database.
func (c *gatewayTokenCmd) Run(ctx context.Context, out *output) error {
	if err := roll.CheckID(c.Gateway); err != nil {
		return err
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	token, err := allmendev1.NewCommunityServiceClient(conn).CreateEnrolmentToken(ctx, &allmendev1.CreateEnrolmentTokenRequest{GatewayId: c.Gateway})
	if err != nil {
		return err
	}
	expires := time.UnixMilli(token.GetExpiresUnixMs())
	if c.JSON {
		return out.JSON(map[string]any{"gateway": c.Gateway, "token": token.GetToken(), "expires": expires.UTC()})
	}
	out.Printf("%s\n", token.GetToken())
	out.Remark("It works once, until %s. On the gateway's computer run: allmende gateway enrol TOKEN\n", expires.Local().Format(time.DateTime))
	return nil
}
