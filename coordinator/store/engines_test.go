// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/pgtest"
)

// server is the PostgreSQL server of all tests, each of which has a database of
// its own on it. TestMain stops it.
var server = &pgtest.Server{}

// engine is a kind of database that the tests run on.
type engine string

const (
	sqlite   engine = "sqlite"
	postgres engine = "postgres"
)

// onEach runs a test on every engine.
func onEach(t *testing.T, test func(t *testing.T, on engine)) {
	for _, on := range []engine{sqlite, postgres} {
		t.Run(string(on), func(t *testing.T) { test(t, on) })
	}
}

// benchOnEach runs a benchmark on every engine.
func benchOnEach(b *testing.B, bench func(b *testing.B, on engine)) {
	for _, on := range []engine{sqlite, postgres} {
		b.Run(string(on), func(b *testing.B) { bench(b, on) })
	}
}

// database names a database that is not there yet, or is empty.
func (on engine) database(tb testing.TB) string {
	tb.Helper()
	if on == postgres {
		return server.Database(tb)
	}
	return filepath.Join(tb.TempDir(), "ledger.db")
}

// disconnect ends all sessions of a server's database, as a network does that breaks.
func (on engine) disconnect(tb testing.TB, database string) {
	tb.Helper()
	if on == postgres {
		server.Exec(tb, database, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
}

// fresh is a store in a new database.
func fresh(tb testing.TB, on engine) (s *store.Store, database string) {
	tb.Helper()
	database = on.database(tb)
	return open(tb, database), database
}

// execSQL changes a database behind the store's back, and says how many rows.
func execSQL(tb testing.TB, database, query string, args ...any) int64 {
	tb.Helper()
	driver := "sqlite"
	if store.IsServer(database) {
		driver, query = "pgx", store.RebindDollar(query)
	}
	db, err := sql.Open(driver, database)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	res, err := db.ExecContext(context.Background(), query, args...)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// pathOf is the path in a server's URL.
func pathOf(tb testing.TB, database string) string {
	tb.Helper()
	u, err := url.Parse(database)
	if err != nil {
		tb.Fatal(err)
	}
	return u.Path
}
