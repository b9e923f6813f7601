// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"context"
	"net"
	"net/http"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Caller is where a call comes from.
type Caller struct {
	Addr    string // host and port, or "local" for the admin socket
	Proxied bool   // a proxy speaks for somebody else
}

type callerKey struct{}

// WithCaller notes where an HTTP request comes from: REST calls the services
// in-process, where gRPC knows no peer.
func WithCaller(r *http.Request) *http.Request {
	c := Caller{r.RemoteAddr, r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""}
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// CallerOf is where the call comes from, as far as that is known.
func CallerOf(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(Caller); ok {
		return c
	}
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return Caller{}
	}
	if p.Addr.Network() == "unix" {
		return Caller{Addr: "local"}
	}
	md, _ := metadata.FromIncomingContext(ctx)
	return Caller{p.Addr.String(), len(md.Get("x-forwarded-for")) > 0 || len(md.Get("forwarded")) > 0}
}

// Host is the address without its port, as limits and the audit log use it.
func (c Caller) Host() string {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return c.Addr
	}
	return host
}
