// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/telemetry"
	"github.com/allmende-energy/allmende/internal/tracing"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/scheduler"
)

// measures are the counters of a coordinator. None tells of a single member.
type measures struct {
	registry *telemetry.Registry
	tracer   *tracing.Tracer // nil: nothing is traced
	log      *slog.Logger    // of each request, at debug level; nil: nowhere

	tick     *telemetry.Histogram
	lateness *telemetry.Histogram

	commit    *telemetry.Histogram
	retries   *telemetry.Counter
	settled   *telemetry.Counter
	resettled *telemetry.Counter
	samples   *telemetry.Counter
	aside     *telemetry.Counter

	http     *telemetry.Counters
	httpTime *telemetry.Histograms
	grpc     *telemetry.Counters
	grpcTime *telemetry.Histograms

	// What the owner knows, for whoever asks.
	liveTaken, liveLost atomic.Uint64
	waiting, disturbed  atomic.Int64
}

func newMeasures(b telemetry.Build) *measures {
	r := telemetry.New(b)
	seconds := telemetry.Seconds()
	return &measures{
		registry: r,
		tick:     r.Histogram("allmende_tick_duration_seconds", "How long a pass of the live loop takes.", seconds...),
		lateness: r.Histogram("allmende_tick_lateness_seconds", "How long after its time a tick had passed, in world time.", seconds...),

		commit:    r.Histogram("allmende_commit_duration_seconds", "How long the ledger takes to store what was decided, retries included.", seconds...),
		retries:   r.Counter("allmende_commit_retries_total", "Commits that were tried again, because the disk was full or the database away."),
		settled:   r.Counter("allmende_intervals_settled_total", "Intervals that were settled for the first time."),
		resettled: r.Counter("allmende_intervals_resettled_total", "Intervals that were settled again, because data came late or were corrected."),
		samples:   r.Counter("allmende_inbox_appended_samples_total", "Meter samples that were made durable."),
		aside:     r.Counter("allmende_inbox_aside_samples_total", "Meter samples that were stored but are not counted, because they cannot be."),

		http:     r.Counters("allmende_http_requests_total", "Requests to the web listener.", "route", "method", "code"),
		httpTime: r.Histograms("allmende_http_request_duration_seconds", "How long requests to the web listener take, event streams left out.", "route", seconds...),
		grpc:     r.Counters("allmende_grpc_requests_total", "Calls, those by REST included. A stream counts when it ends.", "service", "method", "code"),
		grpcTime: r.Histograms("allmende_grpc_request_duration_seconds", "How long calls take, streams left out.", "method", seconds...),
	}
}

// stored notes a commit and what it brought.
func (m *measures) stored(job scheduler.Store, took time.Duration) {
	if m == nil {
		return
	}
	m.commit.Observe(took)
	first, again := 0, 0
	for _, l := range job.Leaves {
		switch {
		case l.Leaf.Kind != ledger.KindIntervalSettled:
		case l.Leaf.Settled.Revision == 0:
			first++
		default:
			again++
		}
	}
	m.settled.Add(first)
	m.resettled.Add(again)
}

// again notes a commit that has to be tried once more.
func (m *measures) again() {
	if m != nil {
		m.retries.Add(1)
	}
}

// passed notes a tick. It runs in the live loop and allocates nothing.
func (m *measures) passed(took time.Duration, backlog scheduler.Backlog) {
	m.tick.Observe(took)
	m.waiting.Store(int64(backlog.Waiting))
	m.disturbed.Store(int64(backlog.Again))
}

// late notes how long after its time a tick had passed.
func (m *measures) late(by energy.Span) { m.lateness.Observe(max(by, 0).Duration()) }

// answered notes a call.
func (m *measures) answered(method string, err error, took time.Duration) {
	service, name := path.Split(strings.TrimPrefix(method, "/"))
	m.grpc.With(strings.TrimSuffix(service, "/"), name, status.Code(err).String()).Add(1)
	if took > 0 {
		m.grpcTime.With(name).Observe(took)
	}
	if m.log != nil && m.log.Enabled(context.Background(), slog.LevelDebug) {
		// Not the error's text: it may repeat what somebody typed into the wrong field.
		m.log.Debug("call", "method", method, "code", status.Code(err), "took", took)
	}
}

// services are the same services, counted, however they are reached.
func (m *measures) services(services []api.Service) []api.Service {
	for i, s := range services {
		desc := *s.Desc
		desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
		for j, method := range desc.Methods {
			full, handler := "/"+desc.ServiceName+"/"+method.MethodName, method.Handler
			desc.Methods[j].Handler = func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
				begun := time.Now()
				ctx, span := m.tracer.Start(ctx, full)
				answer, err := handler(srv, ctx, dec, interceptor)
				span.End(failureOf(err))
				m.answered(full, err, time.Since(begun))
				return answer, err
			}
		}
		services[i].Desc = &desc
	}
	return services
}

