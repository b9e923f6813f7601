// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

var drawAmount = rapid.Map(rapid.Int64Range(0, 1<<40), func(v int64) energy.Energy { return energy.Energy(v) })

// drawRows makes rows of any amounts that don't contradict themselves, and adds
// up what their pools' totals must be, the slow way.
func drawRows(t *rapid.T) ([]ledger.Row, map[roll.PoolID]*ledger.PoolTotals) {
	totals := map[roll.PoolID]*ledger.PoolTotals{}
	pool := func() *ledger.PoolTotals {
		id := rapid.SampledFrom([]roll.PoolID{roll.GridPool, "house-1", "house-2"}).Draw(t, "pool")
		if totals[id] == nil {
			totals[id] = &ledger.PoolTotals{Pool: id}
		}
		return totals[id]
	}
	e := func(name string) energy.Energy { return drawAmount.Draw(t, name) }
	var rows []ledger.Row
	for i := range rapid.IntRange(0, 5).Draw(t, "members") {
		p := pool()
		m := ledger.MemberRow{
			Member: memberID(i), Pool: p.Pool, Sites: []ledger.SiteInput{{Production: e("p1")}, {Production: e("p2")}},
			Residual: e("gain") - e("loss"), OwnUse: e("own") - e("stored before"),
			Share: e("share"), FromStorage: e("storage"), Sold: e("sold"), Stored: e("stored"),
			GridImport: e("import"), GridExport: e("export"),
		}
		m.Demand = m.Share + m.FromStorage + m.GridImport
		m.Supply = m.Sold + m.Stored + m.GridExport
		r, err := ledger.NewMemberRow(m)
		rows = append(rows, must(t, r, err))

		p.Production += m.Sites[0].Production + m.Sites[1].Production
		p.OwnUse += m.OwnUse
		p.Consumption += m.OwnUse + m.Demand
		p.Supply += m.Supply
		p.Demand += m.Demand
		p.Shared += m.Share
		p.FromStorage += m.FromStorage
		p.Residual += m.Residual
	}
	stock := func() ledger.Stock { return ledger.Stock{Own: e("own"), Commons: e("commons"), Grid: e("grid")} }
	for i := range rapid.IntRange(0, 3).Draw(t, "batteries") {
		p := pool()
		b := ledger.StorageRow{
			Asset: roll.AssetID(fmt.Sprint("b", i)), Pool: p.Pool,
			Opening: stock(), In: stock(), Out: stock(), Loss: stock(), Reconciled: stock(),
		}
		b.Charged, b.Discharged = sum(b.In), sum(b.Out)
		b.Closing = ledger.Stock{
			Own:     b.Opening.Own + b.In.Own - b.Out.Own - b.Loss.Own + b.Reconciled.Own,
			Commons: b.Opening.Commons + b.In.Commons - b.Out.Commons - b.Loss.Commons + b.Reconciled.Commons,
			Grid:    b.Opening.Grid + b.In.Grid - b.Out.Grid - b.Loss.Grid + b.Reconciled.Grid,
		}
		r, err := ledger.NewStorageRow(b, "")
		rows = append(rows, must(t, r, err))

		p.Charged += b.Charged
		p.ChargedGrid += b.In.Grid
		p.Discharged += b.Discharged
		p.StorageLoss += sum(b.Loss) - sum(b.Reconciled)
	}
	if rapid.Bool().Draw(t, "binding") {
		r, err := ledger.NewConnectionRow(ledger.ConnectionRow{Connection: "house-1", Pool: "house-1", Import: e("import")})
		rows = append(rows, must(t, r, err))
	}
	for _, p := range totals {
		inside := p.Shared + p.FromStorage + p.Charged - p.ChargedGrid
		p.GridImport = p.Demand + p.Charged - inside
		p.GridExport = p.Supply + p.Discharged - inside
	}
	for i := range rows { // any order will do: SortRows brings theirs
		j := rapid.IntRange(0, i).Draw(t, "swap")
		rows[i], rows[j] = rows[j], rows[i]
	}
	ledger.SortRows(rows)
	return rows, totals
}

func sum(s ledger.Stock) energy.Energy { return s.Own + s.Commons + s.Grid }

// Whatever consistent rows say, their postings balance in each pool, and the
// pools' own accounts are what the leaf's totals say of the grid.
func TestPostingsBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, totals := drawRows(t)
		entries, err := ledger.Postings(rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.CheckBalance(entries); err != nil {
			t.Fatal(err)
		}
		if err := ledger.CheckBalance(append(slices.Clone(entries), ledger.Negate(entries)...)); err != nil {
			t.Fatal(err)
		}
		grid := map[string]energy.Energy{}
		for _, e := range entries {
			if e.Amount == 0 {
				t.Fatalf("an empty entry: %+v", e)
			}
			grid[string(e.Pool)+e.Account] += e.Amount
		}
		var pools []ledger.PoolTotals
		for id, p := range totals {
			pools = append(pools, *p)
			if in, out := grid[string(id)+ledger.AccountGridImport], grid[string(id)+ledger.AccountGridExport]; in != -p.GridImport || out != p.GridExport {
				t.Fatalf("pool %s: grid %s in, %s out; the totals say %s and %s", id, in, out, p.GridImport, p.GridExport)
			}
		}
		sheet, err := ledger.ReadRows(rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := sheet.CheckTotals(pools); err != nil {
			t.Fatal(err)
		}
	})
}

