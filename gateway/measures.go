// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/internal/telemetry"
)

// Running is a gateway that has begun.
type Running struct {
	Metrics string      // where its counters are, host and port; empty: nowhere
	Alive   func() bool // whether each of its buses passes its rounds
}

// measures are the counters of a gateway. Buses are told apart by their number
// in gateway.yaml, as addresses within a home are nobody's business.
type measures struct {
	registry  *telemetry.Registry
	exchanges *telemetry.Counters
	durations *telemetry.Histograms
	rounds    *telemetry.Histogram
	lateness  *telemetry.Histogram
}

func newMeasures(b telemetry.Build) *measures {
	r := telemetry.New(b)
	return &measures{
		registry:  r,
		exchanges: r.Counters("allmende_edge_bus_exchanges_total", "Questions to devices, by the number of the bus, what they were and how they ended.", "bus", "kind", "outcome"),
		durations: r.Histograms("allmende_edge_bus_exchange_duration_seconds", "How long a question and its answer take, connecting included.", "bus", telemetry.Seconds()...),
		rounds:    r.Histogram("allmende_edge_round_duration_seconds", "How long it takes to read all devices of a bus once.", telemetry.Seconds()...),
		lateness:  r.Histogram("allmende_edge_round_lateness_seconds", "How long after its time a round began, in world time.", telemetry.Seconds()...),
	}
}

// round notes how long a round took.
func (m *measures) round(took time.Duration) {
	if m != nil {
		m.rounds.Observe(took)
	}
}

// late notes how long after its time a round began.
func (m *measures) late(by time.Duration) {
	if m != nil {
		m.lateness.Observe(by)
	}
}

// How an exchange ended.
const (
	outcomeOK = iota
	outcomeTimeout
	outcomeRefused
	outcomeInvalid
	outcomeUnreachable
	outcomes
)

// observer counts the exchanges of a bus. What it needs is looked up once, so
// that an exchange allocates nothing.
func (m *measures) observer(bus int) func(write bool, took time.Duration, err error) {
	name := strconv.Itoa(bus)
	duration := m.durations.With(name)
	var counts [2][outcomes]*telemetry.Counter
	for k, kind := range []string{"read", "write"} {
		for o, outcome := range []string{"ok", "timeout", "refused", "invalid", "unreachable"} {
			counts[k][o] = m.exchanges.With(name, kind, outcome)
		}
	}
	return func(write bool, took time.Duration, err error) {
		kind := 0
		if write {
			kind = 1
		}
		duration.Observe(took)
		counts[kind][outcomeOf(err)].Add(1)
	}
}

func outcomeOf(err error) int {
	_, refused := errors.AsType[modbus.ErrException](err)
	switch {
	case err == nil:
		return outcomeOK
	case refused:
		return outcomeRefused
	case errors.Is(err, modbus.ErrTimeout):
		return outcomeTimeout
	case errors.Is(err, modbus.ErrProtocol):
		return outcomeInvalid
	}
	return outcomeUnreachable
}

// group is what is taken when somebody asks.
func (m *machine) group() telemetry.Group {
	return telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_edge_devices", Help: "Devices in gateway.yaml."},
			{Name: "allmende_edge_devices_online", Help: "Devices that answer."},
			{Name: "allmende_edge_buses", Help: "Modbus connections."},
			{Name: "allmende_edge_spool_pending_samples", Help: "Meter samples that the coordinator has not acknowledged yet."},
			{Name: "allmende_edge_spool_size_bytes", Help: "Bytes that the samples take on the disk, acknowledged ones included."},
			{Name: "allmende_edge_spool_failing", Help: "1 while samples can't be written to the disk."},
			{Name: "allmende_edge_uplink_connected", Help: "1 while the coordinator is connected."},
			{Name: "allmende_edge_uplink_streams_total", Help: "Streams to the coordinator since the start.", Kind: telemetry.Total},
			{Name: "allmende_edge_clock_offset_seconds", Help: "How far this clock is ahead of the coordinator's; absent until it was measured."},
			{Name: "allmende_edge_certificate_not_after_timestamp_seconds", Help: "When this gateway's certificate ends."},
		},
		Take: func(set telemetry.Setter) {
			status, online := m.status(), 0
			for _, d := range status.Devices {
				if d.Online {
					online++
				}
			}
			set(0, float64(len(status.Devices)))
			set(1, float64(online))
			set(2, float64(len(m.buses)))
			set(3, float64(m.spool.Pending()))
			set(4, float64(m.spool.Bytes()))
			set(5, truth(status.SpoolError != ""))
			set(6, truth(m.link.Connected()))
			set(7, float64(m.link.Streams()))
			if offset := m.link.Clock(); offset.Known {
				set(8, offset.Offset.Duration().Seconds())
			}
			set(9, telemetry.Unix(m.keeper.Identity().NotAfter))
		},
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// alive says whether each bus has passed a round in the time that its devices
// may take at most.
func (m *machine) alive() bool {
	const patience = 10 * time.Second
	now := time.Now()
	for _, l := range m.loops {
		each := exchangesOfDiscover + exchangesOfRead + exchangesOfCommand
		most := patience + m.cfg.Poll.Duration() + time.Duration(each*len(l.pollers))*m.cfg.Modbus.Timeout
		if now.Sub(time.Unix(0, l.passed.Load())) > most {
			return false
		}
	}
	return true
}

// serveMetrics serves the counters until ctx ends, where that is wanted.
func (m *machine) serveMetrics(ctx context.Context) (address string, wait func(), err error) {
	wait = func() {}
	if m.cfg.Metrics.Listen == "" {
		return "", wait, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", m.cfg.Metrics.Listen)
	if err != nil {
		return "", wait, fmt.Errorf("metrics.listen: %w: choose another address in %s", err, ConfigFile)
	}
	const within = 10 * time.Second
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.measures.registry.Handler(m.log))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: within, ReadTimeout: within, WriteTimeout: 2 * within, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.log.Warn("the counters can't be served any more", "error", err)
		}
	}()
	return l.Addr().String(), func() {
		_ = s.Close() // whoever reads them now comes again
		<-done
	}, nil
}

// late is how long after its time a round begins. In a stepped world there is
// no such thing.
func (l *loop) late() {
	if l.stepped || !l.begun {
		return
	}
	now, poll := l.clock.Now(), l.env.cfg.Poll
	l.env.measures.late(now.Sub(alignUp(now, poll).Add(-poll)).Duration())
}
