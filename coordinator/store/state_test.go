// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
)

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
	got := s.Pragmas(t, "journal_mode", "synchronous", "foreign_keys", "secure_delete")
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
