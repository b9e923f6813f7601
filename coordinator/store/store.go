// SPDX-License-Identifier: AGPL-3.0-or-later

// Package store keeps a community's truth in one database: the inbox of
// metering samples, the ledger with its annex, and the state that must survive
// a restart. What a method that writes has returned is durable.
//
// The database is a SQLite file, or a database on a PostgreSQL server. There is
// one connection that writes and a few that read, and all that writes goes
// through [Store.write], one transaction after the other.
//
// # Statements for both
//
// A statement is written once, with ? for its arguments, and sees the same data
// in the same way on both engines. That takes a few habits:
//
//   - A method that writes calls s.write and gets a *txn; one that reads hangs
//     on [reads] and asks r.q. Both rebind the placeholders. Nobody else calls
//     the drivers, and a test of each method runs on both engines (onEach).
//   - Columns are TEXT, BLOB, INTEGER, BIGINT or SMALLINT. Migrations are
//     translated (BLOB to BYTEA, INTEGER to BIGINT, TEXT to be compared by its
//     bytes). Truth is a SMALLINT of 0 or 1, an instant a BIGINT of milliseconds.
//   - Ids are given by the program: nextID within the transaction, or random.
//   - What exists already is met with ON CONFLICT … DO NOTHING or DO UPDATE and
//     RowsAffected. PostgreSQL ends a transaction at its first error, so nothing
//     goes on after one; outside, a duplicate is [ErrExists].
//   - No two statements at a time within a transaction: read rows to their end
//     (collect) before the next.
//   - An argument that stands alone is cast: CAST(? AS BIGINT). So is a SUM.
//   - No LIKE (its cases differ), no scalar MAX or MIN, no IFNULL, no INSERT OR.
//   - Text goes in as a string, not as a type of one's own. A NUL or half a
//     character in it becomes U+FFFD; refuse it where that matters (isText).
//   - What fn hands out of write counts only when write has returned nil.
//
// What is one engine's alone stands in engine_sqlite.go and engine_postgres.go.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/meters"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options say whose store it is.
type Options struct {
	Community roll.CommunityID
	Signer    note.Signer // signs checkpoints; its name is the community's id
	Simulated bool        // a simulated world: every checkpoint says so
	Rand      io.Reader   // for salts' secrets; nil: crypto/rand
	// BeforeUpgrade is called before the schema of a database that holds
	// something is changed. An error keeps it as it is. It may be nil.
	BeforeUpgrade func(ctx context.Context, from, to int64) error
	// MaxPages bounds a database in a file to so many pages (4 KiB each); 0: unbounded.
	MaxPages int64
}

// Store is an open database that may be written. Its methods may be called
// from several goroutines; writes queue up.
type Store struct {
	reads
	engine    engine
	w         *sql.DB // one connection
	r         *sql.DB
	community roll.CommunityID
	signer    note.Signer
	simulated bool
	rand      io.Reader

	// failed is set by a failed fsync and never taken back: what the operating
	// system dropped then can't be told, so nothing is acknowledged any more.
	failed atomic.Pointer[error]
	// epoch is the one that this store has raised; 0: none.
	epoch atomic.Int64
	open  unanswered
	stats counters
	ask   time.Duration // how long to ask for the answer

	// Caches of what is committed; used only while holding the write connection,
	// and emptied when another session than before writes.
	session uint64
	series  map[meters.Key]int64
	secrets map[roll.MemberID][32]byte
}

// Open opens the database, which is named by a path or by a PostgreSQL URL, and
// brings its schema up to date; a file is created. It refuses a schema newer
// than this program, the database of another community, and a checkpoint key
// other than the one that signed before.
func Open(ctx context.Context, database string, o Options) (*Store, error) {
	if o.Community == "" || o.Signer == nil || o.Signer.Name() != string(o.Community) {
		return nil, fmt.Errorf("store %s: a community and a checkpoint key of the same name are needed", Name(database))
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	e, err := engineAt(database, o)
	if err != nil {
		return nil, err
	}
	w, err := e.connect(forWriting)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", e, err)
	}
	s := &Store{
		engine: e, w: w, community: o.Community, signer: o.Signer, simulated: o.Simulated, rand: o.Rand,
		ask: askFor, series: make(map[meters.Key]int64), secrets: make(map[roll.MemberID][32]byte),
	}
	if err := s.prepare(ctx, o.BeforeUpgrade); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", e, classify(err)), w.Close())
	}
	if s.r, err = e.connect(forReading); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", e, err), w.Close())
	}
	s.reads = reads{bound{s.r, e}}
	return s, nil
}

