// SPDX-License-Identifier: AGPL-3.0-or-later

// Package charter is a community's rules as a value: what is shared, with whom,
// by which method, and what storage may do. A charter is canonical and hashed,
// so that a ledger leaf can name the rules it was settled by.
//
// Reading YAML lives in package charters; this package is pure.
package charter

import (
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Format is the value of a charter's "charter" field.
const Format = "allmende/1"

// RulesVersion is the newest version of the sharing rules that this program
// knows. Old versions stay in the program, frozen by test vectors: version 1 has
// the methods equal and proportional and none of the fields that say "version 2".
const RulesVersion = 2

// Charter is one version of a community's rules. Field names in JSON and YAML are the same.
type Charter struct {
	Charter      string          `json:"charter"`
	Name         string          `json:"name"`
	Summary      string          `json:"summary,omitempty"`
	RulesVersion int             `json:"rules_version"`
	Currency     energy.Currency `json:"currency"`
	Interval     energy.Span     `json:"interval"`     // 15m or 1h
	SettleAfter  energy.Span     `json:"settle_after"` // the deadline: an interval that is still incomplete this long after its end settles with its quality
	Price        energy.Price    `json:"price"`        // the community's internal price of shared energy
	Sharing      Sharing         `json:"sharing"`
	Residual     Residual        `json:"residual"`
	Storage      Storage         `json:"storage"`

	// From here on: version 2. A field that is left out is not in the canonical
	// form, so that the hashes of older charters stay what they were.
	Tariff          *Tariff       `json:"tariff,omitempty"`           // more about money than one price
	WeightingPeriod Period        `json:"weighting_period,omitempty"` // over which expressions stay as evaluated; needed where there are any
	Expressions     []Expression  `json:"expressions,omitempty"`
	Island          *Sharing      `json:"island,omitempty"` // the sharing rule while the community runs cut off from the grid; left out: the same rule
	Jurisdiction    *Jurisdiction `json:"jurisdiction,omitempty"`
}

// Islanded is the charter as it holds for a pool that is cut off from the grid:
// with the sharing rule of Island, where it has one.
func (c *Charter) Islanded() *Charter {
	if c.Island == nil {
		return c
	}
	island := *c
	island.Sharing = *c.Island
	return &island
}

// Residual says who bears what a one_meter connection's submeters don't explain.
type Residual struct {
	By     ResidualRule  `json:"by"`
	Member roll.MemberID `json:"member,omitempty"` // for by: member
}

// ResidualRule is how a residual is divided.
type ResidualRule string

// Residual rules.
const (
	ResidualEqual        ResidualRule = "equal"
	ResidualProportional ResidualRule = "proportional" // to consumption
	ResidualMember       ResidualRule = "member"       // one member bears it (the house, the co-op)
)

// Storage says what the community's batteries may do.
type Storage struct {
	Use StorageUse `json:"use"`
	// GridCharging says what charging from the grid does (version 2; left out: GridCounts).
	GridCharging GridCharging `json:"grid_charging,omitempty"`
}

// StorageUse is how batteries serve the community.
type StorageUse string

// Storage uses.
const (
	StorageNone   StorageUse = "none"   // batteries are left alone
	StorageShared StorageUse = "shared" // charge from surplus, discharge into deficit; what comes out is shared like the pool
)

// GridCharging says what becomes of storage that was charged from the grid.
type GridCharging string

// Consequences of charging from the grid.
const (
	// GridCounts: what comes out is shared whatever its origin; the books show the mix.
	GridCounts GridCharging = "counts"
	// GridForfeits: a battery that holds any energy from the grid when an interval
	// begins, or takes some during it, gives nothing to the pool in that interval
	// (as in Germany, EnWG § 42c). An owner's reserve is not looked at.
	GridForfeits GridCharging = "forfeits"
)
