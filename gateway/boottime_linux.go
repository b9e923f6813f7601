// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build linux

package gateway

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is monotonic and goes on while the computer is suspended, which Go's
// own clock does not.
func bootTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // every kernel that Go runs on has it
	return time.Duration(t.Nano())
}
