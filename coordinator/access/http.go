// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"encoding/json"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// HTTP puts the caller of each request into its context: whoever an
// Authorization header names, or else nobody. next may find somebody by other
// means, such as a session's cookie.
func (g *Guard) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = WithCaller(r)
		who, err := g.Identify(r.Context(), r.Header.Values("Authorization"))
		if err != nil {
			Refuse(w, g.unknown(r.Context(), r.Method+" "+clip(r.URL.Path), err))
			return
		}
		next.ServeHTTP(w, r.WithContext(With(r.Context(), who)))
	})
}

// Refuse answers with an error as grpc-gateway would.
func Refuse(w http.ResponseWriter, err error) {
	s := status.Convert(err)
	code := http.StatusInternalServerError
	switch s.Code() { //nolint:exhaustive // what is refused here has few codes
	case codes.Unauthenticated:
		code = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", "Bearer")
	case codes.PermissionDenied:
		code = http.StatusForbidden
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	body := map[string]any{"code": int(s.Code()), "message": s.Message(), "details": []string{}}
	json.NewEncoder(w).Encode(body) //nolint:errcheck,errchkjson // the reader has gone; there is nobody to tell
}

// clip bounds what of a caller's text is repeated.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
