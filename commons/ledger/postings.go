// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// ErrBalance is wrapped where rows, totals or entries don't add up.
var ErrBalance = errors.New("the books don't balance")

// Accounts of a pool's own.
const (
	AccountGridImport = "pool:grid_import" // credit: what the pool took from outside
	AccountGridExport = "pool:grid_export" // debit: what it gave away
	AccountSale       = "pool:sale"        // debit: what the community sold to the grid as its own
)

// MemberAccount names an account of a member: "shared", "bought", "sold", "grid" or "fed_in".
func MemberAccount(m roll.MemberID, what string) string { return "member:" + string(m) + ":" + what }

// StorageAccount names a battery's account.
func StorageAccount(a roll.AssetID) string { return "storage:" + string(a) }

// Booking is an entry and the row that it stands for.
type Booking struct {
	Entry
	Row int // index among the rows; -1 for the pool's own accounts
}

// Postings derives the entries of a settled interval from its rows alone. Per
// pool, debits positive and credits negative:
//
//	member:<m>:shared   + share + from storage
//	member:<m>:bought   + bought in the market round
//	member:<m>:sold     − sold in it
//	member:<m>:grid     + grid import
//	member:<m>:fed_in   − supply, without what she sold in the market round
//	storage:<asset>     + charged, − discharged
//	pool:grid_import    − what the members and the batteries took from the grid
//	pool:grid_export    + what nobody here took, and the community does not sell
//	pool:sale           + what the community sold to the grid as its own
//
// They sum to zero in each pool; entries of zero are left out. Rows that
// contradict themselves are refused with [ErrBalance].
func Postings(rows []Row) ([]Entry, error) {
	sheet, err := ReadRows(rows)
	if err != nil {
		return nil, err
	}
	bookings, err := sheet.Book()
	if err != nil {
		return nil, err
	}
	return entriesOf(bookings), nil
}

func entriesOf(bookings []Booking) []Entry {
	entries := make([]Entry, len(bookings))
	for i, b := range bookings {
		entries[i] = b.Entry
	}
	return entries
}

// Negate is what a reversal books: every entry with the opposite sign.
func Negate(entries []Entry) []Entry {
	out := make([]Entry, len(entries))
	for i, e := range entries {
		e.Amount = -e.Amount
		out[i] = e
	}
	return out
}

// CheckBalance says whether the entries sum to zero in each pool.
func CheckBalance(entries []Entry) error {
	sums := make(map[roll.PoolID]energy.Energy)
	for _, e := range entries {
		s, ok := add(sums[e.Pool], e.Amount)
		if !ok {
			return fmt.Errorf("%w: pool %q overflows", ErrBalance, e.Pool)
		}
		sums[e.Pool] = s
	}
	for _, pool := range sortedPools(sums) {
		if sums[pool] != 0 {
			return fmt.Errorf("%w: pool %q is off by %s", ErrBalance, pool, sums[pool])
		}
	}
	return nil
}

// poolBookings are a pool's own accounts: what is left when its members and
// batteries are booked.
func poolBookings(t *PoolTotals) []Booking {
	var out []Booking
	if t.GridImport != 0 {
		out = append(out, Booking{Entry{t.Pool, AccountGridImport, -t.GridImport}, -1})
	}
	if own := t.GridExport - t.ForSale; own != 0 {
		out = append(out, Booking{Entry{t.Pool, AccountGridExport, own}, -1})
	}
	if t.ForSale != 0 {
		out = append(out, Booking{Entry{t.Pool, AccountSale, t.ForSale}, -1})
	}
	return out
}
