// SPDX-License-Identifier: AGPL-3.0-or-later

package sdnotify_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/internal/sdnotify"
)

// systemd listens as the real one does: on a datagram socket.
func systemd(t *testing.T, name string) (*net.UnixConn, func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@allmende-test-" + strconv.Itoa(os.Getpid())} {
		_, next := systemd(t, name)
		env := map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}
		n, err := sdnotify.FromEnvironment(func(key string) string { return env[key] })
		if err != nil {
			t.Fatal(err)
		}
		for want, send := range map[string]func() error{
			"READY=1\nSTATUS=two lines":    func() error { return n.Ready("two\nlines") },
			"STATUS=x":                     func() error { return n.Status("x") },
			"RELOADING=1\nMONOTONIC_USEC=": n.Reloading,
			"STOPPING=1":                   n.Stopping,
			"EXTEND_TIMEOUT_USEC=2000000":  func() error { return n.Extend(2 * time.Second) },
		} {
			if err := send(); err != nil || !strings.HasPrefix(next(), want) {
				t.Errorf("%q: %v", want, err)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		var stuck atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.Watch(ctx, func() bool { return !stuck.Load() })
		}()
		for range 3 {
			if got := next(); got != "WATCHDOG=1" {
				t.Errorf("%q", got)
			}
		}
		stuck.Store(true)
		time.Sleep(2 * n.Watchdog())
		stop()
		<-done
		if err := n.Status("last"); err != nil {
			t.Fatal(err)
		}
		var rest []string
		for {
			m := next()
			if m == "STATUS=last" {
				break
			}
			rest = append(rest, m)
		}
		if len(rest) > 1 { // one may have been on its way
			t.Errorf("signs of life of something stuck: %v", rest)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	n, err := sdnotify.FromEnvironment(func(string) string { return "" })
	if err != nil || n.Ready("x") != nil || n.Close() != nil {
		t.Error(err)
	}
	n.Watch(t.Context(), func() bool { t.Error("asked"); return true })
	for _, env := range []map[string]string{
		{"NOTIFY_SOCKET": "relative"},
		{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "none")},
	} {
		if _, err := sdnotify.FromEnvironment(func(key string) string { return env[key] }); err == nil {
			t.Errorf("%v was taken", env)
		}
	}
	name := filepath.Join(t.TempDir(), "notify")
	systemd(t, name)
	if _, err := sdnotify.FromEnvironment(func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "soon"}[key]
	}); err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Error(err)
	}
	other, err := sdnotify.FromEnvironment(func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}[key]
	})
	if err != nil || !slices.Equal([]time.Duration{other.Watchdog()}, []time.Duration{0}) {
		t.Errorf("another process's watchdog: %v", err)
	}
}
