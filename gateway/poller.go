// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/meters"
)

// opener finds out what answers as a unit.
type opener func(ctx context.Context, unit uint8) (device.Device, error)

// poller reads and commands one device. One goroutine, its bus's loop, does
// everything but report.
type poller struct {
	cfg      Device
	open     opener
	env      *environment
	log      *slog.Logger
	dev      device.Device // nil: not opened
	identity device.Identity
	guard    *guard.Guard // nil: it takes no command, or read only
	controls []device.Control
	guarded  device.Identity // whom the guard was made for
	counters map[meters.Register]*counter

	last     meters.Reading // the latest good one
	have     bool
	soc      int64       // permille, -1 where it is not known
	socAt    guard.Stamp // when it was read
	failures int         // in a row
	skips    int         // rounds to leave out
	night    night
	stopping bool
	observed guard.Stamp // when it was asked last what is in force
	blind    bool        // it does not tell
	rival    string      // as it was logged last
	withheld string      // why nothing could be added the last time

	mu     sync.Mutex
	report uplink.Device
}

// environment is what all pollers of a gateway share.
type environment struct {
	cfg   Config
	now   func() energy.Instant // world time
	stamp func() guard.Stamp    // the monotonic clock that commands end on

	grid     *gridOperator
	wear     *wear
	epochs   *epochs
	born     guard.Stamp // the first of this process
	measures *measures
}

const (
	// failuresToReopen: after so many failed reads in a row the device is asked
	// anew what it is; it may have been replaced.
	failuresToReopen = 2
	// maxSkips bounds how many rounds a device that does not answer is left
	// out, so that it does not starve the others on its line.
	maxSkips = 7
	// A device that does not take its release when the gateway stops is tried so
	// often, while it has not taken longer than that on the wall clock.
	releasesAtEnd = 3
	releaseWithin = 5 * time.Second
	// exchanges that one read, one command and one discovery may take.
	exchangesOfRead     = 4
	exchangesOfCommand  = 10
	exchangesOfDiscover = 12
)

func newPoller(cfg Device, env *environment, open opener, log *slog.Logger) *poller {
	p := &poller{cfg: cfg, open: open, env: env, soc: -1, counters: map[meters.Register]*counter{}}
	p.log = log.With("asset", cfg.Asset, "url", cfg.URL, "unit", cfg.Unit)
	p.report = uplink.Device{Asset: cfg.Asset, URL: cfg.URL, Unit: cfg.Unit, Profile: cfg.Profile}
	return p
}

func (p *poller) deadline(ctx context.Context, exchanges int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(exchanges)*p.env.cfg.Modbus.Timeout)
}

// read takes one snapshot. It returns the samples to keep and the reading for
// the live lane; ok is false where there is nothing to say. boundary says that
// settlement needs this round.
func (p *poller) read(ctx context.Context, boundary bool) (samples []meters.Sample, reading meters.Reading, ok bool) {
	if p.skips > 0 && !boundary {
		p.skips--
		return p.missed()
	}
	stamp := p.env.stamp()
	snapshot, at, err := p.snapshot(ctx)
	if err != nil {
		if ctx.Err() != nil { // the gateway stops
			return p.missed()
		}
		if p.sleeps() {
			return p.asleep(err)
		}
		p.failed(err)
		return p.missed()
	}
	p.succeeded()
	p.night.asleep = snapshot.Quality == energy.Sleeping
	p.env.grid.heard(p.cfg.Asset, snapshot.State, stamp)
	if !p.counts() {
		return nil, meters.Reading{}, false
	}
	p.doubt(&snapshot, at)
	for register, value := range snapshot.Registers {
		samples = append(samples, p.sample(register, value, at, snapshot)...)
	}
	p.last = meters.Reading{
		Asset: p.cfg.Asset, At: at, Power: snapshot.Power, SoC: snapshot.SoC, Quality: snapshot.Quality, Reason: snapshot.Reason,
	}
	p.soc, p.socAt, p.have = snapshot.SoC, stamp, true
	p.observe(ctx)
	return samples, p.last, true
}

// counts says whether the device is an asset of the community. Loads and
// contacts are not: the register has no such kinds.
func (p *poller) counts() bool {
	switch p.dev.Kind() {
	case roll.Meter, roll.Inverter, roll.Battery:
		return true
	}
	return false
}

