// SPDX-License-Identifier: AGPL-3.0-or-later

package authority_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/authority"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// life of the gateways' certificates of these tests.
const life = 30 * 24 * time.Hour

func clockAt(t time.Time) func() time.Time { return func() time.Time { return t } }

func open(t *testing.T, community roll.CommunityID, names ...string) (*authority.Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "authority")
	if err := authority.Create(dir, community, start); err != nil {
		t.Fatal(err)
	}
	a, err := authority.Open(dir, community, names, clockAt(start))
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func request(t *testing.T, template x509.CertificateRequest) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return requestOf(t, template, key)
}

func requestOf(t *testing.T, template x509.CertificateRequest, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSignGateway(t *testing.T) {
	for _, id := range []roll.CommunityID{"sunny-lane", "a_b", "7", "a-", roll.CommunityID(strings.Repeat("x", 40))} {
		a, _ := open(t, id)
		uri := &url.URL{Scheme: "allmende", Host: string(id), Path: "/gateway/gw-1"}
		issued, err := a.SignGateway("gw-1", request(t, x509.CertificateRequest{URIs: []*url.URL{uri}, Subject: pkix.Name{CommonName: "gw-1"}}), start, life)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		cert, err := x509.ParseCertificate(issued.DER)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Client(cert); err != nil || got.Gateway != "gw-1" || !got.NotAfter.Equal(start.Add(life)) {
			t.Errorf("%s: identified %+v, %v", id, got, err)
		}
		if other, _ := open(t, id); true {
			if _, err := other.Client(cert); !errors.Is(err, authority.ErrIdentity) {
				t.Errorf("%s: another authority of the same name took it for its own: %v", id, err)
			}
		}
		roots := x509.NewCertPool()
		ca, err := x509.ParseCertificate(a.DER())
		if err != nil {
			t.Fatal(err)
		}
		roots.AddCert(ca)
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0 || len(cert.DNSNames)+len(cert.IPAddresses) > 0 {
			t.Errorf("%s: the certificate may do more than a gateway needs", id)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	a, _ := open(t, "sunny-lane")
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	isCA, err := asn1.Marshal(struct{ CA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := url.Parse("allmende://sunny-lane/gateway/gw-2")
	coordinator, _ := url.Parse("allmende://sunny-lane/coordinator")
	damaged := request(t, x509.CertificateRequest{})
	damaged[len(damaged)-1] ^= 1
	for name, der := range map[string][]byte{
		"another gateway":  request(t, x509.CertificateRequest{URIs: []*url.URL{other}}),
		"the coordinator":  request(t, x509.CertificateRequest{URIs: []*url.URL{coordinator}}),
		"a DNS name":       request(t, x509.CertificateRequest{DNSNames: []string{"localhost"}}),
		"an IP address":    request(t, x509.CertificateRequest{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}),
		"a mail address":   request(t, x509.CertificateRequest{EmailAddresses: []string{"a@example.org"}}),
		"another subject":  request(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "gw-2"}}),
		"authority rights": request(t, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: isCA}}}),
		"an Ed25519 key":   requestOf(t, x509.CertificateRequest{}, edKey),
		"a P-384 key":      requestOf(t, x509.CertificateRequest{}, p384),
		"a bad signature":  damaged,
		"nothing":          nil,
		"too much":         make([]byte, 1<<20),
	} {
		if _, err := a.SignGateway("gw-1", der, start, life); !errors.Is(err, authority.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	a, dir := open(t, "sunny-lane", "sun.example.org", "192.168.1.10")
	serial := func(a *authority.Authority) (string, []string) {
		cert, err := a.Config().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return authority.Serial(cert.Leaf), cert.Leaf.DNSNames
	}
	first, names := serial(a)
	if !slices.Contains(names, "sun.example.org") || !slices.Contains(names, "localhost") {
		t.Errorf("the certificate names %q", names)
	}
	reopen := func(at time.Time, names ...string) string {
		b, err := authority.Open(dir, "sunny-lane", names, clockAt(at))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := serial(b)
		return s
	}
	if again := reopen(start.Add(24*time.Hour), "sun.example.org", "192.168.1.10"); again != first {
		t.Error("a good certificate was replaced")
	}
	other := reopen(start, "moon.example.org")
	if other == first {
		t.Error("new names did not bring a new certificate")
	}
	if late := reopen(start.Add(360*24*time.Hour), "moon.example.org"); late == other {
		t.Error("a certificate near its end was not renewed")
	}
}

func TestOpenRefuses(t *testing.T) {
	_, dir := open(t, "sunny-lane")
	try := func(dir string, at time.Time) error {
		_, err := authority.Open(dir, "sunny-lane", nil, clockAt(at))
		return err
	}
	expect := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
	expect(try(t.TempDir(), start), "restore the folder")
	expect(try(dir, start.AddDate(30, 0, 0)), "expired")
	expect(try(dir, start.AddDate(-1, 0, 0)), "clock is behind")
	expect(authority.Create(dir, "sunny-lane", start), "already")
	key := filepath.Join(dir, "ca.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	expect(try(dir, start), "chmod 600")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	_, another := open(t, "sunny-lane")
	b, err := os.ReadFile(filepath.Join(another, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, b, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(try(dir, start), "do not belong together")
	if err := os.WriteFile(key, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(try(dir, start), "restore it from a backup")
}

func FuzzParse(f *testing.F) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, err := authority.Parse(der); err != nil && !errors.Is(err, authority.ErrRequest) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
