// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"google.golang.org/grpc/peer"
)

// Caller is where a call comes from.
type Caller struct {
	Addr string // host and port, or "local" for the admin socket
}

type callerKey struct{}

// WithCaller notes where an HTTP request comes from: REST calls the services
// in-process, where gRPC knows no peer.
func WithCaller(r *http.Request) *http.Request {
	c := Caller{r.RemoteAddr}
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
	return Caller{p.Addr.String()}
}

// Network is what limits count by: an IPv4 address, or the /64 of an IPv6 one,
// as one household has all of that.
func (c Caller) Network() string {
	addr, err := netip.ParseAddr(c.Host())
	if err != nil {
		return c.Host()
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// Host is the address without its port, as limits and the audit log use it.
func (c Caller) Host() string {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return c.Addr
	}
	return host
}
