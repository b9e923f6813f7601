// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Sheet is what the rows of one interval say, read once and added up.
type Sheet struct {
	Members     []MemberRow
	Storage     []StorageRow
	Connections []ConnectionRow
	totals      map[roll.PoolID]*PoolTotals
	traded      map[roll.PoolID]traded // in market rounds
	bookings    []Booking              // of the rows, without the pools' own
}

// ReadRows reads and adds up rows in their order. It refuses rows that are not
// in canonical form ([ErrRow]) or contradict themselves ([ErrBalance]).
func ReadRows(rows []Row) (*Sheet, error) {
	f := folder{sheet: &Sheet{totals: make(map[roll.PoolID]*PoolTotals)}}
	for i, r := range rows {
		if i > 0 && CompareRow(rows[i-1], r) >= 0 {
			return nil, fmt.Errorf("%w: row %q is out of order or stands twice", ErrRow, r.Key)
		}
		f.row = i
		if err := f.fold(r); err != nil {
			return nil, err
		}
		if f.overflow {
			return nil, fmt.Errorf("%w: %s row %q overflows the sums", ErrBalance, r.Kind, r.Key)
		}
	}
	return f.sheet, nil
}

// Book is [Postings] with the row of each entry, for an annex that must know
// whose entry is whose.
func (s *Sheet) Book() ([]Booking, error) {
	bookings := slices.Clone(s.bookings)
	for _, pool := range sortedPools(s.totals) {
		bookings = append(bookings, poolBookings(s.totals[pool])...)
	}
	if err := CheckBalance(entriesOf(bookings)); err != nil {
		return nil, err
	}
	return bookings, nil
}

// CheckTotals says whether a leaf's totals are the sums of its rows.
func (s *Sheet) CheckTotals(pools []PoolTotals) error {
	sums := maps.Clone(s.totals)
	for _, want := range pools {
		got, ok := sums[want.Pool]
		if !ok {
			got = &PoolTotals{Pool: want.Pool}
		}
		if name, a, b := firstDifference(want, *got); name != "" {
			return fmt.Errorf("%w: pool %q: %s is %s in the leaf, but its rows sum to %s", ErrBalance, want.Pool, name, a, b)
		}
		if err := s.checkTraded(&want); err != nil {
			return err
		}
		delete(sums, want.Pool)
	}
	for _, pool := range sortedPools(sums) {
		return fmt.Errorf("%w: rows of pool %q, which the leaf does not name", ErrBalance, pool)
	}
	return nil
}

// folder adds rows to a sheet.
type folder struct {
	sheet    *Sheet
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
		f.sheet.Members = append(f.sheet.Members, m)
		return f.member(m)
	case RowStorage:
		s, err := r.Storage()
		if err != nil {
			return err
		}
		f.sheet.Storage = append(f.sheet.Storage, s)
		return f.storage(s)
	case RowConnection:
		c, err := r.Connection()
		f.sheet.Connections = append(f.sheet.Connections, c)
		return err
	}
	return fmt.Errorf("%w: unknown kind %q", ErrRow, r.Kind)
}

func (f *folder) pool(id roll.PoolID) *PoolTotals {
	t, ok := f.sheet.totals[id]
	if !ok {
		t = &PoolTotals{Pool: id}
		f.sheet.totals[id] = t
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
		f.sheet.bookings = append(f.sheet.bookings, Booking{Entry{pool, account, amount}, f.row})
	}
}

func (f *folder) member(m MemberRow) error {
	if min(m.Share, m.FromStorage, m.Sold, m.Stored, m.ForSale, m.MarketLeft, m.MarketBought, m.MarketSold) < 0 {
		return fmt.Errorf("%w: member %q in pool %q has a negative share", ErrBalance, m.Member, m.Pool)
	}
	if min(m.GridImport, m.GridExport) < 0 {
		return fmt.Errorf("%w: member %q in pool %q received more than she needed, or gave more than she fed in", ErrBalance, m.Member, m.Pool)
	}
	var took, gave energy.Energy
	f.sum(&took, m.Share, m.FromStorage)
	f.sum(&gave, m.Sold, m.Stored, m.ForSale)
	demand, supply := took, gave
	f.sum(&demand, m.MarketBought, m.GridImport)
	f.sum(&supply, m.MarketSold, m.GridExport)
	if !f.overflow && (demand != m.Demand || supply != m.Supply) {
		return fmt.Errorf("%w: member %q in pool %q: her shares, trades and grid energy are not her demand and supply", ErrBalance, m.Member, m.Pool)
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
	f.sum(&t.GridExport, m.Supply, -m.Share, -m.FromStorage, -m.MarketBought)
	f.sum(&t.ForSale, m.ForSale)

	f.book(m.Pool, MemberAccount(m.Member, "shared"), took)
	f.trade(&m)
	f.book(m.Pool, MemberAccount(m.Member, "grid"), m.GridImport)
	f.book(m.Pool, MemberAccount(m.Member, "fed_in"), m.MarketSold-m.Supply)
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
		{"for_sale", a.ForSale, b.ForSale},
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
