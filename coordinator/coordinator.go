// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/authority"
	"github.com/allmende-energy/allmende/coordinator/people"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/adminsocket"
	"github.com/allmende-energy/allmende/internal/tracing"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/scheduler"
)

// Addresses are what the listeners are bound to; Redirect and Metrics are empty
// where there are none.
type Addresses struct{ HTTP, GRPC, Gateways, Redirect, Metrics string }

// Coordinator is one that runs.
type Coordinator struct {
	cfg       Config
	clock     worldtime.Clock
	part      worldtime.Participant
	log       *slog.Logger
	problems  *problems
	measures  *measures
	addresses Addresses

	encryption encryption
	ticked     atomic.Int64 // wall time of the last pass of the live loop, in Unix nanoseconds

	unlock   func() error
	admin    net.Listener // for the operator on this computer
	store    *store.Store
	register *register
	fence    *fence
	owner    *owner
	fleet    *fleet
	commons  *commons
	hub      *api.Hub
	size     atomic.Int64 // of the ledger
	saver    *worldSaver
	record   *recorder
	servers  []server
	guard    *access.Guard
	people   *people.People
	desk     *trial.Desk

	serving sync.WaitGroup // the servers
	working sync.WaitGroup // owner, committer, ticks
	cancel  context.CancelFunc
	fail    context.CancelCauseFunc
	failed  context.Context
	stop    sync.Once
	stopErr error
}

// Run is a coordinator from its start until ctx ends or it fails.
func Run(ctx context.Context, cfg Config, clock worldtime.Clock, log *slog.Logger) error {
	c, err := Start(ctx, cfg, clock, log)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-c.Done():
	}
	return c.Stop()
}

// Start checks everything, binds the listeners, recovers and begins to serve.
// When it returns an error, nothing runs. The coordinator runs until Stop; ctx
// is for the start alone.
func Start(ctx context.Context, cfg Config, clock worldtime.Clock, log *slog.Logger) (_ *Coordinator, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, clock: clock, log: log, problems: newProblems(log), hub: api.NewHub(), measures: newMeasures(cfg.Build)}
	c.failed, c.fail = context.WithCancelCause(context.Background())
	var undo []func()
	defer func() {
		if err != nil {
			for _, fn := range slices.Backward(undo) {
				fn()
			}
		}
	}()
	listeners, err := c.bind(ctx, &undo)
	if err != nil {
		return nil, err
	}
	if c.encryption, err = openEncryption(ctx, cfg.Serve, log); err != nil {
		return nil, err
	}
	undo = append(undo, c.encryption.close)
	c.measures.log = log
	if c.measures.tracer, err = tracing.Open(ctx, cfg.Traces, cfg.Build.Version, log); err != nil {
		return nil, err
	}
	undo = append(undo, c.measures.tracer.Close)
	ca, err := c.open(ctx, &undo)
	if err != nil {
		return nil, err
	}
	c.part = clock.Join("coordinator")
	undo = append(undo, c.part.Leave)
	now, effects, err := c.recover(ctx, ca)
	if err != nil {
		return nil, err
	}
	if err := c.admit(); err != nil {
		return nil, err
	}
	undo = append(undo, c.people.Close)
	c.desk = trial.NewDesk(c.store, c.wall)
	c.desk.Failed = func(err error) { c.log.Warn("a what-if failed", "error", err) }
	undo = append(undo, c.desk.Close)
	if err := c.prepareServers(ctx, listeners); err != nil {
		return nil, err
	}
	c.launch(now, effects)
	return c, nil
}

