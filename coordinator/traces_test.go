// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
)

// receiver is a collector of traces, as OTLP describes it.
type receiver struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex
	names map[string]int
	all   strings.Builder
}

// Export takes spans.
func (r *receiver) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range in.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				r.names[span.GetName()]++
			}
		}
	}
	r.all.WriteString(in.String())
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP takes spans by HTTP.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var in collector.ExportTraceServiceRequest
	b, err := io.ReadAll(request.Body)
	if err == nil {
		err = proto.Unmarshal(b, &in)
	}
	if err != nil || request.URL.Path != "/v1/traces" {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	_, _ = r.Export(request.Context(), &in)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) seen() (names []string, all string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, r.all.String()
}

// TestTraces reach a collector, by gRPC and by HTTP, and name no member.
func TestTraces(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	byGRPC, byHTTP := &receiver{names: map[string]int{}}, &receiver{names: map[string]int{}}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, byGRPC)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	web := httptest.NewServer(byHTTP)
	t.Cleanup(web.Close)
	for endpoint, r := range map[string]*receiver{"grpc://" + l.Addr().String(): byGRPC, web.URL: byHTTP} {
		dir, w := folder(t, twoHomes), newWorld(t, dawn)
		cfg, err := Load(dir, config.Flag{Key: "traces.endpoint", Value: endpoint}, config.Flag{Key: "traces.sample_percent", Value: "100"})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Simulated = true
		c, err := Start(t.Context(), cfg, w.clock, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		w.until(dawn.Add(3 * energy.Minute))
		scrape(t, "http://"+c.Addresses().HTTP+"/v1/community")
		scrape(t, "http://"+c.Addresses().HTTP+"/v1/people/anna")
		if err := c.Stop(); err != nil { // sends the rest
			t.Fatal(err)
		}
		names, all := r.seen()
		for _, want := range []string{"/allmende.v1.CommunityService/GetCommunity", "GET /v1/community", "ledger commit"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s: %s is not among %v", endpoint, want, names)
			}
		}
		for _, m := range cfg.Roll.Members {
			if strings.Contains(all, string(m.ID)) {
				t.Errorf("a member is named:\n%s", all)
			}
		}
	}
}

// TestACollectorThatIsAway holds nobody up.
func TestACollectorThatIsAway(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	cfg, err := Load(dir, config.Flag{Key: "traces.endpoint", Value: "grpc://127.0.0.1:1"}, config.Flag{Key: "traces.sample_percent", Value: "100"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated = true
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	w.until(dawn.Add(3 * energy.Minute))
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
}

// TestNotTracingAllocatesNothing, so that it costs nothing where nobody asked for it.
func TestNotTracingAllocatesNothing(t *testing.T) {
	m := &measures{}
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		_, span := m.batch(ctx, "live batch", "gw", 3)
		span.End("")
		m.decided(nil, m.begin())
		_, span = m.committing(ctx, 2)
		span.End("")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
