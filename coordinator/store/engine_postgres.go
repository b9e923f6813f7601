// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/allmende-energy/allmende/commons/roll"
)

const (
	oldestPostgres = 130000 // what somebody still tries
	// writeLimit bounds one write, so that a server behind a dead line does not
	// hold up the community for ever.
	writeLimit     = 2 * time.Minute
	connectTimeout = 5 * time.Second
	// lockPoll is how often the lock is tried again while its holder may be a
	// process that has just died, and lockAgain for how long after a connection
	// was lost.
	lockPoll  = 100 * time.Millisecond
	lockAgain = time.Second
	// lockClass is ours among a database's advisory locks: "alme".
	lockClass = 0x616c6d65
)

// postgres is a database on a server. The store is its only writer: the
// connection that writes holds an advisory lock as long as it lives, and each
// transaction locks the row of the epoch first. A session that was lost holds
// the lock until the server has ended it, so whoever has the lock knows that no
// earlier transaction is still under way.
type postgres struct {
	name     string
	config   *pgx.ConnConfig
	sessions atomic.Uint64 // connections made for writing
}

func newPostgres(database string, community roll.CommunityID) (*postgres, error) {
	u, err := url.Parse(database)
	if err != nil {
		// The parser's error repeats the URL, with its password.
		return nil, errors.New("database: this is no URL: write postgres://user@host/name, and %xx for signs such as @ or / in a password")
	}
	if u.Query().Has("password") {
		return nil, errors.New("database: a password in a parameter gets into error messages: write it before the @, or name a file with password_file")
	}
	u, password, err := passwordFrom(u)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", u.Redacted(), err)
	}
	p := &postgres{name: config.Database + " on " + config.Host, config: config}
	if schema := config.RuntimeParams["search_path"]; schema != "" {
		p.name = schema + " in " + p.name
	}
	if password != "" {
		config.Password = password
	}
	if u.Path == "" || u.Path == "/" {
		return nil, fmt.Errorf("database %s: it names no database: write postgres://user@host/name", p)
	}
	if config.TLSConfig != nil && !u.Query().Has("sslmode") && os.Getenv("PGSSLMODE") == "" && !local(config.Host) {
		return nil, fmt.Errorf("database %s: the server is another computer: add ?sslmode=verify-full (with &sslrootcert=FILE for a certificate of your own authority), or ?sslmode=prefer on a network that is yours alone", p)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if _, ok := config.RuntimeParams["application_name"]; !ok {
		config.RuntimeParams["application_name"] = strings.TrimSpace("allmende " + string(community))
	}
	return p, nil
}

// passwordFrom takes the parameter password_file out of a URL and reads the file.
func passwordFrom(u *url.URL) (rest *url.URL, password string, err error) {
	q := u.Query()
	file := q.Get("password_file")
	if file == "" {
		return u, "", nil
	}
	q.Del("password_file")
	u.RawQuery = q.Encode()
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, "", fmt.Errorf("database %s: password_file: %w", u.Redacted(), err)
	}
	if password = strings.TrimRight(string(b), "\r\n"); password == "" {
		return nil, "", fmt.Errorf("database %s: password_file: %s is empty", u.Redacted(), file)
	}
	return u, password, nil
}

// local says whether a server is on this computer: a socket's folder or loopback.
func local(host string) bool {
	return strings.HasPrefix(host, "/") || host == "localhost" || host == "127.0.0.1" || host == "::1"
}

func (p *postgres) String() string { return p.name }

func (p *postgres) connect(u use) (*sql.DB, error) {
	connections, ready := 1, p.readyToRead
	switch u {
	case forWriting:
		ready = p.readyToWrite
	case forReading:
		connections = readers
	case forAudit, forCopying, forFilling:
	}
	db := stdlib.OpenDB(*p.config.Copy(), stdlib.OptionAfterConnect(ready))
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// readyToRead refuses a server that is too old, and a schema that is not there.
func (p *postgres) readyToRead(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var schema *string
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_schema()`).Scan(&version, &schema)
	switch {
	case err != nil:
		return err
	case version < oldestPostgres:
		return fmt.Errorf("%w: it is PostgreSQL %d, and 13 or newer is needed", ErrAccess, version/10000)
	case schema == nil:
		path := conn.Config().RuntimeParams["search_path"]
		return because(ErrAccess, fmt.Sprintf("schema %q is not there, or is not this user's: CREATE SCHEMA %s AUTHORIZATION %s", path, path, conn.Config().User), nil)
	}
	return nil
}

// readyToWrite makes sure that a commit means what we say it means, and that we
// are the only ones.
func (p *postgres) readyToWrite(ctx context.Context, conn *pgx.Conn) error {
	if err := p.readyToRead(ctx, conn); err != nil {
		return err
	}
	var fsync, synchronous string
	var standby bool
	err := conn.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery()`).Scan(&fsync, &synchronous, &standby)
	switch {
	case err != nil:
		return err
	case standby:
		return because(ErrUnreachable, "the database server is a standby and takes no writes: name the primary in database:, or promote this one", nil)
	case fsync != "on":
		return fmt.Errorf("%w: it runs with fsync=%s: set fsync = on in its postgresql.conf and restart it", ErrUnsafe, fsync)
	}
	if synchronous != "on" && synchronous != "remote_apply" {
		if _, err := conn.Exec(ctx, `SET synchronous_commit TO on`); err != nil {
			return err
		}
	}
	wait := busyTimeout
	if p.sessions.Load() > 0 {
		wait = lockAgain // who writes tries again
	}
	if err := takeLock(ctx, conn, wait); err != nil {
		return err
	}
	p.sessions.Add(1)
	return nil
}