// open takes the data folder, the authority, the ledger's key and the database.
func (c *Coordinator) open(ctx context.Context, undo *[]func()) (*authority.Authority, error) {
	ca, err := authority.Open(c.cfg.Authority, c.cfg.Roll.ID, c.serverNames(), c.wall)
	if err != nil {
		return nil, err
	}
	signer, err := store.LoadSigner(c.cfg.LedgerKey)
	if err != nil {
		return nil, err
	}
	if signer.Name() != string(c.cfg.Roll.ID) {
		return nil, fmt.Errorf("%s is the key of community %q, but %s says id: %s: put back the id that the keys were made for, or run `allmende init` in a new folder", c.cfg.LedgerKey, signer.Name(), c.cfg.Community, c.cfg.Roll.ID)
	}
	verifier, verifiers, err := store.LoadVerifier(c.cfg.LedgerKey)
	if err != nil {
		return nil, err
	}
	dir := c.cfg.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if c.unlock, err = lock(dir); err != nil {
		return nil, err
	}
	*undo = append(*undo, func() { c.unlock() }) //nolint:errcheck // the start's error is what matters
	if c.admin, err = adminsocket.Listen(ctx, dir); err != nil {
		return nil, err
	}
	*undo = append(*undo, func() { c.admin.Close() })
	c.store, err = store.Open(ctx, c.cfg.Database.Reveal(), store.Options{
		Community: c.cfg.Roll.ID, Signer: signer, Simulated: c.cfg.Simulated, MaxPages: c.cfg.maxPages,
		BeforeUpgrade: beforeUpgrade(c.cfg.Serve, c.log),
	})
	if err != nil {
		return nil, err
	}
	*undo = append(*undo, func() { c.store.Close() }) //nolint:errcheck // the start's error is what matters
	history, err := openSeries(ctx, c.cfg.Series, c.cfg.Roll.ID)
	if err != nil {
		return nil, err
	}
	c.record = newRecorder(c.cfg.Roll.ID, history, c.problems)
	*undo = append(*undo, func() { c.record.close() }) //nolint:errcheck // the start's error is what matters
	c.fleet = newFleet(c.cfg.Roll.ID)
	c.commons = &commons{store: c.store, verifier: verifier, verifiers: verifiers, fleet: c.fleet}
	return ca, nil
}

// serverNames are what gateways may call this coordinator besides loopback.
func (c *Coordinator) serverNames() []string {
	names := append([]string(nil), c.cfg.Gateways.Names...)
	for _, address := range []string{c.cfg.GatewayAddress, c.addresses.Gateways} {
		host, _, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			continue
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			continue
		}
		names = append(names, host)
	}
	return names
}

// recover brings the state machine to where ledger and inbox are.
func (c *Coordinator) recover(ctx context.Context, ca *authority.Authority) (energy.Instant, []scheduler.Effect, error) {
	now, err := awaitWorldTime(ctx, c.store, c.part, c.clock)
	if err != nil {
		return 0, nil, err
	}
	inForce, founding, err := charterInForce(ctx, c.store, c.cfg, now)
	if err != nil {
		return 0, nil, err
	}
	c.commons.inForce = inForce
	if founding {
		for _, p := range charters.Remarks(&inForce.Charter, &c.cfg.Roll) {
			c.log.Warn("the charter that comes into force tells about single members; begin anew with another one if that is not meant", "field", p.Path, "why", p.Message)
		}
	}
	if err := c.openRegister(ctx, inForce, now); err != nil {
		return 0, nil, err
	}
	if c.fence, err = raiseFence(ctx, c.store, time.Now()); err != nil {
		return 0, nil, err
	}
	size, err := c.store.Size(ctx)
	if err != nil {
		return 0, nil, err
	}
	c.size.Store(size)
	from, err := restoreFrom(ctx, c.store, now, inForce.Effective)
	if err != nil {
		return 0, nil, err
	}
	state, err := scheduler.New(scheduler.Config{
		Registers: c.register.since(from), Amended: c.register.amended(), Charter: inForce.Charter, CharterHash: inForce.Hash, Effective: inForce.Effective,
		Calendar: charters.CalendarOf(c.register.zone),
		Epoch:    c.fence.current(), SetpointTTL: c.cfg.SetpointTTL, StaleAfter: c.cfg.StaleAfter,
	})
	if err != nil {
		return 0, nil, err
	}
	started := scheduler.Started{At: now, Founding: founding}
	if started.Refill, err = awaitRefill(ctx, c.store, now, c.log); err != nil {
		return 0, nil, err
	}
	state, effects, err := restore(ctx, c.store, state, c.register.stands().assets(), started, from)
	if err != nil {
		return 0, nil, fmt.Errorf("reading back the ledger: %w", err)
	}
	c.owner = newOwner(state, c.register.zone)
	c.owner.measures, c.fleet.measured = c.measures, c.measures
	if err := c.outfit(ctx, ca); err != nil {
		return 0, nil, err
	}
	c.log.Info("recovered", "community", c.cfg.Roll.ID, "epoch", c.fence.current(), "leaves", size, "charter", inForce.Hash, "founding", founding, "world_time", now)
	return now, effects, nil
}

