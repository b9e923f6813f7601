// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Tariff is what money moves inside the community beside or instead of the one
// price of shared energy. All prices are in the charter's currency.
type Tariff struct {
	// How the price of shared energy is found; left out: Charter.Price at all times.
	By     TariffRule    `json:"by,omitempty"`
	Bands  []PriceBand   `json:"bands,omitempty"`   // time_of_use: the first that matches holds; Charter.Price where none does
	FeedIn *energy.Price `json:"feed_in,omitempty"` // mid_market: what the grid pays for a kWh
	Retail *energy.Price `json:"retail,omitempty"`  // mid_market: what a kWh from the grid costs

	Network      []NetworkCharge `json:"network,omitempty"`       // beside the price, by how near giver and receiver are
	Areas        []Area          `json:"areas,omitempty"`         // which members are nearer to each other than the others
	DefaultLevel Proximity       `json:"default_level,omitempty"` // how near all others are; left out: the farthest level of Network
	Membership   *Contribution   `json:"membership,omitempty"`    // what each member pays, whatever she uses, into the community's budget
	Solidarity   *energy.Price   `json:"solidarity,omitempty"`    // beside the price, for each kWh received, into the solidarity fund
	StorageWear  *energy.Price   `json:"storage_wear,omitempty"`  // beside the price, for each kWh received out of storage, to the battery's owner
}

// TariffRule is how the price of shared energy is found.
type TariffRule string

// Tariff rules.
const (
	TariffFixed     TariffRule = "fixed"       // Charter.Price
	TariffTimeOfUse TariffRule = "time_of_use" // by the hour at which an interval begins, in the community's time zone
	TariffMidMarket TariffRule = "mid_market"  // (feed_in + retail) / 2 in millionths of a cent, half a millionth upwards; Charter.Price is not used
)

// PriceBand is a price at certain hours.
type PriceBand struct {
	Days  DayKind      `json:"days,omitempty"` // left out: all days
	From  Clock        `json:"from"`           // from this time of day on
	To    Clock        `json:"to"`             // up to, without; at or before From: past midnight
	Price energy.Price `json:"price"`
}

// DayKind says on which days a band holds.
type DayKind string

// Kinds of day, Monday to Friday and Saturday to Sunday; a public holiday is the
// day that the calendar says.
const (
	WorkingDays DayKind = "working_days"
	Weekends    DayKind = "weekends"
)

// NetworkCharge is a charge for each kWh received, by the nearness of giver and receiver.
type NetworkCharge struct {
	Level Proximity    `json:"level"`
	Price energy.Price `json:"price"`
}

// Proximity is how much of the public grid lies between giver and receiver.
type Proximity string

// Levels of proximity, from the nearest.
const (
	SameBuilding Proximity = "building" // behind one connection
	LocalGrid    Proximity = "local"    // one low-voltage grid or transformer
	RegionalGrid Proximity = "regional" // one substation or medium-voltage grid
	WideGrid     Proximity = "wide"     // anywhere in the market area
)

// Proximities are all levels, from the nearest.
func Proximities() []Proximity { return []Proximity{SameBuilding, LocalGrid, RegionalGrid, WideGrid} }

// Area says that members of one group are this near to each other: such as all
// who hang on one transformer. The register keeps the group, and the ledger's
// rows hold it, so that a charge can be checked without a map of the grid.
type Area struct {
	Group roll.Group `json:"group"`
	Level Proximity  `json:"level"`
}

// Farthest is how near two members are of whom no area says more.
func (t *Tariff) Farthest() Proximity {
	if t.DefaultLevel != "" {
		return t.DefaultLevel
	}
	far := SameBuilding
	for _, n := range t.Network {
		if slices.Index(Proximities(), n.Level) > slices.Index(Proximities(), far) {
			far = n.Level
		}
	}
	return far
}

// Nearness is how near two members of these groups are on the public grid: the
// nearest area that both are in. Behind one meter all are in one building.
func (t *Tariff) Nearness(a, b []roll.Group) Proximity {
	near := t.Farthest()
	for _, x := range t.Areas {
		if slices.Contains(a, x.Group) && slices.Contains(b, x.Group) &&
			slices.Index(Proximities(), x.Level) < slices.Index(Proximities(), near) {
			near = x.Level
		}
	}
	return near
}

// Contribution is a fixed amount in each period.
type Contribution struct {
	Minor int64  `json:"minor"` // in minor units (cents) of the charter's currency
	Per   Period `json:"per"`
}
