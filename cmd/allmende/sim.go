// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// simCmd runs one simulated site alone, so that any Modbus client can read it.
type simCmd struct {
	Site        string  `type:"existingfile" placeholder:"FILE" help:"The site file. Without: --example prints one to start from."`
	Speed       float64 `default:"1" help:"World seconds for each second, 1 to 3600."`
	State       string  `placeholder:"FILE" help:"Keep counters and batteries here, so that registers go on after a restart."`
	World       string  `hidden:"" placeholder:"HOST:PORT" help:"Take part in a simulated world that another process keeps, instead of --speed."`
	PrintPoints bool    `help:"Read every device over Modbus once and print all its points."`
	Example     bool    `help:"Print a site file with every field and stop."`
}

// Run serves the site until ctx ends.
func (c *simCmd) Run(ctx context.Context, out *output) error {
	if c.Example {
		out.Printf("%s", sim.Example)
		return nil
	}
	if c.Site == "" {
		return errors.New("no site: write --site FILE; `allmende sim --example` prints a file to start from")
	}
	if c.Speed < 1 || c.Speed > 3600 {
		return fmt.Errorf("a speed of %g is not between 1 and 3600", c.Speed)
	}
	site, err := sim.LoadSite(c.Site)
	if err != nil {
		return err
	}
	clock, err := c.clock(ctx, site.ID)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(out.Err, nil))
	world, err := sim.New(site, clock, sim.Options{State: c.State, Log: log})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	world.Join()
	go func() { ended <- world.Run(ctx) }()
	c.announce(out, site, world, clock)
	if c.PrintPoints {
		if err := printPoints(ctx, out, world); err != nil && ctx.Err() == nil {
			stop()
			return errors.Join(err, <-ended)
		}
	}
	return <-ended
}

// clock is real time, or a world of its own that runs faster. That one begins
// no earlier than the state was saved: a fast world is ahead of the wall clock.
func (c *simCmd) clock(ctx context.Context, site string) (worldtime.Clock, error) {
	if c.World != "" {
		return worldtime.Dial(ctx, c.World)
	}
	if c.Speed == 1 {
		return worldtime.NewReal(), nil
	}
	start := energy.InstantOf(time.Now())
	saved, found, err := sim.SavedAt(c.State, site)
	if err != nil {
		return nil, err
	}
	if found {
		start = max(start, saved)
	}
	return worldtime.NewStepped(start, c.Speed, 1), nil
}

func (c *simCmd) announce(out *output, site *sim.Site, world *sim.World, clock worldtime.Clock) {
	out.Printf("site %s: %d houses, world time %s, speed %g\n", site.ID, len(site.Houses), clock.Now(), c.Speed)
	table := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "modbus\tunit\tkind\tasset\thouse")
	for _, d := range world.Devices() {
		house := d.House
		if house == "" {
			house = "(several)"
		}
		where := d.Address
		if !strings.HasPrefix(d.URL, "tcp://") {
			where = d.URL
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", where, d.Unit, d.Kind, d.Asset, house)
	}
	table.Flush() //nolint:errcheck // output for a person
	out.Printf("stop it with Ctrl-C\n")
}

// printPoints reads all devices as any other client would.
func printPoints(ctx context.Context, out *output, world *sim.World) error {
	lib, err := profile.LoadLibrary("")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	buses := map[string]*modbus.Bus{}
	var ended []chan error
	defer func() {
		stop()
		for _, e := range ended {
			if err := <-e; err != nil {
				out.Remark("allmende: a Modbus connection ended badly: %v\n", err)
			}
		}
	}()
	for _, d := range world.Devices() {
		bus := buses[d.Address]
		if bus == nil {
			bus = modbus.NewBus(modbus.Config{URL: d.URL})
			buses[d.Address] = bus
			e := make(chan error, 1)
			ended = append(ended, e)
			go func() { e <- bus.Run(ctx) }()
		}
		device, err := profile.Open(ctx, bus, d.Unit, profile.Options{Profile: cmp.Or(d.Profile, profile.SunSpec), Kind: profile.Kind(d.Kind), Library: lib})
		if err != nil {
			return fmt.Errorf("asset %s: %w", d.Asset, err)
		}
		points, err := device.Points(ctx)
		if err != nil {
			return fmt.Errorf("asset %s: %w", d.Asset, err)
		}
		id := device.Identity()
		out.Printf("\n%s: %s, %s %s, version %s, serial %s\n", d.Asset, device.Kind(), id.Manufacturer, id.Model, id.Version, id.Serial)
		table := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "model\taddress\tpoint\tvalue")
		for _, p := range points {
			if p.Quality == energy.Good {
				fmt.Fprintf(table, "%d\t%d\t%s\t%s\n", p.Model, p.Address, p.Name, p)
			}
		}
		table.Flush() //nolint:errcheck // output for a person
	}
	return nil
}
