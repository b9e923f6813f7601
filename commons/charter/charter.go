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
// knows. Old versions stay in the program, frozen by test vectors.
const RulesVersion = 1

// Method is how a round divides its pool.
type Method string

// Methods.
const (
	Equal        Method = "equal"        // the same for each, never more than the demand (water-filling)
	Proportional Method = "proportional" // in proportion to the demand
)

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
}

// Sharing is the sharing rule: rounds in order, each dividing what the ones before left.
type Sharing struct {
	ExportingSites ExportRule `json:"exporting_sites"`
	Rounds         []Round    `json:"rounds"`
}

// ExportRule says whether a site that feeds in during an interval may receive in the same interval.
type ExportRule string

// Export rules.
const (
	ExportersReceive ExportRule = "receive"
	ExportersWait    ExportRule = "wait" // as in Portugal
)

// Round is one step of the sharing rule.
type Round struct {
	Name   string         `json:"name"`
	Groups []roll.Group   `json:"groups,omitempty"` // who: members of any of these; empty means everyone
	Method Method         `json:"method"`
	Cap    *energy.Energy `json:"cap,omitempty"` // most that one member gets in this round, per interval
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
}

// StorageUse is how batteries serve the community.
type StorageUse string

// Storage uses.
const (
	StorageNone   StorageUse = "none"   // batteries are left alone
	StorageShared StorageUse = "shared" // charge from surplus, discharge into deficit; what comes out is shared like the pool
)
