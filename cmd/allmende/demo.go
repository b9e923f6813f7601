// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

//go:embed demo/*.yaml
var demoFiles embed.FS

// demoGateways are the gateways of demo/community.yaml; each has a site of its name.
var demoGateways = [...]string{"east", "middle", "west"}

// maxSpeed is as fast as a demo may be asked to run: a day in 24 seconds.
const maxSpeed = 3600

type demoCmd struct {
	Speed    float64   `default:"60" help:"World seconds for each second, 1 to 3600. Where the computer cannot keep up, the world runs slower, and the demo says so."`
	Dir      string    `placeholder:"DIR" help:"Keep the data here and go on from it next time; without, a temporary folder is used and removed."`
	Start    time.Time `default:"2026-06-20T04:00:00Z" help:"World time of the first start, in RFC 3339."`
	Charter  string    `default:"equal-shares" placeholder:"FILE" help:"The charter that a new demo begins with: the name of a template, or a file. One that goes on from earlier data keeps its own."`
	HTTP     string    `default:"127.0.0.1:8080" help:"Address of page and REST."`
	GRPC     string    `default:"127.0.0.1:9090" help:"Address of gRPC for integrators."`
	Gateways string    `default:"127.0.0.1:9443" help:"Address for gateways (mutual TLS)."`
}

// Help is shown by allmende demo --help.
func (c *demoCmd) Help() string {
	return `Runs a whole community in one process: twelve simulated homes with roofs and
batteries that speak Modbus on loopback sockets, three gateways that read and
steer them, and the coordinator with its ledger and page. Nothing leaves this
computer, and nothing needs to be configured.

  allmende demo                       a minute passes every second
  allmende demo --speed 900           a quarter-hour passes every second
  allmende demo --charter needs-first  another charter than equal shares
  allmende demo --dir my-demo         keep the data; verify it afterwards with
  allmende ledger verify my-demo`
}

