// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
)

// The database may grow no further: everything is refused, nothing of it is
// stored, what was stored can be read; with more room it goes on.
func TestFullDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	o := options(t)
	o.MaxPages = 120
	s, err := store.Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	f := filler{t: t, s: s, epoch: raise(t, s), v: newVillage(t, 2)}
	commit(t, s, f.epoch, f.v.founding())
	f.leaves = 1
	f.fill()
	f.check(path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f.s = open(t, path)
	f.goOn()
	f.check(path)
}

func TestNoRoomToBegin(t *testing.T) {
	o := options(t)
	o.MaxPages = 3
	if s, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "ledger.db"), o); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("%v, %v", s, err)
	}
}

// filler writes samples and leaves in turn and knows what was acknowledged.
type filler struct {
	t       *testing.T
	s       *store.Store
	v       *village
	epoch   int64
	samples uint64
	leaves  int64
	pending store.NewLeaf // settled, but not stored yet
}

// fill writes until both kinds of write are refused for lack of space.
func (f *filler) fill() {
	f.t.Helper()
	const most = 100_000
	for range most {
		err1, err2 := f.sample(), f.leaf()
		for _, err := range []error{err1, err2} {
			if err != nil && !errors.Is(err, store.ErrNoSpace) {
				f.t.Fatal(err)
			}
		}
		if err1 != nil && err2 != nil {
			return
		}
	}
	f.t.Fatal("the disk is never full")
}

// goOn writes once more of each, which must succeed.
func (f *filler) goOn() {
	f.t.Helper()
	if err := errors.Join(f.sample(), f.leaf()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *filler) sample() error {
	durable, err := f.s.AppendInbox(context.Background(), "gw-1", "a", f.samples+1, batchOf(f.samples+1, 300))
	if err == nil {
		f.samples = durable
	}
	return err
}

// leaf tries the same leaf again until it is stored, as the committer does.
func (f *filler) leaf() error {
	if f.pending.Leaf.Settled == nil {
		f.pending = f.v.interval(f.t, int(f.leaves)-1, 0)
	}
	_, size, err := f.s.Commit(context.Background(), f.epoch, []store.NewLeaf{f.pending})
	if err == nil {
		f.leaves, f.pending = size, store.NewLeaf{}
	}
	return err
}

// check says that exactly what was acknowledged is there.
func (f *filler) check(path string) {
	f.t.Helper()
	ctx := context.Background()
	if got, err := f.s.Acknowledged(ctx, "gw-1", "a"); err != nil || got != f.samples {
		f.t.Fatalf("%d samples acknowledged, %d durable, %v", f.samples, got, err)
	}
	if got, err := f.s.Size(ctx); err != nil || got != f.leaves {
		f.t.Fatalf("%d leaves acknowledged, %d there, %v", f.leaves, got, err)
	}
	if r := holds(f.t, path); r.Leaves != f.leaves {
		f.t.Fatalf("%d leaves verified of %d", r.Leaves, f.leaves)
	}
}
