// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
)

// Two of one name: the caller learns that it is there.
func TestExists(t *testing.T) { onEach(t, testExists) }

func testExists(t *testing.T, on engine) {
	s, _ := fresh(t, on)
	hash := sha256.Sum256([]byte("secret"))
	for _, want := range []error{nil, store.ErrExists} {
		if err := s.CreateToken(context.Background(), "gw-1", hash, day0.Time()); !errors.Is(err, want) {
			t.Errorf("%v", err)
		}
	}
}

// A snapshot and a reader see the moment at which they were opened.
func TestSnapshotIsStill(t *testing.T) { onEach(t, testSnapshotIsStill) }

func testSnapshotIsStill(t *testing.T, on engine) {
	ctx := context.Background()
	s, database, epoch, v := history(t, on, 2, 1)
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := store.OpenReader(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, epoch, v.interval(t, 1, 0))
	for name, log := range map[string]interface {
		Size(context.Context) (int64, error)
	}{"snapshot": snapshot, "reader": reader} {
		if size, err := log.Size(ctx); err != nil || size != 2 {
			t.Errorf("%s: %d leaves, %v", name, size, err)
		}
	}
	if size, err := s.Size(ctx); err != nil || size != 3 {
		t.Errorf("store: %d leaves, %v", size, err)
	}
	if err := errors.Join(snapshot.Close(), reader.Close()); err != nil {
		t.Error(err)
	}
}

func TestWorldTimeNeverMovesBack(t *testing.T) { onEach(t, testWorldTimeNeverMovesBack) }

func testWorldTimeNeverMovesBack(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	for _, at := range []energy.Instant{day0, day0 + 1000, day0 + 999} {
		if err := s.SaveWorldTime(ctx, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if at, ok, err := open(t, path).WorldTime(ctx); err != nil || !ok || at != day0+1000 {
		t.Errorf("%v %v %v", at, ok, err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) { onEach(t, testNewerSchemaIsRefused) }

func testNewerSchemaIsRefused(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	execSQL(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1 = 1)`)
	if _, err := store.Open(ctx, path, options(t)); !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("writing: %v", err)
	}
	if _, err := store.OpenReader(ctx, path); !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("reading: %v", err)
	}
}

func TestReaderNeedsASchema(t *testing.T) {
	ctx := context.Background()
	path := sqlite.database(t)
	if _, err := store.OpenReader(ctx, path); !errors.Is(err, store.ErrAccess) {
		t.Errorf("a database that is not there: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading made a database: %v", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenReader(ctx, path); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("reading garbage: %v", err)
	}
	if _, err := store.Open(ctx, path, options(t)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("opening garbage: %v", err)
	}
}

// The pragmas that the promise "returned means durable" stands on.
func TestPragmas(t *testing.T) {
	s, path := fresh(t, sqlite)
	got := s.Ask(t, "PRAGMA", "journal_mode", "synchronous", "foreign_keys", "secure_delete")
	if want := [4]string{"wal", "2", "1", "1"}; [4]string(got) != want {
		t.Errorf("%v, expected %v", got, want)
	}
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.key")
	if _, err := store.LoadSigner(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	key, err := store.CreateKey(path, community, chacha(3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.CreateKey(path, community, chacha(4)); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was replaced: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	signer, err := store.LoadSigner(path)
	if err != nil || signer.Name() != string(community) {
		t.Fatal(err)
	}
	text, verifiers, err := store.LoadVerifier(path)
	if err != nil || text != key.Verifier {
		t.Fatalf("%q, %v", text, err)
	}
	if _, err := verifiers.Verifier(signer.Name(), signer.KeyHash()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("PRIVATE+KEY+x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadSigner(path); err == nil {
		t.Error("a damaged key was taken")
	}
}
