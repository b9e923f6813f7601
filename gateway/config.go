// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/telemetry"
)

// Config is all that a gateway needs to know. Zero values mean the defaults.
type Config struct {
	Coordinator string // host:port of its listener for gateways
	Identity    string // folder of who this gateway is
	Spool       SpoolConfig
	Poll        energy.Span // world time between two rounds of a bus; divides Interval
	Interval    energy.Span // the settlement slot; a quarter-hour
	StaleAfter  energy.Span // a value this old is no longer the present
	Modbus      ModbusConfig
	Devices     []Device
	Place       *Place // nil: not told, then no inverter is excused at night
	Contacts    []GridContact
	WaiverKeys  []ed25519.PublicKey // of those who may sign for a device that never reverts
	ProfilesDir string              // more profiles than come with the program; empty: none
	Log         logs.Config
	Metrics     telemetry.Config
	Build       telemetry.Build // shown by the counters
	Software    string          // what it calls itself
	Ready       func(Running)   // told once, when it runs; nil: nobody is
	Uplink      uplink.Bounds   // for tests; the defaults are meant for service

	latitude, longitude *float64 // halves of Place in a file
}

// SpoolConfig bounds the disk that the metering lane may take.
type SpoolConfig struct {
	Dir      string
	Keep     energy.Span // acknowledged samples stay so long
	MaxBytes int64
}

// ModbusConfig holds for every bus. All of it is wall time.
type ModbusConfig struct {
	Timeout      time.Duration // of one exchange
	ConnectDelay time.Duration // quiet after connecting
	RequestGap   time.Duration // quiet between requests
	UnitGap      time.Duration // quiet before a request to another unit
	IdleClose    time.Duration // the connection is given back after so long; 0: never
}

// Device is one unit behind a bus. Devices with the same URL share the bus.
type Device struct {
	Asset    roll.AssetID
	URL      string // tcp://host:port, or one of the others of [modbus.Config]
	Unit     uint8
	Profile  string // the description it is read by; empty: it is asked what it is
	Kind     string // which of a profile's kinds is meant; empty: its first
	ReadOnly bool   // never command it
	// Waiver is an operator's signature for a device that never comes back to
	// itself; empty: none, and such a device is only watched.
	Waiver   string
	Fallback guard.Fallback // of a battery without a setpoint
	Timing   Timing
	// Limits are the gateway's own, on top of the device's rating; nil: the
	// device's rating alone.
	Limits *guard.Limits

	waiver *guard.Waiver // as it was checked
}

// Defaults.
const (
	DefaultCoordinator = "127.0.0.1:9443"
	DefaultPoll        = energy.Second
	DefaultStaleAfter  = 10 * energy.Second
	DefaultTimeout     = time.Second

	// maxDevices bounds what one gateway polls and what a live batch holds.
	maxDevices = 500
)

func (c Config) withDefaults() Config {
	if c.Coordinator == "" {
		c.Coordinator = DefaultCoordinator
	}
	if c.Poll == 0 {
		c.Poll = DefaultPoll
	}
	if c.Interval == 0 {
		c.Interval = energy.QuarterHour
	}
	if c.StaleAfter == 0 {
		c.StaleAfter = max(DefaultStaleAfter, 3*c.Poll)
	}
	if c.Modbus.Timeout == 0 {
		c.Modbus.Timeout = DefaultTimeout
	}
	if c.Software == "" {
		c.Software = "allmende gateway"
	}
	c.Devices = slices.Clone(c.Devices)
	for i := range c.Devices {
		if d := &c.Devices[i]; d.Waiver != "" {
			if w, err := guard.CheckWaiver(d.Waiver, d.Asset, c.WaiverKeys); err == nil {
				d.waiver = &w
			}
		}
	}
	return c
}

// problem is something wrong with a field of a configuration.
type problem struct {
	field  string
	other  string // a second field that it contradicts
	reason string
}

