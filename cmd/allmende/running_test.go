// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/internal/acmetest"
)

// lane is a real coordinator of a new community, with everything on loopback.
func lane(t *testing.T, more ...string) (dir string, said func(pattern string) string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	ctx, stop := context.WithCancel(t.Context())
	var out, errs locked
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{
			"serve", "--dir", dir, "--http", "127.0.0.1:0", "--set", "grpc.listen=127.0.0.1:0", "--set", "gateways.listen=127.0.0.1:0",
		}, more...), &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 || t.Failed() {
			t.Errorf("the coordinator ended with %d\n%s\n%s", code, out.String(), errs.String())
		}
	})
	said = func(pattern string) string {
		t.Helper()
		for range 6000 { // patience, for a busy machine
			if m := regexp.MustCompile(pattern).FindStringSubmatch(out.String()); m != nil {
				return m[1]
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("%s was not said: %s %s", pattern, out.String(), errs.String())
		return ""
	}
	said(`gateways +(\S+)`)
	return dir, said
}

// TestMetricsByToken: Prometheus shows a token that the operator made for it,
// and no other will do.
func TestMetricsByToken(t *testing.T) {
	dir, said := lane(t)
	url := said(`page and REST +(\S+)`) + "/metrics"
	ask := func(authorization string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		return answer(t, request)
	}
	token := func(scope string) string {
		t.Helper()
		code, out, errs := command(t, false, "", "token", "create", "--name", "prometheus", "--scope", scope, "--days", "30", "--dir", dir)
		if code != 0 {
			t.Fatal(errs)
		}
		return "Bearer " + regexp.MustCompile(`alm_\S+`).FindString(out)
	}
	if code, _ := ask(""); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
	if code, _ := ask("Bearer alm_nonsense"); code != http.StatusUnauthorized {
		t.Errorf("with a token that nobody made: %d", code)
	}
	if code, _ := ask(token("live")); code != http.StatusForbidden {
		t.Errorf("with a token for something else: %d", code)
	}
	if code, body := ask(token("monitoring")); code != http.StatusOK || !strings.Contains(body, "allmende_tick_duration_seconds_count") {
		t.Errorf("with the token for it: %d %s", code, body)
	}
}

// TestGatewayUnderSystemd: a gateway says that it is ready, and gives signs of
// life also while none of its devices answers.
func TestGatewayUnderSystemd(t *testing.T) {
	dir, _ := lane(t)
	edge := t.TempDir()
	code, token, errs := command(t, false, "", "gateway", "token", "gw-lane", "--dir", dir)
	if code == 0 {
		code, _, errs = command(t, false, "", "gateway", "enrol", strings.TrimSpace(token), "--dir", edge)
	}
	if code != 0 {
		t.Fatal(errs)
	}
	file := filepath.Join(edge, "gateway.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "tcp://192.168.1.50:502", "tcp://127.0.0.1:1")), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("ALLMENDE_GW_METRICS_LISTEN", ":0")
	ctx, stop := context.WithCancel(t.Context())
	var out, problems locked
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"gateway", "run", "--dir", edge}, &output{In: strings.NewReader(""), Out: &out, Err: &problems})
	}()
	hear := func(what string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			if err := systemd.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			n, err := systemd.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v %s", what, err, problems.String())
			}
			if strings.Contains(string(buf[:n]), what) {
				return
			}
		}
	}
	hear("READY=1\nSTATUS=The gateway runs")
	for range 4 {
		hear("WATCHDOG=1")
	}
	metrics := regexp.MustCompile(`metrics +(http://127\.0\.0\.1:\S+)`).FindStringSubmatch(out.String())
	if metrics == nil {
		t.Fatalf("it does not say where its counters are: %s", out.String())
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, metrics[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	// Signs of life do not wait for the first round, so the counters are asked until it is over.
	for tries := 0; ; tries++ {
		_, body := answer(t, request)
		if strings.Contains(body, "allmende_edge_devices_online 0") && strings.Contains(body, `outcome="unreachable"`) {
			break
		}
		if tries > 3000 {
			t.Fatalf("its counters: %s", body)
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	hear("STOPPING=1")
	if code := <-done; code != 0 {
		t.Errorf("it ended with %d: %s", code, problems.String())
	}
}

// TestACertificateFromAnAuthority: a coordinator gets its own, from a real one
// that asks at the redirect's port, and serves page and gRPC with it.
func TestACertificateFromAnAuthority(t *testing.T) {
	ca := acmetest.Start(t)
	dir, said := lane(t,
		"--set", "http.tls.acme=true", "--set", "grpc.tls.acme=true", "--set", fmt.Sprintf("http.redirect=127.0.0.1:%d", ca.HTTPPort),
		"--set", "acme.domains=localhost", "--set", "acme.directory="+ca.Directory, "--set", "acme.ca_file="+ca.CAFile, "--set", "acme.terms_agreed=true",
		"--set", fmt.Sprintf("acme.http_port=%d", ca.HTTPPort), "--set", "acme.tls_port=0")
	trust := &tls.Config{RootCAs: ca.Roots(t), ServerName: "localhost", NextProtos: []string{"h2"}}
	for _, at := range []string{said(`page and REST +https://(\S+)`), said(`gRPC +(\S+) +\(TLS\)`)} {
		for tries := 0; ; tries++ {
			conn, err := tls.Dial("tcp", at, trust)
			if err == nil {
				conn.Close()
				break
			}
			if tries > 3000 {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(said(`redirect +(\S+)`), "127.0.0.1", "localhost", 1)+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, body := answerOf(t, client, request); code != http.StatusOK {
		t.Errorf("by the redirect: %d %s", code, body)
	}
	if info, err := os.Stat(filepath.Join(dir, "data", "acme")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the keys: %v %v", info, err)
	}
}
