// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/internal/telemetry"
)

// TestCountingAllocatesNothing where it happens with each exchange.
func TestCountingAllocatesNothing(t *testing.T) {
	m := newMeasures(telemetry.Build{})
	observe := m.observer(1)
	timeout := fmt.Errorf("reading: %w", modbus.ErrTimeout)
	if n := testing.AllocsPerRun(1000, func() {
		observe(false, time.Millisecond, nil)
		observe(true, time.Millisecond, timeout)
		m.round(time.Second)
		m.late(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	observe := newMeasures(telemetry.Build{}).observer(1)
	b.ReportAllocs()
	for b.Loop() {
		observe(false, time.Millisecond, nil)
	}
}
