// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Front is what stands between callers and the web listener.
type Front struct {
	// Encrypted: the listener speaks TLS itself.
	Encrypted bool
	// Proxies encrypt for it. What they say of a caller is believed; where the
	// listener is not encrypted, nobody else from the network may speak to it.
	Proxies []netip.Prefix
}

// strictSeconds is how long a browser remembers to come by TLS alone: half a year.
const strictSeconds = "max-age=15552000"

// handler puts in place of a trusted proxy the caller that it speaks for. The
// headers stay: a caller who came by a proxy is never on this computer.
func (f Front) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.Encrypted {
			w.Header().Set("Strict-Transport-Security", strictSeconds)
		}
		if len(f.Proxies) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		peer := address(r.RemoteAddr)
		switch {
		case f.trusts(peer):
			if client := f.client(r.Header.Values("X-Forwarded-For")); client.IsValid() {
				r.RemoteAddr = net.JoinHostPort(client.String(), "0")
			}
			if strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
				r.URL.Scheme = "https"
				w.Header().Set("Strict-Transport-Security", strictSeconds)
			}
		case !f.Encrypted && !peer.IsLoopback():
			http.Error(w, "this address is for the web server that stands in front of it (http.proxies in allmende.yaml): come by that one", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f Front) trusts(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(f.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is the last address in the chain that is no proxy of ours: what stands
// before it, anybody may have written.
func (f Front) client(chain []string) netip.Addr {
	var last netip.Addr
	entries := strings.Split(strings.Join(chain, ","), ",")
	for _, entry := range slices.Backward(entries) {
		a := address(strings.TrimSpace(entry))
		if !a.IsValid() {
			return last
		}
		if last = a; !f.trusts(a) {
			return a
		}
	}
	return last
}

// address reads an IP address with or without a port; invalid where it is none.
func address(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// Redirect leads callers of plain HTTP to the same address by TLS, at a port.
// Only names that are ours are led anywhere.
func Redirect(names []string, port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !ours(names, r.Host) || r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "come by https", http.StatusMisdirectedRequest)
			return
		}
		if port != "443" {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect) //nolint:gosec // only to names that are ours
	})
}
