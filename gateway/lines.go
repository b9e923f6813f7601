// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"time"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
)

// Timing is what one device needs of its line, beyond what holds for all. Zero:
// as its profile says.
type Timing struct {
	ConnectDelay time.Duration // of the connection: the longest of its devices counts
	RequestGap   time.Duration
	MaxRegisters uint16 // in one read
}

// busOf is the configuration of the line behind a URL: what holds for all lines,
// what the profiles of its devices say, and what stands with the devices.
func (c Config) busOf(url string, library *profile.Library) modbus.Config {
	bus := modbus.Config{
		URL: url, Timeout: c.Modbus.Timeout, ConnectDelay: c.Modbus.ConnectDelay, RequestGap: c.Modbus.RequestGap,
		UnitGap: c.Modbus.UnitGap, IdleClose: c.Modbus.IdleClose, Units: map[uint8]modbus.UnitConfig{},
	}
	for _, d := range c.Devices {
		if d.URL != url {
			continue
		}
		t := d.Timing
		if p, err := library.Get(d.Profile); err == nil {
			t = t.or(p.Connection)
			bus.Timeout = max(bus.Timeout, millis(p.Connection.TimeoutMS))
		}
		bus.ConnectDelay = max(bus.ConnectDelay, t.ConnectDelay)
		unit := bus.Units[d.Unit]
		unit.RequestGap = max(unit.RequestGap, t.RequestGap)
		if n := t.MaxRegisters; n > 0 && (unit.MaxRegisters == 0 || n < unit.MaxRegisters) {
			unit.MaxRegisters = n
		}
		bus.Units[d.Unit] = unit
	}
	return bus
}

func (t Timing) or(c profile.Connection) Timing {
	if t.ConnectDelay == 0 {
		t.ConnectDelay = millis(c.ConnectDelayMS)
	}
	if t.RequestGap == 0 {
		t.RequestGap = millis(c.RequestGapMS)
	}
	if t.MaxRegisters == 0 {
		t.MaxRegisters = uint16(min(max(c.MaxRegisters, 0), modbus.MaxRead))
	}
	return t
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