// streams counts the streams of a gRPC server.
func (m *measures) streams() grpc.ServerOption {
	return grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		err := handler(srv, stream)
		m.answered(info.FullMethod, err, 0)
		return err
	})
}

// calls counts the calls of a gRPC server whose services are not counted.
func (m *measures) calls() grpc.ServerOption {
	return grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		begun := time.Now()
		ctx, span := m.tracer.Start(ctx, info.FullMethod)
		answer, err := handler(ctx, req)
		span.End(failureOf(err))
		m.answered(info.FullMethod, err, time.Since(begun))
		return answer, err
	})
}

// failureOf is what a trace shows of an error: its text may name members.
func failureOf(err error) string {
	if err == nil {
		return ""
	}
	return status.Code(err).String()
}

// begin is the time where it will be of use.
func (m *measures) begin() (t time.Time) {
	if m.tracer != nil {
		t = time.Now()
	}
	return t
}

// decided notes a pass of the live loop in which intervals were settled.
func (m *measures) decided(effects []scheduler.Effect, begun time.Time) {
	if m.tracer == nil {
		return
	}
	for _, e := range effects {
		if job, ok := e.(scheduler.Store); ok {
			m.tracer.Record("settlement", begun, func(s tracing.Span) { s.Count("leaves", len(job.Leaves)) })
		}
	}
}

// batch begins a span of what a gateway sent.
func (m *measures) batch(ctx context.Context, kind string, gateway roll.GatewayID, n int) (context.Context, tracing.Span) {
	ctx, span := m.tracer.Start(ctx, kind)
	span.Text("gateway", string(gateway))
	span.Count("values", n)
	return ctx, span
}

// committing begins a span of a commit.
func (m *measures) committing(ctx context.Context, leaves int) (context.Context, tracing.Span) {
	if m == nil {
		return ctx, tracing.Span{}
	}
	ctx, span := m.tracer.Start(ctx, "ledger commit")
	span.Count("leaves", leaves)
	return ctx, span
}

// measure adds what is taken when somebody asks.
func (c *Coordinator) measure() {
	r := c.measures.registry
	r.Add(c.measureLedger())
	r.Add(c.measureStore())
	r.Add(c.fleet.measures())
	r.Add(c.fleet.door.measures())
	r.Add(c.measureSeries())
	r.Add(c.measurePeople())
	r.Add(telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_live_readers", Help: "Pages and programs that follow the live picture."},
			{Name: "allmende_live_readers_dropped_total", Help: "Followers that were too slow and lost their stream.", Kind: telemetry.Total},
			{Name: "allmende_live_batches_total", Help: "Batches of live readings that came from gateways.", Kind: telemetry.Total},
			{Name: "allmende_live_batches_lost_total", Help: "Batches of live readings that were lost, because the live loop was behind.", Kind: telemetry.Total},
			{Name: "allmende_problem", Help: "1 for each kind of thing that is wrong now; /healthz says what.", Labels: []string{"kind"}},
			{Name: "allmende_certificate_not_after_timestamp_seconds", Help: "When the certificate of a listener ends.", Labels: []string{"listener"}},
			{Name: "allmende_world_speed_ratio", Help: "World seconds for each second: 1 in service."},
		},
		Take: func(set telemetry.Setter) {
			hub := c.hub.Stats()
			set(0, float64(hub.Readers))
			set(1, float64(hub.Dropped))
			set(2, float64(c.measures.liveTaken.Load()))
			set(3, float64(c.measures.liveLost.Load()))
			for _, kind := range c.problems.kinds() {
				set(4, 1, kind)
			}
			for name, source := range c.encryption.sources() {
				set(5, telemetry.Unix(source.Ends()), strings.TrimSuffix(name, " certificate"))
			}
			set(6, c.clock.Speed())
		},
	})
}

