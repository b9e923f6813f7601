// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pressly/goose/v3"
)

// engine is what the store has to know about the kind of database it lives in.
// Everything else is written once, in SQL that both kinds understand.
type engine interface {
	// String names the database for people. It holds no password.
	fmt.Stringer
	// connect opens connections for one use. It may do so later, at the first
	// statement.
	connect(use) (*sql.DB, error)
	// migrations are the schema's steps in the engine's own words.
	migrations() (goose.Dialect, fs.FS, error)
	// versioned says whether there is a schema at all.
	versioned(context.Context, querier) (bool, error)
	// rebind gives the placeholders of a statement the form of the driver.
	rebind(query string) string
	// begin opens the transaction of a write. Until it ends nobody else writes.
	begin(context.Context, *sql.Conn) (begun, error)
	// snapshot are the options of a transaction that reads one state.
	snapshot() *sql.TxOptions
	// scrub overwrites or gives up what deleted rows have left behind.
	scrub(ctx context.Context, w *sql.DB) error
	// limit bounds the time of one write; 0: a local file needs none.
	limit() time.Duration
}

// use is what connections are for.
type use int

const (
	forWriting use = iota // one, the store's
	forReading            // a few, the store's
	forAudit              // one, of a process that writes nothing
	forCopying            // one, that writes another file
	forFilling            // one, into a new file that is worth nothing before it is finished
)

// begun is the transaction of a write that has just begun.
type begun struct {
	tx    *sql.Tx
	epoch int64
	// mark is what this transaction leaves behind if it is committed, and last is
	// what the one before has left. Both are empty where no commit can go without
	// an answer.
	mark, last string
	// session counts connections: what was remembered from an earlier one may
	// have been changed by somebody else in between.
	session uint64

	ctx context.Context // of the write, which nobody cancels
	end context.CancelFunc
}

// engineAt is the engine of a database, which is named by a path or a URL.
func engineAt(database string, o Options) (engine, error) {
	if IsServer(database) {
		return newPostgres(database, o.Community)
	}
	return newSQLite(database, o.MaxPages)
}

// IsServer says whether database names a PostgreSQL server and not a file.
func IsServer(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// Name is how to speak of a database to people: its path, or its URL without
// the password.
func Name(database string) string {
	if !IsServer(database) {
		return database
	}
	if e, err := newPostgres(database, ""); err == nil {
		return e.String()
	}
	return "the database at " + database[:strings.Index(database, "//")+2] + "…"
}

// Exists says whether there is a ledger database with a schema.
func Exists(ctx context.Context, database string) (bool, error) {
	e, err := engineAt(database, Options{})
	if err != nil {
		return false, err
	}
	if f, ok := e.(*sqliteFile); ok {
		_, err := os.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	db, err := e.connect(forAudit)
	if err != nil {
		return false, fmt.Errorf("store %s: %w", e, err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	there, err := e.versioned(ctx, db)
	if err != nil {
		return false, fmt.Errorf("store %s: %w", e, classify(err))
	}
	return there, nil
}

// querier is what a database and a transaction have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// bound rebinds what passes through it.
type bound struct {
	q querier
	e engine
}

// QueryContext implements [querier].
func (b bound) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.q.QueryContext(ctx, b.e.rebind(query), storable(args)...)
}

// QueryRowContext implements [querier].
func (b bound) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return b.q.QueryRowContext(ctx, b.e.rebind(query), storable(args)...)
}

// txn is the transaction of a write, as [Store.write] hands it out.
type txn struct {
	bound
	tx     *sql.Tx
	epoch  int64 // in force
	raised int64 // by this transaction; 0: not
}

// ExecContext changes something.
func (t *txn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, t.e.rebind(query), storable(args)...)
}

// storable replaces what PostgreSQL refuses in a text, so that whoever sends us
// such a name is not found and is written down, instead of being a failure, and
// on both engines alike. The caller's slice stays as it is.
func storable(args []any) []any {
	copied := false
	for i, arg := range args {
		s, ok := arg.(string)
		if !ok || isText(s) {
			continue
		}
		if !copied {
			args, copied = slices.Clone(args), true
		}
		args[i] = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	}
	return args
}

// isText says whether both engines store a text as it is. PostgreSQL takes
// neither a NUL nor half a character.
func isText(s string) bool { return !strings.Contains(s, "\x00") && utf8.ValidString(s) }

// rebindDollar writes $1, $2, … for question marks, except within quotes and
// comments.
func rebindDollar(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	out := make([]byte, 0, len(query)+len(query)/2)
	n := int64(0)
	for len(query) > 0 {
		if literal := quoted(query); literal > 0 {
			out = append(out, query[:literal]...)
			query = query[literal:]
			continue
		}
		if query[0] == '?' {
			n++
			out = strconv.AppendInt(append(out, '$'), n, 10)
		} else {
			out = append(out, query[0])
		}
		query = query[1:]
	}
	return string(out)
}

// quoted is the length of the literal, quoted name or comment that the query
// begins with, or 0.
func quoted(query string) int {
	if !strings.ContainsRune(`'"-/`, rune(query[0])) {
		return 0
	}
	for _, q := range [...]struct{ begin, end string }{{"'", "'"}, {`"`, `"`}, {"--", "\n"}, {"/*", "*/"}} {
		rest, ok := strings.CutPrefix(query, q.begin)
		if !ok {
			continue
		}
		if end := strings.Index(rest, q.end); end >= 0 {
			return len(q.begin) + end + len(q.end) // a doubled quote begins the next one
		}
		return len(query)
	}
	return 0
}