// lockKey finds the advisory lock of the schema that we use.
const lockKey = `(SELECT oid::bigint % 2147483647 FROM pg_namespace WHERE nspname = current_schema())::int`

// takeLock takes the lock of the one writer. The process that held it may have
// died a moment ago, so it waits a little before it gives up.
func takeLock(ctx context.Context, conn *pgx.Conn, wait time.Duration) error {
	for deadline := time.Now().Add(wait); ; {
		var ours bool
		err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1::int, `+lockKey+`)`, lockClass).Scan(&ours)
		if err != nil || ours {
			return err
		}
		if time.Now().After(deadline) {
			return because(ErrBusy, "another coordinator holds the ledger database ("+lockHolder(ctx, conn)+"): stop it first, or give this community a database of its own", nil)
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lockHolder says who holds the lock, as far as the server tells us.
func lockHolder(ctx context.Context, conn *pgx.Conn) string {
	var who string
	err := conn.QueryRow(ctx, `SELECT format('%s, pid %s of the server, from %s', COALESCE(a.application_name, '?'), l.pid,
			COALESCE(host(a.client_addr), 'the same computer'))
		FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND l.classid::bigint = $1 AND l.objid::bigint = `+lockKey, int64(lockClass)).Scan(&who)
	if err != nil {
		return "it has gone by now"
	}
	return who
}

func (p *postgres) migrations() (goose.Dialect, fs.FS, error) {
	dir, err := fs.Sub(migrations, "migrations")
	return goose.DialectPostgres, postgresWords{dir}, err
}

func (p *postgres) versioned(ctx context.Context, q querier) (bool, error) {
	var there bool
	err := q.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&there)
	return there, err
}

func (p *postgres) rebind(query string) string { return rebindDollar(query) }

// metaWrite is the mark of the transaction that has written last.
const metaWrite = "last_write"

// begin locks the row of the epoch. All who write do so first, so that they
// come one after the other, and READ COMMITTED sees what the one before wrote:
// it is the same as with the file, and nothing is ever refused as not
// serializable.
//
// It also leaves a mark, by which a commit without an answer is recognised. The
// transaction's own id would not do: after a crash the server gives the id of a
// transaction that was lost to another one, and then says that it was committed.
func (p *postgres) begin(ctx context.Context, conn *sql.Conn) (begun, error) {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return begun{}, err
	}
	b := begun{tx: tx, session: p.sessions.Load(), mark: rand.Text()}
	if err := p.lockMeta(ctx, &b); err != nil {
		_ = tx.Rollback() // the connection may be gone; the first error says why
		return begun{}, err
	}
	return b, nil
}

func (p *postgres) lockMeta(ctx context.Context, b *begun) error {
	type row struct{ name, value string }
	rows, err := collect(ctx, b.tx, func(rows *sql.Rows, r *row) error { return rows.Scan(&r.name, &r.value) },
		`SELECT name, value FROM meta WHERE name IN ($1, $2) ORDER BY name FOR UPDATE`, metaEpoch, metaWrite)
	if err != nil {
		return err
	}
	epoch := ""
	for _, r := range rows {
		switch r.name {
		case metaEpoch:
			epoch = r.value
		case metaWrite:
			b.last = r.value
		}
	}
	if b.epoch, err = strconv.ParseInt(epoch, 10, 64); err != nil {
		return fmt.Errorf("meta %s: %w: %w", metaEpoch, ErrDamaged, err)
	}
	_, err = b.tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, metaWrite, b.mark)
	return err
}

func (p *postgres) snapshot() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// scrub frees the space of deleted rows. The server overwrites it as it goes
// on; until then, and in its write-ahead log, the bytes can be found by who may
// read its files. docs/postgres.md says how to be rid of them at once.
func (p *postgres) scrub(ctx context.Context, w *sql.DB) error {
	_, err := w.ExecContext(ctx, `VACUUM annex_row, entry, member_interval, subject_secret, inbox, meta`)
	return err
}

func (p *postgres) limit() time.Duration { return writeLimit }

// classifyPostgres gives the server's errors a kind.
func classifyPostgres(pe *pgconn.PgError, err error) error {
	switch pe.Code {
	case "53100": // disk_full
		return kind(ErrNoSpace, err)
	case "58030": // io_error
		if pe.SeverityUnlocalized == "PANIC" {
			return kind(ErrDurability, err) // the log could not be flushed
		}
		return kind(ErrDisk, err)
	case "55P03", "40001", "40P01", "57014": // a lock, a conflict, a statement's time
		return kind(ErrBusy, err)
	case "57P01", "57P02", "57P03", "57P05", "53300", "25P03": // the server goes down, comes up or is full
		return kind(ErrUnreachable, err)
	case "XX001", "XX002": // data_corrupted, index_corrupted
		return kind(ErrDamaged, err)
	case "23505": // unique_violation
		return kind(ErrExists, err)
	case "25006": // read_only_sql_transaction
		return because(ErrUnreachable, "the database server takes no writes: it is a standby, or was set read-only", err)
	case "3D000", "3F000", "42501":
		return because(ErrAccess, "the database is not there, or is not this user's: see docs/postgres.md for the two statements that make it", err)
	}
	switch pe.Code[:min(2, len(pe.Code))] {
	case "08":
		return kind(ErrUnreachable, err)
	case "28":
		return because(ErrAccess, "the database server refuses the user: see user and password in database:, and pg_hba.conf of the server", err)
	}
	return err
}

// refused says whether an error at a commit is the server's own word that it
// did not happen. A session that is ended from outside may have committed.
func refused(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, pgx.ErrTxCommitRollback) || ok && pe.SeverityUnlocalized == "ERROR"
}
