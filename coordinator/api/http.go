// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"github.com/allmende-energy/allmende/coordinator/access"
)

// maxBody bounds what a REST caller may send, and maxAct what an act of
// administration may hold: a spreadsheet, in base64.
const (
	maxBody = 64 << 10
	maxAct  = 4 << 20
)

// bodyLimit is what a request to a path may send. It holds for everybody: a body
// is read before it is decided who may do what.
func bodyLimit(path string) int64 {
	switch path {
	case "/v1/register-import", "/v1/register-changes":
		return maxAct
	}
	return maxBody
}

// HTTP is what the web listener serves.
type HTTP struct {
	Guard    *access.Guard
	Services []Service
	// Sessions puts whoever a session's cookie names into the context; nil: there are no sessions.
	Sessions  func(http.Handler) http.Handler
	Community *Community
	Hub       *Hub
	// Page serves everything that is not the API; nil: nothing is there.
	Page http.Handler
	// Names are the hosts, besides loopback, that requests may be addressed to.
	Names []string
	// Health lists what is wrong, for /healthz.
	Health func() []string
	// Metrics serves the counters; nil: there are none.
	Metrics http.Handler
	Front   Front
}

// Handler is the web listener's handler. It serves /v1/… (REST), /v1/live/events
// (server-sent events), /healthz and the page, to hosts that are ours.
func (h HTTP) Handler(ctx context.Context) (http.Handler, error) {
	rest := runtime.NewServeMux(
		// No method but the one that was sent: an override would slip past checks of the method.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		// No header of a caller becomes metadata that a service might trust.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{MarshalOptions: marshal()}),
	)
	conn := newInProcess(h.Guard, h.Services)
	for _, s := range h.Services {
		if s.REST == nil {
			continue
		}
		if err := s.REST(ctx, rest, conn); err != nil {
			return nil, fmt.Errorf("REST: %s: %w", s.Desc.ServiceName, err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", rest) // the guard decides about each method
	route := func(pattern string, fn http.HandlerFunc) { mux.Handle(pattern, h.Guard.Route(pattern, fn)) }
	route("GET /v1/live", h.live)
	route("GET /v1/live/events", h.events)
	route("GET /healthz", h.health)
	if h.Metrics != nil {
		route("GET /metrics", h.Metrics.ServeHTTP)
	}
	if h.Page != nil {
		route("/", h.Page.ServeHTTP)
	}
	// A page of another site must not act here with its visitor's rights.
	csrf := http.NewCrossOriginProtection()
	var inner http.Handler = mux
	if h.Sessions != nil {
		inner = h.Sessions(inner)
	}
	return h.Front.handler(guard(h.Names, csrf.Handler(onlyJSON(h.Guard.HTTP(inner))))), nil
}

// guard sets what every answer carries and refuses requests that are not for us.
func guard(names []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/healthz" {
			header.Set("Cache-Control", "no-store")
		}
		// A name of somebody else's that points at this computer would let a web
		// page of his read what is here (DNS rebinding).
		if !ours(names, r.Host) {
			http.Error(w, fmt.Sprintf("this coordinator is not called %q: open it as http://127.0.0.1, or add the name to http.names in allmende.yaml", clip(r.Host)), http.StatusMisdirectedRequest)
			return
		}
		r.Header.Del("X-HTTP-Method-Override")
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r.URL.Path))
		next.ServeHTTP(w, r)
	})
}

// ours says whether a Host header names loopback or one of names.
func ours(names []string, hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool {
		if strings.EqualFold(name, host) {
			return true
		}
		other, parsed := netip.ParseAddr(name)
		return err == nil && parsed == nil && other.Unmap() == addr.Unmap()
	})
}

// onlyJSON refuses what a form of another site's page could send: a browser asks
// before it sends JSON to strangers.
func onlyJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asks := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete && r.ContentLength == 0
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if !asks && (err != nil || kind != "application/json") {
			writeJSON(w, http.StatusUnsupportedMediaType, map[string]string{"message": "send JSON, with the header Content-Type: application/json"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// live answers GET /v1/live with the JSON that was made for the event stream.
func (h HTTP) live(w http.ResponseWriter, r *http.Request) {
	f := h.Hub.Latest()
	if f == nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"message": "the first tick has not passed yet: try again in a moment"})
		return
	}
	b, err := h.Community.JSON(access.From(r.Context()), f)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"message": err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b) //nolint:errcheck // the reader has gone; there is nobody to tell
}

// health answers 200; a coordinator that answers lives. What is wrong is told
// to those who may read it.
func (h HTTP) health(w http.ResponseWriter, r *http.Request) {
	problems := []string{}
	if h.Health != nil {
		problems = append(problems, h.Health()...)
	}
	answer := map[string]any{"status": "ok"}
	if len(problems) > 0 {
		answer["status"] = "degraded"
	}
	if access.From(r.Context()).May(access.ReadHealth) {
		answer["problems"] = problems
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the reader has gone; there is nobody to tell
}
