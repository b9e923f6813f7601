// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // it also registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	readers     = 4
	busyTimeout = 5 * time.Second
)

// sqliteFile is a database in a file, written ahead with synchronous=FULL: what
// a commit has returned is on the disk.
type sqliteFile struct {
	path     string // as it was given
	dsn      string
	maxPages int64
}

func newSQLite(path string, maxPages int64) (*sqliteFile, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	dsn := (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String()
	return &sqliteFile{path, dsn, maxPages}, nil
}

func (f *sqliteFile) String() string { return f.path }

func (f *sqliteFile) connect(u use) (*sql.DB, error) {
	dsn, connections := f.dsn+"?"+pragma("busy_timeout", busyTimeout.Milliseconds()), 1
	switch u {
	case forWriting:
		dsn += "&_txlock=immediate&" + pragma("journal_mode", "WAL") + "&" + pragma("synchronous", "FULL") +
			"&" + pragma("foreign_keys", 1) + "&" + pragma("secure_delete", 1) // what is erased is overwritten
		if f.maxPages > 0 {
			dsn += "&" + pragma("max_page_count", f.maxPages)
		}
	case forReading:
		dsn += "&_txlock=deferred&" + pragma("query_only", 1)
		connections = readers
	case forAudit:
		dsn += "&_txlock=deferred&mode=ro&" + pragma("query_only", 1)
	case forCopying:
		dsn += "&_txlock=deferred&mode=ro"
	case forFilling:
		dsn += "&_txlock=immediate&" + pragma("journal_mode", "OFF") + "&" + pragma("synchronous", "OFF")
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func pragma(name string, value any) string {
	return "_pragma=" + url.QueryEscape(fmt.Sprintf("%s(%v)", name, value))
}

func (f *sqliteFile) migrations() (goose.Dialect, fs.FS, error) {
	dir, err := fs.Sub(migrations, "migrations")
	return goose.DialectSQLite3, dir, err
}

func (f *sqliteFile) versioned(ctx context.Context, q querier) (bool, error) {
	var tables int
	err := q.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`).Scan(&tables)
	return tables > 0, err
}

func (f *sqliteFile) rebind(query string) string { return query }

// begin takes the file's write lock, by _txlock=immediate.
func (f *sqliteFile) begin(ctx context.Context, conn *sql.Conn) (begun, error) {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return begun{}, err
	}
	epoch, err := getMetaInt(ctx, tx, metaEpoch)
	if err != nil {
		return begun{}, errors.Join(err, tx.Rollback())
	}
	return begun{tx: tx, epoch: epoch}, nil
}

func (f *sqliteFile) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

// scrub moves the write-ahead log into the database and empties it.
func (f *sqliteFile) scrub(ctx context.Context, w *sql.DB) error {
	var busy, pages, moved int64
	err := w.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved)
	if err != nil {
		return err
	}
	if busy != 0 {
		return ErrBusy
	}
	return nil
}

func (f *sqliteFile) limit() time.Duration { return 0 }

// classifySQLite gives the driver's errors a kind.
func classifySQLite(se *sqlite.Error, err error) error {
	code := se.Code()
	switch code {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC:
		return kind(ErrDurability, err)
	case sqlite3.SQLITE_IOERR_SHMSIZE: // growing the shared index, which fails for lack of space alone
		return kind(ErrNoSpace, err)
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return kind(ErrExists, err)
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return kind(ErrNoSpace, err)
	case sqlite3.SQLITE_IOERR:
		return kind(ErrDisk, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return kind(ErrDamaged, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return kind(ErrAccess, err)
	case sqlite3.SQLITE_BUSY:
		return kind(ErrBusy, err)
	}
	return err
}
