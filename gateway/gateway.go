// SPDX-License-Identifier: AGPL-3.0-or-later

// Package gateway listens to the devices of one or more sites and acts on them:
// the edge computer of a community.
//
// One loop a Modbus bus polls its devices at multiples of the poll period of
// world time, so that interval boundaries are hit. What it reads goes two ways:
// the live lane carries the latest value of everything to the coordinator and
// may lose; the metering lane picks the register samples around each boundary,
// and takes them through a spool on disk, where nothing that was read is lost.
// Setpoints come back down and are watched over by a guard a battery.
//
// A gateway is useful alone: without its coordinator it goes on measuring, and
// commands end by themselves.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

const (
	// settleWithin bounds how long a stepped world waits for one round to reach
	// the coordinator, on the wall clock. A slow disk must make such a world slow,
	// not different; only a coordinator that hangs is not waited for.
	settleWithin = time.Minute
	// partWithin bounds what stopping waits for the last samples to arrive.
	partWithin = time.Second
)

// machine is a gateway that is put together and not yet running.
type machine struct {
	cfg   Config
	log   *slog.Logger
	spool *spool.Spool
	lane  *lane
	link  *uplink.Link
	buses []*modbus.Bus
	loops []*loop
	mail  map[roll.AssetID]*mailbox

	keeper   *uplink.Keeper
	measures *measures
	epochs   *epochs
}

// Run is a gateway from its first to its last sample: it returns nil when ctx
// has ended and everything is in order, or an error with the next step if it
// can't begin.
//
// In service clock is [worldtime.Real], and commands end on the time since the
// process started. Any other clock is a stepped world: commands then end in its
// time and each round waits, within bounds, for its values to reach the
// coordinator before the world moves on.
func Run(ctx context.Context, cfg Config, clock worldtime.Clock, log *slog.Logger) error {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("gateway configuration: %w", err)
	}
	keeper, err := uplink.OpenKeeper(cfg.Identity)
	if err != nil {
		return err
	}
	log = log.With("gateway", keeper.Identity().Gateway)
	store, err := spool.Open(cfg.Spool.Dir, spool.Options{Keep: cfg.Spool.Keep, MaxBytes: cfg.Spool.MaxBytes, Log: log})
	if err != nil {
		return err
	}
	library, err := profile.LoadLibrary(cfg.ProfilesDir)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	_, real := clock.(*worldtime.Real)
	within := steppedDiskWithin
	if real {
		within = diskWithin
	}
	worn, heard := openWear(cfg.Spool.Dir, within), openEpochs(cfg.Spool.Dir, within)
	for _, err := range []error{worn.damaged, heard.damaged} {
		if err != nil {
			log.Error("devices are not commanded, only measured; `allmende gateway doctor` says how to mend it", "error", err)
		}
	}
	m := &machine{cfg: cfg, log: log, spool: store, lane: newLane(store, log), mail: map[roll.AssetID]*mailbox{}, keeper: keeper, measures: newMeasures(cfg.Build), epochs: heard}
	for _, b := range budgetsOf(cfg, library) {
		if !b.Fits() {
			log.Warn("a round takes longer than the time between two polls", "url", b.URL, "says", b.Says)
		}
	}
	m.build(keeper, clock, library, worn)
	m.Fence(heard.highest())
	return errors.Join(m.run(ctx), store.Close())
}

// build makes a loop for each bus, in the order of the configuration.
func (m *machine) build(keeper *uplink.Keeper, clock worldtime.Clock, library *profile.Library, worn *wear) {
	_, real := clock.(*worldtime.Real)
	stamp := stamps(clock, real, bootTime, birth())
	born := stamp()
	env := &environment{
		cfg: m.cfg, now: clock.Now, stamp: stamp, born: born, measures: m.measures, wear: worn, epochs: m.epochs,
		grid: newGridOperator(m.cfg.Contacts, born),
	}
	m.link = uplink.New(uplink.Config{
		Address: m.cfg.Coordinator, Identity: keeper, Software: m.cfg.Software, Source: m.spool,
		Commands: m, Epoch: m.epochs.highest(), Status: m.status, Now: clock.Now, Log: m.log, Bounds: m.linkBounds(real),
	})
	byURL := map[string]*loop{}
	for _, d := range m.cfg.Devices {
		l := byURL[d.URL]
		if l == nil {
			l = &loop{
				name: string(keeper.Identity().Gateway) + " " + d.URL, env: env, clock: clock, stepped: !real,
				mail: newMailbox(), keep: m.lane.take, show: m.link.Live, settle: m.settle,
			}
			l.passed.Store(time.Now().UnixNano())
			byURL[d.URL] = l
			m.loops = append(m.loops, l)
			line := m.cfg.busOf(d.URL, library)
			line.Observe = m.measures.observer(len(m.loops))
			m.buses = append(m.buses, modbus.NewBus(line))
		}
		bus := m.buses[slices.Index(m.loops, l)]
		l.pollers = append(l.pollers, newPoller(d, env, func(ctx context.Context, unit uint8) (device.Device, error) {
			o := profile.Options{Profile: d.Profile, Kind: profile.Kind(d.Kind), Library: library}
			if d.Limits != nil {
				o.Draws = d.Limits.Rated
			}
			return profile.Open(ctx, bus, unit, o)
		}, m.log))
		m.mail[d.Asset] = l.mail
	}
}

