// SPDX-License-Identifier: AGPL-3.0-or-later

// Package store keeps a community's truth in one database: the inbox of
// metering samples, the ledger with its annex, and the little state that must
// survive a restart. It is embedded SQLite in write-ahead mode with
// synchronous=FULL: what a method has returned is on the disk.
//
// There is one connection that writes and a few that read. Statements are
// written so that PostgreSQL can take them over; what is SQLite's alone stands
// in this file, in errors.go and in migrations.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	"golang.org/x/mod/sumdb/note"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/meters"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	readers       = 4
	busyTimeoutMS = 5000
)

// Options say whose store it is.
type Options struct {
	Community roll.CommunityID
	Signer    note.Signer // signs checkpoints; its name is the community's id
	Simulated bool        // a simulated world: every checkpoint says so
	Rand      io.Reader   // for salts' secrets; nil: crypto/rand
	// MaxPages bounds the database to so many pages (4 KiB each); 0: unbounded.
	MaxPages int64
}

// Store is an open database that may be written. Its methods may be called
// from several goroutines; writes queue up.
type Store struct {
	reads
	w         *sql.DB // one connection
	r         *sql.DB
	community roll.CommunityID
	signer    note.Signer
	simulated bool
	rand      io.Reader

	// failed is set by a failed fsync and never taken back: what the operating
	// system dropped then can't be told, so nothing is acknowledged any more.
	failed atomic.Pointer[error]

	// Caches of what is committed; used only while holding the write connection.
	series  map[meters.Key]int64
	secrets map[roll.MemberID][32]byte
}

// Open opens or creates the database at path and brings its schema up to date.
// It refuses a schema newer than this program, the database of another
// community, and a checkpoint key other than the one that signed before.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Community == "" || o.Signer == nil || o.Signer.Name() != string(o.Community) {
		return nil, fmt.Errorf("store %s: a community and a checkpoint key of the same name are needed", path)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	w, err := openDB(path, 1, writePragmas(o), "immediate")
	if err != nil {
		return nil, err
	}
	s := &Store{
		w: w, community: o.Community, signer: o.Signer, simulated: o.Simulated, rand: o.Rand,
		series: make(map[meters.Key]int64), secrets: make(map[roll.MemberID][32]byte),
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, classify(err)), w.Close())
	}
	if s.r, err = openDB(path, readers, readPragmas(), "deferred"); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	s.reads = reads{s.r}
	return s, nil
}

// prepare migrates and checks that the database is ours.
func (s *Store) prepare(ctx context.Context) error {
	if err := migrate(ctx, s.w); err != nil {
		return err
	}
	return s.write(ctx, s.claim)
}

// migrate brings the schema up to date.
func migrate(ctx context.Context, db *sql.DB) error {
	if err := checkSchema(ctx, db, true); err != nil {
		return err
	}
	p, err := provider(db)
	if err != nil {
		return err
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

// OpenReader opens the database at path for reading; a coordinator may be
// running on it.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	return openReader(ctx, path, false)
}

func openReader(ctx context.Context, path string, older bool) (*Reader, error) {
	db, err := openDB(path, 1, append(readPragmas(), "mode=ro"), "deferred")
	if err != nil {
		return nil, err
	}
	if err := checkSchema(ctx, db, older); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, classify(err)), db.Close())
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, classify(err)), db.Close())
	}
	return &Reader{reads{tx}, db, tx}, nil
}

// Close ends the reading.
func (r *Reader) Close() error { return errors.Join(r.tx.Rollback(), r.db.Close()) }

// Snapshot is the present state, held still while the store goes on. Close it soon:
// the write-ahead log grows meanwhile.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	tx, err := s.r.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("store snapshot: %w", classify(err))
	}
	return &Snapshot{reads{tx}, tx}, nil
}

// Snapshot reads one state of a store.
type Snapshot struct {
	reads
	tx *sql.Tx
}

// Close lets the state go.
func (s *Snapshot) Close() error { return s.tx.Rollback() }

func writePragmas(o Options) []string {
	p := []string{
		pragma("busy_timeout", busyTimeoutMS),
		pragma("journal_mode", "WAL"),
		pragma("synchronous", "FULL"),
		pragma("foreign_keys", 1),
		pragma("secure_delete", 1), // what is erased is overwritten
	}
	if o.MaxPages > 0 {
		p = append(p, pragma("max_page_count", o.MaxPages))
	}
	return p
}

func readPragmas() []string {
	return []string{pragma("busy_timeout", busyTimeoutMS), pragma("query_only", 1)}
}

func pragma(name string, value any) string {
	return "_pragma=" + url.QueryEscape(fmt.Sprintf("%s(%v)", name, value))
}

func openDB(path string, connections int, parameters []string, begin string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	dsn := (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String() + "?_txlock=" + begin
	for _, p := range parameters {
		dsn += "&" + p
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir)
}

// checkSchema refuses a schema that this program does not know. Without
// mayMigrate it also refuses one that is older.
func checkSchema(ctx context.Context, db *sql.DB, mayMigrate bool) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	known := sources[len(sources)-1].Version
	have, err := schemaOf(ctx, db)
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
func schemaOf(ctx context.Context, db *sql.DB) (version int64, err error) {
	var tables int
	err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`).Scan(&tables)
	if err != nil || tables == 0 {
		return 0, err
	}
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&version)
	return version, err
}

// write runs fn in one transaction on the write connection. When it returns
// nil, everything is durable; otherwise nothing is.
func (s *Store) write(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	if failed := s.failed.Load(); failed != nil {
		return *failed
	}
	conn, err := s.w.Conn(ctx)
	if err != nil {
		return classify(err)
	}
	defer conn.Close() //nolint:errcheck // gives the connection back
	// From here on nothing is interrupted: half a commit has no answer.
	ctx = context.WithoutCancel(ctx)
	err = func() error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // after Commit it does nothing
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	}()
	if err != nil {
		s.forget()
		err = classify(err)
		if errors.Is(err, ErrDurability) {
			s.failed.CompareAndSwap(nil, &err)
		}
		return err
	}
	return nil
}

// forget empties the caches: a transaction that failed may have filled them.
func (s *Store) forget() {
	clear(s.series)
	clear(s.secrets)
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
func (s *Store) claim(ctx context.Context, tx *sql.Tx) error {
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
	return nil
}

func getMeta(ctx context.Context, q querier, name string) (string, bool, error) {
	var value string
	err := q.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return value, err == nil, err
}

func setMeta(ctx context.Context, tx *sql.Tx, name, value string) error {
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
