// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // time zones on computers that have none

	"github.com/allmende-energy/allmende/coordinator"
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
	if cfg.Page, err = webPage(); err != nil {
		return err
	}
	cfg.Build = telemetryBuild()
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
	return c.serve(ctx, out, cfg, clock)
}

func (c *serveCmd) serve(ctx context.Context, out *output, cfg coordinator.Config, clock worldtime.Clock) error {
	service, err := beginService()
	if err != nil {
		return err
	}
	defer service.end()
	running, err := coordinator.Start(ctx, cfg, clock, logs.New(out.Err, cfg.Log))
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	announce(out, cfg, running.Addresses())
	if err := c.offerSetup(context.WithoutCancel(ctx), running, out); err != nil {
		return errors.Join(err, running.Stop())
	}
	err = service.serve(ctx, running.Done(), "The coordinator of "+cfg.Roll.Name+" runs", running.Alive, running.Reload)
	return errors.Join(err, running.Stop())
}

// announce says what was started, and where.
func announce(out *output, cfg coordinator.Config, at coordinator.Addresses) {
	scheme := "http"
	if cfg.HTTP.TLS.On() {
		scheme = "https"
	}
	out.Printf("The coordinator of %s runs; stop it with Ctrl-C.\n", cfg.Roll.Name)
	out.Printf("  page and REST  %s://%s\n", scheme, at.HTTP)
	if at.Redirect != "" {
		out.Printf("  redirect       http://%s\n", at.Redirect)
	}
	if at.Metrics != "" {
		out.Printf("  metrics        http://%s/metrics\n", at.Metrics)
	}
	encrypted := ""
	if cfg.GRPC.TLS.On() {
		encrypted = "   (TLS)"
	}
	out.Printf("  gRPC           %s%s\n  gateways       %s   (mutual TLS)\n", at.GRPC, encrypted, at.Gateways)
}

// offerSetup says how the first account is made while there is none. The link
// opens everything, so it goes to a terminal alone, never into a log.
func (c *serveCmd) offerSetup(ctx context.Context, running *coordinator.Coordinator, out *output) error {
	if !out.IsTerminal {
		if needed, err := running.SetupNeeded(ctx); err != nil || !needed {
			return err
		}
		out.Remark("Nobody has an account yet. Make the link for the first one with: allmende people setup-link --dir %s\n", c.Dir)
		return nil
	}
	link, expires, ok, err := running.SetupLink(ctx)
	if err != nil || !ok {
		return err
	}
	out.Remark("\nNobody has an account yet. Open this link to make the first one; it works once, until %s:\n\n  %s\n\nA new one: allmende people setup-link --dir %s\n",
		expires.Local().Format(time.TimeOnly), link, c.Dir)
	return nil
}
