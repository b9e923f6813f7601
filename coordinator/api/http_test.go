// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// still is a commons in which nothing happens.
type still struct{ tokens int }

func (s *still) Charter() api.InForce { return api.InForce{Charter: charter.Charter{Name: "Test"}} }
func (s *still) Intervals(context.Context, energy.Instant, int) ([]api.Settled, error) {
	return nil, nil
}
func (s *still) Head(context.Context) (api.Head, error) { return api.Head{}, api.ErrNotFound }
func (s *still) Leaves(context.Context, int64, int) ([][]byte, error) {
	return nil, errors.New("secret detail")
}
func (s *still) Gateways() []api.GatewayDetail { return nil }
func (s *still) CreateToken(context.Context, roll.GatewayID) (string, time.Time, error) {
	s.tokens++
	return "alm1.token", time.UnixMilli(1), nil
}

// keys are tokens and whose they are.
type keys map[string]access.Principal

func (k keys) Bearer(_ context.Context, token string) (access.Principal, error) {
	if who, ok := k[token]; ok {
		return who, nil
	}
	return access.Principal{}, access.ErrUnknown
}

func serve(t *testing.T) (*httptest.Server, *api.Hub, *still) {
	t.Helper()
	hub, commons := api.NewHub(), &still{}
	community := api.NewCommunity(true, access.DefaultCrowd, commons, hub)
	community.Follow(roll.Community{ID: "sunny-lane", Members: []roll.Member{{ID: "anna"}}})
	policy, err := access.Load()
	if err != nil {
		t.Fatal(err)
	}
	installer := policy.Grant(access.Principal{ID: "ida", Kind: access.Person, Roles: []access.Role{access.RoleInstaller}})
	guard := &access.Guard{Policy: policy, Anonymous: policy.Anonymous(true), Bearers: keys{"ida": installer}}
	handler, err := api.HTTP{Guard: guard, Services: []api.Service{api.CommunityService(community)}, Community: community, Hub: hub, Names: []string{"sun.example.org"}, Health: func() []string { return []string{"ledger: full"} }}.Handler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(func() {
		hub.Close()
		s.CloseClientConnections()
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s, hub, commons
}

func picture(sequence uint64) *allmendev1.Live {
	return api.EncodeLive(scheduler.Live{Sequence: sequence, At: now}, api.Around{Speed: 1})
}

func do(t *testing.T, s *httptest.Server, method, path, body string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func TestREST(t *testing.T) {
	s, hub, commons := serve(t)
	expect := func(method, path, body string, change func(*http.Request), code int, text string) {
		t.Helper()
		got, answer, header := do(t, s, method, path, body, change)
		if got != code || !strings.Contains(answer, text) {
			t.Errorf("%s %s: %d %s, expected %d with %q", method, path, got, answer, code, text)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'self'") ||
			!strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s %s: headers %v", method, path, header)
		}
	}
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }

	expect("GET", "/v1/community", "", nil, 200, `"simulated":true`)
	expect("GET", "/v1/live", "", nil, 503, "try again")
	hub.Publish(picture(1))
	expect("GET", "/v1/live", "", nil, 200, `"members":[]`)
	expect("GET", "/v1/intervals?pageSize=1001", "", nil, 400, "page_size")
	expect("GET", "/v1/intervals?beforeUnixMs=x", "", nil, 400, "")
	expect("GET", "/v1/ledger/checkpoint", "", nil, 404, "not found")
	expect("GET", "/v1/nothing", "", nil, 404, "")
	expect("GET", "/healthz", "", nil, 200, "ledger: full")
	if _, answer, _ := do(t, s, "GET", "/v1/ledger/leaves", "", nil); strings.Contains(answer, "secret detail") {
		t.Errorf("an internal error was told: %s", answer)
	}

	// Only hosts that are ours.
	expect("GET", "/v1/community", "", host("evil.example.org"), 421, "http.names")
	expect("GET", "/v1/community", "", host("127.0.0.1.evil.example.org"), 421, "http.names")
	expect("GET", "/v1/community", "", host("192.168.1.7"), 421, "http.names")
	expect("GET", "/v1/community", "", host("SUN.example.org:80"), 200, "sunny-lane")
	expect("GET", "/v1/community", "", host("localhost:8080"), 200, "sunny-lane")
	expect("GET", "/v1/community", "", host("[::1]:8080"), 200, "sunny-lane")

	// Tokens: for who may, and not from another site's page.
	const path = "/v1/gateways/gw-a/enrolment-token"
	ida := func(and func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) { set("Authorization", "Bearer ida")(r); and(r) }
	}
	expect("POST", path, "{}", ida(func(*http.Request) {}), 200, "alm1.token")
	expect("POST", path, "{}", nil, 403, "gateways.enrol")
	expect("POST", path, "{}", set("Authorization", "Bearer guessed"), 401, "not signed in")
	expect("POST", path, "{}", set("Authorization", "Basic aWRhOg=="), 401, "Bearer TOKEN")
	expect("POST", path, "{}", set("Grpc-Metadata-Authorization", "Bearer ida"), 403, "gateways.enrol")
	expect("POST", path, "{}", ida(set("Content-Type", "text/plain")), 415, "application/json")
	expect("POST", path, "", ida(func(*http.Request) {}), 415, "application/json")
	expect("POST", path, "{}", ida(set("Sec-Fetch-Site", "cross-site")), 403, "")
	expect("POST", path, "{}", ida(set("Origin", "http://evil.example.org")), 403, "")
	expect("POST", "/v1/gateways/GW/enrolment-token", "{}", ida(func(*http.Request) {}), 400, "gateway_id")
	expect("POST", path, `{"x": "`+strings.Repeat("y", 1<<17)+`"}`, ida(func(*http.Request) {}), 400, "")
	if commons.tokens != 1 {
		t.Errorf("%d tokens were made", commons.tokens)
	}

	// The method is the one that was sent.
	override := func(r *http.Request) {
		r.Header.Set("X-HTTP-Method-Override", "GET")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if code, _, _ := do(t, s, "POST", "/v1/community", "", override); code == 200 {
		t.Error("X-HTTP-Method-Override was followed")
	}
}

type event struct {
	id   uint64
	live struct{ Sequence string }
}

// events opens a stream and returns a function that reads the next event.
func events(t *testing.T, s *httptest.Server, last string) func() (event, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/live/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func() (e event, err error) {
		for lines.Scan() {
			line := lines.Text()
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				if e.id, err = strconv.ParseUint(id, 10, 64); err != nil {
					return e, err
				}
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				if err := json.Unmarshal([]byte(data), &e.live); err != nil {
					return e, err
				}
			}
			if line == "" && e.id > 0 {
				if e.live.Sequence != strconv.FormatUint(e.id, 10) {
					return e, fmt.Errorf("event %d carries picture %s", e.id, e.live.Sequence)
				}
				return e, nil
			}
		}
		return e, io.EOF
	}
}

func TestEvents(t *testing.T) {
	s, hub, _ := serve(t)
	for i := uint64(1); i <= 200; i++ {
		hub.Publish(picture(i))
	}
	expect := func(next func() (event, error), ids ...uint64) {
		t.Helper()
		for _, want := range ids {
			if e, err := next(); err != nil || e.id != want {
				t.Fatalf("event %d, %v, expected %d", e.id, err, want)
			}
		}
	}
	fresh, back, early, other := events(t, s, ""), events(t, s, "197"), events(t, s, "3"), events(t, s, "999999")
	nonsense := events(t, s, "nonsense")
	expect(fresh, 200)
	expect(back, 198, 199, 200)
	expect(early, 81, 82) // as far back as the ring reaches
	expect(other, 200)    // an id of another run
	expect(nonsense, 200)
	hub.Publish(picture(201))
	expect(fresh, 201)
	expect(back, 201)
	hub.Close()
	if _, err := fresh(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream went on after the end: %v", err)
	}
}

func TestSlowReaderIsDropped(t *testing.T) {
	hub := api.NewHub()
	slow, err := hub.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 1_000; i++ {
		hub.Publish(picture(i)) // never waits
	}
	n := 0
	for range slow.C {
		n++
	}
	if n == 0 || n >= 1_000 {
		t.Errorf("the reader got %d pictures", n)
	}
	slow.Close()
	if _, err := hub.Subscribe(0); err != nil {
		t.Error(err)
	}
	hub.Close()
	if _, err := hub.Subscribe(0); !errors.Is(err, api.ErrClosing) {
		t.Errorf("subscribed after the end: %v", err)
	}
}

func TestSubscribersAreBounded(t *testing.T) {
	hub := api.NewHub()
	defer hub.Close()
	for range 1_000 {
		if _, err := hub.Subscribe(0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := hub.Subscribe(0); !errors.Is(err, api.ErrCrowded) {
		t.Errorf("one too many: %v", err)
	}
}
