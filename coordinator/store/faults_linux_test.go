// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// fault is a system call that fails once in each thread, at its n-th call.
type fault struct {
	name  string
	calls string // of strace, separated by commas
	err   string
	most  int // hits to look at
}

// TestEveryDiskFault lets each of the calls fail by which data get to the disk:
// first each thread's first call, then its second, until none is met any more.
// Whatever happens to the process, what it has said to be stored is there
// afterwards, once, and the ledger holds. After a sync that failed it says
// nothing any more.
func TestEveryDiskFault(t *testing.T) {
	needsStrace(t)
	for _, f := range []fault{
		{"sync", "fsync,fdatasync", "EIO", 30},
		{"full", "write,pwrite64,ftruncate,fallocate", "ENOSPC", 30},
		{"write", "write,pwrite64", "EIO", 12},
		{"read", "pread64", "EIO", 12},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			met := 0
			for n := 1; n <= f.most; n += 1 + n/8 {
				if !f.inject(t, n) {
					break
				}
				met++
			}
			if met == 0 {
				t.Error("no call was met: the test says nothing")
			}
			t.Logf("%s: %d runs", f.name, met)
		})
	}
}

// needsStrace skips where faults cannot be injected.
func needsStrace(t *testing.T) {
	t.Helper()
	out, err := exec.Command("strace", "-f", "-o", os.DevNull, "-e", "inject=fsync:error=EIO", "true").CombinedOutput()
	if err != nil {
		t.Skipf("strace cannot trace here: %v %s", err, out)
	}
}

var saidSo = regexp.MustCompile(`leaves (\d+) samples (\d+)`)

// inject runs the child with the n-th call of each thread failing, and looks at
// what it leaves. It says whether a call was met.
func (f fault) inject(t *testing.T, n int) bool {
	t.Helper()
	dir := t.TempDir()
	path, trace := filepath.Join(dir, "ledger.db"), filepath.Join(dir, "trace")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"-f", "--seccomp-bpf", "-qqq", "-y", "-o", trace, "-e", "trace=" + f.calls, "-e", "signal=none",
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", f.calls, f.err, n),
	}
	for _, file := range []string{path, path + "-wal", path + "-shm", dir} {
		args = append(args, "-P", file)
	}
	child := exec.Command("strace", append(args, self)...)
	child.Env = append(os.Environ(), faultEnv+"="+path)
	var out, errs bytes.Buffer
	child.Stdout, child.Stderr = &out, &errs
	err = child.Run()
	if code := child.ProcessState.ExitCode(); err != nil && code != stopped {
		t.Fatalf("%s %d: the child ended with %v: %s", f.name, n, err, errs.String())
	}
	traced, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var leaves int64
	var samples uint64
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "leaves %d samples %d", &leaves, &samples); err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
	}
	f.lookAt(t, n, path, leaves, samples)
	return strings.Contains(string(traced), "(INJECTED)")
}

// lookAt checks that what was said is there.
func (f fault) lookAt(t *testing.T, n int, path string, leaves int64, samples uint64) {
	t.Helper()
	if there, err := store.Exists(t.Context(), path); err == nil && !there && leaves == 0 {
		return // it could not even be made
	}
	s, err := store.Open(t.Context(), path, options(t))
	if err != nil {
		t.Fatalf("%s %d: it does not open again: %v", f.name, n, err)
	}
	defer s.Close()
	size, err := s.Size(t.Context())
	if err != nil || size < leaves || size > leaves+1 {
		t.Fatalf("%s %d: %d leaves were acknowledged, %d are there, %v", f.name, n, leaves, size, err)
	}
	durable, err := s.Acknowledged(t.Context(), "gw-1", "a")
	if err != nil || durable != samples && durable != samples+batchLength {
		t.Fatalf("%s %d: %d samples were acknowledged, %d are there, %v", f.name, n, samples, durable, err)
	}
	seq := uint64(0)
	err = s.InboxSince(t.Context(), day0.Add(-energy.Day), func(_ roll.GatewayID, m meters.Sample) error {
		if seq++; m != sampleOf(seq) {
			return fmt.Errorf("sample %d is %+v", seq, m)
		}
		return nil
	})
	if err != nil || seq != durable {
		t.Fatalf("%s %d: %d samples of %d, %v", f.name, n, seq, durable, err)
	}
	if size > 0 {
		holds(t, path)
	}
}

// Nothing is acknowledged while the log holds what was not synced, in the order
// in which the kernel saw it: not when all is well, and not after a sync has
// failed, after which there is nothing that may be said any more.
func TestNothingIsSaidBeforeItIsSynced(t *testing.T) {
	needsStrace(t)
	ended := 0 // by a sync of the log that failed; the database's own may fail, as the log has it all
	for n := range 13 {
		dir := t.TempDir()
		path, trace := filepath.Join(dir, "ledger.db"), filepath.Join(dir, "trace")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"-f", "--seccomp-bpf", "-qqq", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,write,pwrite64", "-e", "signal=none"}
		if n > 0 {
			args = append(args, "-e", fmt.Sprintf("inject=fsync,fdatasync:error=EIO:when=%d", n))
		}
		child := exec.Command("strace", append(args, self)...)
		child.Env = append(os.Environ(), faultEnv+"="+path)
		_ = child.Run() // it is meant to stop where a sync fails
		switch code := child.ProcessState.ExitCode(); {
		case code == stopped && n > 0:
			ended++
		case code != 0:
			t.Errorf("fault %d: the child ended with %v", n, child.ProcessState)
		}
		traced, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		said, synced := readTrace(t, string(traced))
		if n == 0 && (said < faultWrites || synced < said) {
			t.Errorf("it said %d things and synced %d times", said, synced)
		}
	}
	if ended == 0 {
		t.Error("no failed sync stopped it")
	}
}

// readTrace follows the log through the calls of all threads.
func readTrace(t *testing.T, trace string) (said, synced int) {
	t.Helper()
	dirty, waiting := "", map[string]bool{} // threads that wait for a sync of the log
	for line := range strings.Lines(trace) {
		thread, call, _ := strings.Cut(line, " ")
		call = strings.TrimLeft(call, " ")
		log, isSync := strings.Contains(call, "ledger.db-wal>"), strings.HasPrefix(call, "fsync(") || strings.HasPrefix(call, "fdatasync(")
		resumed := strings.HasPrefix(call, "<... fsync resumed>") || strings.HasPrefix(call, "<... fdatasync resumed>")
		switch {
		case log && strings.HasPrefix(call, "pwrite64("):
			dirty = line
		case log && isSync && strings.Contains(call, "<unfinished"):
			waiting[thread] = true
		case log && isSync || resumed && waiting[thread]:
			delete(waiting, thread)
			if strings.HasSuffix(strings.TrimSpace(call), "= 0") {
				dirty = ""
				synced++
			}
		case saidSo.MatchString(call):
			said++
			if dirty != "" {
				t.Fatalf("it said %sbefore this was on the disk: %s", line, dirty)
			}
		}
	}
	return said, synced
}
