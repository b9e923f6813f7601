// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/scan"
)

// gatewayScanCmd finds devices.
type gatewayScanCmd struct {
	Target   string        `arg:"" help:"A network (192.168.1.0/24), a device (tcp://192.168.1.50) or a serial line (rtu:///dev/ttyUSB0?baud=9600)."`
	Units    string        `default:"1,2,3,71,100,126,240,247" placeholder:"LIST" help:"Unit ids to try, such as 1-10,71."`
	Ports    string        `default:"502,1502,5020,8899" placeholder:"LIST" help:"TCP ports to try where the target names none."`
	Parallel int           `default:"16" help:"How many hosts at a time, 1 to 64."`
	Timeout  time.Duration `default:"1s" placeholder:"TIME" help:"How long to wait for one answer."`
	Delay    time.Duration `default:"0s" placeholder:"TIME" help:"Quiet after connecting, which some devices need (Huawei: 2s)."`
	Yes      bool          `help:"Scan a network of more than 1024 addresses."`
	JSON     bool          `help:"Print as JSON."`
}

// Help is shown by allmende gateway scan --help.
func (c *gatewayScanCmd) Help() string {
	return `Looks for devices that speak Modbus, and says what each is: its profile or its
SunSpec models. It only reads, asks each host one thing at a time, and looks
nowhere but where it is told. Ctrl-C ends it with what was found.

  allmende gateway scan 192.168.1.0/24
  allmende gateway scan tcp://192.168.1.50 --units 1-247
  allmende gateway scan "rtu:///dev/ttyUSB0?baud=9600&parity=N" --units 1-32

Scan only networks that are yours. A device that takes a single client does not
answer while another program holds its connection.`
}

// Run scans.
func (c *gatewayScanCmd) Run(ctx context.Context, out *output) error {
	units, err := scan.Numbers(c.Units, 0, 255)
	if err != nil {
		return fmt.Errorf("--units %w", err)
	}
	numbers, err := scan.Numbers(c.Ports, 1, 65535)
	if err != nil {
		return fmt.Errorf("--ports %w", err)
	}
	if c.Parallel < 1 || c.Parallel > 64 {
		return fmt.Errorf("--parallel %d: write 1 to 64", c.Parallel)
	}
	ports := make([]uint16, len(numbers))
	for i, n := range numbers {
		ports[i] = uint16(n)
	}
	hosts, err := scan.Targets(c.Target, ports, c.Yes)
	if err != nil {
		return err
	}
	o := c.options(hosts)
	for _, u := range units {
		o.Units = append(o.Units, uint8(u))
	}
	bar := newProgress(out, "looking")
	var screen sync.Mutex // the bar and a line of what was found share it
	o.Progress = func(done, total int) {
		screen.Lock()
		defer screen.Unlock()
		bar.show(int64(done), int64(total))
	}
	result := scan.Run(ctx, hosts, o, func(f scan.Found) {
		screen.Lock()
		defer screen.Unlock()
		bar.clear()
		if !c.JSON {
			out.Printf("%s\n", foundLine(f))
		}
	})
	bar.clear()
	if c.JSON {
		return out.JSON(result)
	}
	for _, m := range result.Remarks {
		out.Remark("%s: %s\n", m.URL, m.Text)
	}
	switch n := len(result.Found); {
	case ctx.Err() != nil:
		out.Remark("Stopped after %d of %d addresses; %d devices until then.\n", result.Asked, result.Named, n)
	case n == 0:
		return fmt.Errorf("nothing that speaks Modbus was found at %d addresses: see that Modbus TCP is switched on in the device, that no other program holds its only connection, or try --ports and --units", result.Named)
	default:
		out.Remark("%d devices. Look at one: allmende gateway probe %s --unit %d\n", n, result.Found[0].URL, result.Found[0].Unit)
	}
	return nil
}

// options are how a host is spoken to.
func (c *gatewayScanCmd) options(hosts []scan.Host) scan.Options {
	o := scan.Options{Parallel: c.Parallel, Connect: min(c.Timeout, time.Second)}
	if len(hosts) == 1 {
		o.Connect = c.Timeout
	}
	o.Open = func(ctx context.Context, url string) (scan.Line, error) {
		l, err := openLine(ctx, modbus.Config{URL: url, Timeout: c.Timeout, ConnectDelay: c.Delay})
		if err != nil {
			return nil, err
		}
		return scannedLine{l}, nil
	}
	o.Identify = func(ctx context.Context, l scan.Line, unit uint8) (device.Device, error) {
		return profileFlags{}.device(ctx, l.(scannedLine).line, unit)
	}
	return o
}

// scannedLine is a line as a scan knows it.
type scannedLine struct{ *line }

func (l scannedLine) Close() { l.close() }

func foundLine(f scan.Found) string {
	what := f.Problem
	if f.Profile != "" {
		what = fmt.Sprintf("%-9s %s %s", f.Kind, f.Device.Manufacturer, f.Device.Model)
		if f.Device.Serial != "" {
			what += ", serial " + f.Device.Serial
		}
		what += " (" + f.Profile
		if len(f.Models) > 0 {
			what += strings.Trim(strings.ReplaceAll(fmt.Sprint(" models ", f.Models), "[", ""), "]")
		}
		what += ")"
	}
	also := ""
	if len(f.Also) > 0 {
		also = "; it answers also as unit " + scan.UnitList(f.Also)
	}
	return fmt.Sprintf("%s unit %-3d  %s%s", f.URL, f.Unit, what, also)
}
