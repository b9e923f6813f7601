// SPDX-License-Identifier: AGPL-3.0-or-later

// Package device says what a gateway knows of a device and can ask of it,
// whatever it speaks: a SunSpec chain (package sunspec) or a maker's own
// registers (package profile). It holds words, and how they are printed.
package device

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// Device is one unit that was found and identified. One goroutine uses it at a time.
type Device interface {
	Identity() Identity
	// Profile names the description it is read by, such as "sunspec" or "huawei-sun2000".
	Profile() string
	Kind() roll.AssetKind
	// Read takes one snapshot.
	Read(ctx context.Context) (Snapshot, error)
	// Points reads every point, for a person who wants to see what the device says.
	Points(ctx context.Context) ([]Value, error)
	// Controls says which commands it takes; empty: it is only watched.
	Controls() []Control
	// Apply puts a command in force: it arms the device's own reversion first,
	// where there is one, then writes, and reads both back.
	Apply(ctx context.Context, c Command) error
	// Release gives the device back to itself.
	Release(ctx context.Context) error
	// Applied reads what is in force at the device, to notice that somebody else
	// commands it: [ErrNotReadable] where it cannot be read.
	Applied(ctx context.Context) (Applied, error)
}

// Identity is what a device says about itself.
type Identity struct {
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Version      string `json:"version"`
	Serial       string `json:"serial"`
}

// Snapshot is one pass over a device.
type Snapshot struct {
	// Power is import of a meter, production of an inverter, discharge of a
	// battery; the other direction is negative. It means something only if
	// Quality is Good or Sleeping.
	Power energy.Power
	SoC   int64 // permille of a battery, -1 where there is none
	// Registers holds the counters that were read in this pass. One that is
	// there was measured; one that the device does not have is absent. A
	// counter of 32 bits starts anew at 0 after 2³² counts, as the device has it.
	Registers map[meters.Register]energy.Energy
	Quality   energy.Quality // of Power: Good, Sleeping or NotImplemented
	Reason    string         // where Quality is not Good
	State     string         // the operating state in words, empty if not told
	// Coarse names counters that are coarser than a watt-hour, such as one in
	// single precision above 16.8 MWh, with the step they count in.
	Coarse map[meters.Register]energy.Energy
}

// Value is one decoded point: Raw · 10^Scale, or Text.
type Value struct {
	Name    string
	Model   uint16 // SunSpec model, 0 elsewhere
	Address uint16
	Raw     int64
	Scale   int
	Text    string // for strings, and the name of an enumerated value
	Decimal string // the value as a decimal, after scaling; empty where there is none
	Unit    string
	Quality energy.Quality
	Reason  string // where Quality is not Good
}

// String is the value for a person, with its unit.
func (v Value) String() string {
	switch {
	case v.Quality == energy.NotImplemented:
		return v.Quality.String()
	case v.Decimal == "":
		return strconv.Quote(v.Text)
	}
	s := v.Decimal
	if v.Unit != "" {
		s += " " + v.Unit
	}
	if v.Text != "" {
		s += " (" + v.Text + ")"
	}
	return s
}

// Quantity is what a command sets.
type Quantity string

// Quantities. Powers are in milliwatts, percentages in permille.
const (
	BatteryPower   Quantity = "battery_power"    // mW: discharge positive, charge negative
	ChargeLimit    Quantity = "charge_limit"     // mW: most that the battery may charge with
	DischargeLimit Quantity = "discharge_limit"  // mW: most that the battery may discharge with
	ActivePower    Quantity = "active_power"     // mW: most that an inverter may feed in
	ActivePowerPct Quantity = "active_power_pct" // permille of the rating: the same
	LoadPower      Quantity = "load_power"       // mW: most that a charger or heat pump may take; 0 pauses it
)

// Command is a value that shall be in force until it is replaced, released or
// reverted by the device itself.
type Command struct {
	Quantity  Quantity
	Value     int64         // in the quantity's unit
	Reversion time.Duration // the device's own timer is armed with it; whole seconds
	// Stop asks for the profile's stop method instead of Value: on some devices
	// a limit of 0 is standby, and only a grid operator may ask for that.
	Stop bool
}

// Control is one quantity that a device can be told.
type Control struct {
	Quantity  Quantity
	Reversion Reversion
	// Bounds of Reversion's timer; 0: none known.
	LeastReversion, MostReversion time.Duration
	// Refresh is the longest time between two writes, where the device asks for
	// one; 0: none but the reversion.
	Refresh time.Duration
	// Flash is how many writes a day the registers may take, 0 without a limit.
	Flash int
	// Range of Value; both 0: the device's own rating, not known here.
	Least, Most int64
	// Switch says that a load can only be blocked (0) or let go, and not held at
	// anything in between. Least is what it draws at most when it is let go, and
	// letting it go is releasing it.
	Switch bool
	Source string // where the register is documented
}

// Reversion is how a device comes back to itself when nobody commands it any more.
type Reversion string

// Ways to revert.
const (
	RevertsByTimer    Reversion = "timer"    // a timer that is written with the command
	RevertsByWatchdog Reversion = "watchdog" // a fixed time without a write
	NeverReverts      Reversion = "none"     // it stays as it was told: a waiver must be signed
)

// Applied is what a device says is in force.
type Applied struct {
	Quantity Quantity
	Value    int64
	Active   bool // false: the device follows itself
}

// Errors that the implementations wrap.
var (
	ErrNotReadable = errors.New("the device does not tell what is in force")
	ErrNoControl   = errors.New("the device does not take this command")
	ErrReadBack    = errors.New("the device does not show what was written")
	ErrRange       = errors.New("the value is outside what the device takes")
)
