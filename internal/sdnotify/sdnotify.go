// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sdnotify tells systemd how a service does: that it is ready, that it
// reloads or stops, and, again and again, that its work goes on. It is one
// datagram each, as sd_notify(3) describes. Where no systemd is there, it does
// nothing.
package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier speaks to systemd. The zero value speaks to nobody.
type Notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// FromEnvironment finds out whom to tell; getenv is [os.Getenv].
func FromEnvironment(getenv func(string) string) (*Notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return &Notifier{}, nil
	}
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %.80q, which is no socket of systemd", path)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("speaking to systemd: %w", err)
	}
	n := &Notifier{conn: conn}
	if text := getenv("WATCHDOG_USEC"); text != "" && ours(getenv("WATCHDOG_PID")) {
		us, err := strconv.ParseInt(text, 10, 64)
		if err != nil || us <= 0 {
			return nil, errors.Join(fmt.Errorf("WATCHDOG_USEC is %.40q, which is no time", text), conn.Close())
		}
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n, nil
}

// ours says whether the watchdog waits for this process.
func ours(pid string) bool { return pid == "" || pid == strconv.Itoa(os.Getpid()) }

// Ready says that the start is complete; status is one line for systemctl status.
func (n *Notifier) Ready(status string) error {
	return n.send("READY=1", "STATUS="+line(status))
}

// Status is one line for systemctl status.
func (n *Notifier) Status(status string) error { return n.send("STATUS=" + line(status)) }

// Reloading says that the configuration is being read again; Ready follows.
func (n *Notifier) Reloading() error {
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
}

// Stopping says that the end has begun.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Extend asks for more time to start or to stop.
func (n *Notifier) Extend(by time.Duration) error {
	return n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(by.Microseconds(), 10))
}

// Extending asks for more time again and again until ctx ends.
func (n *Notifier) Extending(ctx context.Context) {
	const by, every = 60 * time.Second, 20 * time.Second
	if n.conn == nil {
		return
	}
	n.repeat(ctx, every, func() error { return n.Extend(by) })
}

// Watch tells the watchdog, until ctx ends, that work goes on; but only while
// alive says so. It returns at once where there is no watchdog.
func (n *Notifier) Watch(ctx context.Context, alive func() bool) {
	if n.conn == nil || n.watchdog == 0 {
		return
	}
	const often = 3 // within the watchdog's time, so that one datagram may be late
	n.repeat(ctx, n.watchdog/often, func() error {
		if !alive() {
			return nil
		}
		return n.send("WATCHDOG=1")
	})
}

// Watchdog is how long systemd waits for a sign of life; 0: for ever.
func (n *Notifier) Watchdog() time.Duration { return n.watchdog }

func (n *Notifier) repeat(ctx context.Context, every time.Duration, send func() error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		_ = send() // systemd that does not listen now gets the next one
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (n *Notifier) send(lines ...string) error {
	if n.conn == nil {
		return nil
	}
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("speaking to systemd: %w", err)
	}
	return nil
}

// Close ends speaking.
func (n *Notifier) Close() error {
	if n.conn == nil {
		return nil
	}
	return n.conn.Close()
}

// line is a text without line breaks, which would begin another message.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }
