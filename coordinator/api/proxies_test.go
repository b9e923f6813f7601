// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestForwardedIsBelievedOfProxiesAlone: what a stranger writes into a header is air.
func TestForwardedIsBelievedOfProxiesAlone(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("127.0.0.1/32")}
	for _, c := range []struct {
		name      string
		front     Front
		peer      string
		forwarded []string
		want      string // "" is refused
	}{
		{"nothing configured", Front{}, "203.0.113.9:5", []string{"127.0.0.1"}, "203.0.113.9:5"},
		{"nothing configured, on this computer", Front{}, "127.0.0.1:5", []string{"203.0.113.9"}, "127.0.0.1:5"},
		{"by a proxy", Front{Proxies: proxies}, "10.0.0.7:5", []string{"203.0.113.9"}, "203.0.113.9:0"},
		{"what a caller adds stands first", Front{Proxies: proxies}, "10.0.0.7:5", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9:0"},
		{"in two headers", Front{Proxies: proxies}, "10.0.0.7:5", []string{"127.0.0.1", "203.0.113.9"}, "203.0.113.9:0"},
		{"by two proxies", Front{Proxies: proxies}, "10.0.0.7:5", []string{"203.0.113.9, 10.0.0.8"}, "203.0.113.9:0"},
		{"rubbish before", Front{Proxies: proxies}, "10.0.0.7:5", []string{"x, 10.0.0.8"}, "10.0.0.8:0"},
		{"rubbish alone", Front{Proxies: proxies}, "10.0.0.7:5", []string{"x"}, "10.0.0.7:5"},
		{"IPv6", Front{Proxies: proxies}, "10.0.0.7:5", []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"past the proxy", Front{Proxies: proxies}, "203.0.113.9:5", []string{"127.0.0.1"}, ""},
		{"past the proxy, encrypted", Front{Proxies: proxies, Encrypted: true}, "203.0.113.9:5", []string{"127.0.0.1"}, "203.0.113.9:5"},
		{"on this computer without a header", Front{Proxies: proxies[:1]}, "127.0.0.1:5", nil, "127.0.0.1:5"},
	} {
		got := ""
		h := c.front.handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got != c.want || (c.want == "") != (w.Code == http.StatusForbidden) {
			t.Errorf("%s: %q with %d, want %q", c.name, got, w.Code, c.want)
		}
		if strict := w.Header().Get("Strict-Transport-Security") != ""; strict != c.front.Encrypted {
			t.Errorf("%s: HSTS %v", c.name, strict)
		}
	}
}

func TestRedirect(t *testing.T) {
	for _, c := range []struct{ host, method, port, want string }{
		{"sun.example.org", "GET", "443", "https://sun.example.org/a?b=c"},
		{"sun.example.org:80", "GET", "8443", "https://sun.example.org:8443/a?b=c"},
		{"[::1]:80", "GET", "8443", "https://[::1]:8443/a?b=c"},
		{"evil.example", "GET", "443", ""},
		{"sun.example.org", "POST", "443", ""},
	} {
		r := httptest.NewRequest(c.method, "/a?b=c", nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		Redirect([]string{"sun.example.org"}, c.port).ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
