// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
)

// inbox is the part of the store that the metering lane ends in.
type inbox interface {
	AppendInbox(ctx context.Context, gateway roll.GatewayID, spoolID string, first uint64, samples []meters.Sample) (durable uint64, err error)
	Acknowledged(ctx context.Context, gateway roll.GatewayID, spoolID string) (uint64, error)
}

// fleet is the community's gateways and their streams. It implements [api.Fleet].
type fleet struct {
	community  roll.CommunityID
	inbox      inbox
	identities *identities
	door       *door
	enrolment  *enrolment
	owner      *owner
	fence      *fence
	clock      worldtime.Clock
	problems   *problems
	fatal      func(error)
	record     func([]meters.Reading) // into the time series; never waits
	measured   *measures
	log        *slog.Logger

	mu       sync.Mutex
	closing  bool
	gateways map[roll.GatewayID]*gateway
	order    []roll.GatewayID        // those in the register now, and those that will be
	admitted map[roll.GatewayID]bool // these, and those that may still bring what they measured before they left
}

// gateway is what is known of one gateway. The fleet's mutex guards it.
type gateway struct {
	name     string
	devices  int // assets that the register gives it
	session  *api.Session
	sessions uint64 // so far
	enrolled bool
	revoked  store.Revocation // where it is not enrolled any more
	elder    bool             // it uses an older certificate than it did before
	lastSeen energy.Instant
	status   api.Status
	software string
	refused  string // why its latest message was refused
	aside    string // what of its latest samples is not counted, and why
	full     bool   // what it sent could not be stored
}

func newFleet(id roll.CommunityID) *fleet {
	return &fleet{community: id, gateways: map[roll.GatewayID]*gateway{}, record: func([]meters.Reading) {}, measured: &measures{}}
}

// follow makes s what the register says. A gateway that left it may bring what
// it measured before, as long as that is settled; after that its stream ends.
// What is known of it stays known, because it may come back.
func (f *fleet) follow(s standing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order, f.admitted = f.order[:0], map[roll.GatewayID]bool{}
	for _, g := range gatewaysOf(s.Coming) {
		f.know(g)
		f.order = append(f.order, g.ID)
	}
	for _, g := range gatewaysOf(s.Dated) {
		if f.gateways[g.ID] == nil {
			f.know(g)
		}
		f.admitted[g.ID] = true
	}
	for _, a := range s.Present.Assets {
		f.gateways[a.Gateway].devices++
	}
	for id, g := range f.gateways {
		if g.session != nil && !f.admitted[id] {
			f.end(g, fmt.Errorf("%w: gateway %s was taken out of it", api.ErrUnknown, id))
			f.cutLater()
		}
	}
}

func (f *fleet) know(g roll.Gateway) {
	known := f.gateways[g.ID]
	if known == nil {
		known = &gateway{}
		f.gateways[g.ID] = known
	}
	known.name, known.devices = g.Name, 0
}

// Attach implements [api.Fleet].
func (f *fleet) Attach(ctx context.Context, s *api.Session) (api.Welcome, error) {
	acknowledged, err := f.inbox.Acknowledged(ctx, s.Gateway, s.Hello.SpoolID)
	if err != nil {
		return api.Welcome{}, f.internal("looking up a spool", err)
	}
	if err := f.identities.seen(ctx, s.Identity); err != nil {
		f.log.Warn("that a certificate was used could not be written down", "gateway", s.Gateway, "error", err)
	}
	epoch, err := f.fence.above(ctx, s.Hello.HighestEpoch)
	if err != nil {
		return api.Welcome{}, f.internal("raising the epoch", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return api.Welcome{}, api.ErrClosing
	}
	// Once more, under the lock that a revocation ends streams under.
	if err := f.admit(s.Identity); err != nil {
		return api.Welcome{}, err
	}
	g := f.gateways[s.Gateway]
	if g.session != nil {
		g.session.End(api.ErrReplaced)
	}
	g.sessions++
	s.Number = g.sessions
	g.session, g.software, g.enrolled, g.full = s, s.Hello.Software, true, false
	g.revoked, g.elder = store.Revocation{}, f.identities.used(s.Identity)
	g.lastSeen = f.clock.Now()
	if g.elder {
		f.log.Warn("a gateway uses an older certificate than it did before: it was set back to an old copy, or another computer has its key", "gateway", s.Gateway, "serial", s.Serial)
	}
	f.log.Info("gateway connected", "gateway", s.Gateway, "software", s.Hello.Software, "acknowledged", acknowledged, "spooled", s.Hello.LastSequence)
	return api.Welcome{Acknowledged: acknowledged, Epoch: uint64(epoch)}, nil
}

// Detach implements [api.Fleet].
func (f *fleet) Detach(s *api.Session, cause error) {
	f.mu.Lock()
	g := f.gateways[s.Gateway]
	if errors.Is(cause, api.ErrInvalid) {
		g.refused = cause.Error()
	}
	if g.session == s {
		g.session = nil
	}
	f.mu.Unlock()
	f.log.Info("gateway disconnected", "gateway", s.Gateway, "cause", cause)
}

// Live implements [api.Fleet].
func (f *fleet) Live(ctx context.Context, s *api.Session, b api.LiveBatch) error {
	_, span := f.measured.batch(ctx, "live batch", s.Gateway, len(b.Readings))
	defer span.End("")
	f.seen(s)
	f.owner.live(scheduler.Readings{Gateway: s.Gateway, Session: s.Number, StampMS: b.StampMS, Readings: b.Readings})
	f.record(b.Readings)
	return nil
}

// Meter implements [api.Fleet]: first the inbox, then the owner.
func (f *fleet) Meter(ctx context.Context, s *api.Session, b api.MeterBatch) (durable uint64, err error) {
	ctx, span := f.measured.batch(ctx, "meter batch", s.Gateway, len(b.Samples))
	defer func() { span.End(failureOf(err)) }()
	f.seen(s)
	durable, err = f.inbox.AppendInbox(ctx, s.Gateway, b.SpoolID, b.First, b.Samples)
	if passing(err) {
		f.problems.set(problemInbox, err)
		f.stored(s, false)
		return 0, fmt.Errorf("%w: %w", api.ErrStorage, err)
	}
	if errors.Is(err, store.ErrGap) {
		return 0, fmt.Errorf("%w: connect anew and go on behind %d: %w", api.ErrReplaced, durable, err)
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			f.fatal(fmt.Errorf("storing samples: %w", err))
		}
		return 0, f.internal("storing samples", err)
	}
	f.measured.samples.Add(len(countable(b, durable)))
	f.problems.clear(problemInbox)
	f.stored(s, true)
	f.aside(s, b)
	if samples := countable(b, durable); len(samples) > 0 {
		return durable, f.owner.samples(s.Gateway, samples)
	}
	return durable, nil
}

