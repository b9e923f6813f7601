// SPDX-License-Identifier: AGPL-3.0-or-later

// Package statement turns settled intervals into money: for each member a
// statement whose lines name the charter's rules, and beside them the accounts of
// the community and of those outside whom it pays. It is pure, and the same for
// whoever asks what another charter would cost and whoever bills.
//
// Whatever somebody pays, somebody gets: over all parties the exact amounts sum to
// zero, and [Book.Sheet] refuses a sheet in which they do not. Each line is rounded
// once, at the end of the period, half away from zero, so that a member can check
// it from her own energy and the charter's price. The cents that all those
// roundings come to stand in the community's account, in a line of their own.
package statement

import (
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// ErrMoney means that what some pay is not what others get: a fault of this
// program or of the rows, and the reason to trust none of the figures.
var ErrMoney = errors.New("what is paid is not what is received")

// Role is what a party is to the community.
type Role string

// Roles.
const (
	Member       Role = "member"
	Community    Role = "community"     // its budget, the solidarity fund, the account of its storage
	Retailer     Role = "retailer"      // whoever sells grid energy and buys what is fed in, for all together
	GridOperator Role = "grid_operator" // gets the charges for the grid
)

// Party pays and is paid.
type Party struct {
	Role   Role          `json:"role"`
	Member roll.MemberID `json:"member,omitempty"` // of role member
}

// Kind is what a line is for.
type Kind string

// Kinds of line, in the order of a statement. A kind that one party pays in, its
// counterpart is paid in.
const (
	Received    Kind = "received"     // shared energy that a member got, from the sun and from storage
	Given       Kind = "given"        // shared energy that she gave, to members and to storage
	Bought      Kind = "bought"       // energy that a member bought in the market round
	Sold        Kind = "sold"         // and sold in it
	Network     Kind = "network"      // the charge for the grid between giver and receiver
	Solidarity  Kind = "solidarity"   // into the fund
	Wear        Kind = "wear"         // for the batteries that she got energy from
	WearOwner   Kind = "wear_owner"   // to whom those batteries belong
	Membership  Kind = "membership"   // for the days on which she was a member
	GridImport  Kind = "grid_import"  // from the retailer
	GridExport  Kind = "grid_export"  // to the retailer
	StorageIn   Kind = "storage_in"   // the community pays for what its storage takes
	StorageOut  Kind = "storage_out"  // and is paid for what comes out
	HouseImport Kind = "house_import" // behind one meter: grid energy that members pay for, and that the house did not draw
	HouseExport Kind = "house_export" // and was not fed in either
	Rounding    Kind = "rounding"     // what the rounding of all lines comes to
)

// Contract stands as the rule of a line whose price is not the charter's but that
// of the contract with the retailer.
const Contract = "supply contract"

// Line is one thing that a party pays, or is paid for where the amount is below zero.
type Line struct {
	Kind   Kind              `json:"kind"`
	Rule   string            `json:"rule"`             // the charter's field, such as "tariff.bands[0]" or "sharing.market", or Contract
	Level  charter.Proximity `json:"level,omitempty"`  // of a charge for the grid
	Energy energy.Energy     `json:"energy,omitempty"` // never below zero
	Days   int               `json:"days,omitempty"`   // of membership
	Price  *energy.Price     `json:"price,omitempty"`  // where one price held throughout
	Amount int64             `json:"amount_minor"`     // in cents; positive: pays
}

// Statement is what a party pays and is paid over a period.
type Statement struct {
	Party Party  `json:"party"`
	Lines []Line `json:"lines"`
	Total int64  `json:"total_minor"` // Σ of the lines
}

// Of is what the lines of a kind come to.
func (s *Statement) Of(k Kind) (minor int64) {
	for i := range s.Lines {
		if s.Lines[i].Kind == k {
			minor += s.Lines[i].Amount
		}
	}
	return minor
}

// Sheet are the statements of all parties; their totals sum to zero.
type Sheet struct {
	Currency     energy.Currency `json:"currency"`
	Members      []Statement     `json:"members"` // sorted by id
	Community    Statement       `json:"community"`
	Retailer     Statement       `json:"retailer"`
	GridOperator Statement       `json:"grid_operator"`
}

// Interval is what a settlement gave.
type Interval struct {
	At          energy.Interval
	Pools       []ledger.PoolTotals
	Members     []ledger.MemberRow
	Storage     []ledger.StorageRow
	Connections []ledger.ConnectionRow
	// Owners of batteries; one who is not named here is the community.
	Owners map[roll.AssetID]roll.MemberID
	// What the retailer asks and pays. A charter's own figures go before these.
	Retail, FeedIn energy.Price
}

// Local is what clock and calendar at home show.
type Local struct {
	Year, Month, Day int
	Time             charter.Clock
	Weekend          bool // Saturday or Sunday
}

// In is what clock and calendar show in a time zone.
func In(zone *time.Location) func(energy.Instant) Local {
	return func(at energy.Instant) Local {
		t := at.Time().In(zone)
		return Local{
			Year: t.Year(), Month: int(t.Month()), Day: t.Day(),
			Time:    charter.Clock(t.Hour()*60 + t.Minute()),
			Weekend: t.Weekday() == time.Saturday || t.Weekday() == time.Sunday,
		}
	}
}

// check refuses a calendar that was not filled in: a contribution needs the day.
func (l Local) check() error {
	if l.Year == 0 || l.Month < 1 || l.Month > 12 || l.Day < 1 || l.Day > daysIn(l.Year, l.Month) {
		return fmt.Errorf("%d-%d-%d is no day of the calendar", l.Year, l.Month, l.Day)
	}
	return nil
}

// days is over how many days of the calendar a contribution for a period goes.
func (l Local) days(p charter.Period) int {
	switch p {
	case charter.PerMonth:
		return daysIn(l.Year, l.Month)
	case charter.PerYear:
		return 337 + daysIn(l.Year, 2)
	case charter.PerDay:
	}
	return 1
}

func daysIn(year, month int) int {
	if month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		return 29
	}
	return [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
}
