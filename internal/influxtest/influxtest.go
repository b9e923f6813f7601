// SPDX-License-Identifier: AGPL-3.0-or-later

// Package influxtest starts a real InfluxDB 1.8 for tests: on loopback, on free
// ports, in a folder that goes away. `make needs` builds the program.
package influxtest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/internal/freeport"
)

// Version is what `make needs` builds.
const Version = "v1.8.10"

// Bucket is the bucket of a server's database, and Community a name for a tag.
const Bucket = "allmende/autogen"

// Server is an InfluxDB that runs, or was killed.
type Server struct {
	URL string

	t       testing.TB
	program string
	dir     string
	ports   [2]string
	process *exec.Cmd
	log     bytes.Buffer
}

// Start starts a server with an empty database. Where the program is not
// there, the test is skipped on a developer's computer and fails in CI.
func Start(t testing.TB) *Server {
	t.Helper()
	program := filepath.Join(root(t), ".cache", "tools", "influxd-"+Version)
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("InfluxDB is not there: %v: run `make needs`", err)
		}
		t.Skipf("InfluxDB is not there: run `make needs`, which builds %s", program)
	}
	s := &Server{t: t, program: program, dir: t.TempDir()}
	for i := range s.ports {
		s.ports[i] = freeport.Address(t)
	}
	s.URL = "http://" + s.ports[0]
	t.Cleanup(s.Kill)
	s.Restart()
	s.do(http.MethodPost, "/query?q="+url.QueryEscape("CREATE DATABASE allmende"))
	return s
}

// root is the module's folder.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

const config = `
reporting-disabled = true
bind-address = %q
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
[http]
  bind-address = %q
  flux-enabled = true
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "warn"
`

// Restart starts a server that was killed, with what it had.
func (s *Server) Restart() {
	s.t.Helper()
	path := filepath.Join(s.dir, "influxd.conf")
	text := fmt.Sprintf(config, s.ports[1], filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"), filepath.Join(s.dir, "wal"), s.ports[0])
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.process = exec.CommandContext(context.Background(), s.program, "-config", path)
	s.process.Env = append(os.Environ(), "INFLUXDB_REPORTING_DISABLED=true")
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	const patience = 5 * time.Minute
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		r, err := http.Get(s.URL + "/ping") //nolint:noctx // on loopback, in a test
		if err == nil {
			r.Body.Close()
			return
		}
		if time.Since(began) > patience {
			s.Kill()
			s.t.Fatalf("InfluxDB did not come up within %s: %v\n%s", patience, err, s.log.String())
		}
	}
}

// Kill ends the server as a loss of power would. It may be called twice.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill() //nolint:errcheck // it may have ended by itself
	s.process.Wait()         //nolint:errcheck // it was killed
	s.process = nil
}

// Pid is the server's process.
func (s *Server) Pid() int { return s.process.Process.Pid }

// Dir is where the server keeps its data.
func (s *Server) Dir() string { return filepath.Join(s.dir, "data") }

func (s *Server) do(method, path string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s", method, path, r.Status)
	}
}

// Flux runs a query and returns the rows of its answer, each with its columns by name.
func (s *Server) Flux(query string) []map[string]string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL+"/api/v2/query", strings.NewReader(query))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.flux")
	req.Header.Set("Accept", "application/csv")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil {
		s.t.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s\n%s", r.Status, body.String(), query)
	}
	return table(s.t, body.String(), query)
}

// table reads annotated CSV. A table begins with its header, after an empty line.
func table(t testing.TB, text, query string) []map[string]string {
	t.Helper()
	var out []map[string]string
	var header []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n") {
		switch cells := strings.Split(line, ","); {
		case line == "":
			header = nil
		case strings.HasPrefix(line, "#"):
		case header == nil:
			header = cells
			if len(cells) > 1 && cells[0] == "error" {
				t.Fatalf("%s\n%s", text, query)
			}
		default:
			row := map[string]string{}
			for i, name := range header {
				if i < len(cells) {
					row[name] = cells[i]
				}
			}
			if row["error"] != "" {
				t.Fatalf("%s\n%s", text, query)
			}
			out = append(out, row)
		}
	}
	return out
}
