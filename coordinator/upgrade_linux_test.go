// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
)

// schemaOne makes of a community's database what the first version would have
// written: its schema, with the rows that it knows.
func schemaOne(t *testing.T, path string) {
	t.Helper()
	now := path + ".now"
	if err := os.Rename(path, now); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	first, err := os.ReadFile("store/migrations/00001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	do := func(query string) {
		t.Helper()
		if _, err := db.Exec(query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	do(string(first))
	do(`ATTACH DATABASE '` + now + `' AS now`)
	do(names(t, db, `SELECT sql FROM now.sqlite_master WHERE name = 'goose_db_version'`)[0])
	do(`INSERT INTO main.goose_db_version SELECT * FROM now.goose_db_version WHERE version_id <= 1`)
	for _, table := range names(t, db, `SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'`) {
		columns := strings.Join(names(t, db, `SELECT name FROM pragma_table_info('`+table+`', 'main')`), ", ")
		do(`INSERT INTO main.` + table + ` (` + columns + `) SELECT ` + columns + ` FROM now.` + table)
	}
	do(`DELETE FROM main.meta WHERE name = 'salt_seed'`)
	do(`DETACH DATABASE now`)
	if err := os.Remove(now); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
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

// A database of the first version is copied, then upgraded, and goes on; the
// copy is what it was.
func TestAnOlderDatabaseIsCopiedBeforeItsUpgrade(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	a, b := enrol(t, c, "gw-a"), enrol(t, c, "gw-b")
	da, _ := connect(t, c, a, "s1")
	db, _ := connect(t, c, b, "s1")
	w.until(dawn.Add(2*quarter + minute))
	da.meter(1, quarterHoursA(dawn, 0, 3)...)
	db.meter(1, quarterHoursB(dawn, 0, 3)...)
	w.settledUntil(c, dawn.Add(2*quarter))
	want := leavesOf(t, c)
	database, data := c.cfg.LedgerFile(), c.cfg.Data
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if copies, _ := filepath.Glob(filepath.Join(data, "backups", "*")); len(copies) > 0 {
		t.Errorf("a new database was copied: %v", copies)
	}
	schemaOne(t, database)

	c = start(t, dir, w)
	copies, err := filepath.Glob(filepath.Join(data, "backups", "before-schema-*.db"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies: %v %v", copies, err)
	}
	if info, err := os.Stat(copies[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if v, err := store.FileSchema(t.Context(), copies[0]); err != nil || v != 1 {
		t.Errorf("the copy has schema %d, %v", v, err)
	}
	known, err := store.SchemaVersion()
	if err != nil {
		t.Fatal(err)
	}
	if v, err := store.FileSchema(t.Context(), database); err != nil || v != known {
		t.Errorf("the database has schema %d, %v", v, err)
	}
	da, _ = connect(t, c, a, "s1")
	db, _ = connect(t, c, b, "s1")
	w.until(dawn.Add(3*quarter + minute))
	da.meter(10, quarterHoursA(dawn, 3, 1)...)
	db.meter(7, quarterHoursB(dawn, 3, 1)...)
	w.settledUntil(c, dawn.Add(3*quarter))
	have := leavesOf(t, c)
	if len(have) != len(want)+1 {
		t.Fatalf("%d leaves after %d", len(have), len(want))
	}
	for i := range want {
		if string(want[i]) != string(have[i]) {
			t.Errorf("leaf %d has changed", i)
		}
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	start(t, dir, w)
	if again, _ := filepath.Glob(filepath.Join(data, "backups", "*")); len(again) != 1 {
		t.Errorf("copies after another start: %v", again)
	}
}

// Where there is no room for the copy, or the database is not sound, nothing is
// upgraded.
func TestWithoutACopyThereIsNoUpgrade(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	database, data := c.cfg.LedgerFile(), c.cfg.Data
	cfg := c.cfg
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	schemaOne(t, database)
	copies := filepath.Join(data, "backups")
	if err := os.Mkdir(copies, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", copies, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("a small file system can't be mounted here (%v); run as root to test a full disk", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(copies, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Error(err)
		}
	})
	refused := func(want error) {
		t.Helper()
		if _, err := Start(t.Context(), cfg, w.clock, testLog(t)); !errors.Is(err, want) || !strings.Contains(err.Error(), "stays as it is") {
			t.Errorf("it starts with %v", err)
		}
		if v, err := store.FileSchema(t.Context(), database); err != nil || v != 1 {
			t.Errorf("the database has schema %d, %v", v, err)
		}
		if left, _ := os.ReadDir(copies); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	refused(store.ErrNoSpace)
	if err := syscall.Unmount(copies, 0); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`PRAGMA foreign_keys = OFF; INSERT INTO entry VALUES (999, 0, '', '', '', 0)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refused(store.ErrDamaged)
}