// Validate says everything that is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	var all Problems
	for _, p := range c.withDefaults().check() {
		reason := p.reason
		if p.other != "" {
			reason = fmt.Sprintf("%s (%s)", reason, p.other)
		}
		all = append(all, Problem{Field: p.field, Reason: reason})
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// check expects the defaults to be filled in.
func (c Config) check() []problem {
	var found []problem
	addf := func(field, format string, args ...any) {
		found = append(found, problem{field: field, reason: fmt.Sprintf(format, args...)})
	}
	if !isAddress(c.Coordinator) {
		addf("coordinator", "%.80q is no address: write host:port, such as %s", c.Coordinator, DefaultCoordinator)
	}
	if c.Identity == "" {
		addf("identity", "no folder: leave it out, and that of `allmende gateway enrol` is taken")
	}
	if c.Spool.Dir == "" {
		addf("spool.dir", "no folder for the samples: leave it out for the default, spool")
	}
	if c.Spool.Keep < 0 || c.Spool.Keep > 3650*energy.Day {
		addf("spool.keep_days", "write 1 to 3650 days")
	}
	const least = 2 << 20
	if c.Spool.MaxBytes != 0 && (c.Spool.MaxBytes < least || c.Spool.MaxBytes > 1<<42) {
		addf("spool.max_mb", "write 2 to 4194304 MiB; a device takes about 20 KiB a day")
	}
	if c.Interval <= 0 || energy.Day%c.Interval != 0 {
		addf("interval", "%s does not divide a day", c.Interval)
		return found
	}
	if c.Poll < 100*energy.Millisecond || c.Poll > c.Interval || c.Interval%c.Poll != 0 {
		addf("poll", "%s: polls must hit the interval's end, so write a time from 100ms that divides %s, such as 1s, 5s or 1m", c.Poll, c.Interval)
	}
	if c.StaleAfter < c.Poll || c.StaleAfter > energy.Day {
		addf("stale_after", "%s: write at least one poll (%s) and at most 24h", c.StaleAfter, c.Poll)
	}
	if p := c.Place; p != nil && (p.Latitude < -90 || p.Latitude > 90 || p.Longitude < -180 || p.Longitude > 180) {
		addf("site.latitude", "%g, %g is no place: write degrees, north and east positive", p.Latitude, p.Longitude)
	}
	found = append(found, c.Modbus.check()...)
	return append(found, c.checkDevices()...)
}

func (m ModbusConfig) check() []problem {
	var found []problem
	for _, d := range []struct {
		field       string
		value       time.Duration
		least, most time.Duration
	}{
		{"modbus.timeout", m.Timeout, 10 * time.Millisecond, time.Minute},
		{"modbus.connect_delay", m.ConnectDelay, 0, time.Minute},
		{"modbus.request_gap", m.RequestGap, 0, 10 * time.Second},
		{"modbus.unit_gap", m.UnitGap, 0, 10 * time.Second},
		{"modbus.idle_close", m.IdleClose, 0, 24 * time.Hour},
	} {
		if d.value < d.least || d.value > d.most {
			found = append(found, problem{field: d.field, reason: fmt.Sprintf("%s: write %s to %s", d.value, d.least, d.most)})
		}
	}
	return found
}

func (c Config) checkDevices() []problem {
	var found []problem
	if n := len(c.Devices); n == 0 || n > maxDevices {
		found = append(found, problem{field: "devices", reason: fmt.Sprintf("%d devices: a gateway speaks to 1 to %d", n, maxDevices)})
	}
	type place struct {
		url  string
		unit uint8
		kind string // a hybrid is an inverter and a battery in one unit
	}
	assets, places := map[roll.AssetID]int{}, map[place]int{}
	for i, d := range c.Devices {
		field := fmt.Sprintf("devices[%d]", i)
		if err := roll.CheckID(string(d.Asset)); err != nil {
			found = append(found, problem{field: field + ".asset", reason: err.Error()})
		} else if j, twice := assets[d.Asset]; twice {
			found = append(found, problem{
				field: field + ".asset", other: fmt.Sprintf("devices[%d].asset", j),
				reason: fmt.Sprintf("asset %s is there twice: an asset is one device", d.Asset),
			})
		}
		assets[d.Asset] = i
		if err := (modbus.Config{URL: d.URL}).Validate(); err != nil {
			found = append(found, problem{field: field + ".url", reason: err.Error()})
		}
		if j, twice := places[place{d.URL, d.Unit, d.Kind}]; twice {
			found = append(found, problem{
				field: field + ".unit", other: fmt.Sprintf("devices[%d].unit", j),
				reason: fmt.Sprintf("two devices at %s answer as unit %d: give each its own unit id (set it at the device, then here); a hybrid is there twice with different kinds", d.URL, d.Unit),
			})
		}
		places[place{d.URL, d.Unit, d.Kind}] = i
		found = append(found, c.checkDevice(field, d)...)
	}
	return append(found, c.checkContacts()...)
}

func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
