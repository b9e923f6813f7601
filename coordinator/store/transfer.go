// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// versionTable is goose's own. Both sides have it from their migrations.
const versionTable = "goose_db_version"

// Bounds of one statement that inserts.
const (
	moveRows  = 500
	moveArgs  = 20_000 // SQLite takes 32,766
	moveBytes = 1 << 20
)

// table is what a transfer has to know of one: nothing but what the schema says,
// so that none is forgotten that is added later.
type table struct {
	name    string
	columns []string
	needs   []string // tables that its rows refer to
}

// tablesOf reads the schema of a SQLite database, in an order in which no row
// comes before one that it refers to.
func tablesOf(ctx context.Context, q querier) ([]table, error) {
	text := func(rows *sql.Rows, s *string) error { return rows.Scan(s) }
	names, err := collect(ctx, q, text, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> '`+versionTable+`' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	var all []table
	for _, name := range names {
		t := table{name: name}
		if t.columns, err = collect(ctx, q, text, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, name); err != nil {
			return nil, err
		}
		if t.needs, err = collect(ctx, q, text, `SELECT DISTINCT "table" FROM pragma_foreign_key_list(?) WHERE "table" <> ?`, name, name); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return inOrder(all)
}

func inOrder(all []table) (out []table, err error) {
	done := map[string]bool{}
	for len(out) < len(all) {
		before := len(out)
		for _, t := range all {
			if !done[t.name] && !slices.ContainsFunc(t.needs, func(n string) bool { return !done[n] }) {
				done[t.name] = true
				out = append(out, t)
			}
		}
		if len(out) == before {
			return nil, errors.New("the schema's tables refer to each other in a circle")
		}
	}
	return out, nil
}

// sameTables refuses two databases whose tables differ, so that nothing is left
// behind in silence. The second one is a server's.
func sameTables(ctx context.Context, tables []table, server querier) error {
	have, err := collect(ctx, server, func(rows *sql.Rows, s *string) error { return rows.Scan(s) },
		`SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c
		JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
		WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.table_name <> '`+versionTable+`'`)
	if err != nil {
		return err
	}
	var want []string
	for _, t := range tables {
		for _, c := range t.columns {
			want = append(want, t.name+"."+c)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if slices.Equal(have, want) {
		return nil
	}
	for _, x := range have {
		if _, ok := slices.BinarySearch(want, x); !ok {
			return fmt.Errorf("%w: the server has %s, which this program does not know", ErrForeign, x)
		}
	}
	for _, x := range want {
		if _, ok := slices.BinarySearch(have, x); !ok {
			return fmt.Errorf("%w: the server has no %s", ErrForeign, x)
		}
	}
	return fmt.Errorf("%w: its tables are others", ErrForeign)
}

// execer changes a database.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// move copies all rows of all tables, a bounded number at a time.
func move(ctx context.Context, tables []table, from querier, ordered bool, to execer, rebind func(string) string, progress func(done, total int64)) error {
	var total, done int64
	for _, t := range tables {
		var n int64
		if err := from.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+t.name).Scan(&n); err != nil {
			return err
		}
		total += n
	}
	for _, t := range tables {
		// A migration may have put rows in; they are in what is copied as well.
		if _, err := to.ExecContext(ctx, `DELETE FROM `+t.name); err != nil {
			return err
		}
	}
	for _, t := range tables {
		c := carrier{table: t, to: to, rebind: rebind}
		err := c.carry(ctx, from, ordered, func(n int) {
			done += int64(n)
			if progress != nil {
				progress(done, total)
			}
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

// carrier copies one table.
type carrier struct {
	table  table
	to     execer
	rebind func(string) string
	args   []any
	bytes  int
}

func (c *carrier) carry(ctx context.Context, from querier, ordered bool, moved func(int)) error {
	names := `"` + strings.Join(c.table.columns, `", "`) + `"`
	query := `SELECT ` + names + ` FROM ` + c.table.name
	if ordered {
		query += ` ORDER BY rowid` // as they came: a row may refer to an earlier one
	}
	rows, err := from.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close() // rows.Err says what went wrong
	width := len(c.table.columns)
	into := make([]any, width)
	for rows.Next() {
		for i := range into {
			into[i] = new(any)
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for _, v := range into {
			c.add(*v.(*any))
		}
		if n := len(c.args) / width; n == moveRows || len(c.args)+width > moveArgs || c.bytes > moveBytes {
			if err := c.flush(ctx, names, moved); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return c.flush(ctx, names, moved)
}

func (c *carrier) add(v any) {
	switch x := v.(type) {
	case []byte:
		c.bytes += len(x)
		v = slices.Clone(x) // the driver may use it again
		if len(x) == 0 {
			v = []byte{} // empty is not absent
		}
	case string:
		c.bytes += len(x)
	}
	c.args = append(c.args, v)
}

func (c *carrier) flush(ctx context.Context, names string, moved func(int)) error {
	width := len(c.table.columns)
	n := len(c.args) / width
	if n == 0 {
		return nil
	}
	query := `INSERT INTO ` + c.table.name + ` (` + names + `) VALUES ` + tuples(n, width)
	if _, err := c.to.ExecContext(ctx, c.rebind(query), c.args...); err != nil {
		return err
	}
	c.args, c.bytes = c.args[:0], 0
	moved(n)
	return nil
}

// copyServer writes a server's database into a new SQLite file.
func copyServer(ctx context.Context, e engine, to string, progress func(done, total int64)) (err error) {
	source, err := e.connect(forCopying)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // it was only read
	snapshot, err := still(ctx, e, source)
	if err != nil {
		return err
	}
	defer snapshot.Rollback() // it was only read
	version, err := schemaOf(ctx, e, snapshot)
	if err != nil {
		return err
	}
	file, err := openFile(to, forFilling)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	p, err := provider(&sqliteFile{}, file)
	if err != nil {
		return err
	}
	if _, err := p.UpTo(ctx, version); err != nil {
		return err
	}
	tables, err := tablesOf(ctx, file)
	if err != nil {
		return err
	}
	if err := sameTables(ctx, tables, snapshot); err != nil {
		return err
	}
	tx, err := file.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := move(ctx, tables, snapshot, false, tx, func(q string) string { return q }, progress); err != nil {
		return err
	}
	return tx.Commit()
}

// Load fills an empty database on a server with all that is in the SQLite file
// at path, which has this program's schema. After an error nothing of it is there.
func Load(ctx context.Context, path, database string, progress func(done, total int64)) (err error) {
	e, err := engineAt(database, Options{})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("store %s: %w", e, classify(err))
		}
	}()
	if there, err := Exists(ctx, database); err != nil {
		return err
	} else if there {
		return fmt.Errorf("%w: a community is in it: make a new database for this one", ErrExists)
	}
	file, err := openFile(path, forAudit)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	tables, err := tablesOf(ctx, file)
	if err != nil {
		return err
	}
	server, err := e.connect(forWriting)
	if err != nil {
		return err
	}
	defer server.Close() //nolint:errcheck // what was committed is there
	if err := migrate(ctx, e, server, nil); err != nil {
		return err
	}
	err = func() error {
		tx, err := server.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // after Commit it does nothing
		if err := sameTables(ctx, tables, tx); err != nil {
			return err
		}
		if err := move(ctx, tables, file, true, tx, e.rebind, progress); err != nil {
			return err
		}
		return tx.Commit()
	}()
	if err != nil {
		return errors.Join(err, unload(server, tables))
	}
	return nil
}

// unload takes a schema away again that stayed empty.
func unload(server *sql.DB, tables []table) error {
	for _, t := range append(slices.Clone(tables), table{name: versionTable}) {
		if _, err := server.ExecContext(context.Background(), `DROP TABLE IF EXISTS `+t.name+` CASCADE`); err != nil {
			return err
		}
	}
	return nil
}
