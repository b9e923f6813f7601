// SPDX-License-Identifier: AGPL-3.0-or-later

package certs

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
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pebbleVersion is that of the Makefile.
const pebbleVersion = "v2.10.1"

// authority is Pebble, the small ACME authority that Let's Encrypt tests with,
// as a process of its own on loopback.
type authority struct {
	Directory string
	CAFile    string
	HTTPPort  int // where it asks what port 80 of a domain would answer
	TLSPort   int
	manage    string
	client    *http.Client
}

func startAuthority(t *testing.T) *authority {
	t.Helper()
	binary, err := filepath.Abs("../../.cache/tools/pebble-" + pebbleVersion)
	if err != nil {
		t.Fatal(err)
	}
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
	ports := freePorts(t, 4)
	a := &authority{
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
	a.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for tries := 0; ; tries++ {
		answer, err := a.client.Get(a.Directory)
		if err == nil {
			answer.Body.Close()
			return a
		}
		if tries > 200 {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// roots is what the authority's certificates are checked against.
func (a *authority) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	answer, err := a.client.Get(a.manage + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var b strings.Builder
	if _, err := fmt.Fprint(&b, readAll(t, answer)); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(b.String())) {
		t.Fatal("no root")
	}
	return pool
}

func readAll(t *testing.T, r *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	return body
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out
}

func (a *authority) options(t *testing.T, dir string) ACMEOptions {
	t.Helper()
	return ACMEOptions{
		Domains: []string{"localhost"}, Email: "board@example.org", Directory: a.Directory, CAFile: a.CAFile, Storage: dir,
		HTTPPort: a.HTTPPort, TLSPort: a.TLSPort, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// run keeps a certificate until the test or stop ends it; it returns where the
// reports go.
func run(t *testing.T, s Source) (reports chan error, stop func()) {
	t.Helper()
	reports = make(chan error, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, func(err error) { reports <- err })
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return reports, stop
}

func await(t *testing.T, reports chan error, what string, ok func(error) bool) {
	t.Helper()
	timeout := time.After(60 * time.Second)
	var last error
	for {
		select {
		case last = <-reports:
			if ok(last) {
				return
			}
		case <-timeout:
			t.Fatalf("%s did not come; the last report: %v", what, last)
		}
	}
}

// TestACME gets certificates from a real authority, by each of the two ways in
// which it checks that a domain is ours, and has them again after a restart.
func TestACME(t *testing.T) {
	a := startAuthority(t)
	t.Run("http-01 on a listener of ours", func(t *testing.T) {
		o := a.options(t, t.TempDir())
		o.TLSPort = 0
		acme, err := OpenACME(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", a.HTTPPort))
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Bool
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
				asked.Store(true)
			}
			acme.Challenges(http.NotFoundHandler()).ServeHTTP(w, r)
		})}
		go server.Serve(l)
		defer server.Close()
		reports, _ := run(t, acme)
		await(t, reports, "a certificate", func(err error) bool { return err == nil && !acme.Ends().IsZero() })
		if !asked.Load() {
			t.Error("the authority asked nothing")
		}
	})
	t.Run("tls-alpn-01", func(t *testing.T) {
		o := a.options(t, t.TempDir())
		o.HTTPPort = 0
		acme, err := OpenACME(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", a.TLSPort), acme.Config())
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.NotFoundHandler(), TLSConfig: acme.Config(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
		go server.Serve(l)
		defer server.Close()
		reports, stop := run(t, acme)
		await(t, reports, "a certificate", func(err error) bool { return err == nil && !acme.Ends().IsZero() })
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: a.roots(t), ServerName: "localhost", NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		if p := conn.ConnectionState().NegotiatedProtocol; p != "h2" {
			t.Errorf("protocol %q", p)
		}
		conn.Close()
		stop()

		// After a restart it is in use before anybody is asked.
		again, err := OpenACME(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if again.Ends() != acme.Ends() || again.Ends().IsZero() {
			t.Errorf("ends %s, then %s", acme.Ends(), again.Ends())
		}
	})
	t.Run("a name that leads elsewhere", func(t *testing.T) {
		o := a.options(t, t.TempDir())
		o.Domains = []string{"nowhere.invalid"}
		acme, err := OpenACME(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		reports, _ := run(t, acme)
		await(t, reports, "the refusal", func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "no certificate for nowhere.invalid")
		})
	})
}