// A total that is off by one milliwatt-hour, wherever, is not the sum of the rows.
func TestTotalsOffByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, totals := drawRows(t)
		var pools []ledger.PoolTotals
		for _, p := range totals {
			pools = append(pools, *p)
		}
		if len(pools) == 0 {
			t.Skip("no pool")
		}
		p := &pools[rapid.IntRange(0, len(pools)-1).Draw(t, "which")]
		fields := []*energy.Energy{
			&p.Production, &p.OwnUse, &p.Consumption, &p.Supply, &p.Demand, &p.Shared, &p.FromStorage, &p.Charged,
			&p.ChargedGrid, &p.Discharged, &p.StorageLoss, &p.Residual, &p.GridImport, &p.GridExport,
		}
		*fields[rapid.IntRange(0, len(fields)-1).Draw(t, "field")] += energy.Energy(rapid.SampledFrom([]int{-1, 1}).Draw(t, "by"))
		sheet, err := ledger.ReadRows(rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := sheet.CheckTotals(pools); !errors.Is(err, ledger.ErrBalance) {
			t.Fatalf("error %v", err)
		}
	})
}

func TestPostingsRefuse(t *testing.T) {
	member := func(m ledger.MemberRow) ledger.Row {
		m.Member, m.Pool = "anna", "grid"
		r, err := ledger.NewMemberRow(m)
		return must(t, r, err)
	}
	storage := func(s ledger.StorageRow) ledger.Row {
		s.Asset, s.Pool = "cellar", "grid"
		r, err := ledger.NewStorageRow(s, "")
		return must(t, r, err)
	}
	fine := member(ledger.MemberRow{Demand: 5, GridImport: 5})
	other := fine
	other.Key = "berta/grid"
	spaced := fine
	spaced.Body = append([]byte(" "), spaced.Body...)
	most := energy.Energy(math.MaxInt64)
	for name, rows := range map[string][]ledger.Row{
		"demand not met":        {member(ledger.MemberRow{Demand: 5, Share: 2, GridImport: 2})},
		"supply not used":       {member(ledger.MemberRow{Supply: 5})},
		"a negative share":      {member(ledger.MemberRow{Demand: 1, Share: -1, GridImport: 2})},
		"more than she needs":   {member(ledger.MemberRow{Demand: 1, Share: 5, GridImport: -4})},
		"charged out of thin":   {storage(ledger.StorageRow{Charged: 5})},
		"does not close":        {storage(ledger.StorageRow{Opening: ledger.Stock{Own: 5}})},
		"gives a negative":      {storage(ledger.StorageRow{In: ledger.Stock{Own: -1, Grid: 1}, Closing: ledger.Stock{Own: -1, Grid: 1}})},
		"overflow":              {member(ledger.MemberRow{Demand: most, GridImport: most, OwnUse: most})},
		"twice":                 {fine, fine},
		"under another's key":   {other},
		"not in canonical form": {spaced},
		"of no kind":            {{Kind: "gift", Key: "x", Body: []byte("{}")}},
	} {
		if _, err := ledger.Postings(rows); !errors.Is(err, ledger.ErrBalance) && !errors.Is(err, ledger.ErrRow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sheet, err := ledger.ReadRows([]ledger.Row{fine})
	if err != nil {
		t.Fatal(err)
	}
	if err := sheet.CheckTotals(nil); !errors.Is(err, ledger.ErrBalance) {
		t.Errorf("a pool without totals: %v", err)
	}
}

// Salts and commitments differ from row to row, from subject to subject and
// from revision to revision, and are the same for the same inputs.
func TestSaltsAndCommitments(t *testing.T) {
	_, rows, err := settle(rules(), ledger.IntervalSettled{}, homes(0), 10, ledger.Stock{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, secret := range [][32]byte{{1}, {2}} {
		for revision := range 2 {
			for n := range 2 {
				for _, r := range rows {
					set := ledger.IntervalSettled{Interval: quarter(n), Revision: revision}
					salt := ledger.Salt(secret, ledger.SaltKey(set, r))
					c, err := ledger.Commit(salt, r)
					if err != nil || seen[c] || len(c) != 64 {
						t.Fatalf("%q, %v", c, err)
					}
					seen[c] = true
					if again, _ := ledger.Commit(ledger.Salt(secret, ledger.SaltKey(set, r)), r); again != c {
						t.Fatal("the same row commits differently")
					}
				}
			}
		}
	}
}
