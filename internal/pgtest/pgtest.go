// SPDX-License-Identifier: AGPL-3.0-or-later

// Package pgtest starts PostgreSQL servers for tests: the one that Debian's
// package postgresql installs, in a folder of its own, reached by a Unix socket
// in that folder. It touches no other server of the computer.
//
// A package's TestMain holds one [Server], which starts at the first call of
// [Server.Database] and is stopped at the end. Should the test's process die
// before, however it dies, a shell that watches over the server ends it and
// removes the folder.
package pgtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/internal/freeport"
)

const patience = 6 * time.Minute // with one of PostgreSQL's programs

// Server is a PostgreSQL server; its zero value has not been started. Its
// methods may be called from several goroutines.
type Server struct {
	// Settings are lines for postgresql.conf.
	Settings []string
	// Network: it also listens on loopback, where it asks for passwords.
	Network bool

	mu        sync.Mutex
	dir       string
	port      string // also a part of the socket's name
	watch     *exec.Cmd
	hold      io.Closer // the watching shell ends when it is closed
	databases int
	failed    error
}

// Database makes an empty database for one test and returns its URL. Where the
// package is not installed the test is skipped, in continuous integration it fails.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" && s.failed == nil {
		s.failed = s.start(tb)
	}
	if s.failed != nil {
		tb.Fatal(s.failed)
	}
	s.databases++
	name := fmt.Sprint("test", s.databases)
	s.sql(tb, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0")
	tb.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sql(tb, "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
	})
	return s.url(name)
}

// Copy makes a database like another, to which nobody may be connected.
func (s *Server) Copy(tb testing.TB, database string) string {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.databases++
	name := fmt.Sprint("test", s.databases)
	s.sql(tb, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+nameOf(tb, database))
	return s.url(name)
}

// Drop removes a database that Copy made.
func (s *Server) Drop(tb testing.TB, database string) {
	tb.Helper()
	s.sql(tb, "postgres", "DROP DATABASE "+nameOf(tb, database)+" WITH (FORCE)")
}

// Exec changes a database behind everybody's back, as its superuser.
func (s *Server) Exec(tb testing.TB, database, sql string) string {
	tb.Helper()
	return s.sql(tb, nameOf(tb, database), sql)
}

// Dir is the server's folder; its user owns it.
func (s *Server) Dir() string { return s.dir }

func (s *Server) url(name string) string {
	return "postgres:///" + name + "?" + url.Values{"host": {s.dir}, "port": {s.port}, "user": {"allmende"}}.Encode()
}

const loopback = "127.0.0.1"

// OnNetwork is the URL of a database over TCP, for one of the server's users.
func (s *Server) OnNetwork(tb testing.TB, database string, who *url.Userinfo) string {
	tb.Helper()
	u := url.URL{Scheme: "postgres", User: who, Host: net.JoinHostPort(loopback, s.port), Path: nameOf(tb, database)}
	return u.String()
}

func nameOf(tb testing.TB, database string) string {
	tb.Helper()
	u, err := url.Parse(database)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// start makes the cluster and starts it.
func (s *Server) start(tb testing.TB) error {
	tb.Helper()
	if _, err := programs(); err != nil {
		if os.Getenv("CI") == "" {
			tb.Skip(err)
		}
		return err
	}
	// A short name: a socket's path has at most some hundred bytes.
	dir, err := os.MkdirTemp(shortTemp(), "allmende-pg") //nolint:usetesting // the server outlives the test that starts it
	if err != nil {
		return err
	}
	s.dir = dir
	if err := s.own(dir); err != nil {
		return err
	}
	if out, err := s.run("initdb", "--pgdata="+s.data(), "--username=allmende", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		_ = os.RemoveAll(dir)
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	listen := ""
	if s.port = "5432"; s.Network {
		listen, s.port = loopback, strconv.Itoa(freeport.Port(tb))
	}
	settings := append([]string{
		"listen_addresses = '" + listen + "'", "unix_socket_directories = '" + dir + "'", "port = " + s.port,
		"shared_buffers = 16MB", "max_connections = 60", "max_wal_size = 256MB", "jit = off", "autovacuum_naptime = 10min",
	}, s.Settings...)
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(settings, "\n") + "\n")
	if err := f.Close(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if err := s.watchOver(); err != nil {
		return err
	}
	return s.ctl("start")
}

// watchOver starts the shell that ends the server when this process has gone.
// It is in a group of its own, so that a signal to ours does not reach it.
func (s *Server) watchOver() error {
	const stop = `trap '' INT TERM HUP; cat >/dev/null
[ -f "$1/data/postmaster.pid" ] && kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"
n=0; while [ -f "$1/data/postmaster.pid" ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
rm -rf "$1"`
	s.watch = exec.CommandContext(context.Background(), "/bin/sh", "-c", stop, "sh", s.dir) //nolint:gosec // the folder is our own
	s.watch.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	hold, err := s.watch.StdinPipe()
	if err != nil {
		return err
	}
	s.hold = hold
	return s.watch.Start()
}

// Stop ends the server, if it was started, and removes its folder.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil {
		return nil
	}
	if err := s.hold.Close(); err != nil {
		return err
	}
	err := s.watch.Wait()
	s.watch, s.dir = nil, ""
	return err
}

// Kill ends the server as a loss of power would, but for what the kernel holds.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	if err := s.ctl("stop", "--mode=immediate"); err != nil {
		tb.Fatal(err)
	}
}

// Restart starts a server that was killed.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := s.ctl("start"); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) ctl(args ...string) error {
	log := filepath.Join(s.dir, "log")
	args = append([]string{"--pgdata=" + s.data(), "--wait", "--timeout=300", "--silent", "--log=" + log}, args...)
	if out, err := s.run("pg_ctl", args...); err != nil {
		said, _ := os.ReadFile(log)
		return fmt.Errorf("pg_ctl: %w\n%s\n%s", err, out, said)
	}
	return nil
}

// sql runs statements with psql and returns what they answer.
func (s *Server) sql(tb testing.TB, database, statements string) string {
	tb.Helper()
	out, err := s.run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
		"--host="+s.dir, "--port="+s.port, "--username=allmende", "--dbname="+database, "--command="+statements)
	if err != nil {
		tb.Errorf("psql: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// run runs one of PostgreSQL's programs, as the server's user.
func (s *Server) run(program string, args ...string) ([]byte, error) {
	dir, err := programs()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, program), args...) //nolint:gosec // tests run what they say
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + s.dir, "TZ=UTC"}
	if id, ok := other(); ok {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id[0], Gid: id[1], Groups: []uint32{}}}
	}
	return cmd.CombinedOutput()
}

// own gives the folder to the server's user.
func (s *Server) own(dir string) error {
	id, ok := other()
	if !ok {
		return nil
	}
	return os.Chown(dir, int(id[0]), int(id[1]))
}

// other is whom the server runs as where we are root, which PostgreSQL refuses:
// the user that the Debian package makes, or nobody.
func other() (id [2]uint32, ok bool) {
	if os.Getuid() != 0 {
		return id, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return [2]uint32{uint32(uid), uint32(gid)}, true
		}
	}
	return [2]uint32{65534, 65534}, true
}

// programs is the folder of the newest server's programs.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // 0 for a name that is no version
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", fmt.Errorf("PostgreSQL's server is not installed: run `make needs`, or install Debian's package postgresql")
}

func shortTemp() string {
	if dir := os.TempDir(); len(dir) < 60 {
		return dir
	}
	return "/tmp"
}
