// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
)

// Everything in a server's database comes into the file, and from the file into
// another server's database, and so back: every row of every table there is.
func TestADatabaseMovesBetweenEngines(t *testing.T) {
	ctx := t.Context()
	_, origin, _, _ := history(t, postgres, 4, 5)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.db"), filepath.Join(dir, "two.db")
	var last int64
	if err := store.Copy(ctx, origin, one, func(done, total int64) { last = total - done }); err != nil {
		t.Fatal(err)
	}
	if last != 0 {
		t.Errorf("progress ends %d rows early", last)
	}
	if err := store.CheckFile(ctx, one); err != nil {
		t.Error(err)
	}
	holds(t, one)
	fillEveryTable(t, one)
	other := server.Database(t)
	if err := store.Load(ctx, one, other, nil); err != nil {
		t.Fatal(err)
	}
	if err := store.Copy(ctx, other, two, nil); err != nil {
		t.Fatal(err)
	}
	want, have := strings.Split(dumpFile(t, one), "\n"), strings.Split(dumpFile(t, two), "\n")
	for i := range min(len(want), len(have)) {
		if want[i] != have[i] {
			t.Fatalf("what came back is\n%s\nand was\n%s", have[i], want[i])
		}
	}
	if len(want) != len(have) {
		t.Errorf("%d lines came back of %d", len(have), len(want))
	}
	if err := store.Load(ctx, one, other, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("into a database that is in use: %v", err)
	}
}

// A community goes on on the other engine where it was, to the byte.
func TestACommunityGoesOnOnTheOtherEngine(t *testing.T) {
	ctx := context.Background()
	s, origin, epoch, v := history(t, sqlite, 4, 3)
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := store.Copy(ctx, origin, path, nil); err != nil {
		t.Fatal(err)
	}
	if err := store.MarkRestored(ctx, path); err != nil {
		t.Fatal(err)
	}
	moved := server.Database(t)
	if err := store.Load(ctx, path, moved, nil); err != nil {
		t.Fatal(err)
	}
	on := open(t, moved)
	newEpoch, err := on.RaiseEpochAbove(ctx, epoch+10)
	if err != nil {
		t.Fatal(err)
	}
	if until, ok, err := on.RefillUntil(ctx, day0); err != nil || !ok || until <= day0 {
		t.Errorf("refill until %v, %v, %v", until, ok, err)
	}
	next := v.interval(t, 3, 0)
	commit(t, s, epoch, next)
	commit(t, on, newEpoch, next)
	want, have := leaves(t, s), leaves(t, on)
	for i := range want {
		if string(want[i]) != string(have[i]) {
			t.Fatalf("leaf %d differs", i)
		}
	}
	holds(t, moved)
}

// What fails leaves nothing: neither half a file nor half a database.
func TestATransferThatFailsLeavesNothing(t *testing.T) {
	ctx := t.Context()
	_, origin, _, _ := history(t, postgres, 2, 1)
	server.Exec(t, origin, `CREATE TABLE stranger (id BIGINT)`)
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	if err := store.Copy(ctx, origin, path, nil); !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), "stranger") {
		t.Errorf("a table that nobody knows: %v", err)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	server.Exec(t, origin, `DROP TABLE stranger`)
	if err := store.Copy(ctx, origin, path, nil); err != nil {
		t.Fatal(err)
	}
	execSQL(t, path, `PRAGMA foreign_keys = OFF`)
	execSQL(t, path, `DELETE FROM leaf`) // what refers to leaves has nothing to refer to
	other := server.Database(t)
	if err := store.Load(ctx, path, other, nil); err == nil {
		t.Error("a broken database was taken")
	}
	if there, err := store.Exists(ctx, other); err != nil || there {
		t.Errorf("something is left: %v %v", there, err)
	}
}

// fillEveryTable puts two rows into each table, one of zeros and nothings and
// one that is full, so that a table that is added later is moved as well.
func fillEveryTable(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const high = 1 << 40 // no row of the history is there
	for _, table := range lines(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'`) {
		types := lines(t, db, `SELECT type || ' ' || "notnull" FROM pragma_table_info('`+table+`') ORDER BY cid`)
		for n := range 2 {
			values := make([]string, len(types))
			for i, column := range types {
				kind, _, _ := strings.Cut(column, " ")
				switch {
				case n == 0 && strings.HasSuffix(column, " 0") && kind != "BLOB":
					values[i] = "NULL"
				case kind == "BLOB" && n == 0:
					values[i] = "X''"
				case kind == "BLOB":
					values[i] = "X'00ff0a27'"
				case kind == "TEXT":
					values[i] = fmt.Sprintf(`'Überall %d '' "? $1'`, n)
				case kind == "SMALLINT":
					values[i] = fmt.Sprint(n)
				default:
					values[i] = fmt.Sprint(high + n)
				}
			}
			if _, err := db.Exec(`INSERT INTO ` + table + ` VALUES (` + strings.Join(values, ", ") + `)`); err != nil {
				t.Fatalf("table %s: %v: teach this test what a row of it is", table, err)
			}
		}
	}
}

// dumpFile is every row of every table of a SQLite file.
func dumpFile(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	for _, table := range lines(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version' ORDER BY name`) {
		names := lines(t, db, `SELECT name FROM pragma_table_info('`+table+`') ORDER BY cid`)
		rows := lines(t, db, `SELECT quote("`+strings.Join(names, `") || ' ' || quote("`)+`") AS line FROM `+table+` ORDER BY line`)
		fmt.Fprintf(&out, "== %s\n%s\n", table, strings.Join(rows, "\n"))
		if len(rows) < 2 {
			t.Errorf("table %s has %d rows, which says nothing", table, len(rows))
		}
	}
	return out.String()
}

func lines(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Whoever signed out after the backup was made is not signed in again by it, and
// an invitation that was used is not good a second time.
func TestARestoredBackupOpensNoDoors(t *testing.T) {
	_, origin, _, _ := history(t, sqlite, 2, 1)
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := store.Copy(t.Context(), origin, path, nil); err != nil {
		t.Fatal(err)
	}
	fillEveryTable(t, path)
	if err := store.MarkRestored(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for table, want := range map[string]string{"web_session": "0", "invitation": "0", "enrolment_token": "0", "person": "2", "access_token": "2", "gateway_certificate": "2"} {
		if have := lines(t, db, `SELECT COUNT(*) FROM `+table)[0]; have != want {
			t.Errorf("%s rows of %s are left, expected %s", have, table, want)
		}
	}
}
