// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
)

// A ledger that was restored from a backup settles again what came after it, to
// the byte, also for members who were not in it yet.
func TestRestoredLedgerMakesTheSameLeaves(t *testing.T) {
	ctx := context.Background()
	s, path := fresh(t, sqlite)
	epoch := raise(t, s)
	v, again := newVillage(t, 5), newVillage(t, 5)
	commit(t, s, epoch, v.founding())
	old := filepath.Join(t.TempDir(), "ledger.db")
	if err := store.Copy(ctx, path, old, nil); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Rand = chacha(99) // chance is another one after an accident
	restored, err := store.Open(ctx, old, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = restored.Close() })
	newEpoch, err := restored.RaiseEpochAbove(ctx, epoch+7)
	if err != nil || newEpoch != epoch+8 {
		t.Fatalf("the epoch is %d after %d, %v", newEpoch, epoch, err)
	}
	for n := range 6 {
		commit(t, s, epoch, v.interval(t, n, 0))
		commit(t, restored, newEpoch, again.interval(t, n, 0))
	}
	if want, have := leaves(t, s), leaves(t, restored); !bytes.Equal(bytes.Join(want, nil), bytes.Join(have, nil)) || len(want) != 7 {
		t.Errorf("%d leaves, and %d of the restored ledger that differ", len(want), len(have))
	}
	want, err := s.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := restored.Checkpoint(ctx); err != nil || !bytes.Equal(want, have) {
		t.Errorf("the checkpoints are\n%s\n%s\n%v", want, have, err)
	}
}

// After an erasure nothing is left from which the member's secret could be made
// again: neither it nor the seed that it was made of.
func TestErasureLeavesNoSeed(t *testing.T) { onEach(t, testErasureLeavesNoSeed) }

func testErasureLeavesNoSeed(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, epoch, v := history(t, on, 4, 2)
	seed, mine, other := secretsOf(t, path)
	if on == sqlite && (!onDisk(t, path, []byte(seed)) || !onDisk(t, path, mine)) {
		t.Fatal("they were not there before")
	}
	if _, err := s.Erase(ctx, "home-02"); err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"seed": []byte(seed), "secret": mine} {
		if on == sqlite && onDisk(t, path, b) {
			t.Errorf("the %s is still on the disk", what)
		}
	}
	turned, gone, kept := secretsOf(t, path)
	if turned == seed || gone != nil || !bytes.Equal(kept, other) {
		t.Errorf("seed turned: %v, erased secret %x, other kept: %v", turned != seed, gone, bytes.Equal(kept, other))
	}
	commit(t, s, epoch, v.interval(t, 2, 0)) // she is settled again, under another secret
	if _, again, _ := secretsOf(t, path); again == nil || bytes.Equal(again, mine) {
		t.Errorf("her secret is %x again", again)
	}
	holds(t, path)
}

func secretsOf(t *testing.T, path string) (seed string, home2, home3 []byte) {
	t.Helper()
	driver := "sqlite"
	if store.IsServer(path) {
		driver = "pgx"
	}
	db, err := sql.Open(driver, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(`SELECT value FROM meta WHERE name = 'salt_seed'`).Scan(&seed); err != nil {
		t.Fatal(err)
	}
	for name, into := range map[string]*[]byte{"home-02": &home2, "home-03": &home3} {
		err := db.QueryRow(`SELECT secret FROM subject_secret WHERE subject = '` + name + `'`).Scan(into)
		if err != nil && err != sql.ErrNoRows {
			t.Fatal(err)
		}
	}
	return seed, home2, home3
}

func leaves(t *testing.T, s *store.Store) (out [][]byte) {
	t.Helper()
	err := s.Leaves(context.Background(), 0, func(_ int64, leaf []byte) error {
		out = append(out, bytes.Clone(leaf))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