// countable is the part of a batch that the state machine gets: what is durable
// and was not set aside. What lies behind the durable sequence comes again.
func countable(b api.MeterBatch, durable uint64) []meters.Sample {
	samples := b.Samples
	if n := int64(durable) - int64(b.First) + 1; n < int64(len(samples)) {
		samples = samples[:max(n, 0)]
	}
	if len(b.Aside) == 0 {
		return samples
	}
	out, aside := make([]meters.Sample, 0, len(samples)), b.Aside
	for i, sample := range samples {
		if len(aside) > 0 && aside[0].Index == i {
			aside = aside[1:]
			continue
		}
		out = append(out, sample)
	}
	return out
}

// aside notes what of a batch is not counted, until a batch counts as a whole.
func (f *fleet) aside(s *api.Session, b api.MeterBatch) {
	what := ""
	if n := len(b.Aside); n > 0 {
		what = fmt.Sprintf("%d of its meter samples are stored but not counted: %v", n, b.Aside[0].Why)
	}
	f.mu.Lock()
	g := f.gateways[s.Gateway]
	news := what != "" && g.aside == ""
	g.aside = what
	f.mu.Unlock()
	if news {
		f.log.Warn("meter samples are set aside", "gateway", s.Gateway, "samples", len(b.Aside), "first", b.Aside[0].Why)
	}
}

// Status implements [api.Fleet].
func (f *fleet) Status(s *api.Session, st api.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.gateways[s.Gateway]; g.session == s {
		g.status = st
	}
}

func (f *fleet) seen(s *api.Session) {
	now := f.clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gateways[s.Gateway].lastSeen = now
}

func (f *fleet) stored(s *api.Session, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.gateways[s.Gateway]
	g.full = !ok
	if ok {
		g.refused = ""
	}
}

// command sends setpoints to a gateway if it is connected. Where it is not,
// its setpoints end by themselves. One that echoes the clock of an earlier
// stream is left out: the gateway may have been started anew since, and its
// clock with it.
func (f *fleet) command(id roll.GatewayID, setpoints []scheduler.Setpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.gateways[id]
	if g == nil || g.session == nil {
		return
	}
	stale := func(sp scheduler.Setpoint) bool { return sp.Session != g.session.Number }
	if slices.ContainsFunc(setpoints, stale) {
		setpoints = slices.DeleteFunc(slices.Clone(setpoints), stale)
	}
	g.session.Command(setpoints)
}

// close ends all streams and refuses new ones.
func (f *fleet) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing = true
	for _, g := range f.gateways {
		if g.session != nil {
			g.session.End(api.ErrClosing)
		}
	}
}

// internal logs what the caller is not told, and passes on what she is.
func (f *fleet) internal(doing string, err error) error {
	for _, known := range []error{api.ErrDenied, api.ErrInvalid, api.ErrNotFound, api.ErrStorage, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return err
		}
	}
	if passing(err) {
		f.log.Warn("the database could not be asked", "doing", doing, "error", err)
		return fmt.Errorf("%w: %w", api.ErrStorage, store.Kind(err))
	}
	err = fmt.Errorf("%s: %w", doing, err)
	f.log.Error("answering a gateway failed", "error", err)
	return err
}

// list is every gateway and how it does, in the register's order.
func (f *fleet) list() []api.GatewayDetail {
	f.mu.Lock()
	defer f.mu.Unlock()
	wall := f.identities.wall()
	out := make([]api.GatewayDetail, 0, len(f.order))
	for _, id := range f.order {
		g := f.gateways[id]
		out = append(out, api.GatewayDetail{Health: g.health(id, wall), Devices: g.status.Devices, Software: g.software})
	}
	return out
}
