// SPDX-License-Identifier: AGPL-3.0-or-later

package docs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// step is one block of commands, with what the document says that it prints.
type step struct {
	line     int
	commands string
	prints   string // empty: the document does not say
}

// leavesRunning says whether the block ends before what it started does.
func (s step) leavesRunning() bool { return strings.HasSuffix(strings.TrimSpace(s.commands), "&") }

// looks says whether the block only looks at what is under way, so that somebody
// on a slow computer looks again.
func (s step) looks() bool { return strings.HasPrefix(s.commands, "sleep ") }

// steps reads a document. A block of another kind would be commands that nobody
// runs, or output that nobody compares.
func steps(t *testing.T, document string) []step {
	t.Helper()
	var out []step
	kind, begun := "", 0
	var block strings.Builder
	n := 0
	for line := range strings.Lines(document) {
		n++
		fence, isFence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case !isFence && kind != "":
			block.WriteString(line)
		case isFence && kind == "":
			kind, begun = fence, n
			block.Reset()
		case isFence && kind == "sh":
			out = append(out, step{line: begun, commands: block.String()})
			kind = ""
		case isFence && kind == "text" && len(out) > 0 && out[len(out)-1].prints == "":
			out[len(out)-1].prints = block.String()
			kind = ""
		case isFence:
			t.Fatalf("line %d: a block of %q is neither commands (sh) nor what those before it print (text)", begun, kind)
		}
	}
	if kind != "" {
		t.Fatalf("line %d: the block does not end", begun)
	}
	return out
}

// agrees compares what was printed with what is written. "…" stands for
// anything within a line, and alone in a line for any number of lines.
func agrees(printed, written string) bool {
	var pattern strings.Builder
	pattern.WriteString(`(?s)^`)
	for line := range strings.Lines(written) {
		line = strings.TrimRight(line, "\n")
		if line == "…" {
			pattern.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		parts := strings.Split(line, "…")
		for i, p := range parts {
			parts[i] = regexp.QuoteMeta(p)
		}
		pattern.WriteString(strings.Join(parts, `[^\n]*`) + `[ \t]*\n`)
	}
	pattern.WriteString(`$`)
	return regexp.MustCompile(pattern.String()).MatchString(printed)
}

// terminal is a shell in which one block after the other is typed. What a block
// leaves running goes on while the next one runs. It has a network and processes
// of its own: the document's ports are free there, and nothing outlives the test.
type terminal struct {
	dir   string
	in    io.Writer
	codes *bufio.Scanner
	n     int
}

func newTerminal(t *testing.T, dir, programs string) *terminal {
	t.Helper()
	isolate := []string{"--net", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Geteuid() != 0 {
		isolate = append([]string{"--user", "--map-root-user"}, isolate...)
	}
	if b, err := exec.CommandContext(t.Context(), "unshare", append(isolate, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no network of its own can be made here, and the document's ports may be taken: %v %s", err, b)
	}
	// The test speaks to the shell, not through the blocks' input and output.
	// Who sees an error goes no further, so no command of a block may fail.
	script := `ip link set lo up; set -mE
trap 'bad=$?' ERR
while read -r block; do
	bad=0
	{ source "$block"; } </dev/null >"$block.out" 2>&1
	echo "$bad"
done`
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "unshare", append(isolate, "bash", "-c", script)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=Europe/Vienna")
	cmd.WaitDelay = 10 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
	})
	return &terminal{dir: dir, in: in, codes: bufio.NewScanner(out)}
}

// do types a block and waits for its end, and for what it prints.
func (s *terminal) do(t *testing.T, what step) {
	t.Helper()
	const within = 5 * time.Minute
	code, out := s.run(t, what)
	for began := time.Now(); what.prints != "" && !agrees(read(t, out), what.prints) && time.Since(began) < within; {
		switch {
		case what.leavesRunning():
			time.Sleep(100 * time.Millisecond)
		case what.looks():
			code, out = s.run(t, what)
		default:
			began = began.Add(-within)
		}
	}
	switch printed := read(t, out); {
	case code != 0:
		t.Fatalf("line %d of the document:\n%s\nends with %d:\n%s", what.line, what.commands, code, printed)
	case what.prints != "" && !agrees(printed, what.prints):
		t.Fatalf("line %d of the document:\n%s\nprints\n%s\nand the document says\n%s", what.line, what.commands, printed, what.prints)
	}
}

// run types a block and waits for its end. It returns the worst status, and the
// file that holds what is printed, also later by what goes on.
func (s *terminal) run(t *testing.T, what step) (code int, out string) {
	t.Helper()
	s.n++
	block := filepath.Join(t.TempDir(), fmt.Sprintf("block%d", s.n))
	if err := os.WriteFile(block, []byte(what.commands+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(s.in, block)
	if !s.codes.Scan() {
		t.Fatalf("line %d: the shell is gone", what.line)
	}
	code, err := strconv.Atoi(s.codes.Text())
	if err != nil {
		t.Fatal(err)
	}
	return code, block + ".out"
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whoever copies the commands of run.md has a running community.
func TestRunWorksAsWritten(t *testing.T) { worksAsWritten(t, "run.md", 15) }

// Whoever copies those of installer.md has a signed report.
func TestRunInstallerAsWritten(t *testing.T) { worksAsWritten(t, "installer.md", 12) }

// worksAsWritten types the commands of a document, of which there are at least so many blocks.
func worksAsWritten(t *testing.T, file string, least int) {
	t.Helper()
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := steps(t, string(document))
	if len(all) < least {
		t.Fatalf("only %d blocks of commands were found", len(all))
	}
	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", filepath.Join(programs, "allmende"), "../cmd/allmende")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	began := time.Now()
	shell := newTerminal(t, t.TempDir(), programs)
	for _, s := range all {
		at := time.Now()
		shell.do(t, s)
		t.Logf("line %d: %s", s.line, time.Since(at).Round(time.Millisecond))
	}
	t.Logf("%d blocks of commands took %s", len(all), time.Since(began).Round(time.Second))
}

func TestAgrees(t *testing.T) {
	for _, c := range []struct {
		printed, written string
		want             bool
	}{
		{"a\n", "a\n", true},
		{"a\nb\n", "a\n", false},
		{"a 17 b\n", "a … b\n", true},
		{"a 17\nb\n", "a … b\n", false},
		{"x\ny\na\nz\n", "…\na\n…\n", true},
		{"a\n", "…\na\n…\n", true},
		{"x\n", "…\na\n…\n", false},
		{"a.c\n", "abc\n", false},
	} {
		if got := agrees(c.printed, c.written); got != c.want {
			t.Errorf("%q agrees with %q: %t", c.printed, c.written, got)
		}
	}
}