func (c *demoCmd) Run(ctx context.Context, out *output) (err error) {
	if c.Speed < 1 || c.Speed > maxSpeed {
		return fmt.Errorf("--speed %g is not between 1 and %d", c.Speed, maxSpeed)
	}
	for flag, addr := range map[string]string{"http": c.HTTP, "grpc": c.GRPC, "gateways": c.Gateways} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("--%s %q is no address: write host and port, such as 127.0.0.1:8080", flag, addr)
		}
	}
	d := demo{demoCmd: c, out: out, dir: c.Dir, log: slog.New(slog.NewTextHandler(out.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "allmende-demo-"); err != nil {
			return fmt.Errorf("a temporary folder: %w; use --dir to name one", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	}
	return d.run(ctx)
}

// demo is one run.
type demo struct {
	*demoCmd
	out *output
	dir string
	log *slog.Logger

	period energy.Span // of ticks and polls, in world time
	clock  *worldtime.Stepped
	worlds []*sim.World
}

func (d *demo) run(ctx context.Context) (err error) {
	cfg, err := d.prepare()
	if err != nil {
		return err
	}
	start, err := d.worldStart(ctx, cfg)
	if err != nil {
		return err
	}
	d.clock = worldtime.NewStepped(start, d.Speed, 0)
	// The world stands until everything is there.
	stage := d.clock.Join("demo")
	leave := sync.OnceFunc(stage.Leave)
	defer leave()

	coord, err := coordinator.Start(ctx, cfg, d.clock, d.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, coord.Stop()) }()

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stop := context.AfterFunc(ctx, leave) // a world that stands would hold up the end
	defer stop()
	// The homes outlive the gateways, which let their batteries rest at the end.
	sites := newTroupe(context.WithoutCancel(ctx), fail)
	defer sites.stop()
	if err := d.startSites(sites); err != nil {
		return err
	}
	edge := newTroupe(ctx, fail)
	defer edge.stop()
	if err := d.startGateways(edge, coord); err != nil {
		return err
	}
	edge.run("coordinator", func(ctx context.Context) error {
		select {
		case <-coord.Done():
			return coord.Stop()
		case <-ctx.Done():
			return nil
		}
	})
	d.announce(coord.Addresses(), start)
	leave()
	d.watch(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	d.out.Printf("\nStopping at world time %s.\n", d.clock.Now())
	if d.Dir != "" {
		d.out.Printf("The data are in %s. Check them with:  allmende ledger verify %s\n", d.dir, d.dir)
	}
	return nil
}

// prepare writes the demo's files into an empty folder, or finds them there.
func (d *demo) prepare() (coordinator.Config, error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return coordinator.Config{}, fmt.Errorf("the demo's folder: %w", err)
	}
	if err := d.writeFiles(); err != nil {
		return coordinator.Config{}, err
	}
	cfg, err := coordinator.Load(d.dir)
	if err != nil {
		return cfg, err
	}
	if _, err := coordinator.Prepare(cfg); err != nil {
		return cfg, err
	}
	d.period = period(d.Speed)
	cfg.Tick, cfg.StaleAfter, cfg.SetpointTTL = d.period, max(cfg.StaleAfter, 3*d.period), max(cfg.SetpointTTL, 3*d.period)
	for _, l := range []struct {
		listener   *config.Listener
		addr, flag string
	}{{&cfg.HTTP, d.HTTP, "--http"}, {&cfg.GRPC, d.GRPC, "--grpc"}, {&cfg.Gateways, d.Gateways, "--gateways"}} {
		l.listener.Listen, l.listener.Key = l.addr, l.flag
	}
	cfg.Simulated = true
	if cfg.Page, err = webPage(); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// writeFiles writes what is not there yet, into a folder that is empty or a demo's.
func (d *demo) writeFiles() error {
	files := map[string][]byte{config.ServeFile: []byte("# The coordinator of `allmende demo`. Everything is as by default.\n{}\n")}
	community, err := demoFiles.ReadFile("demo/community.yaml")
	if err != nil {
		return err
	}
	files["community.yaml"] = community
	if files["charter.yaml"], err = charterText(d.Charter); err != nil {
		return err
	}
	for _, gw := range demoGateways {
		site, err := demoFiles.ReadFile("demo/" + gw + ".yaml")
		if err != nil {
			return err
		}
		files[filepath.Join("sites", gw+".yaml")] = site
	}
	found, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("the demo's folder: %w", err)
	}
	old, err := os.ReadFile(filepath.Join(d.dir, "community.yaml"))
	switch {
	case err == nil && string(old) == string(community):
		return nil // an earlier run's
	case err == nil || len(found) > 0:
		return fmt.Errorf("%s is neither empty nor a folder of this demo: name another with --dir", d.dir)
	}
	for name, content := range files {
		path := filepath.Join(d.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("the demo's folder: %w", err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("the demo's folder: %w", err)
		}
	}
	return nil
}

// period is how long a tick lasts in world time: the shortest that divides a
// quarter-hour and takes the wall clock at least leastTick.
func period(speed float64) energy.Span {
	const leastTick = 150 * time.Millisecond
	least := energy.SpanOf(time.Duration(float64(leastTick) * speed))
	for s := energy.Second; s < energy.QuarterHour; s += energy.Second {
		if energy.QuarterHour%s == 0 && s >= least {
			return s
		}
	}
	return energy.QuarterHour
}

// worldStart is where the world stood when the demo last stopped, or the start asked for.
func (d *demo) worldStart(ctx context.Context, cfg coordinator.Config) (energy.Instant, error) {
	start := energy.InstantOf(d.Start)
	if there, err := store.Exists(ctx, cfg.Database.Reveal()); err != nil {
		return 0, fmt.Errorf("the demo's database: %w", err)
	} else if there {
		db, err := store.OpenReader(ctx, cfg.Database.Reveal())
		if err != nil {
			return 0, err
		}
		defer db.Close() //nolint:errcheck // it was only read
		at, ok, err := db.WorldTime(ctx)
		if err != nil {
			return 0, err
		}
		if ok {
			start = at
		}
	}
	for _, gw := range demoGateways {
		at, ok, err := sim.SavedAt(d.stateFile(gw), gw)
		if err != nil {
			return 0, err
		}
		if ok {
			start = max(start, at)
		}
	}
	return start, nil
}

func (d *demo) stateFile(gw string) string { return filepath.Join(d.dir, "sites", gw+".state.json") }

// troupe is a group of goroutines that start one by one and stop together.
type troupe struct {
	ctx    context.Context
	cancel context.CancelFunc
	fail   context.CancelCauseFunc // ends the whole demo
	work   sync.WaitGroup
}

func newTroupe(ctx context.Context, fail context.CancelCauseFunc) *troupe {
	t := &troupe{fail: fail}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

func (t *troupe) run(what string, fn func(context.Context) error) {
	t.work.Go(func() {
		if err := fn(t.ctx); err != nil && t.ctx.Err() == nil {
			t.fail(fmt.Errorf("%s: %w", what, err))
		}
	})
}

func (t *troupe) stop() {
	t.cancel()
	t.work.Wait()
}

func (d *demo) startSites(t *troupe) error {
	for _, gw := range demoGateways {
		site, err := sim.LoadSite(filepath.Join(d.dir, "sites", gw+".yaml"))
		if err != nil {
			return err
		}
		w, err := sim.New(site, d.clock, sim.Options{State: d.stateFile(gw), Log: d.log})
		if err != nil {
			return err
		}
		d.worlds = append(d.worlds, w)
		w.Join()
		t.run("simulated site "+gw, w.Run)
	}
	return nil
}

func (d *demo) announce(at coordinator.Addresses, start energy.Instant) {
	devices := 0
	for _, w := range d.worlds {
		devices += len(w.Devices())
	}
	o := d.out
	o.Printf("Lindenweg: twelve simulated homes, %d devices on Modbus, three gateways, one coordinator.\n\n", devices)
	o.Printf("  Look here:   http://%s\n", at.HTTP)
	o.Printf("  REST:        http://%s/v1/live   (also /v1/community, /v1/charter, /v1/intervals, /v1/gateways)\n", at.HTTP)
	o.Printf("  gRPC:        %s   (reflection is on)\n", at.GRPC)
	o.Printf("  gateways:    %s   (mutual TLS)\n", at.Gateways)
	for i, w := range d.worlds {
		o.Printf("  Modbus TCP:  %s   (site %s, %d units)\n", w.Addrs()[0], demoGateways[i], len(w.Devices()))
	}
	o.Printf("  data:        %s", d.dir)
	if d.Dir == "" {
		o.Printf("   (removed at the end; keep it with --dir)")
	}
	o.Printf("\n\nWorld time starts at %s and runs %g times as fast as yours, in ticks of %s.\nStop with Ctrl-C.\n", start, d.Speed, d.period)
}

// watch tells the time of the world now and then, and whether it keeps up.
func (d *demo) watch(ctx context.Context) {
	const every = 5 * time.Second
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	slow := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		speed := d.clock.Speed()
		behind := speed < 0.9*d.Speed
		if behind && !slow {
			d.out.Remark("This computer keeps up with ×%.0f of the ×%g asked for: the world runs that much slower.\n", speed, d.Speed)
		}
		slow = behind
		if d.out.IsTerminal {
			d.out.Remark("\r\x1b[Kworld time %s  ×%.0f", d.clock.Now().Time().Format("Mon 2 Jan 15:04"), speed)
		}
	}
}

// startGateways enrols each gateway that has no certificate yet, as an
// installer would, and runs it.
func (d *demo) startGateways(t *troupe, coord *coordinator.Coordinator) error {
	for i, gw := range demoGateways {
		dir := filepath.Join(d.dir, "gateways", gw)
		identity := filepath.Join(dir, "identity")
		if _, err := uplink.LoadIdentity(identity); err != nil {
			text, err := coord.CreateToken(t.ctx, roll.GatewayID(gw))
			if err != nil {
				return err
			}
			token, err := uplink.ParseToken(text)
			if err != nil {
				return err
			}
			if _, err := uplink.Enrol(t.ctx, token, identity); err != nil {
				return fmt.Errorf("gateway %s: %w", gw, err)
			}
		}
		cfg := gateway.Config{
			Coordinator: coord.Addresses().Gateways, Identity: identity,
			Spool: gateway.SpoolConfig{Dir: filepath.Join(dir, "spool")},
			Poll:  d.period, Software: "allmende demo",
		}
		for _, s := range d.worlds[i].Devices() {
			cfg.Devices = append(cfg.Devices, gateway.Device{Asset: s.Asset, URL: "tcp://" + s.Address, Unit: s.Unit})
		}
		t.run("gateway "+gw, func(ctx context.Context) error { return gateway.Run(ctx, cfg, d.clock, d.log) })
	}
	return nil
}