// outfit ties owner, fleet and hub together.
func (c *Coordinator) outfit(ctx context.Context, ca *authority.Authority) error {
	address := c.cfg.GatewayAddress
	if address == "" {
		address = c.addresses.Gateways
	}
	f := c.fleet
	f.inbox, f.owner, f.fence, f.clock, f.problems, f.log = c.store, c.owner, c.fence, c.clock, c.problems, c.log
	f.fatal = func(err error) { c.fail(err) }
	f.record = c.record.readings
	f.identities = &identities{
		authority: ca, store: c.store, wall: c.wall, life: c.cfg.Certificates.Life, grace: c.cfg.Certificates.Grace, log: c.log,
	}
	f.door = newDoor(credentials.NewTLS(ca.Config()))
	f.enrolment = &enrolment{register: c.register, identities: f.identities, tokens: c.store, address: address}
	if err := f.identities.load(ctx, gatewaysOf(c.register.stands().Dated)); err != nil {
		return err
	}
	for id, g := range f.gateways {
		var err error
		if g.enrolled, g.revoked, err = f.identities.standing(ctx, id); err != nil {
			return err
		}
	}
	c.owner.command = f.command
	c.owner.publish = c.publish
	books := &unsettled{problems: c.problems, log: c.log, why: map[energy.Instant]string{}}
	c.owner.failed, c.owner.mended = books.failed, books.mended
	c.owner.hold = func() func() { return c.clock.Join("terms").Leave }
	c.register.tell, c.register.recall = c.owner.tell, c.recall
	c.fence.raised = func(epoch int64) {
		c.log.Warn("a gateway has heard of a later epoch than ours: the database was set back, or the clock; ours is above it now", "epoch", epoch)
		c.owner.raised(epoch)
	}
	const saveEvery = time.Minute
	c.saver = &worldSaver{store: c.store, problems: c.problems, every: saveEvery, beside: c.working.Go}
	if c.cfg.Simulated {
		c.saver.every = 0
	}
	return nil
}

func (c *Coordinator) publish(l scheduler.Live) {
	c.record.picture(l)
	around := api.Around{Speed: c.clock.Speed(), LedgerSize: c.size.Load()}
	for _, g := range c.fleet.list() {
		around.Gateways = append(around.Gateways, g.Health)
	}
	c.hub.Publish(api.EncodeLive(l, around))
}

func (c *Coordinator) prepareServers(ctx context.Context, l listeners) error {
	gateways := api.NewGateways(c.cfg.Roll.ID, c.fleet, c.clock.Now, c.wall)
	c.register.Follow(func(s standing) { gateways.Follow(s.assets()) })
	community := api.NewCommunity(c.cfg.Simulated, c.minAggregate(), c.commons, c.hub)
	c.register.Follow(func(s standing) { community.Follow(s.Present) })
	services := c.measures.services(c.services(community))
	c.measure()
	handler, err := api.HTTP{
		Guard: c.guard, Services: services, Sessions: c.people.Sessions, Community: community, Hub: c.hub, Page: c.cfg.Page, Names: c.webNames(), Health: c.problems.list,
		Metrics: c.measures.registry.Handler(c.log),
		Front:   api.Front{Encrypted: c.encryption.http != nil, Proxies: c.cfg.HTTP.Proxies},
	}.Handler(ctx)
	if err != nil {
		return err
	}
	c.servers = []server{
		web(l.http, c.measures.web(handler), c.encryption.http, c.log),
		integrators(c.forPrograms(l.grpc), services, append(c.encryption.grpcOptions(), append([]grpc.ServerOption{c.measures.streams()}, c.guard.Network()...)...)),
		integrators(c.admin, services, append([]grpc.ServerOption{c.measures.streams()}, c.guard.Socket()...)),
		gatewayServer(l.gateways, c.fleet.door, gateways, c.measures.calls(), c.measures.streams()),
	}
	if l.metrics != nil {
		c.servers = append(c.servers, web(l.metrics, metricsOnly(c.measures.registry.Handler(c.log)), nil, c.log))
	}
	if l.redirect != nil {
		c.servers = append(c.servers, c.redirect(l.redirect))
	}
	return nil
}

// services are what people and programs may call, each as the policy says: over
// the network, by REST and on the local socket.
func (c *Coordinator) services(community *api.Community) []api.Service {
	past := &past{c.commons, c.history(), c.register}
	return []api.Service{
		api.CommunityService(community),
		api.IdentityService(c.fleet),
		api.AccountService(c.people.Accounts()),
		api.PeopleService(c.people.Administration()),
		api.HistoryService(api.NewHistory(past, c.minAggregate())),
		api.SharingService(api.NewSharing(past, c.desk, c.minAggregate())),
		api.AdministrationService(c.register),
		api.OrderService(c.register),
	}
}

