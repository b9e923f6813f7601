// SPDX-License-Identifier: AGPL-3.0-or-later

// Package tracing tells a collector of traces (OpenTelemetry) how long single
// requests, commits and settlements took, and what they were part of.
//
// Where none is configured the tracer is nil, and everything here returns at
// once. Spans carry names of methods, ids of gateways and counts, and nothing of
// a member. What the collector does not take in time is dropped: the program
// never waits for it.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/allmende-energy/allmende/internal/settings"
)

// Config says where traces go.
type Config struct {
	Endpoint string // empty: nowhere
	Percent  int    // of what begins is traced
}

// Keys are the settings of traces.
func Keys(c *Config) []settings.Key {
	return []settings.Key{
		{
			Name: "traces.endpoint", Value: settings.URL(&c.Endpoint, "http", "https", "grpc", "grpcs"), Example: "grpc://127.0.0.1:4317",
			Help: "The collector that traces are sent to by OTLP. http:// and https:// are OTLP over HTTP, usually at port 4318; grpc:// and grpcs:// are OTLP over gRPC, usually at port 4317. Without it nothing is traced.",
		},
		{
			Name: "traces.sample_percent", Value: settings.Number(&c.Percent, 1, 100), Default: "10", Example: "100",
			Help: "How many in a hundred requests, commits and batches are traced. A community of a hundred gateways has a hundred batches a second.",
		},
	}
}

// Bounds of what is sent, on the wall clock.
const (
	queued     = 2_048 // spans that wait; more are dropped
	sendEvery  = 2 * time.Second
	sendWithin = 10 * time.Second
	endWithin  = 3 * time.Second
)

// Tracer makes spans. A nil tracer makes none.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdk.TracerProvider
	exporter *otlptrace.Exporter
}

// Open returns a tracer, nil where none is configured. It does not wait for the
// collector: one that is away is tried again.
func Open(ctx context.Context, c Config, version string, log *slog.Logger) (*Tracer, error) {
	if c.Endpoint == "" {
		return nil, nil //nolint:nilnil // a nil tracer is one that does nothing
	}
	exporter, err := open(ctx, c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("traces.endpoint: %w", err)
	}
	const whole = 100
	p := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(float64(c.Percent)/whole))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "allmende"), attribute.String("service.version", version))),
		sdk.WithBatcher(telling{exporter, log}, sdk.WithMaxQueueSize(queued), sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(sendWithin)),
	)
	return &Tracer{p.Tracer("github.com/allmende-energy/allmende"), p, exporter}, nil
}

func open(ctx context.Context, endpoint string) (*otlptrace.Exporter, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "grpc":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(u.Host), otlptracegrpc.WithInsecure(), otlptracegrpc.WithTimeout(sendWithin))
	case "grpcs":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(u.Host), otlptracegrpc.WithTimeout(sendWithin))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithTimeout(sendWithin))
}

// telling logs what the collector does not take. Otherwise the library would
// write to standard error by itself.
type telling struct {
	*otlptrace.Exporter
	log *slog.Logger
}

// ExportSpans implements [sdk.SpanExporter].
func (t telling) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := t.Exporter.ExportSpans(ctx, spans); err != nil && !errors.Is(err, context.Canceled) {
		t.log.Warn("traces could not be sent and are dropped; see traces.endpoint", "spans", len(spans), "error", err)
	}
	return nil
}

// Close sends what is left, within bounds.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if t.provider.Shutdown(ctx) != nil {
		_ = t.exporter.Shutdown(ctx) // ends at once what still waits for a collector that is away
	}
	_ = t.provider.Shutdown(ctx) // waits for nothing any more
}

// Span is a piece of work. The zero value is of no trace.
type Span struct {
	span trace.Span
}

// Start begins a span within that of ctx, if there is one.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, Span{span}
}

// Record adds a span that has ended by now and began at an instant.
func (t *Tracer) Record(name string, begun time.Time, describe func(Span)) {
	if t == nil {
		return
	}
	_, span := t.tracer.Start(context.Background(), name, trace.WithTimestamp(begun))
	describe(Span{span})
	span.End()
}

// Text adds what the work was about.
func (s Span) Text(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Count adds how much there was.
func (s Span) Count(key string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, n))
	}
}

// End ends the span, with the kind of failure if there was one: its text may
// name members.
func (s Span) End(failed string) {
	if s.span == nil {
		return
	}
	if failed != "" {
		s.span.SetStatus(codes.Error, failed)
	}
	s.span.End()
}