// snapshot reads the device, opening it first where needed. The instant is the
// middle of the read: the device took its values somewhere in it.
func (p *poller) snapshot(ctx context.Context) (device.Snapshot, energy.Instant, error) {
	if p.dev == nil {
		if err := p.discover(ctx); err != nil {
			return device.Snapshot{}, 0, err
		}
	}
	ctx, cancel := p.deadline(ctx, exchangesOfRead)
	defer cancel()
	before := p.env.now()
	s, err := p.dev.Read(ctx)
	after := p.env.now()
	return s, before.Add(after.Sub(before) / 2), err
}

func (p *poller) discover(ctx context.Context) error {
	ctx, cancel := p.deadline(ctx, exchangesOfDiscover)
	defer cancel()
	dev, err := p.open(ctx, p.cfg.Unit)
	if err != nil {
		return err
	}
	id := dev.Identity()
	if p.identity != (device.Identity{}) && id.Serial != p.identity.Serial {
		p.log.Warn("another device answers; its counters begin anew", "was", p.identity.Serial, "is", id.Serial)
		for _, c := range p.counters {
			c.restart = true
		}
	}
	if p.identity == (device.Identity{}) {
		p.log.Info("device found", "kind", dev.Kind(), "manufacturer", id.Manufacturer, "model", id.Model, "serial", id.Serial)
	}
	p.dev, p.identity, p.blind = dev, id, false
	p.watchOver(dev)
	return nil
}

func (p *poller) sample(register meters.Register, value energy.Energy, at energy.Instant, s device.Snapshot) []meters.Sample {
	c := p.counters[register]
	if c == nil {
		c = &counter{interval: p.env.cfg.Interval}
		p.counters[register] = c
	}
	if s.Quality == energy.Sleeping && c.last.known && value < c.last.Value {
		return nil // some inverters show 0 at night; that is no new counter
	}
	return c.take(meters.Sample{
		Key: meters.Key{Asset: p.cfg.Asset, Register: register}, At: at, Value: value, SoC: s.SoC,
	})
}

func (p *poller) succeeded() {
	if p.failures > 0 {
		p.log.Info("device answers again")
		if p.guard != nil {
			p.guard.Forget() // it may have been restarted
		}
	}
	p.failures, p.skips = 0, 0
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Online, p.report.Error, p.report.Sleeping = true, "", false
	p.report.Profile = p.dev.Profile()
	p.report.Manufacturer, p.report.Model = p.identity.Manufacturer, p.identity.Model
}

func (p *poller) failed(err error) {
	if p.failures == 0 {
		p.log.Warn("device does not answer", "error", err)
	}
	p.failures++
	if p.failures >= failuresToReopen {
		p.dev = nil
	}
	// 0, 0, 1, 3, 7, 7, … rounds.
	if p.failures > 2 {
		p.skips = min(1<<(min(p.failures, 10)-2)-1, maxSkips)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Online, p.report.Error, p.report.Sleeping = false, err.Error(), false
}

// ageInWords is an age to the second.
func ageInWords(age energy.Span) string { return (age / energy.Second * energy.Second).String() }

// missed is the live lane's answer without a new value: the latest one while it
// is fresh, then that it is stale and why.
func (p *poller) missed() ([]meters.Sample, meters.Reading, bool) {
	if !p.have {
		return nil, meters.Reading{}, false
	}
	r := p.last
	if p.env.now().Sub(r.At) > p.env.cfg.StaleAfter {
		p.mu.Lock()
		r.Reason = fmt.Sprintf("%s old: %s", ageInWords(p.env.now().Sub(r.At)), p.report.Error)
		p.mu.Unlock()
		r.Quality = energy.Stale
		p.soc = -1
	}
	return nil, r, true
}

// end gives the device back and returns the last samples.
func (p *poller) end(ctx context.Context) []meters.Sample {
	if p.guard != nil {
		p.guard.Drop("the gateway was stopped")
		p.stopping = true
		begun := time.Now()
		for try := range releasesAtEnd { // nobody is there to try again afterwards
			if try > 0 && (!p.guard.Commands() || time.Since(begun) > releaseWithin) {
				break
			}
			p.act(ctx)
		}
		if err := p.env.wear.settle(p.cfg.Asset, p.guard.Budgets()); err != nil {
			p.log.Warn("the count of writes could not be kept", "error", err)
		}
	}
	var out []meters.Sample
	for _, c := range p.counters {
		out = append(out, c.rest()...)
	}
	return out
}

// status is what is said about the device.
func (p *poller) status() uplink.Device {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report
}
