// SPDX-License-Identifier: AGPL-3.0-or-later

package sdnotify

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the clock that systemd compares reloads by.
func monotonic() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
