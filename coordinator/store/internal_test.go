// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/ledger"
)

// Pragmas asks the connection that writes.
func (s *Store) Pragmas(tb testing.TB, names ...string) []string {
	tb.Helper()
	out := make([]string, len(names))
	for i, name := range names {
		if err := s.w.QueryRowContext(context.Background(), "PRAGMA "+name).Scan(&out[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// RebindDollar is for tests that change a server's database behind the store's back.
var RebindDollar = rebindDollar

// A failed fsync is final: what the disk holds can't be known any more.
func TestFailedFsyncIsFinal(t *testing.T) {
	ctx := context.Background()
	key, err := ledger.NewKey(zeros{}, "linden")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(key.Signer)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, filepath.Join(t.TempDir(), "ledger.db"), Options{Community: "linden", Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, passing := range []error{ErrNoSpace, ErrDisk, ErrDamaged, ErrBusy, ErrUnreachable} {
		if err := s.write(ctx, func(context.Context, *txn) error { return passing }); !errors.Is(err, passing) {
			t.Fatal(err)
		}
		if _, err := s.RaiseEpoch(ctx); err != nil {
			t.Fatalf("%v lasts: %v", passing, err)
		}
	}
	if err := s.write(ctx, func(context.Context, *txn) error { return ErrDurability }); !errors.Is(err, ErrDurability) {
		t.Fatal(err)
	}
	if _, err := s.RaiseEpoch(ctx); !errors.Is(err, ErrDurability) {
		t.Errorf("it was written after a failed fsync: %v", err)
	}
	if _, _, err := s.WorldTime(ctx); err != nil {
		t.Errorf("reading: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
