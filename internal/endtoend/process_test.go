// SPDX-License-Identifier: AGPL-3.0-or-later

package endtoend_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/internal/pgtest"
)

// patience bounds every wait for another process, generously: a slow machine
// makes the test slow, not red.
const patience = 5 * time.Minute

// raced is the program under test, made once, with the race detector if the
// test has it; plain is without: the detector takes several times as long, and
// the life in which everybody is killed again and again is the one for it.
var (
	raced = sync.OnceValues(func() (string, error) { return program("raced", raceEnabled) })
	plain = sync.OnceValues(func() (string, error) { return program("plain", false) })
)

func program(name string, detector bool) (string, error) {
	bin := filepath.Join(scratch, name, "allmende")
	args := []string{"build", "-o", bin}
	if detector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../../cmd/allmende")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// server is the PostgreSQL server of the tests that want one.
var server = &pgtest.Server{}

// scratch is a folder for all tests together.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "allmende-endtoend-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.RemoveAll(scratch) //nolint:errcheck // a temporary folder
	os.Exit(code)
}

func build(t *testing.T, bin func() (string, error)) string {
	t.Helper()
	path, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is one running allmende.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *output
	done chan struct{}

	// inner is the process itself, of a program that runs under strace.
	inner func() int
}

// output collects what a process says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, name, bin string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(bin, args...), out: &output{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66")
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // how it ended stands in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail(p.out.String(), 1000)) // there are many, and logs are cut
		}
	})
	return p
}

// kill is SIGKILL: the process gets no chance to tidy up.
func (p *process) kill() {
	if p.inner != nil && !p.ended() {
		syscall.Kill(p.inner(), syscall.SIGKILL) //nolint:errcheck // as below
	} else {
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
	}
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// interrupt is Ctrl-C; the process must end by itself with status 0.
func (p *process) interrupt() {
	p.t.Helper()
	pid := p.cmd.Process.Pid
	if p.inner != nil {
		pid = p.inner()
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
	select {
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			p.t.Errorf("%s ended with status %d after Ctrl-C:\n%s", p.name, code, tail(p.out.String(), 4000))
		}
	case <-time.After(patience):
		p.t.Errorf("%s does not stop after Ctrl-C", p.name)
		p.kill()
	}
}

// says waits until the process has printed what matches, and returns the matches.
func (p *process) says(pattern string) [][]string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found [][]string
	p.await("print "+pattern, func() bool {
		found = re.FindAllStringSubmatch(p.out.String(), -1)
		return found != nil
	})
	return found
}

func (p *process) await(what string, ok func() bool) {
	p.t.Helper()
	await(p.t, p.name+" to "+what, func() bool {
		if ok() {
			return true
		}
		select {
		case <-p.done:
			if !ok() {
				p.t.Fatalf("%s ended (%v) before it would %s:\n%s", p.name, p.cmd.ProcessState, what, tail(p.out.String(), 4000))
			}
		default:
		}
		return false
	})
}

// await polls a condition of another process; nothing but patience depends on the time it takes.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// run runs a command to its end and returns what it printed on standard output.
func run(t *testing.T, bin string, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("allmende %v: %v\n%s%s", args, err, tail(stdout.String(), 4000), tail(stderr.String(), 4000))
	}
	return stdout.Bytes()
}

func write(t *testing.T, path, format string, args ...any) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
