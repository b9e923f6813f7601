// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	coordinatordoctor "github.com/allmende-energy/allmende/coordinator/doctor"
	"github.com/allmende-energy/allmende/gateway"
	gatewaydoctor "github.com/allmende-energy/allmende/gateway/doctor"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/doctor"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// doctorCmd looks at what is there and says how to mend it.
type doctorCmd struct {
	Dir  string `default:"." type:"existingdir" placeholder:"DIR" help:"The folder of a community or of a gateway."`
	Full bool   `help:"Look also at what takes long: every page of the database, every interval of the ledger."`
	JSON bool   `help:"Print the findings as JSON."`
}

// Help is shown by allmende doctor --help.
func (c *doctorCmd) Help() string {
	return `Looks at the clock, the disks, keys, certificates, ports, the database, the
ledger, the last backup, InfluxDB, PostgreSQL and the gateways; in the folder of
a gateway at its certificate, its spool, its devices and its coordinator. Says of
each what it sees, and where something is wrong, what to do. Changes nothing, and
works whether anything runs or not. Run it as the user that the program runs as:

  sudo -u allmende allmende doctor --dir /var/lib/allmende

Ends with status 1 if something does not work. A warning is none.`
}

// Run makes the checks.
func (c *doctorCmd) Run(ctx context.Context, out *output) error {
	checks, err := c.checks(ctx)
	if err != nil {
		return err
	}
	var show func(doctor.Finding)
	if !c.JSON {
		show = func(f doctor.Finding) {
			out.Printf("%-4s  %-13s  %s\n", f.State, f.Check, f.Seen)
			if f.Mend != "" {
				out.Printf("      %-13s  → %s\n", "", f.Mend)
			}
		}
	}
	r := doctor.Run(ctx, checks, show)
	if c.JSON {
		err = out.JSON(r)
	} else if r.Warnings+r.Failures > 0 {
		out.Printf("\n%d do not work, %d should be seen to.\n", r.Failures, r.Warnings)
	} else {
		out.Printf("\nEverything is well.\n")
	}
	if err == nil && r.Failures > 0 {
		return errReported
	}
	return err
}

// checks are those of what is in the folder.
func (c *doctorCmd) checks(ctx context.Context) (checks []doctor.Check, err error) {
	is := func(name string) bool {
		_, err := os.Stat(filepath.Join(c.Dir, name))
		return !errors.Is(err, fs.ErrNotExist)
	}
	if is(config.ServeFile) {
		checks = coordinatordoctor.Checks(ctx, coordinatordoctor.Options{Dir: c.Dir, Full: c.Full, Gateways: c.askGateways, Now: time.Now})
	}
	if is(gateway.ConfigFile) {
		checks = append(checks, gatewaydoctor.Checks(c.Dir, time.Now)...)
	}
	if checks == nil {
		return nil, fmt.Errorf("%s holds neither %s nor %s: name the folder of a community or of a gateway with --dir", c.Dir, config.ServeFile, gateway.ConfigFile)
	}
	return checks, nil
}

// askGateways asks the running coordinator.
func (c *doctorCmd) askGateways(ctx context.Context) ([]coordinatordoctor.Gateway, error) {
	conn, err := (&where{Dir: c.Dir}).connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it was only read
	list, err := allmendev1.NewCommunityServiceClient(conn).ListGateways(ctx, &allmendev1.ListGatewaysRequest{})
	if err != nil {
		return nil, err
	}
	certificates, err := allmendev1.NewIdentityServiceClient(conn).ListGatewayCertificates(ctx, &allmendev1.ListGatewayCertificatesRequest{})
	if err != nil {
		return nil, err
	}
	ends := map[string]time.Time{}
	for _, c := range certificates.GetCertificates() {
		if end := time.UnixMilli(c.GetEndsUnixMs()); end.After(ends[c.GetGatewayId()]) && c.GetState() != "revoked" {
			ends[c.GetGatewayId()] = end
		}
	}
	var all []coordinatordoctor.Gateway
	for _, g := range list.GetGateways() {
		h := g.GetHealth()
		one := coordinatordoctor.Gateway{
			ID: h.GetGatewayId(), Connected: h.GetConnected(), Enrolled: h.GetEnrolled(),
			ClockOffset: time.Duration(h.GetClockOffsetMs()) * time.Millisecond, ClockKnown: h.GetClockKnown(),
			SpoolPending: h.GetSpoolPending(), DevicesOnline: int(h.GetDevicesOnline()), DevicesTotal: int(h.GetDevicesTotal()),
			Problem: h.GetProblem(), CertificateEnds: ends[h.GetGatewayId()],
		}
		if ms := h.GetLastSeenUnixMs(); ms > 0 {
			one.LastSeen = time.UnixMilli(ms)
		}
		all = append(all, one)
	}
	return all, nil
}
