// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// verify reads the database at path as `ledger verify` does.
func verify(tb testing.TB, path string) ledger.Report {
	tb.Helper()
	r, err := store.OpenReader(context.Background(), path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	_, verifiers := keys(tb)
	report, err := ledger.Verify(context.Background(), r, verifiers, settlement.Recompute, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

func holds(tb testing.TB, path string) ledger.Report {
	tb.Helper()
	r := verify(tb, path)
	if !r.Holds() {
		tb.Error(r.Fault)
	}
	return r
}

// history is a store with a charter and so many intervals.
func history(tb testing.TB, on engine, homes, intervals int) (s *store.Store, path string, epoch int64, v *village) {
	tb.Helper()
	s, path = fresh(tb, on)
	epoch = raise(tb, s)
	v = newVillage(tb, homes)
	commit(tb, s, epoch, v.founding())
	for n := range intervals {
		commit(tb, s, epoch, v.interval(tb, n, 0))
	}
	return s, path, epoch, v
}

func TestCommitAndReadBack(t *testing.T) { onEach(t, testCommitAndReadBack) }

func testCommitAndReadBack(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, epoch, v := history(t, on, 4, 3)
	leaf := v.interval(t, 3, 0)
	before := *leaf.Leaf.Settled
	if first, size := commit(t, s, epoch, leaf); first != 4 || size != 5 {
		t.Fatalf("first %d, size %d", first, size)
	}
	if !reflect.DeepEqual(*leaf.Leaf.Settled, before) {
		t.Error("the caller's leaf was changed")
	}
	records, err := s.LatestSettled(ctx, leaf.Leaf.Settled.Interval.Start)
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	ledger.SortRows(leaf.Rows)
	if r := records[0]; r.Index != 4 || len(r.Settled.Commitments) != 6 || !reflect.DeepEqual(r.Rows, leaf.Rows) {
		t.Errorf("%+v", r)
	}
	page, err := s.SettledPage(ctx, leaf.Leaf.Settled.Interval.Start, 2)
	if err != nil || len(page) != 2 || page[0].Index != 3 || page[1].Index != 2 {
		t.Errorf("%v, %v", page, err)
	}
	if first, ok, err := s.FirstInterval(ctx); err != nil || !ok || first.Start != day0 {
		t.Errorf("%v %v %v", first, ok, err)
	}
	if a, ok, err := s.ActiveCharter(ctx); err != nil || !ok || a.Index != 0 || a.Hash != v.hash {
		t.Errorf("%v %v %v", a, ok, err)
	}
	if size, err := s.Size(ctx); err != nil || size != 5 {
		t.Errorf("size %d, %v", size, err)
	}
	signed, err := s.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, verifiers := keys(t)
	if c, err := ledger.OpenCheckpoint(signed, verifiers); err != nil || c.Size != 5 || !c.Simulated {
		t.Errorf("%+v %v", c, err)
	}
	if r := holds(t, path); r.Leaves != 5 || r.Rows != 4*6 {
		t.Errorf("%+v", r)
	}
}

func TestEmptyStore(t *testing.T) { onEach(t, testEmptyStore) }

func testEmptyStore(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	_, ok1, err1 := s.FirstInterval(ctx)
	_, ok2, err2 := s.ActiveCharter(ctx)
	_, ok3, err3 := s.WorldTime(ctx)
	signed, err4 := s.Checkpoint(ctx)
	if err := errors.Join(err1, err2, err3, err4); err != nil || ok1 || ok2 || ok3 || signed != nil {
		t.Errorf("%v %v %v %q %v", ok1, ok2, ok3, signed, err)
	}
	if r := holds(t, path); r.Leaves != 0 {
		t.Errorf("%+v", r)
	}
}

// The same inputs, secrets and key give the same bytes: leaves and checkpoint.
func TestSameInputsSameBytes(t *testing.T) { onEach(t, testSameInputsSameBytes) }

func testSameInputsSameBytes(t *testing.T, on engine) {
	ctx := context.Background()
	read := func() (out [][]byte) {
		s, _, _, _ := history(t, on, 3, 4)
		if err := s.Leaves(ctx, 0, func(_ int64, b []byte) error { out = append(out, b); return nil }); err != nil {
			t.Fatal(err)
		}
		signed, err := s.Checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return append(out, signed)
	}
	if a, b := read(), read(); len(a) != 6 || !reflect.DeepEqual(a, b) {
		t.Error("two ledgers of the same inputs differ")
	}
}

func TestReversal(t *testing.T) { onEach(t, testReversal) }

func testReversal(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, epoch, v := history(t, on, 4, 0)
	old := v.interval(t, 0, 0)
	commit(t, s, epoch, old)
	v.stock = map[roll.AssetID]ledger.Stock{}
	again := v.interval(t, 0, 1)
	if first, _ := commit(t, s, epoch, reversal(1, old), again); first != 2 {
		t.Fatalf("first %d", first)
	}
	records, err := s.LatestSettled(ctx, day0)
	if err != nil || len(records) != 1 || records[0].Index != 3 || records[0].Settled.Revision != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	booked, err := s.Entries(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := s.Entries(ctx, 2)
	if err != nil || !reflect.DeepEqual(taken, ledger.Negate(booked)) {
		t.Errorf("%v, %v", taken, err)
	}
	sums, err := s.MemberSums(ctx, day0, day0.Add(energy.Day))
	if err != nil || len(sums) != 4 {
		t.Fatalf("%v, %v", sums, err)
	}
	for _, r := range again.Rows {
		if r.Kind != ledger.RowMember {
			continue
		}
		m, err := r.Member()
		if err != nil {
			t.Fatal(err)
		}
		if want := (store.MemberSum{Share: m.Share, FromStorage: m.FromStorage, Consumption: m.OwnUse + m.Demand}); sums[m.Member] != want {
			t.Errorf("%s: %+v, expected %+v", m.Member, sums[m.Member], want)
		}
	}
	if r := holds(t, path); r.Reversals != 1 {
		t.Errorf("%+v", r)
	}
}

// A refused commit changes nothing, whichever of its leaves was at fault.
func TestCommitRefuses(t *testing.T) { onEach(t, testCommitRefuses) }

func testCommitRefuses(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, epoch, v := history(t, on, 2, 2)
	with := func(l store.NewLeaf, change func(*store.NewLeaf)) []store.NewLeaf {
		change(&l)
		return []store.NewLeaf{l}
	}
	good, second := v.interval(t, 2, 0), v.interval(t, 3, 0)
	first := v.interval(t, 0, 0)
	nothing := func(*store.NewLeaf) {}
	for name, c := range map[string]struct {
		epoch  int64
		leaves []store.NewLeaf
		want   error
	}{
		"a lower epoch":            {epoch - 1, with(good, nothing), store.ErrEpoch},
		"an epoch never raised":    {epoch + 1, with(good, nothing), store.ErrEpoch},
		"settled already":          {epoch, with(first, nothing), store.ErrChain},
		"the same twice":           {epoch, []store.NewLeaf{good, good}, store.ErrChain},
		"a wrong revision":         {epoch, with(good, func(l *store.NewLeaf) { s := *l.Leaf.Settled; s.Revision = 1; l.Leaf.Settled = &s }), store.ErrChain},
		"another charter":          {epoch, with(good, func(l *store.NewLeaf) { s := *l.Leaf.Settled; s.CharterHash = v.hash[1:] + "0"; l.Leaf.Settled = &s }), store.ErrChain},
		"an hour over quarters":    {epoch, with(first, func(l *store.NewLeaf) { s := *l.Leaf.Settled; s.Interval.Length = energy.Hour; l.Leaf.Settled = &s }), store.ErrChain},
		"another community":        {epoch, with(good, func(l *store.NewLeaf) { l.Leaf.Community = "ulme" }), store.ErrChain},
		"rows left out":            {epoch, with(good, func(l *store.NewLeaf) { l.Rows = l.Rows[1:] }), ledger.ErrBalance},
		"a row twice":              {epoch, with(good, func(l *store.NewLeaf) { l.Rows = append(l.Rows[:1:1], l.Rows...) }), ledger.ErrRow},
		"no leaf at all":           {epoch, with(good, func(l *store.NewLeaf) { l.Leaf = ledger.Leaf{Community: community}; l.Rows = nil }), ledger.ErrLeaf},
		"rows with a reversal":     {epoch, with(reversal(1, first), func(l *store.NewLeaf) { l.Rows = good.Rows }), store.ErrChain},
		"a reversal alone":         {epoch, []store.NewLeaf{reversal(1, first)}, store.ErrChain},
		"a reversal of a charter":  {epoch, []store.NewLeaf{reversal(0, first)}, store.ErrChain},
		"a reversal of another":    {epoch, []store.NewLeaf{reversal(2, first)}, store.ErrChain},
		"a charter that is not it": {epoch, with(v.founding(), func(l *store.NewLeaf) { c := *l.Leaf.Charter; c.Charter.Name = "x"; l.Leaf.Charter = &c }), store.ErrChain},
		"one good, one bad":        {epoch, []store.NewLeaf{good, reversal(0, first)}, store.ErrChain},
	} {
		if _, _, err := s.Commit(ctx, c.epoch, c.leaves); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := s.Commit(ctx, epoch, nil); err == nil {
		t.Error("no leaves were committed")
	}
	if r := holds(t, path); r.Leaves != 3 {
		t.Fatalf("%d leaves after refusals", r.Leaves)
	}
	commit(t, s, epoch, good, second)
	holds(t, path)
}

func TestEpochFences(t *testing.T) { onEach(t, testEpochFences) }

func testEpochFences(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, epoch, v := history(t, on, 2, 1)
	on.disconnect(t, path) // a server lets nobody else in before
	other := open(t, path)
	if next := raise(t, other); next != epoch+1 {
		t.Fatalf("epoch %d after %d", next, epoch)
	}
	leaf := v.interval(t, 1, 0)
	if _, _, err := s.Commit(ctx, epoch, []store.NewLeaf{leaf}); !errors.Is(err, store.ErrEpoch) {
		t.Fatalf("the old node wrote: %v", err)
	}
	if _, err := s.AppendInbox(ctx, "gw-1", "a", 1, batchOf(1, 3)); !errors.Is(err, store.ErrEpoch) {
		t.Fatalf("the old node took samples: %v", err)
	}
	commit(t, other, epoch+1, leaf)
	holds(t, path)
}

func TestOpenRefusesWhatIsNotOurs(t *testing.T) { onEach(t, testOpenRefusesWhatIsNotOurs) }

func testOpenRefusesWhatIsNotOurs(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, _, _ := history(t, on, 2, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	real := options(t)
	real.Simulated = false
	if _, err := store.Open(ctx, path, real); !errors.Is(err, store.ErrForeign) {
		t.Errorf("a simulated ledger opened as a real one: %v", err)
	}
	dir := t.TempDir()
	if _, err := store.CreateKey(filepath.Join(dir, "ledger.key"), community, bytes.NewReader(bytes.Repeat([]byte{9}, 64))); err != nil {
		t.Fatal(err)
	}
	otherKey := options(t)
	var err error
	if otherKey.Signer, err = store.LoadSigner(filepath.Join(dir, "ledger.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(ctx, path, otherKey); !errors.Is(err, store.ErrForeign) {
		t.Errorf("another key: %v", err)
	}
	if _, err := store.Open(ctx, path, store.Options{}); err == nil {
		t.Error("opened without community and key")
	}
	unlike := options(t)
	unlike.Community = "ulme"
	if _, err := store.Open(ctx, path, unlike); err == nil {
		t.Error("opened with the key of another community")
	}
	open(t, path)
}
