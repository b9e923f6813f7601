// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

type testAuthority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newTestAuthority(t *testing.T, from time.Time) testAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := testAuthority{t: t, key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.AddDate(20, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = template
	a.cert = a.sign(template)
	return a
}

func (a testAuthority) sign(template *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a testAuthority) coordinator(from, to time.Time, change func(*x509.Certificate)) tls.ConnectionState {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		URIs: []*url.URL{{Scheme: "allmende", Host: "lane", Path: "/coordinator"}},
	}
	if change != nil {
		change(template)
	}
	return tls.ConnectionState{PeerCertificates: []*x509.Certificate{a.sign(template), a.cert}}
}

// TestWhatAClockKnows: the authority was made in 2026, the gateway's own
// certificate signed on 1 June 2030; at is what its clock says.
func TestWhatAClockKnows(t *testing.T) {
	day := func(text string) time.Time {
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	a, stranger := newTestAuthority(t, day("2026-01-01")), newTestAuthority(t, day("2026-01-01"))
	signed := day("2030-06-01")
	for _, c := range []struct {
		name     string
		at       string
		from, to string // the server's certificate
		want     string
	}{
		{"a right clock", "2030-07-01", "2030-01-01", "2031-01-01", ""},
		{"asleep in 1970", "1970-01-01", "2030-01-01", "2031-01-01", ""},
		{"asleep in 2000", "2000-01-01", "2030-01-01", "2031-01-01", ""},
		{"asleep in 1970, and the server has renewed since", "1970-01-01", "2030-12-01", "2032-01-01", ""},
		{"shut down and woken up half a year ago", "2030-06-02", "2030-12-01", "2032-01-01", ""},
		{"an old certificate, and a right clock", "2030-07-01", "2028-01-01", "2029-01-01", "ended on 2029-01-01"},
		{"an old certificate for who sleeps in 1970", "1970-01-01", "2028-01-01", "2029-01-01", "ended on 2029-01-01"},
		{"a clock ahead", "2035-01-01", "2030-01-01", "2031-01-01", "set it"},
		{"beyond the authority's own end", "2050-01-01", "2030-01-01", "2060-01-01", "ended on"},
	} {
		community, err := verifyCoordinator(a.coordinator(day(c.from), day(c.to), nil), []*x509.Certificate{a.cert}, latest(day(c.at), signed))
		switch {
		case c.want == "" && (err != nil || community != "lane"):
			t.Errorf("%s: %q, %v", c.name, community, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, expected %q", c.name, err, c.want)
		}
	}
	// Whatever the clock says, names and signatures hold.
	for name, c := range map[string]struct {
		from   testAuthority
		change func(*x509.Certificate)
	}{
		"another authority": {stranger, nil},
		"a gateway's certificate": {a, func(c *x509.Certificate) {
			c.ExtKeyUsage, c.URIs[0].Path = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, "/gateway/gw-1"
		}},
		"a gateway that may be a server": {a, func(c *x509.Certificate) { c.URIs[0].Path = "/gateway/gw-1" }},
		"a client named coordinator":     {a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }},
		"no name":                        {a, func(c *x509.Certificate) { c.URIs = nil }},
		"a name of the web":              {a, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"localhost"} }},
		"another scheme":                 {a, func(c *x509.Certificate) { c.URIs[0].Scheme = "https" }},
	} {
		for _, at := range []string{"1970-01-01", "2030-07-01"} {
			state := c.from.coordinator(day("2030-01-01"), day("2031-01-01"), c.change)
			if community, err := verifyCoordinator(state, []*x509.Certificate{a.cert}, day(at)); err == nil {
				t.Errorf("%s, in %s: taken for the coordinator of %q", name, at, community)
			}
		}
	}
	// The gateway's own certificate tells its clock what has passed.
	now := time.Now()
	late := newTestAuthority(t, now)
	old := late.coordinator(now.AddDate(1, 0, 0), now.AddDate(2, 0, 0), nil)
	if err := (Identity{Community: "lane", NotBefore: now.AddDate(3, 0, 0)}).verify(old, []*x509.Certificate{late.cert}); err == nil {
		t.Error("a server's certificate that had ended when the gateway's was signed was taken")
	}
	if err := (Identity{Community: "lane", NotBefore: now}).verify(old, []*x509.Certificate{late.cert}); err != nil {
		t.Error(err)
	}
	if err := (Identity{Community: "moon"}).verify(old, []*x509.Certificate{late.cert}); err == nil {
		t.Error("another community's coordinator was taken")
	}
	if _, err := verifyCoordinator(tls.ConnectionState{}, []*x509.Certificate{a.cert}, signed); err == nil {
		t.Error("no certificate: taken")
	}
}
