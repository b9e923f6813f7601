// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/proxy"
)

// gatewayProxyCmd shares one device with other software.
type gatewayProxyCmd struct {
	URL          string        `arg:"" name:"url" help:"Where the bus is: tcp://HOST:PORT, rtu:///dev/ttyUSB0?baud=9600 and the like."`
	Listen       string        `default:"127.0.0.1:1502" placeholder:"HOST:PORT" help:"Where clients connect by Modbus TCP; :1502 lets other computers in. Modbus knows no passwords: let a firewall say which."`
	Unit         []uint8       `placeholder:"N" help:"A unit id that clients may ask; repeat it for more. Without, all of them."`
	AllowWrites  []proxy.Range `placeholder:"RANGE" help:"Holding registers that clients may write, such as 40236 or 40236-40240, or coils: coil:16-23; as they go over the line, counted from 0. Repeat it for more. Without, nobody writes."`
	Cache        time.Duration `default:"0s" placeholder:"TIME" help:"Let an answer serve again for so long, at most 1m: several clients that ask the same cost the device one request."`
	MaxClients   int           `default:"16" placeholder:"N" help:"Most clients at once, up to 256."`
	Timeout      time.Duration `default:"1s" placeholder:"TIME" help:"How long to wait for one answer of the device."`
	ConnectDelay time.Duration `placeholder:"TIME" help:"Quiet that the device needs after connecting (Huawei: 1500ms)."`
	RequestGap   time.Duration `placeholder:"TIME" help:"Quiet that it needs between two requests (Huawei: 50ms)."`
	UnitGap      time.Duration `placeholder:"TIME" help:"Quiet before another unit of a shared line is asked (25ms cures many)."`
	IdleClose    time.Duration `placeholder:"TIME" help:"Give the connection back when nobody has asked for so long, for other software that must connect by itself. Without, it is kept."`
	JSON         bool          `help:"Say as JSON where it listens."`
}

// Help is shown by allmende gateway proxy --help.
func (c *gatewayProxyCmd) Help() string {
	return `Shares a device with other software over Modbus TCP. Many inverters take one
connection only (SolarEdge, Kostal, FEMS), and a serial line has one master: the
proxy holds the connection, and its clients take turns, one request each.

  allmende gateway proxy tcp://192.168.1.50:502
  allmende gateway proxy 'rtu:///dev/ttyUSB0?baud=9600' --listen :1502 --unit 1 --unit 2
  allmende gateway proxy tcp://192.168.1.50:502 --allow-writes 40236-40240 --cache 500ms

Let the gateway itself go through it as well: write url: tcp://127.0.0.1:1502 into
gateway.yaml.

Writes are refused unless you name the registers. Two programs that steer one
battery work against each other: allow only what the gateway does not command.
A client is told exception 1 or 2 for a write that is not allowed, 6 when it
waited too long for its turn, 10 for a unit that is not allowed, and 11 when the
device does not answer; the device's own exceptions are passed on.`
}

// Run shares the device until ctx ends.
func (c *gatewayProxyCmd) Run(ctx context.Context, out *output) error {
	l, err := openLine(ctx, modbus.Config{
		URL: c.URL, Timeout: c.Timeout, ConnectDelay: c.ConnectDelay, RequestGap: c.RequestGap, UnitGap: c.UnitGap, IdleClose: c.IdleClose,
	})
	if err != nil {
		return err
	}
	defer l.close()
	p, err := proxy.Listen(ctx, proxy.Config{
		Listen: c.Listen, Units: c.Unit, Writes: c.AllowWrites, Cache: c.Cache, MaxClients: c.MaxClients,
		Log: slog.New(slog.NewTextHandler(out.Err, nil)),
	}, l)
	if err != nil {
		return err
	}
	if c.JSON {
		err = out.JSON(map[string]any{"url": c.URL, "listen": p.Addr(), "units": numbers(c.Unit), "writes": rangeTexts(c.AllowWrites)})
	} else {
		writes := "nobody may write"
		if len(c.AllowWrites) > 0 {
			writes = "clients may write what you named"
		}
		out.Printf("%s is shared at tcp://%s; %s\nstop it with Ctrl-C\n", c.URL, p.Addr(), writes)
	}
	if err != nil {
		ended, stop := context.WithCancel(ctx)
		stop()
		return errors.Join(err, p.Run(ended))
	}
	return p.Run(ctx)
}

func rangeTexts(ranges []proxy.Range) []string {
	out := make([]string, len(ranges))
	for i, r := range ranges {
		out[i] = r.String()
	}
	return out
}
