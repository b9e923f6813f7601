// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// web counts the requests of the web listener.
func (m *measures) web(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		seen := &watched{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			route := routeOf(r.URL.Path)
			m.http.With(route, methodOf(r.Method), strconv.Itoa(seen.code)).Add(1)
			took := time.Since(begun)
			if route != routeEvents {
				m.httpTime.With(route).Observe(took)
			}
			if m.log != nil && m.log.Enabled(r.Context(), slog.LevelDebug) {
				m.log.Debug("request", "route", route, "method", methodOf(r.Method), "code", seen.code, "took", took)
			}
		}()
		ctx, span := m.tracer.Start(r.Context(), methodOf(r.Method)+" "+routeOf(r.URL.Path))
		next.ServeHTTP(seen, r.WithContext(ctx))
		span.Count("http.response.status_code", seen.code)
		if seen.code >= http.StatusInternalServerError {
			span.End(http.StatusText(seen.code))
			return
		}
		span.End("")
	})
}

// watched remembers the code of an answer.
type watched struct {
	http.ResponseWriter
	code int
	done bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *watched) WriteHeader(code int) {
	if !w.done && code >= http.StatusOK {
		w.code, w.done = code, true
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements [http.ResponseWriter].
func (w *watched) Write(b []byte) (int, error) {
	w.done = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

const routeEvents = "/v1/live/events"

// routeOf is one of a few names for a path: a label with anybody's path in it
// would grow without bound, and might name members.
func routeOf(path string) string {
	switch path {
	case "/healthz", "/metrics", "/v1/live", routeEvents:
		return path
	}
	rest, isREST := strings.CutPrefix(path, "/v1/")
	if !isREST {
		return "page"
	}
	// The first part behind the version names a collection of the API.
	collection, _, _ := strings.Cut(rest, "/")
	switch collection {
	case "audit", "charter", "community", "gateway-certificates", "gateways", "history", "intervals", "invitations", "ledger", "link",
		"me", "people", "policy", "register", "register-changes", "register-export", "register-import", "sign-in", "sign-out", "tokens":
		return "/v1/" + collection
	}
	return "/v1/other"
}

func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// metricsOnly serves the counters and nothing else.
func metricsOnly(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("The counters are at /metrics.\n")) // the reader may have gone
	})
	return mux
}
