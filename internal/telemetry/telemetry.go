// SPDX-License-Identifier: AGPL-3.0-or-later

package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Build is what the program knows of its own making.
type Build struct{ Version, Revision, Go string }

// Registry holds the counters of one coordinator or gateway. A nil registry
// counts nothing, and so do the counters that it gives.
type Registry struct {
	reg *prometheus.Registry
}

// New returns a registry with the counters of process, Go and build.
func New(b Build) *Registry {
	r := &Registry{prometheus.NewRegistry()}
	r.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.Add(Group{
		Metrics: []Metric{{Name: "allmende_build_info", Help: "Always 1; the labels say which program this is.", Labels: []string{"version", "revision", "go"}}},
		Take:    func(set Setter) { set(0, 1, b.Version, b.Revision, b.Go) },
	})
	return r
}

// Handler answers Prometheus.
func (r *Registry) Handler(log *slog.Logger) http.Handler {
	const atATime, within = 4, 10 * time.Second
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: atATime, Timeout: within, EnableOpenMetrics: true,
	})
}

// Histogram counts by size. Observing allocates nothing.
type Histogram struct {
	h prometheus.Observer
}

// Histogram adds one; name ends with its unit, and bounds rise.
func (r *Registry) Histogram(name, help string, bounds ...float64) *Histogram {
	if r == nil {
		return nil
	}
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds})
	r.reg.MustRegister(h)
	return &Histogram{h}
}

// Observe counts a duration, in seconds.
func (h *Histogram) Observe(d time.Duration) {
	if h != nil {
		h.h.Observe(d.Seconds())
	}
}

// Histograms are histograms that differ in one label.
type Histograms struct {
	vec *prometheus.HistogramVec
}

// Histograms adds some.
func (r *Registry) Histograms(name, help, label string, bounds ...float64) *Histograms {
	if r == nil {
		return nil
	}
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds}, []string{label})
	r.reg.MustRegister(v)
	return &Histograms{v}
}

// With is the one with a label; its values must be few.
func (h *Histograms) With(value string) *Histogram {
	if h == nil {
		return nil
	}
	return &Histogram{h.vec.WithLabelValues(value)}
}

// Counter only rises.
type Counter struct {
	c prometheus.Counter
}

// Counter adds one; name ends with _total.
func (r *Registry) Counter(name, help string) *Counter {
	if r == nil {
		return nil
	}
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.reg.MustRegister(c)
	return &Counter{c}
}

// Add counts n more.
func (c *Counter) Add(n int) {
	if c != nil {
		c.c.Add(float64(n))
	}
}

// Counters are counters that differ in labels.
type Counters struct {
	vec *prometheus.CounterVec
}

// Counters adds some.
func (r *Registry) Counters(name, help string, labels ...string) *Counters {
	if r == nil {
		return nil
	}
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.reg.MustRegister(v)
	return &Counters{v}
}

// With is the one with the labels; their values must be few.
func (c *Counters) With(values ...string) *Counter {
	if c == nil {
		return nil
	}
	return &Counter{c.vec.WithLabelValues(values...)}
}

// Kind is how a metric that is taken behaves.
type Kind int

// Kinds.
const (
	Gauge Kind = iota // goes up and down
	Total             // only rises; its name ends with _total
)

// Metric is one that is taken when somebody asks.
type Metric struct {
	Name   string
	Help   string
	Kind   Kind
	Labels []string
}

// Setter gives a value to a group's metric of that index, for one set of labels.
type Setter func(metric int, value float64, labels ...string)

// Group is metrics that are taken together.
type Group struct {
	Metrics []Metric
	Take    func(Setter) // it may be called at any time, from any goroutine
}

// Add adds a group.
func (r *Registry) Add(g Group) {
	if r == nil {
		return
	}
	c := &collector{group: g}
	for _, m := range g.Metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels, nil))
	}
	r.reg.MustRegister(c)
}

type collector struct {
	group Group
	descs []*prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.group.Take(func(metric int, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if c.group.Metrics[metric].Kind == Total {
			kind = prometheus.CounterValue
		}
		m, err := prometheus.NewConstMetric(c.descs[metric], kind, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(c.descs[metric], fmt.Errorf("%s: %w", c.group.Metrics[metric].Name, err))
		}
		ch <- m
	})
}

// Seconds are bounds of durations from a tenth of a millisecond to ten seconds.
func Seconds() []float64 {
	return []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// Unix is an instant as Prometheus counts it, 0 for none.
func Unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