func (c *Coordinator) measureLedger() telemetry.Group {
	return telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_ledger_leaves", Help: "Leaves in the ledger."},
			{Name: "allmende_intervals_waiting", Help: "Intervals that have ended and are not settled yet; some always wait for their gateways."},
			{Name: "allmende_intervals_disturbed", Help: "Settled intervals that late data touched and that are looked at again."},
			{Name: "allmende_inbox_samples", Help: "Meter samples in the inbox, erased ones included."},
			{Name: "allmende_database_size_bytes", Help: "Size of the ledger's file with what is not yet merged into it; absent where the database is a server."},
		},
		Take: func(set telemetry.Setter) {
			set(0, float64(c.size.Load()))
			set(1, float64(c.measures.waiting.Load()))
			set(2, float64(c.measures.disturbed.Load()))
			const within = 2 * time.Second
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			if n, err := c.store.InboxSamples(ctx); err == nil {
				set(3, float64(n))
			}
			bytes := int64(0)
			for _, file := range []string{c.cfg.LedgerFile(), c.cfg.LedgerFile() + "-wal"} {
				if info, err := os.Stat(file); err == nil {
					bytes += info.Size()
				}
			}
			if bytes > 0 {
				set(4, float64(bytes))
			}
		},
	}
}

func (c *Coordinator) measureSeries() telemetry.Group {
	return telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_series_taken_points_total", Help: "Points that the time series took.", Kind: telemetry.Total},
			{Name: "allmende_series_written_points_total", Help: "Points that are on the disk or with the server.", Kind: telemetry.Total},
			{Name: "allmende_series_queued_points", Help: "Points that were taken and are not written yet."},
			{Name: "allmende_series_dropped_points_total", Help: "Points that were dropped.", Kind: telemetry.Total, Labels: []string{"reason"}},
			{Name: "allmende_series_write_failures_total", Help: "Writes that failed; most are tried again.", Kind: telemetry.Total},
			{Name: "allmende_series_known", Help: "Series that are known."},
			{Name: "allmende_series_size_bytes", Help: "Bytes on the disk, where the store knows them."},
			{Name: "allmende_series_size_limit_bytes", Help: "The most bytes that the store takes, 0 for no limit."},
		},
		Take: func(set telemetry.Setter) {
			s := c.record.Stats()
			set(0, float64(s.Taken))
			set(1, float64(s.Written))
			set(2, float64(s.Queued))
			for _, reason := range series.Reasons() {
				set(3, float64(s.Dropped[reason]), string(reason))
			}
			set(4, float64(s.Failures))
			set(5, float64(s.Series))
			set(6, float64(s.Bytes))
			set(7, float64(s.MaxBytes))
		},
	}
}

// measures are the gateways' counters, by gateway and never by member.
func (f *fleet) measures() telemetry.Group {
	one := []string{"gateway"}
	return telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_gateways_registered", Help: "Gateways in the register."},
			{Name: "allmende_gateways_connected", Help: "Gateways that are connected."},
			{Name: "allmende_gateway_connected", Help: "1 while the gateway is connected.", Labels: one},
			{Name: "allmende_gateway_last_seen_timestamp_seconds", Help: "When the gateway last sent anything, 0 for never since the start; in world time.", Labels: one},
			{Name: "allmende_gateway_clock_offset_seconds", Help: "How far the gateway's clock is ahead of the coordinator's.", Labels: one},
			{Name: "allmende_gateway_spool_pending_samples", Help: "Meter samples that the gateway keeps and that are not acknowledged.", Labels: one},
			{Name: "allmende_gateway_devices", Help: "Devices that the register gives the gateway.", Labels: one},
			{Name: "allmende_gateway_devices_online", Help: "Devices that answer the gateway.", Labels: one},
			{Name: "allmende_gateway_certificate_not_after_timestamp_seconds", Help: "When the certificate ends that the gateway is connected with.", Labels: one},
			{Name: "allmende_gateway_problem", Help: "1 while something is wrong with the gateway; the page says what.", Labels: one},
		},
		Take: f.take,
	}
}

func (f *fleet) take(set telemetry.Setter) {
	connected := 0
	all := f.list()
	for _, g := range all {
		h, id := g.Health, string(g.Health.Gateway)
		set(2, truth(h.Connected), id)
		set(3, float64(h.LastSeen)/1000, id)
		set(6, float64(h.DevicesTotal), id)
		set(9, truth(h.Problem != ""), id)
		if !h.Connected {
			continue
		}
		connected++
		if h.ClockKnown {
			set(4, h.ClockOffset.Duration().Seconds(), id)
		}
		set(5, float64(h.SpoolPending), id)
		set(7, float64(h.DevicesOnline), id)
		set(8, telemetry.Unix(f.certificateEnds(h.Gateway)), id)
	}
	set(0, float64(len(all)))
	set(1, float64(connected))
}

// certificateEnds is when the certificate ends that a gateway is connected with.
func (f *fleet) certificateEnds(id roll.GatewayID) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.gateways[id]; g != nil && g.session != nil {
		return g.session.Ends
	}
	return time.Time{}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