// webNames are the hosts that browsers may address: those configured, and the
// address itself where it is one of this computer's.
func (c *Coordinator) webNames() []string {
	names := append([]string(nil), c.cfg.HTTP.Names...)
	if c.cfg.HTTP.TLS.ACME {
		names = append(names, c.cfg.ACME.Domains...)
	}
	if host, _, err := net.SplitHostPort(c.addresses.HTTP); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
			names = append(names, host)
		}
	}
	return names
}

// launch starts the goroutines. The first tick passes before anybody is answered.
func (c *Coordinator) launch(now energy.Instant, effects []scheduler.Effect) {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	guard := func(fn func() error) func() {
		return func() {
			if err := fn(); err != nil {
				c.fail(err)
			}
		}
	}
	com := &committer{store: c.store, fence: c.fence, problems: c.problems, retry: retryCommit, grown: c.size.Store, measures: c.measures}
	c.owner.do(effects)
	c.working.Go(guard(func() error { return com.run(ctx, c.owner.jobs, c.owner.committed) }))
	terms := &evaluator{
		charter: c.commons.inForce.Charter, calendar: charters.CalendarOf(c.register.zone),
		store: c.store, register: c.register.past, problems: c.problems, retry: retryTerms,
	}
	c.working.Go(guard(func() error { return terms.run(ctx, c.owner.needs, c.owner.terms) }))
	c.working.Go(guard(func() error { return c.owner.run(ctx) }))
	c.working.Go(guard(func() error { return c.record.run(ctx) }))
	c.keepCertificates(ctx)
	first := make(chan struct{})
	passed := sync.OnceFunc(func() { close(first) })
	c.working.Go(guard(func() error {
		defer c.part.Leave()
		defer passed()
		return c.owner.pace(ctx, c.part, now, c.cfg.Tick,
			func(at energy.Instant) {
				c.register.advance(at)
				c.saver.save(ctx, at)
			},
			func(at energy.Instant) {
				c.measures.late(c.clock.Now().Sub(at))
				c.ticked.Store(time.Now().UnixNano())
				passed()
			})
	}))
	for _, s := range c.servers {
		c.serving.Go(guard(func() error {
			<-first
			return s.serve(s.listener)
		}))
	}
}

// wall is wall time, which certificates, tokens and sessions live by.
func (c *Coordinator) wall() time.Time {
	if c.cfg.wall != nil {
		return c.cfg.wall()
	}
	return time.Now()
}

// Addresses are what the listeners are bound to.
func (c *Coordinator) Addresses() Addresses { return c.addresses }

// Done is closed when the coordinator has failed or was stopped; Stop says why.
func (c *Coordinator) Done() <-chan struct{} { return c.failed.Done() }

// Alive says whether the live loop passes its ticks. Where it hangs, nobody is
// served well, and a supervisor does better to start anew.
func (c *Coordinator) Alive() bool {
	const patience = 10 * time.Second
	since := time.Since(time.Unix(0, c.ticked.Load()))
	return since < c.cfg.Tick.Duration()+patience
}

// CreateToken makes a one-time enrolment token for a gateway of the register.
func (c *Coordinator) CreateToken(ctx context.Context, gateway roll.GatewayID) (string, error) {
	text, _, err := c.commons.CreateToken(ctx, gateway)
	return text, err
}

// Stop ends the coordinator in order: callers first, then the community, then
// the database. It returns the failure that ended it, if one did. It may be
// called twice.
func (c *Coordinator) Stop() error {
	c.stop.Do(func() {
		c.hub.Close()
		c.fleet.close()
		var stopping sync.WaitGroup
		for _, s := range c.servers {
			stopping.Go(s.stop)
		}
		stopping.Wait()
		c.cancel()
		c.desk.Close()
		c.working.Wait()
		select {
		case unanswered := <-c.owner.needs:
			unanswered.release()
		default:
		}
		c.serving.Wait()
		c.people.Close()
		cause := context.Cause(c.failed)
		c.saver.last(c.clock.Now())
		c.stopErr = errors.Join(cause, c.record.close(), c.store.Close(), c.unlock())
		c.measures.tracer.Close()
		c.fail(nil) // frees the context; a cause given before stays
	})
	return c.stopErr
}
