// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/pgtest"
)

// What is PostgreSQL's alone.

// own is a server that belongs to one test, which may do with it what it likes.
func own(t *testing.T, s *pgtest.Server) *pgtest.Server {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTwoCoordinatorsOnOneDatabase(t *testing.T) {
	ctx := context.Background()
	s, database := fresh(t, postgres)
	_, err := store.Open(ctx, database, options(t))
	if !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), "allmende linden, pid ") || !strings.Contains(err.Error(), "stop it first") {
		t.Fatalf("the second coordinator: %v", err)
	}
	raise(t, s) // the first goes on
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raise(t, open(t, database))
}

// A coordinator loses its connections and gets them back.
func TestConnectionsComeBack(t *testing.T) {
	ctx := context.Background()
	s, database, epoch, v := history(t, postgres, 2, 1)
	for n := range 3 {
		postgres.disconnect(t, database)
		if n == 1 {
			if _, err := s.AppendInbox(ctx, "gw-1", "a", 1, batchOf(1, 3)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		commit(t, s, epoch, v.interval(t, 1+n, 0))
	}
	holds(t, database)
	if got, err := s.Acknowledged(ctx, "gw-1", "a"); err != nil || got != 3 {
		t.Fatalf("%d, %v", got, err)
	}
}

// Communities may share a database if each has a schema of its own.
func TestSchemas(t *testing.T) {
	ctx := context.Background()
	database := postgres.database(t)
	server.Exec(t, database, `CREATE SCHEMA linden; CREATE SCHEMA ulme`)
	in := func(schema string) string { return database + "&search_path=" + schema }
	ulme := options(t)
	key, err := ledger.NewKey(chacha(5), "ulme")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key.Signer), 0o600); err != nil {
		t.Fatal(err)
	}
	if ulme.Signer, err = store.LoadSigner(path); err != nil {
		t.Fatal(err)
	}
	ulme.Community = "ulme"

	a := open(t, in("linden"))
	b, err := store.Open(ctx, in("ulme"), ulme)
	if err != nil {
		t.Fatal(err)
	}
	if one, two := raise(t, a), raise(t, b); one != 1 || two != 1 {
		t.Errorf("epochs %d, %d", one, two)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(ctx, in("linden"), ulme); !errors.Is(err, store.ErrForeign) {
		t.Errorf("another community's schema: %v", err)
	}
	_, err = store.Open(ctx, in("esche"), options(t))
	if !errors.Is(err, store.ErrAccess) || !strings.Contains(err.Error(), "CREATE SCHEMA esche") {
		t.Errorf("a schema that is not there: %v", err)
	}
}

// What "returned means durable" stands on.
func TestServerMustKeepWhatItConfirms(t *testing.T) {
	ctx := context.Background()
	s := own(t, &pgtest.Server{})
	database := s.Database(t)
	s.Exec(t, database, `ALTER ROLE allmende SET synchronous_commit = off`)
	st := open(t, database)
	if got := st.Ask(t, "SHOW", "synchronous_commit", "transaction_isolation"); got[0] != "on" {
		t.Errorf("synchronous_commit is %s", got[0])
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, database, `ALTER ROLE allmende SET synchronous_commit = remote_apply`)
	st = open(t, database)
	if got := st.Ask(t, "SHOW", "synchronous_commit"); got[0] != "remote_apply" {
		t.Errorf("what waits for more was made to wait for less: %s", got[0])
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, database, `ALTER SYSTEM SET fsync = off`)
	s.Exec(t, database, `SELECT pg_reload_conf(), pg_sleep(0.2)`)
	if _, err := store.Open(ctx, database, options(t)); !errors.Is(err, store.ErrUnsafe) || !strings.Contains(err.Error(), "fsync = on") {
		t.Errorf("fsync is off: %v", err)
	}
	if r, err := store.OpenReader(ctx, database); err != nil {
		t.Errorf("reading: %v", err)
	} else if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// The password comes from the address, from a file or from PostgreSQL's own
// password file, and is in no error.
func TestPasswords(t *testing.T) {
	ctx := context.Background()
	s := own(t, &pgtest.Server{Network: true})
	database := s.Database(t)
	const password = "s3cret@/:?#"
	s.Exec(t, database, `CREATE ROLE village LOGIN PASSWORD '`+password+`'; GRANT CREATE, USAGE ON SCHEMA public TO village`)
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	on := func(who *url.Userinfo, file string) string {
		u := s.OnNetwork(t, database, who)
		if file != "" {
			u += "?password_file=" + url.QueryEscape(file)
		}
		return u
	}
	t.Setenv("PGPASSFILE", write("*:*:*:village:"+strings.ReplaceAll(password, ":", `\:`)+"\n"))
	for name, database := range map[string]string{
		"the address":     on(url.UserPassword("village", password), ""),
		"a file":          on(url.User("village"), write(password+"\n")),
		"PGPASSFILE":      on(url.User("village"), ""),
		"a file over all": on(url.UserPassword("village", "wrong"), write(password)),
	} {
		st, err := store.Open(ctx, database, options(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Setenv("PGPASSFILE", write(""))
	for name, database := range map[string]string{
		"wrong":            on(url.UserPassword("village", password+"!"), ""),
		"none":             on(url.User("village"), ""),
		"an empty file":    on(url.User("village"), write("\n")),
		"no file":          on(url.User("village"), "/nowhere/"+password),
		"another database": strings.Replace(on(url.UserPassword("village", password), ""), "/test1", "/nowhere", 1),
		"no database":      strings.Replace(on(url.UserPassword("village", password), ""), "/test1", "", 1),
		"no URL":           "postgres://village:" + password + "@[",
		"an odd port":      "postgres://village:s3cret@host:port/x",
		"an odd setting":   on(url.UserPassword("village", password), "") + "?sslmode=maybe",
		"as a parameter":   on(url.User("village"), "") + "?password=s3cret",
		"another computer": "postgres://village:s3cret@db.example.org/x",
	} {
		_, err := store.Open(ctx, database, options(t))
		if err == nil {
			t.Errorf("%s: it was opened", name)
		} else if strings.Contains(strings.ReplaceAll(err.Error(), "/nowhere/"+password, ""), "s3cret") {
			t.Errorf("%s: the password is in the error: %v", name, err)
		}
		if shown := store.Name(database); strings.Contains(shown, "s3cret") {
			t.Errorf("%s: the password is in the name: %v", name, shown)
		}
	}
	for name, database := range map[string]string{
		"wrong": on(url.UserPassword("village", "x"), ""), "another database": strings.Replace(on(url.UserPassword("village", password), ""), "/test1", "/nowhere", 1),
	} {
		if _, err := store.Open(ctx, database, options(t)); !errors.Is(err, store.ErrAccess) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
