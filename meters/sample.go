// SPDX-License-Identifier: AGPL-3.0-or-later

// Package meters turns readings into validated interval values. The deciding
// half (this package) is pure; importers and stores live in packages below it.
package meters

import (
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Register names a cumulative energy register of an asset.
type Register string

// Registers, by asset kind (see roll.AssetKind).
const (
	Import     Register = "import"     // meter: taken from the grid
	Export     Register = "export"     // meter: fed in
	Production Register = "production" // inverter
	Charged    Register = "charged"    // battery, at its terminals (AC)
	Discharged Register = "discharged" // battery, at its terminals (AC)
)

// Key is one register of one asset.
type Key struct {
	Asset    roll.AssetID
	Register Register
}

// Sample is one reading of a cumulative register.
type Sample struct {
	Key
	At      energy.Instant
	Value   energy.Energy // the register's count
	Quality energy.Quality
	// Reset says that the device or its counter started anew before this
	// sample: no difference may be taken across it.
	Reset bool
	// SoC is a battery's state of charge in permille when the sample was taken,
	// -1 where there is none.
	SoC int64
}

// Reading is the latest value of an asset on the live lane.
type Reading struct {
	Asset   roll.AssetID
	At      energy.Instant
	Power   energy.Power // meter: import positive, feed-in negative; inverter: production positive; battery: discharge positive
	SoC     int64        // permille, -1 where there is none
	Quality energy.Quality
	Reason  string // why, where the quality is not good
}
