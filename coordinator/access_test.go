// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/people"
	"github.com/allmende-energy/allmende/internal/worldtime"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Whoever adds a method decides who may call it.
func TestEveryMethodHasItsRow(t *testing.T) {
	policy, err := access.Load()
	if err != nil {
		t.Fatal(err)
	}
	c := &Coordinator{guard: &access.Guard{Policy: policy}, people: &people.People{}}
	s, state := newIntegrators(c.services(api.NewCommunity(false, access.DefaultCrowd, nil, nil)), c.guard.Network())
	defer state.Shutdown()
	defer s.Stop()
	var registered []string
	for service, info := range s.GetServiceInfo() {
		for _, m := range info.Methods {
			registered = append(registered, "/"+service+"/"+m.Name)
		}
	}
	noRow, noMethod := policy.Missing(registered)
	if len(noRow) > 0 {
		t.Errorf("nobody may call these: give each a row in coordinator/access/policy.yaml:\n%s", strings.Join(noRow, "\n"))
	}
	if len(noMethod) > 0 {
		t.Errorf("these rows of coordinator/access/policy.yaml have no method:\n%s", strings.Join(noMethod, "\n"))
	}
}

// In service nobody is anybody without an account.
func TestStrangersAreRefused(t *testing.T) {
	cfg, err := Load(folder(t, twoHomes))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Page = http.NotFoundHandler()
	c, err := Start(t.Context(), cfg, worldtime.NewReal(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })

	for _, path := range []string{"/v1/community", "/v1/charter", "/v1/live", "/v1/live/events", "/v1/intervals", "/v1/ledger/checkpoint", "/v1/ledger/leaves", "/v1/gateways"} {
		for name, change := range map[string]func(http.Header){
			"nobody":                   func(http.Header) {},
			"a token that nobody made": func(h http.Header) { h.Set("Authorization", "Bearer alm_guessed") },
			"a password":               func(h http.Header) { h.Set("Authorization", "Basic YTpi") },
			"metadata in a header": func(h http.Header) {
				h.Set("Grpc-Metadata-Authorization", "Bearer x")
				h.Set("Grpc-Metadata-Role", "steward")
			},
			"another method than is sent": func(h http.Header) { h.Set("X-HTTP-Method-Override", "POST") },
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Addresses().HTTP+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			change(req.Header)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusUnauthorized || strings.Contains(string(body), "anna") {
				t.Errorf("%s as %s: %d %s", path, name, res.StatusCode, body)
			}
		}
	}

	conn, err := grpc.NewClient("passthrough:///"+c.Addresses().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := allmendev1.NewCommunityServiceClient(conn)
	if _, err := client.GetCommunity(t.Context(), &allmendev1.GetCommunityRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC: %v", err)
	}
	stream, err := client.WatchLive(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer alm_guessed"), &allmendev1.WatchLiveRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC stream: %v", err)
	}
}
