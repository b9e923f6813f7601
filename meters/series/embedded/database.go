// SPDX-License-Identifier: AGPL-3.0-or-later

package embedded

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

//go:embed schema.sql
var schema string

// version of the schema. There are no migrations: what is here may be lost, so
// an older one would be moved aside.
const version = 1

const (
	pageSize = 8192
	readers  = 2
	// aside is what the name of a file that cannot be read gets. There is one:
	// the next one takes its place.
	aside = ".damaged"
)

var (
	errDamaged = errors.New("the file is damaged")
	errFull    = errors.New("there is no room")
	errNewer   = errors.New("the file was written by a newer allmende")
)

// database is an open file.
type database struct {
	w, r *sql.DB
	marks
}

// marks are how far the keeper has come. They stand in the file.
type marks struct {
	minuteUntil  energy.Instant // before it everything is summed up by the minute
	quarterUntil energy.Instant // and by the quarter-hour
	rawFrom      energy.Instant // points before it are gone
	minuteFrom   energy.Instant // sums of minutes before it are gone
}

// tier is a table of blocks and what they hold.
type tier struct {
	table  string
	length energy.Span // of a row
	bucket energy.Span // of a sum, 0: points
}

func raw() tier     { return tier{"raw", blockLength, 0} }
func minutes() tier { return tier{"minute", 6 * energy.Hour, energy.Minute} }
func quarters() tier {
	return tier{"quarter", energy.Day, energy.QuarterHour}
}

const seriesBits = 24

// key is a row's: time first.
func (t tier) key(start energy.Instant, series int64) int64 {
	return int64(start)/int64(t.length)<<seriesBits | series
}

// floor is the start of the row that holds an instant.
func (t tier) floor(at energy.Instant) energy.Instant { return energy.IntervalAt(at, t.length).Start }

func openDatabase(ctx context.Context, path string, maxBytes int64) (*database, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	w, err := connect(path, 1, "immediate",
		"busy_timeout(5000)", fmt.Sprintf("page_size(%d)", pageSize), "auto_vacuum(incremental)", "journal_mode(wal)", "synchronous(normal)",
		fmt.Sprintf("max_page_count(%d)", max(maxBytes/pageSize, 1)))
	if err != nil {
		return nil, err
	}
	d := &database{w: w}
	if err := d.prepare(ctx); err != nil {
		return nil, errors.Join(classify(err), w.Close())
	}
	if d.r, err = connect(path, readers, "deferred", "busy_timeout(5000)", "query_only(1)"); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return d, nil
}

func connect(path string, connections int, begin string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dsn := (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String() + "?_txlock=" + begin
	for _, p := range pragmas {
		dsn += "&_pragma=" + url.QueryEscape(p)
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// prepare makes the tables where there are none, and reads the marks.
func (d *database) prepare(ctx context.Context) error {
	var have int
	if err := d.w.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&have); err != nil {
		return err
	}
	switch {
	case have > version:
		return errNewer
	case have == 0:
		if _, err := d.w.ExecContext(ctx, schema); err != nil {
			return err
		}
		if _, err := d.w.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version)); err != nil {
			return err
		}
	}
	return d.w.QueryRowContext(ctx, `SELECT minute_until_ms, quarter_until_ms, raw_from_ms, minute_from_ms FROM marks`).
		Scan(&d.minuteUntil, &d.quarterUntil, &d.rawFrom, &d.minuteFrom)
}

func (d *database) close() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.r.Close(), d.w.Close())
}

// write runs fn in one transaction.
func (d *database) write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := d.w.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return classify(err)
	}
	return classify(tx.Commit())
}

// mark keeps how far the keeper has come.
func (d *database) mark(ctx context.Context, tx *sql.Tx, m marks) error {
	_, err := tx.ExecContext(ctx, `UPDATE marks SET minute_until_ms = ?, quarter_until_ms = ?, raw_from_ms = ?, minute_from_ms = ?`,
		m.minuteUntil, m.quarterUntil, m.rawFrom, m.minuteFrom)
	return err
}

// size is how many bytes of the file are in use, and how many it has.
func (d *database) size(ctx context.Context) (used, all int64, err error) {
	var pages, free int64
	if err := d.w.QueryRowContext(ctx, `SELECT page_count, freelist_count FROM pragma_page_count(), pragma_freelist_count()`).Scan(&pages, &free); err != nil {
		return 0, 0, classify(err)
	}
	return (pages - free) * pageSize, pages * pageSize, nil
}

// classify says of SQLite's errors that the file is damaged.
func classify(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", errDamaged, err)
		case sqlite3.SQLITE_FULL:
			return fmt.Errorf("%w: %w", errFull, err)
		}
	}
	return err
}

// moveAside makes room for a new file.
func moveAside(path string) error {
	if err := os.Rename(path, path+aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+suffix, path+aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// names are the series of the file with their ids.
func (d *database) names(ctx context.Context) (map[series.Series]int64, error) {
	rows, err := d.w.QueryContext(ctx, `SELECT id, kind, name, quantity FROM series`)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	out := map[series.Series]int64{}
	for rows.Next() {
		var id int64
		var of series.Series
		if err := rows.Scan(&id, &of.Kind, &of.Name, &of.Quantity); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		out[of] = id
	}
	return out, classify(rows.Err())
}
