// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/allmende-energy/allmende/internal/config"
)

// certificate writes a self-signed one for 127.0.0.1 and sun.example.org into a folder.
func certificate(t *testing.T, dir string, serial int64) (pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "sun"}, DNSNames: []string{"sun.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// TestEncryptedListeners: page and gRPC by TLS, the redirect, HSTS, h2; a new
// certificate reaches callers on Reload.
func TestEncryptedListeners(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	pool := certificate(t, dir, 1)
	cfg, err := Load(dir,
		config.Flag{Key: "http.tls.cert", Value: "cert.pem", Name: "--set"}, config.Flag{Key: "http.tls.key", Value: "key.pem", Name: "--set"},
		config.Flag{Key: "grpc.tls.cert", Value: "cert.pem", Name: "--set"}, config.Flag{Key: "grpc.tls.key", Value: "key.pem", Name: "--set"},
		config.Flag{Key: "http.redirect", Value: "127.0.0.1:0", Name: "--set"}, config.Flag{Key: "http.names", Value: "sun.example.org", Name: "--set"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated = true
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	type answered struct {
		code, major int
		header      http.Header
		encrypted   bool
	}
	get := func(url string, pool *x509.CertPool, redirects bool) answered {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		if !redirects {
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		}
		answer, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answered{answer.StatusCode, answer.ProtoMajor, answer.Header, answer.TLS != nil}
	}
	at := c.Addresses()
	answer := get("https://"+at.HTTP+"/healthz", pool, true)
	if answer.code != 200 || answer.major != 2 || !strings.HasPrefix(answer.header.Get("Strict-Transport-Security"), "max-age=") {
		t.Errorf("%+v", answer)
	}
	if to := get("http://"+at.Redirect+"/v1/live", nil, false).header.Get("Location"); to != "https://"+at.HTTP+"/v1/live" {
		t.Errorf("led to %q", to)
	}
	if answer := get("http://"+at.Redirect+"/healthz", pool, true); answer.code != 200 || !answer.encrypted {
		t.Errorf("after the redirect: %+v", answer)
	}
	if answer := get("http://"+at.HTTP+"/healthz", pool, false); answer.code != http.StatusBadRequest {
		t.Errorf("unencrypted: %+v", answer)
	}
	conn, err := grpc.NewClient(at.GRPC, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := tls.Dial("tcp", at.HTTP, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was spoken")
	}

	renewed := certificate(t, dir, 2)
	later := time.Now().Add(time.Minute)
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	c.Reload()
	eventually(t, "the new certificate", func() bool {
		conn, err := tls.Dial("tcp", at.HTTP, &tls.Config{RootCAs: renewed})
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	// What was open stays open.
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Reload()
	eventually(t, "the problem", func() bool {
		return strings.Contains(strings.Join(c.problems.list(), "\n"), "http certificate: certificate "+filepath.Join(dir, "cert.pem"))
	})
	get("https://"+at.HTTP+"/healthz", renewed, true)
}

// TestCertificatesAreCheckedAtTheStart, before anything runs.
func TestCertificatesAreCheckedAtTheStart(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	cfg, err := Load(dir, config.Flag{Key: "http.tls.cert", Value: "none.pem"}, config.Flag{Key: "http.tls.key", Value: "none.pem"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), cfg, w.clock, testLog(t)); err == nil || !strings.Contains(err.Error(), "http.tls: certificate") {
		t.Error(err)
	}
}

// eventually waits for what goes on in the background.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}