// prepare migrates and checks that the database is ours.
func (s *Store) prepare(ctx context.Context, before func(ctx context.Context, from, to int64) error) error {
	if err := migrate(ctx, s.engine, s.w, before); err != nil {
		return err
	}
	// Each write begins with this row.
	if _, err := s.w.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('`+metaEpoch+`', '0') ON CONFLICT (name) DO NOTHING`); err != nil {
		return err
	}
	return s.write(ctx, s.claim)
}

// migrate brings the schema up to date. Where there is one already, before is
// called first.
func migrate(ctx context.Context, e engine, db *sql.DB, before func(ctx context.Context, from, to int64) error) error {
	if err := checkSchema(ctx, e, db, true); err != nil {
		return err
	}
	p, err := provider(e, db)
	if err != nil {
		return err
	}
	have, err := schemaOf(ctx, e, db)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if known := sources[len(sources)-1].Version; before != nil && have > 0 && have < known {
		if err := before(ctx, have, known); err != nil {
			return err
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bringing the schema up to date: %w", err)
	}
	return nil
}

// Close ends all connections. Writes in progress finish first.
func (s *Store) Close() error {
	return errors.Join(s.r.Close(), s.w.Close())
}

// Reader is a database open for reading alone, as `ledger verify` needs it. It
// sees one state: that of the moment it was opened.
type Reader struct {
	reads
	db *sql.DB
	tx *sql.Tx
}

// OpenReader opens a database for reading; a coordinator may be running on it.
func OpenReader(ctx context.Context, database string) (*Reader, error) {
	return openReader(ctx, database, false)
}

func openReader(ctx context.Context, database string, older bool) (*Reader, error) {
	e, err := engineAt(database, Options{})
	if err != nil {
		return nil, err
	}
	db, err := e.connect(forAudit)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", e, err)
	}
	if err := checkSchema(ctx, e, db, older); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", e, classify(err)), db.Close())
	}
	tx, err := still(ctx, e, db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", e, classify(err)), db.Close())
	}
	return &Reader{reads{bound{tx, e}}, db, tx}, nil
}

// Close ends the reading.
func (r *Reader) Close() error { return errors.Join(r.tx.Rollback(), r.db.Close()) }

// Snapshot is the present state, held still while the store goes on. Close it soon:
// what is written meanwhile can't be tidied up behind it.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	tx, err := still(ctx, s.engine, s.r)
	if err != nil {
		return nil, fmt.Errorf("store snapshot: %w", classify(err))
	}
	return &Snapshot{reads{bound{tx, s.engine}}, tx}, nil
}

// Snapshot reads one state of a store.
type Snapshot struct {
	reads
	tx *sql.Tx
}

// Close lets the state go.
func (s *Snapshot) Close() error { return s.tx.Rollback() }

// still begins a transaction that sees the state of this moment. Both engines
// choose the state at the first statement, so there is one.
func still(ctx context.Context, e engine, db *sql.DB) (*sql.Tx, error) {
	tx, err := db.BeginTx(ctx, e.snapshot())
	if err != nil {
		return nil, err
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM meta`).Scan(&n); err != nil {
		_ = tx.Rollback() // the first error says why
		return nil, err
	}
	return tx, nil
}

func provider(e engine, db *sql.DB) (*goose.Provider, error) {
	dialect, dir, err := e.migrations()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, db, dir)
}

// checkSchema refuses a schema that this program does not know. Without
// mayMigrate it also refuses one that is older.
func checkSchema(ctx context.Context, e engine, db *sql.DB, mayMigrate bool) error {
	p, err := provider(e, db)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	known := sources[len(sources)-1].Version
	have, err := schemaOf(ctx, e, db)
	if err != nil {
		return err
	}
	switch {
	case have > known:
		return fmt.Errorf("%w: it has version %d, this program knows up to %d; start the newer allmende, or restore the backup made before its upgrade", ErrNewerSchema, have, known)
	case have < known && !mayMigrate:
		return fmt.Errorf("its schema has version %d, this program needs %d: start the coordinator once, which brings it up to date", have, known)
	}
	return nil
}

// schemaOf is the version of a database's schema; 0 while it has none.
func schemaOf(ctx context.Context, e engine, q querier) (version int64, err error) {
	there, err := e.versioned(ctx, q)
	if err != nil || !there {
		return 0, err
	}
	err = q.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&version)
	return version, err
}

// Names in table meta.
const (
	metaCommunity = "community"
	metaKey       = "checkpoint_key"
	metaSimulated = "simulated"
	metaEpoch     = "epoch"
	metaWorldTime = "world_time"
)

// claim writes whose database this is, or checks it.
func (s *Store) claim(ctx context.Context, tx *txn) error {
	for _, m := range []struct{ name, value, remedy string }{
		{metaCommunity, string(s.community), "use the data directory of this community"},
		{metaKey, fmt.Sprintf("%s+%08x", s.signer.Name(), s.signer.KeyHash()), "restore the key file that belongs to this ledger"},
		{metaSimulated, strconv.FormatBool(s.simulated), "a demo's ledger can't go on as a real one, nor the other way round: use another directory"},
	} {
		have, ok, err := getMeta(ctx, tx, m.name)
		switch {
		case err != nil:
			return err
		case !ok:
			err = setMeta(ctx, tx, m.name, m.value)
		case have != m.value:
			err = fmt.Errorf("%w: its %s is %q, not %q; %s", ErrForeign, m.name, have, m.value, m.remedy)
		}
		if err != nil {
			return err
		}
	}
	return s.claimSeed(ctx, tx)
}

func getMeta(ctx context.Context, q querier, name string) (string, bool, error) {
	var value string
	err := q.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return value, err == nil, err
}

func setMeta(ctx context.Context, tx *txn, name, value string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

func getMetaInt(ctx context.Context, q querier, name string) (int64, error) {
	text, ok, err := getMeta(ctx, q, name)
	if err != nil || !ok {
		return 0, err
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("meta %s: %w", name, err)
	}
	return v, nil
}
