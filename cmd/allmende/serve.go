// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	_ "time/tzdata" // time zones on computers that have none

	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/dashboards"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// serveCmd runs the coordinator of one community.
type serveCmd struct {
	Dir  string `default:"." type:"existingdir" placeholder:"DIR" help:"The community's folder, made by \"allmende init\"."`
	HTTP string `placeholder:"HOST:PORT" help:"Serve page and REST here instead of where allmende.yaml says."`
	overrides
	World string `hidden:"" placeholder:"HOST:PORT" help:"Take part in a simulated world that another process keeps."`
}

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, out *output) error {
	flags, err := c.flags()
	if err != nil {
		return err
	}
	if c.HTTP != "" {
		flags = append(flags, config.Flag{Key: "http.listen", Value: c.HTTP, Name: "--http"})
	}
	cfg, err := coordinator.Load(c.Dir, flags...)
	if err != nil {
		return fmt.Errorf("the configuration needs a correction:\n%w", err)
	}
	cfg.Page = dashboards.Handler()
	var clock worldtime.Clock = worldtime.NewReal()
	if c.World != "" {
		cfg.Simulated = true
		world, err := worldtime.Dial(ctx, c.World)
		if err != nil {
			return err
		}
		defer world.Close() //nolint:errcheck // the world goes on without us
		clock = world
	}
	log := logs.New(out.Err, cfg.Log)
	running, err := coordinator.Start(ctx, cfg, clock, log)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	at := running.Addresses()
	out.Printf("The coordinator of %s runs; stop it with Ctrl-C.\n", cfg.Roll.Name)
	out.Printf("  page and REST  http://%s\n  gRPC           %s\n  gateways       %s\n", at.HTTP, at.GRPC, at.Gateways)
	select {
	case <-ctx.Done():
	case <-running.Done():
	}
	return running.Stop()
}