// birth is the reading that a process's clock begins with.
func birth() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return int64(binary.LittleEndian.Uint64(b[:]) % latestBirth)
}

// latestBirth bounds the reading that a gateway's clock begins with, in milliseconds.
const latestBirth = 1 << 50

// stamps is the monotonic clock that commands end on: in service the boot-time
// clock. It begins at random, so that a setpoint which echoes the clock of a
// process before this one is known by its stamp: counted from 0 it might look
// as fresh as if it had been stamped a moment ago.
func stamps(clock worldtime.Clock, real bool, boot func() time.Duration, begin int64) func() guard.Stamp {
	if real {
		start := boot()
		return func() guard.Stamp { return guard.Stamp(begin + (boot() - start).Milliseconds()) }
	}
	return func() guard.Stamp { return guard.Stamp(clock.Now()) }
}

// linkBounds makes a gateway of a stepped world come back fast: the world does
// not wait for it meanwhile.
func (m *machine) linkBounds(real bool) uplink.Bounds {
	b := m.cfg.Uplink
	if !real && b.MaxBackoff == 0 {
		b.MinBackoff, b.MaxBackoff = 20*time.Millisecond, 250*time.Millisecond
	}
	return b
}

// run starts everything, waits, and stops it in the order in which things need
// each other: loops, then buses and the lane, then the link.
func (m *machine) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	after := context.WithoutCancel(ctx)
	busCtx, stopBuses := context.WithCancel(after)
	linkCtx, stopLink := context.WithCancel(after)
	defer stopBuses()
	defer stopLink()
	m.measures.registry.Add(m.group())
	metrics, endMetrics, err := m.serveMetrics(ctx)
	if err != nil {
		return err
	}
	defer endMetrics()

	var loops, below, link sync.WaitGroup
	below.Go(func() { m.lane.run(busCtx) })
	for _, b := range m.buses {
		below.Go(func() {
			if err := b.Run(busCtx); err != nil {
				cancel(err)
			}
		})
	}
	for _, l := range m.loops {
		l.join()
	}
	link.Go(func() { m.link.Run(linkCtx) })
	for _, l := range m.loops {
		loops.Go(func() {
			if err := l.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	m.log.Info("gateway runs", "devices", len(m.cfg.Devices), "buses", len(m.buses), "coordinator", m.cfg.Coordinator, "poll", m.cfg.Poll)
	if m.cfg.Ready != nil {
		m.cfg.Ready(Running{Metrics: metrics, Alive: m.alive})
	}
	<-ctx.Done()
	cause := context.Cause(ctx)

	loops.Wait()
	stopBuses()
	below.Wait()
	last, done := context.WithTimeout(after, partWithin)
	m.link.Barrier(last)
	done()
	stopLink()
	link.Wait()
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return nil
	}
	return cause
}

// settle lets a stepped world wait until a round is durable here and known there.
func (m *machine) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	m.lane.flush(ctx)
	m.link.Barrier(ctx)
}

// Fence takes the coordinator's epoch. No lower one is obeyed from now on, and
// none after a restart once it is on the disk; until then this one is not either.
func (m *machine) Fence(epoch uint64) {
	m.epochs.hear(epoch)
	for _, l := range m.loops {
		l.mail.fence(epoch)
	}
}

// Setpoints hands commands to the loops of their devices.
func (m *machine) Setpoints(setpoints []guard.Setpoint) {
	epoch := uint64(0)
	for _, sp := range setpoints {
		epoch = max(epoch, sp.Epoch)
	}
	m.Fence(epoch)
	for _, sp := range setpoints {
		mail, ok := m.mail[sp.Asset]
		if !ok {
			m.log.Debug("a setpoint for an asset that is not in gateway.yaml", "asset", sp.Asset)
			continue
		}
		mail.post(sp)
	}
}

func (m *machine) status() uplink.Status {
	s := uplink.Status{SpoolError: joined(m.lane.problem(), m.epochs.problem())}
	for _, l := range m.loops {
		for _, p := range l.pollers {
			s.Devices = append(s.Devices, p.status())
		}
	}
	return s
}

// joined are the texts that are not empty, one after the other.
func joined(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), "; ")
}

var (
	_ uplink.Source   = (*spool.Spool)(nil)
	_ uplink.Commands = (*machine)(nil)
)
