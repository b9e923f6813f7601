// SPDX-License-Identifier: AGPL-3.0-or-later

// Package acmetest runs a real ACME authority for tests: Pebble, which Let's
// Encrypt itself tests with, as a process on loopback.
package acmetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/internal/freeport"
)

// pebbleVersion is that of the Makefile.
const pebbleVersion = "v2.10.1"

// Authority is one that runs until the test ends.
type Authority struct {
	Directory string
	CAFile    string
	HTTPPort  int // where it asks what port 80 of a domain would answer
	TLSPort   int
	manage    string
	client    *http.Client
}

// Start starts one, or skips the test where Pebble is not there.
func Start(t *testing.T) *Authority {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	binary := filepath.Join(filepath.Dir(here), "../../.cache/tools/pebble-"+pebbleVersion)
	if _, err := os.Stat(binary); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("Pebble is not there; `make test` builds it")
	}
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pebble"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ports := [4]int{freeport.Port(t), freeport.Port(t), freeport.Port(t), freeport.Port(t)}
	a := &Authority{
		Directory: fmt.Sprintf("https://127.0.0.1:%d/dir", ports[0]), manage: fmt.Sprintf("https://127.0.0.1:%d", ports[1]), HTTPPort: ports[2], TLSPort: ports[3],
		CAFile: write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	}
	keyFile := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", ports[0]), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", ports[1]),
		"certificate": a.CAFile, "privateKey": keyFile, "httpPort": a.HTTPPort, "tlsPort": a.TLSPort, "ocspResponderURL": "",
		"retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "usual", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "-config", write("config.json", config))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=10")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	a.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its management has a certificate of nobody's
		DisableKeepAlives: true,
	}}
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		_, err := a.get(t, a.Directory)
		if err == nil {
			return a
		}
		if time.Since(begun) > 5*time.Minute {
			t.Fatal(err)
		}
	}
}

func (a *Authority) get(t *testing.T, url string) ([]byte, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

// Roots is what the authority's certificates are checked against.
func (a *Authority) Roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pem, err := a.get(t, a.manage+"/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no root")
	}
	return pool
}
