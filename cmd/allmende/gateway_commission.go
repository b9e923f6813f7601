// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/commission"
	"github.com/allmende-energy/allmende/gateway/commission/paper"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
)

// gatewayCommissionCmd proves that a gateway is ready.
type gatewayCommissionCmd struct {
	Dir       string        `default:"." type:"path" placeholder:"DIR" help:"The gateway's folder, with gateway.yaml in it."`
	Device    string        `placeholder:"ASSET" help:"Move this battery alone; without, each that can be commanded."`
	Step      int           `default:"500" placeholder:"W" help:"How far a battery is moved, 200 to 3000 W; 0: none is moved."`
	Period    time.Duration `default:"500ms" placeholder:"TIME" help:"Time between two readings, 50ms to 5s."`
	Timer     time.Duration `default:"10s" placeholder:"TIME" help:"The timer of the fallback proof, 2s to 5m; a device may only know longer ones."`
	Installer string        `placeholder:"NAME" help:"Who commissions, for the report."`
	Place     string        `placeholder:"TEXT" help:"Where, for the report."`
	Out       string        `type:"path" placeholder:"DIR" help:"Where the reports go; without, the folder reports in the gateway's."`
	Yes       bool          `help:"Move the batteries without asking."`
	JSON      bool          `help:"Print the report as JSON, as the gateway signed it."`
}

// Help is shown by allmende gateway commission --help.
func (c *gatewayCommissionCmd) Help() string {
	return `Proves, device by device, that the gateway in a folder is ready to run, and writes
a report as HTML, PDF and JSON, signed by the gateway's key:

  connection     each device answers, and how fast
  identity       it is what it says, and none is there twice
  plausibility   values fit a public grid, counters do not run backwards, and
                 meter, inverter and battery fit each other
  sign           a battery is told to give some hundred watts more for seconds,
                 and the meter must see it the right way round
  fallback       a battery is told once and then left alone: it must come back to
                 itself by its own timer
  bus budget     a round over all devices fits between two polls

A battery is moved only when you say yes, by --step watts at most, between its
limits, and never where its state of charge is unknown. Ctrl-C at any moment
gives it back to itself first.

  allmende gateway commission --dir gateway
  allmende gateway report verify gateway/reports/commissioning-….json

Stop the gateway first (systemctl stop allmende-gateway): two masters on one
battery disturb each other.`
}

// Run commissions.
func (c *gatewayCommissionCmd) Run(ctx context.Context, out *output) error {
	o, err := c.options(out)
	if err != nil {
		return err
	}
	cfg, err := gateway.Load(c.Dir)
	if err != nil {
		return fmt.Errorf("the configuration needs a correction:\n%w", err)
	}
	if spool.InUse(cfg.Spool.Dir) {
		return errors.New("the gateway runs on this folder, and would read and command the same devices: stop it first (systemctl stop allmende-gateway, or Ctrl-C where it runs), then commission, then start it again")
	}
	site := commission.Site{Software: "allmende " + buildInformation().Version, Installer: c.Installer, Place: c.Place, Poll: cfg.Poll.Duration()}
	var signer commission.Signer
	id, err := uplink.LoadIdentity(cfg.Identity)
	if err == nil {
		signer, site.Gateway, site.Community = id, string(id.Gateway), string(id.Community)
	} else {
		out.Remark("note: the report will not be signed: %v\n", err)
	}
	lines, err := c.connect(ctx, out, cfg, &site)
	defer func() {
		for _, l := range lines {
			l.close()
		}
	}()
	if err != nil {
		return err
	}
	report := commission.Run(ctx, site, o)
	return c.finish(out, report, signer)
}

// options check the flags.
func (c *gatewayCommissionCmd) options(out *output) (commission.Options, error) {
	o := commission.Options{Step: energy.Power(c.Step) * energy.Watt, Period: c.Period, Timer: c.Timer, Only: roll.AssetID(c.Device)}
	if c.Step != 0 && (o.Step < commission.LeastStep || o.Step > commission.MostStep) {
		return o, fmt.Errorf("--step %d: write 200 to 3000 W, or 0 to move nothing", c.Step)
	}
	if c.Period < commission.LeastPeriod || c.Period > commission.MostPeriod {
		return o, fmt.Errorf("--period %s: write %s to %s", c.Period, commission.LeastPeriod, commission.MostPeriod)
	}
	if c.Timer < commission.LeastTimer || c.Timer > commission.MostTimer {
		return o, fmt.Errorf("--timer %s: write %s to %s", c.Timer, commission.LeastTimer, commission.MostTimer)
	}
	in := bufio.NewReader(out.In)
	o.Ask = func(question string) bool {
		if c.Yes {
			out.Remark("%s\n", question)
			return true
		}
		out.Remark("\n%s\nGo on? [y/N] ", question)
		answer, _ := in.ReadString('\n') // no answer is a no
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return true
		}
		return false
	}
	if !c.JSON {
		o.Say = func(subject, doing string) {
			if out.IsTerminal {
				out.Remark("\x1b[2m%s: %s …\x1b[0m\r\x1b[K", subject, doing)
			}
		}
		o.Proved = func(subject string, p commission.Proof) {
			if out.IsTerminal {
				out.Remark("\r\x1b[K")
			}
			out.Printf("%s\n", proofLine(subject, p))
		}
	}
	return o, nil
}

