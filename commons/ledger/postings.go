// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// ErrBalance is wrapped where rows, totals or entries don't add up.
var ErrBalance = errors.New("the books don't balance")

// Accounts of a pool's own.
const (
	AccountGridImport = "pool:grid_import" // credit: what the pool took from outside
	AccountGridExport = "pool:grid_export" // debit: what it gave away
)

// MemberAccount names an account of a member: "shared", "grid" or "fed_in".
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
//	member:<m>:grid     + grid import
//	member:<m>:fed_in   − supply
//	storage:<asset>     + charged, − discharged
//	pool:grid_import    − what the members and the batteries took from the grid
//	pool:grid_export    + what nobody here took
//
// They sum to zero in each pool; entries of zero are left out. Rows that
// contradict themselves are refused with [ErrBalance].
func Postings(rows []Row) ([]Entry, error) {
	bookings, err := Book(rows)
	if err != nil {
		return nil, err
	}
	return entriesOf(bookings), nil
}

// Book is [Postings] with the row of each entry, for an annex that must know
// whose entry is whose.
func Book(rows []Row) ([]Booking, error) {
	totals, bookings, err := foldRows(rows)
	if err != nil {
		return nil, err
	}
	for _, pool := range sortedPools(totals) {
		bookings = append(bookings, poolBookings(totals[pool])...)
	}
	if err := CheckBalance(entriesOf(bookings)); err != nil {
		return nil, err
	}
	return bookings, nil
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

// CheckTotals says whether a leaf's totals are the sums of its rows.
func CheckTotals(pools []PoolTotals, rows []Row) error {
	sums, _, err := foldRows(rows)
	if err != nil {
		return err
	}
	for _, want := range pools {
		got, ok := sums[want.Pool]
		if !ok {
			got = &PoolTotals{Pool: want.Pool}
		}
		if name, a, b := firstDifference(want, *got); name != "" {
			return fmt.Errorf("%w: pool %q: %s is %s in the leaf, but its rows sum to %s", ErrBalance, want.Pool, name, a, b)
		}
		delete(sums, want.Pool)
	}
	for _, pool := range sortedPools(sums) {
		return fmt.Errorf("%w: rows of pool %q, which the leaf does not name", ErrBalance, pool)
	}
	return nil
}

// foldRows sums rows by pool and books those that have accounts.
func foldRows(rows []Row) (map[roll.PoolID]*PoolTotals, []Booking, error) {
	f := folder{totals: make(map[roll.PoolID]*PoolTotals)}
	for i, r := range rows {
		if i > 0 && CompareRow(rows[i-1], r) >= 0 {
			return nil, nil, fmt.Errorf("%w: row %q is out of order or stands twice", ErrRow, r.Key)
		}
		f.row = i
		if err := f.fold(r); err != nil {
			return nil, nil, err
		}
		if f.overflow {
			return nil, nil, fmt.Errorf("%w: %s row %q overflows the sums", ErrBalance, r.Kind, r.Key)
		}
	}
	return f.totals, f.bookings, nil
}

type folder struct {
	totals   map[roll.PoolID]*PoolTotals
	bookings []Booking
	row      int
	overflow bool
}

func (f *folder) fold(r Row) error {
	switch r.Kind {
	case RowMember:
		m, err := r.Member()
		if err != nil {
			return err
		}
		return f.member(m)
	case RowStorage:
		s, err := r.Storage()
		if err != nil {
			return err
		}
		return f.storage(s)
	case RowConnection:
		_, err := r.Connection()
		return err
	}
	return fmt.Errorf("%w: unknown kind %q", ErrRow, r.Kind)
}

func (f *folder) pool(id roll.PoolID) *PoolTotals {
	t, ok := f.totals[id]
	if !ok {
		t = &PoolTotals{Pool: id}
		f.totals[id] = t
	}
	return t
}

// sum adds values to *to and remembers an overflow.
func (f *folder) sum(to *energy.Energy, values ...energy.Energy) {
	for _, v := range values {
		s, ok := add(*to, v)
		if !ok {
			f.overflow = true
			return
		}
		*to = s
	}
}

func (f *folder) book(pool roll.PoolID, account string, amount energy.Energy) {
	if amount != 0 {
		f.bookings = append(f.bookings, Booking{Entry{pool, account, amount}, f.row})
	}
}

func (f *folder) member(m MemberRow) error {
	if min(m.Share, m.FromStorage, m.Sold, m.Stored) < 0 {
		return fmt.Errorf("%w: member %q in pool %q has a negative share", ErrBalance, m.Member, m.Pool)
	}
	var took, gave energy.Energy
	f.sum(&took, m.Share, m.FromStorage)
	f.sum(&gave, m.Sold, m.Stored)
	demand, supply := took, gave
	f.sum(&demand, m.GridImport)
	f.sum(&supply, m.GridExport)
	if !f.overflow && (demand != m.Demand || supply != m.Supply) {
		return fmt.Errorf("%w: member %q in pool %q: her shares and grid energy are not her demand and supply", ErrBalance, m.Member, m.Pool)
	}
	t := f.pool(m.Pool)
	for _, s := range m.Sites {
		f.sum(&t.Production, s.Production)
	}
	f.sum(&t.OwnUse, m.OwnUse)
	f.sum(&t.Consumption, m.OwnUse, m.Demand)
	f.sum(&t.Supply, m.Supply)
	f.sum(&t.Demand, m.Demand)
	f.sum(&t.Shared, m.Share)
	f.sum(&t.FromStorage, m.FromStorage)
	f.sum(&t.Residual, m.Residual)
	f.sum(&t.GridImport, m.GridImport)
	f.sum(&t.GridExport, m.Supply, -m.Share, -m.FromStorage)

	f.book(m.Pool, MemberAccount(m.Member, "shared"), took)
	f.book(m.Pool, MemberAccount(m.Member, "grid"), m.GridImport)
	f.book(m.Pool, MemberAccount(m.Member, "fed_in"), -m.Supply)
	return nil
}

func (f *folder) storage(s StorageRow) error {
	if min(s.In.Own, s.In.Commons, s.In.Grid, s.Out.Own, s.Out.Commons, s.Out.Grid) < 0 {
		return fmt.Errorf("%w: storage %q moves a negative amount", ErrBalance, s.Asset)
	}
	if f.stock(s.In) != s.Charged || f.stock(s.Out) != s.Discharged {
		return fmt.Errorf("%w: storage %q: what went in and out by origin is not what was charged and discharged", ErrBalance, s.Asset)
	}
	for _, o := range []func(Stock) energy.Energy{
		func(k Stock) energy.Energy { return k.Own },
		func(k Stock) energy.Energy { return k.Commons },
		func(k Stock) energy.Energy { return k.Grid },
	} {
		closing := o(s.Opening)
		f.sum(&closing, o(s.In), -o(s.Out), -o(s.Loss), o(s.Reconciled))
		if closing != o(s.Closing) {
			return fmt.Errorf("%w: storage %q does not close: %s instead of %s", ErrBalance, s.Asset, o(s.Closing), closing)
		}
	}
	t := f.pool(s.Pool)
	f.sum(&t.Charged, s.Charged)
	f.sum(&t.ChargedGrid, s.In.Grid)
	f.sum(&t.Discharged, s.Discharged)
	// The totals count as lost what did not come out again, in the books or by measurement.
	f.sum(&t.StorageLoss, s.Loss.Own, s.Loss.Commons, s.Loss.Grid)
	f.sum(&t.StorageLoss, -s.Reconciled.Own, -s.Reconciled.Commons, -s.Reconciled.Grid)
	f.sum(&t.GridImport, s.In.Grid)
	f.sum(&t.GridExport, s.Discharged, -s.In.Own, -s.In.Commons)

	f.book(s.Pool, StorageAccount(s.Asset), s.Charged)
	f.book(s.Pool, StorageAccount(s.Asset), -s.Discharged)
	return nil
}

func (f *folder) stock(s Stock) energy.Energy {
	var e energy.Energy
	f.sum(&e, s.Own, s.Commons, s.Grid)
	return e
}

// poolBookings are a pool's own two accounts: what is left when its members and
// batteries are booked.
func poolBookings(t *PoolTotals) []Booking {
	var out []Booking
	if t.GridImport != 0 {
		out = append(out, Booking{Entry{t.Pool, AccountGridImport, -t.GridImport}, -1})
	}
	if t.GridExport != 0 {
		out = append(out, Booking{Entry{t.Pool, AccountGridExport, t.GridExport}, -1})
	}
	return out
}

// firstDifference names the first sum in which two totals differ.
func firstDifference(a, b PoolTotals) (name string, va, vb energy.Energy) {
	for _, c := range []struct {
		name string
		a, b energy.Energy
	}{
		{"production", a.Production, b.Production},
		{"own_use", a.OwnUse, b.OwnUse},
		{"consumption", a.Consumption, b.Consumption},
		{"supply", a.Supply, b.Supply},
		{"demand", a.Demand, b.Demand},
		{"shared", a.Shared, b.Shared},
		{"from_storage", a.FromStorage, b.FromStorage},
		{"charged", a.Charged, b.Charged},
		{"charged_grid", a.ChargedGrid, b.ChargedGrid},
		{"discharged", a.Discharged, b.Discharged},
		{"storage_loss", a.StorageLoss, b.StorageLoss},
		{"residual", a.Residual, b.Residual},
		{"grid_import", a.GridImport, b.GridImport},
		{"grid_export", a.GridExport, b.GridExport},
	} {
		if c.a != c.b {
			return c.name, c.a, c.b
		}
	}
	return "", 0, 0
}

func add(a, b energy.Energy) (energy.Energy, bool) {
	if (b > 0 && a > math.MaxInt64-b) || (b < 0 && a < math.MinInt64-b) {
		return 0, false
	}
	return a + b, true
}

func sortedPools[V any](m map[roll.PoolID]V) []roll.PoolID {
	ids := make([]roll.PoolID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
