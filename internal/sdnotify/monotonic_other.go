// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !linux

package sdnotify

import "time"

// monotonic is of no use where there is no systemd.
func monotonic() time.Duration { return 0 }