// proofLine is a result for a person.
func proofLine(subject string, p commission.Proof) string {
	sign := map[commission.Outcome]string{commission.Passed: "ok", commission.Remarked: "note", commission.Failed: "FAIL", commission.Skipped: "--"}[p.Outcome]
	line := fmt.Sprintf("%-4s  %-20s %-12s %s", sign, subject, p.Name, p.Text)
	if p.Next != "" && p.Outcome != commission.Passed {
		line += "\n      → " + p.Next
	}
	return line
}

// connect opens each device; one that does not open is part of the report.
func (c *gatewayCommissionCmd) connect(ctx context.Context, out *output, cfg gateway.Config, site *commission.Site) ([]*line, error) {
	byURL := map[string]*line{}
	var lines []*line
	known := c.Device == ""
	for _, d := range cfg.Devices {
		l := byURL[d.URL]
		if l == nil {
			var err error
			l, err = openLine(ctx, modbus.Config{URL: d.URL, Timeout: cfg.Modbus.Timeout, ConnectDelay: cfg.Modbus.ConnectDelay, RequestGap: cfg.Modbus.RequestGap})
			if err != nil {
				return lines, err
			}
			byURL[d.URL] = l
			lines = append(lines, l)
		}
		if out.IsTerminal {
			out.Remark("\r\x1b[Kopening %s", d.Asset)
		}
		u := unitOf(ctx, l, cfg, d)
		if string(d.Asset) == c.Device {
			known = true
		}
		site.Units = append(site.Units, u)
	}
	if out.IsTerminal {
		out.Remark("\r\x1b[K")
	}
	if !known {
		return lines, fmt.Errorf("--device %s: gateway.yaml has no such asset", c.Device)
	}
	return lines, nil
}

// unitOf is a device of the configuration, opened where it answers.
func unitOf(ctx context.Context, l *line, cfg gateway.Config, d gateway.Device) commission.Unit {
	limits := guard.DeviceLimits()
	if d.Limits != nil {
		limits = *d.Limits
	}
	u := commission.Unit{
		Asset: d.Asset, URL: d.URL, Unit: d.Unit, ReadOnly: d.ReadOnly, Waiver: d.Waiver != "",
		MaxCharge: limits.MaxCharge, MaxDischarge: limits.MaxDischarge, LeastSoC: limits.MinSoC, MostSoC: limits.MaxSoC,
	}
	dev, err := profileFlags{Profile: d.Profile, Kind: d.Kind, Profiles: cfg.ProfilesDir}.device(ctx, l, d.Unit)
	if err != nil {
		text, next, _ := strings.Cut(nextStep(ctx, d.URL, d.Unit, err).Error(), "\n")
		u.Problem, u.Next = text, strings.TrimSpace(next)
		return u
	}
	u.Device = dev
	return u
}

// finish writes the report and says where it is.
func (c *gatewayCommissionCmd) finish(out *output, r *commission.Report, signer commission.Signer) error {
	file, err := commission.Sign(r, signer)
	if err != nil {
		return err
	}
	dir := c.Out
	if dir == "" {
		dir = filepath.Join(c.Dir, "reports")
	}
	base, err := writeReport(dir, r, file)
	if err != nil {
		return err
	}
	if c.JSON {
		out.Printf("%s", file)
	} else {
		out.Printf("\n%s: %s\n", strings.ToUpper(string(r.Verdict)), r.Summary)
		out.Printf("  report  %s.html\n          %s.pdf\n          %s.json\n", base, base, base)
		if signer != nil {
			out.Printf("  check   allmende gateway report verify %s.json\n", base)
		}
	}
	if r.Verdict == commission.NotReady || r.Verdict == commission.Stopped {
		return errReported
	}
	return nil
}

// writeReport writes the three files of a report, and returns their name
// without its end.
func writeReport(dir string, r *commission.Report, signed []byte) (string, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("the report: %w", err)
	}
	base := filepath.Join(dir, "commissioning-"+r.Began.Format("2006-01-02-150405"))
	v, _ := commission.Verify(signed, nil) // what it says of the signature stands on the paper
	html, err := paper.HTML(r, v)
	if err != nil {
		return "", err
	}
	pdf, err := paper.PDF(r, v)
	if err != nil {
		return "", err
	}
	for end, b := range map[string][]byte{".json": signed, ".html": html, ".pdf": pdf} {
		if err := os.WriteFile(base+end, b, 0o640); err != nil { //nolint:gosec // an installer hands it on
			return "", fmt.Errorf("the report: %w", err)
		}
	}
	return base, nil
}
