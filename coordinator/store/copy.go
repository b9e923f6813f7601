// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// copyLook is how often the progress of a copy is looked at.
const copyLook = 200 * time.Millisecond

// SchemaVersion is the newest schema that this program knows.
func SchemaVersion() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, name := range names {
		var version int64
		if _, err := fmt.Sscanf(filepath.Base(name), "%d_", &version); err != nil {
			return 0, fmt.Errorf("migration %s: %w", name, err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// Copy writes a database, as it is at this moment, into a new SQLite file at to;
// a coordinator may be running on it. It takes every table there is, whatever
// the schema. What was deleted is not in the copy, not even as free pages. The
// copy is on the disk when Copy returns. progress, which may be nil, hears how
// far it is.
func Copy(ctx context.Context, database, to string, progress func(done, total int64)) (err error) {
	e, err := engineAt(database, Options{})
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("copying the database: %s is there already", to), err)
	}
	if f, ok := e.(*sqliteFile); ok {
		err = copyFile(ctx, f, to, progress)
	} else {
		err = copyServer(ctx, e, to, progress)
	}
	if err == nil {
		err = settleFile(to)
	}
	if err != nil {
		_ = os.Remove(to) // half a copy is none
		return fmt.Errorf("copying the database %s: %w", e, classify(err))
	}
	return nil
}

// copyFile lets SQLite write what is not free into another file.
func copyFile(ctx context.Context, f *sqliteFile, to string, progress func(done, total int64)) error {
	db, err := f.connect(forCopying)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	var pages, size int64
	if err := db.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&size); err != nil {
		return err
	}
	watched := watchCopy(to, pages*size, progress)
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	watched()
	return err
}

// watchCopy reports how far a file has grown until the function it returns is called.
func watchCopy(path string, total int64, progress func(done, total int64)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		look := time.NewTicker(copyLook)
		defer look.Stop()
		for {
			select {
			case <-quit:
				return
			case <-look.C:
				if info, err := os.Stat(path); err == nil {
					progress(min(info.Size(), total), total)
				}
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// settleFile makes a finished file durable, and readable by its owner alone.
func settleFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// maxFindings bounds what an integrity check reports.
const maxFindings = 20

// CheckFile reads a SQLite file from its first page to its last: whether the
// pages are sound, every index agrees with its table, and every reference leads
// somewhere. The error wraps [ErrDamaged] where something is wrong.
func CheckFile(ctx context.Context, path string) error {
	db, err := openFile(path, forAudit)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	if err := checkPages(ctx, db, path, "integrity_check"); err != nil {
		return err
	}
	return checkReferences(ctx, db, path)
}

// QuickCheckFile is [CheckFile] without what takes long: indexes and references.
func QuickCheckFile(ctx context.Context, path string) error {
	db, err := openFile(path, forAudit)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	return checkPages(ctx, db, path, "quick_check")
}

func checkPages(ctx context.Context, db *sql.DB, path, how string) error {
	findings, err := collect(ctx, db, func(rows *sql.Rows, s *string) error { return rows.Scan(s) },
		fmt.Sprintf(`PRAGMA %s(%d)`, how, maxFindings))
	if err != nil {
		return fmt.Errorf("checking %s: %w", path, err)
	}
	if len(findings) != 1 || findings[0] != "ok" {
		return fmt.Errorf("checking %s: %w: %s", path, ErrDamaged, strings.Join(findings, "; "))
	}
	return nil
}

func checkReferences(ctx context.Context, db *sql.DB, path string) error {
	type broken struct {
		table, parent string
		row, key      any
	}
	lost, err := collect(ctx, db, func(rows *sql.Rows, b *broken) error { return rows.Scan(&b.table, &b.row, &b.parent, &b.key) },
		`PRAGMA foreign_key_check`)
	if err != nil {
		return fmt.Errorf("checking %s: %w", path, err)
	}
	if len(lost) > 0 {
		return fmt.Errorf("checking %s: %w: %d references lead nowhere, the first from table %s into %s", path, ErrDamaged, len(lost), lost[0].table, lost[0].parent)
	}
	return nil
}

// FileSchema is the schema version of the SQLite database at path; 0: it has none.
func FileSchema(ctx context.Context, path string) (int64, error) {
	db, err := openFile(path, forAudit)
	if err != nil {
		return 0, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	version, err := schemaOf(ctx, &sqliteFile{}, db)
	if err != nil {
		return 0, fmt.Errorf("store %s: %w", path, classify(err))
	}
	return version, nil
}

// OpenCopy opens the SQLite database at path for reading, of this schema or an
// older one: what a backup of a community holds whose coordinator has not run
// since the program was upgraded.
func OpenCopy(ctx context.Context, path string) (*Reader, error) {
	return openReader(ctx, path, true)
}

// Upgrade brings the SQLite database at path up to this program's schema, as the
// coordinator does at its start. Nothing else may have it open.
func Upgrade(ctx context.Context, path string) (err error) {
	db, err := openFile(path, forWriting)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	e := &sqliteFile{}
	if err = migrate(ctx, e, db, nil); err == nil {
		err = oneFile(ctx, e, db)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", path, classify(err))
	}
	return nil
}

// oneFile puts everything into the one file of a database in a file: whoever
// moves that takes no other along.
func oneFile(ctx context.Context, e engine, db *sql.DB) error {
	if _, ok := e.(*sqliteFile); !ok {
		return nil
	}
	_, err := db.ExecContext(ctx, `PRAGMA journal_mode = DELETE`)
	return err
}

func openFile(path string, u use) (*sql.DB, error) {
	f, err := newSQLite(path, 0)
	if err != nil {
		return nil, err
	}
	db, err := f.connect(u)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return db, nil
}
