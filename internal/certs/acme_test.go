// SPDX-License-Identifier: AGPL-3.0-or-later

package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/internal/acmetest"
)

func options(t *testing.T, a *acmetest.Authority, dir string) ACMEOptions {
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
	timeout := time.After(5 * time.Minute)
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
	a := acmetest.Start(t)
	t.Run("http-01 on a listener of ours", func(t *testing.T) {
		o := options(t, a, t.TempDir())
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
		o := options(t, a, t.TempDir())
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
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: a.Roots(t), ServerName: "localhost", NextProtos: []string{"h2"}})
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
		o := options(t, a, t.TempDir())
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
