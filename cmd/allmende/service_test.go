// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// locked is output that is read while it is written.
type locked struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestServeUnderSystemd listens where systemd would: ready when it serves, signs
// of life, reloading on SIGHUP, stopping.
func TestServeUnderSystemd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	name := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "300000")
	hear := func(what string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			if err := systemd.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			n, err := systemd.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", what, err)
			}
			if strings.Contains(string(buf[:n]), what) {
				return
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var out, errs locked
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"serve", "--dir", dir, "--http", "127.0.0.1:0", "--set", "grpc.listen=127.0.0.1:0", "--set", "gateways.listen=127.0.0.1:0"},
			&output{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(out.String(), errs.String())
		}
	})
	hear("EXTEND_TIMEOUT_USEC=")
	hear("READY=1\nSTATUS=The coordinator of Sunny Lane runs")
	if !strings.Contains(out.String(), "page and REST  http://127.0.0.1:") {
		t.Errorf("it does not say what it started: %s", out.String())
	}
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hear("RELOADING=1")
	hear("READY=1")
	hear("WATCHDOG=1")
	stop()
	hear("STOPPING=1")
	if got := <-code; got != 0 {
		t.Errorf("ended with %d: %s", got, errs.String())
	}
}
