// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/ledger"
)

// Ask asks the connection that writes for its settings, by PRAGMA or SHOW.
func (s *Store) Ask(tb testing.TB, verb string, names ...string) []string {
	tb.Helper()
	out := make([]string, len(names))
	for i, name := range names {
		if err := s.w.QueryRowContext(context.Background(), verb+" "+name).Scan(&out[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// AskFor shortens the wait for what became of a commit.
func (s *Store) AskFor(d time.Duration) { s.ask = d }

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

func TestRebind(t *testing.T) {
	for query, want := range map[string]string{
		`SELECT 1`: `SELECT 1`,
		`SELECT a FROM b WHERE c = ? AND d IN (?,?)`:        `SELECT a FROM b WHERE c = $1 AND d IN ($2,$3)`,
		`SELECT '?', 'it''s ?', "?" -- why?` + "\n" + `, ?`: `SELECT '?', 'it''s ?', "?" -- why?` + "\n" + `, $1`,
		`SELECT /* ? */ ?`: `SELECT /* ? */ $1`,
		`SELECT ? -- ?`:    `SELECT $1 -- ?`,
		`SELECT ? '`:       `SELECT $1 '`,
	} {
		if got := rebindDollar(query); got != want {
			t.Errorf("%s\nbecame %s", query, got)
		}
	}
	if got := rebindDollar(tuples(6, 2)); got != "($1,$2),($3,$4),($5,$6),($7,$8),($9,$10),($11,$12)" {
		t.Error(got)
	}
}

func TestMigrationsInPostgresWords(t *testing.T) {
	const src = "-- A BLOB stays in a comment.\nCREATE TABLE x (a BLOB NOT NULL, b TEXT NOT NULL DEFAULT 'TEXT', c INTEGER, d BIGINT, e SMALLINT, INTEGERS BIGINT);"
	const want = "-- A BLOB stays in a comment.\nCREATE TABLE x (a BYTEA NOT NULL, b TEXT COLLATE \"C\" NOT NULL DEFAULT 'TEXT', c BIGINT, d BIGINT, e SMALLINT, INTEGERS BIGINT);"
	if got := toPostgres([]byte(src)); string(got) != want {
		t.Errorf("%s", got)
	}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	// What one engine knows and the other does not, or reads otherwise.
	alien := regexp.MustCompile(`(?i)\b(autoincrement|bigserial|boolean|timestamp|real|float|double|numeric|varchar|jsonb?|without rowid|if not exists|strict|datetime)\b`)
	for _, name := range names {
		src, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			line, _, _ = strings.Cut(line, "--")
			if word := alien.FindString(line); word != "" {
				t.Errorf("%s:%d: %s is not the same on both engines; see the package comment", name, i+1, word)
			}
		}
	}
}

func TestKindsOfPostgresErrors(t *testing.T) {
	kinds := []error{ErrNoSpace, ErrDurability, ErrDisk, ErrDamaged, ErrAccess, ErrBusy, ErrUnreachable, ErrExists}
	for code, want := range map[string]error{
		"53100": ErrNoSpace, "58030": ErrDisk, "XX001": ErrDamaged, "XX002": ErrDamaged,
		"55P03": ErrBusy, "40001": ErrBusy, "40P01": ErrBusy, "57014": ErrBusy,
		"57P01": ErrUnreachable, "57P02": ErrUnreachable, "57P03": ErrUnreachable, "08006": ErrUnreachable, "53300": ErrUnreachable, "25006": ErrUnreachable,
		"28P01": ErrAccess, "3D000": ErrAccess, "42501": ErrAccess, "23505": ErrExists,
		"42601": nil, "": nil,
	} {
		cause := fmt.Errorf("while writing: %w", &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: "m"})
		err := classify(cause)
		for _, k := range kinds {
			if errors.Is(err, k) != errors.Is(want, k) {
				t.Errorf("%s is %v", code, err)
			}
		}
		if !errors.Is(err, cause) {
			t.Errorf("%s lost its cause: %v", code, err)
		}
		if !errors.Is(classify(err), cause) || classify(err).Error() != err.Error() {
			t.Errorf("%s twice: %v", code, classify(err))
		}
	}
	panicked := &pgconn.PgError{Severity: "PANIK", SeverityUnlocalized: "PANIC", Code: "58030"}
	if err := classify(panicked); !errors.Is(err, ErrDurability) {
		t.Errorf("the log could not be flushed: %v", err)
	}
	for _, lost := range []error{io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: errors.New("reset")}, driver.ErrBadConn} {
		if err := classify(fmt.Errorf("x: %w", lost)); !errors.Is(err, ErrUnreachable) || !Passing(err) {
			t.Errorf("%v is %v", lost, err)
		}
	}
	if err := classify(context.Canceled); !errors.Is(err, context.Canceled) || Passing(err) || classify(nil) != nil {
		t.Error(err)
	}
}
