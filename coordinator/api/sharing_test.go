// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

type noRolls struct{ Books }

func (noRolls) Rolls(energy.Instant) []roll.Dated { return nil }

// Where nobody knows who stood behind a pool, its certificates are left out.
func TestHiddenWithoutRegister(t *testing.T) {
	if hidden := NewSharing(noRolls{}, nil, 5).hidden(energy.Interval{}); !hidden(roll.GridPool) {
		t.Error("without a register, a pool's totals are shown")
	}
}
