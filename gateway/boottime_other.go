// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !linux

package gateway

import "time"

// bootTime is monotonic. While the computer is suspended it may stand: the
// device's own reversion then ends a command.
func bootTime() time.Duration { return time.Since(loaded) }

var loaded = time.Now() //nolint:gochecknoglobals // never changed; an origin for differences
