// SPDX-License-Identifier: AGPL-3.0-or-later

// Package roll is the community's register: who its members are, which
// connections, sites and assets they hold, and which gateway speaks to what.
//
// A [Community] is a value that has been checked by [Community.Validate];
// everything that decides anything takes one as input and changes none.
package roll

import "github.com/allmende-energy/allmende/energy"

// Ids are lower-case slugs ("anna", "roof-3"): a letter or digit, then up to
// 39 letters, digits, '-' or '_'. A type per id keeps a site from being taken for a
// member.
type (
	CommunityID  string
	MemberID     string
	ConnectionID string
	SiteID       string
	AssetID      string
	GatewayID    string
	// PoolID names what is shared together: all public_grid connections of a
	// community ("grid"), or one one_meter connection (its id).
	PoolID string
	// Group is a label that a charter's rounds may name.
	Group string
)

// GridPool is the pool of all public_grid connections.
const GridPool PoolID = "grid"

// Community is one energy commons.
type Community struct {
	ID          CommunityID
	Name        string
	Timezone    string // IANA name; pages cut "today" by it
	Members     []Member
	Connections []Connection
	Sites       []Site
	Assets      []Asset
	Gateways    []Gateway
}

// Member is a person or body.
type Member struct {
	ID     MemberID
	Name   string
	Groups []Group
	Bid    *Order // in the market round, for what she still needs; nil: none stands
	Offer  *Order // and of what she has left
}

// ConnectionKind is how the sites under a connection hang together.
type ConnectionKind string

// Kinds of connection.
const (
	PublicGrid ConnectionKind = "public_grid" // sites share over the grid by law
	OneMeter   ConnectionKind = "one_meter"   // sites behind one billing meter
)

// Connection is a node of the physical tree.
type Connection struct {
	ID          ConnectionID
	Kind        ConnectionKind
	Meter       AssetID      // one_meter: the meter that binds; empty for public_grid
	ImportLimit energy.Power // fuse or contract, 0 = not stated
	ExportLimit energy.Power
	// Island says that the connection runs cut off from the grid: an operator, or
	// what she has set up, says when that begins and ends.
	Island bool
}

// Site is a member's place under a connection. Its grid meter is the asset of
// kind Meter at the site; a site has exactly one of those.
type Site struct {
	ID         SiteID
	Member     MemberID
	Connection ConnectionID
	Latitude   string // decimal degrees, for the sun's position; may be empty
	Longitude  string
}

// AssetKind is what a device does.
type AssetKind string

// Kinds of asset.
const (
	Meter    AssetKind = "meter"    // registers: import, export
	Inverter AssetKind = "inverter" // register: production
	Battery  AssetKind = "battery"  // registers: charged, discharged; state of charge
)

// Placement says whether a site's meter sees a battery.
type Placement string

// Placements of a battery.
const (
	BehindMeter Placement = "behind_meter" // charging raises the site meter's import
	OwnMeter    Placement = "own_meter"    // metered by its own registers, beside the site's meter
)

// Asset is a device at a site, or (for a binding meter) at a connection.
type Asset struct {
	ID         AssetID
	Kind       AssetKind
	Site       SiteID       // empty for a binding meter
	Connection ConnectionID // set for a binding meter only
	Owner      MemberID     // empty: owned by the community
	Gateway    GatewayID
	Battery    *BatteryData // kind Battery only
}

// BatteryData are a battery's nameplate and what its owner lends.
type BatteryData struct {
	Capacity     energy.Energy // usable
	MaxCharge    energy.Power
	MaxDischarge energy.Power
	MinSoC       int64 // permille of capacity that is never gone below
	MaxSoC       int64 // permille
	ReserveSoC   int64 // permille kept for the owner, on top of nobody's vote; ≥ MinSoC
	ChargeEff    int64 // millionths: stored / charged
	DischargeEff int64 // millionths: discharged / taken from the stock
	Placement    Placement
	Dispatchable bool // false: read only
}

// Gateway is an edge computer.
type Gateway struct {
	ID   GatewayID
	Name string
}
