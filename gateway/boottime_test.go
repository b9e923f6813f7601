// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"testing"
	"time"

	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// A command ends while the computer is suspended, when Go's own clock stands.
func TestStampsCountSuspension(t *testing.T) {
	boot := 7 * time.Hour
	stamp := stamps(worldtime.NewReal(), true, func() time.Duration { return boot }, 1000)
	if at := stamp(); at != 1000 {
		t.Fatalf("begins at %d", at)
	}
	boot += time.Hour
	if at, want := stamp(), guard.Stamp(3_601_000); at != want {
		t.Fatalf("%d, want %d", at, want)
	}
	if a, b := bootTime(), bootTime(); a <= 0 || b < a {
		t.Fatalf("%v, then %v", a, b)
	}
}
