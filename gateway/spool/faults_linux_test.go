// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const faultyDir = "ALLMENDE_TEST_SPOOL_THAT_FAILS"

const (
	faultyAppends = 60
	faultyTries   = 20
)

// appendStubbornly spools, says each sequence, and tries again what failed, as a
// gateway does.
func appendStubbornly(dir string) error {
	var s *Spool
	for try := 0; s == nil; try++ {
		var err error
		if s, err = Open(dir, Options{SegmentBytes: 4 << 10}); err != nil && try == faultyTries {
			return err
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	o := oracle{}
	for range faultyAppends {
		batch := o.next(rng.IntN(40) + 1)
		for try := 0; ; try++ {
			last, err := s.Append(batch)
			if err == nil {
				fmt.Println(last)
				break
			}
			if try == faultyTries {
				return err
			}
		}
	}
	// What is written at the end spares the next start some reading, no more: a
	// spool that cannot write it has lost nothing, as allThere will see.
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return nil
}

// TestEveryDiskFault lets each of the calls fail by which samples get to the
// disk: first each thread's first call, then its second, until none is met any
// more. The spool goes on by itself, and what it has said to be spooled is there
// afterwards, once, in order.
func TestEveryDiskFault(t *testing.T) {
	if out, err := exec.Command("strace", "-f", "-o", os.DevNull, "-e", "inject=fsync:error=EIO", "true").CombinedOutput(); err != nil {
		t.Skipf("strace cannot trace here: %v %s", err, out)
	}
	for _, f := range []struct{ name, calls, err string }{
		{"sync", "fsync,fdatasync", "EIO"},
		{"full", "write,pwrite64,ftruncate", "ENOSPC"},
		{"write", "write,pwrite64", "EIO"},
		{"cut", "ftruncate,unlinkat,renameat,rename", "EIO"},
		{"open", "openat", "EMFILE"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			met := 0
			for n := 1; n <= 30; n += 1 + n/4 {
				if !injected(t, f.calls, f.err, n) {
					break
				}
				met++
			}
			if met == 0 && f.name != "cut" { // nothing is cut where nothing fails
				t.Error("no call was met: the test says nothing")
			}
			t.Logf("%d runs", met)
		})
	}
}

// injected runs the child with the n-th call of each thread failing, and with
// the one after it, so that tidying up fails as well now and then.
func injected(t *testing.T, calls, failure string, n int) bool {
	t.Helper()
	dir, trace := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "trace")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Only calls on the spool's own folder fail. Which files it will make is not
	// known before, so their names are given as they will be.
	args := []string{"-f", "--seccomp-bpf", "-qqq", "-y", "-o", trace, "-e", "signal=none", "-e", "trace=" + calls,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d..%d", calls, failure, n, n+n%2), "-P", dir, "-P", filepath.Join(dir, stateName)}
	for seq := range 1300 { // as many samples as there may be
		args = append(args, "-P", filepath.Join(dir, segmentName(uint64(seq+1))))
	}
	child := exec.Command("strace", append(args, self)...)
	child.Env = append(os.Environ(), faultyDir+"="+dir)
	var out, errs bytes.Buffer
	child.Stdout, child.Stderr = &out, &errs
	if err := child.Run(); err != nil {
		t.Fatalf("fault %d: the child ended with %v: %s", n, err, errs.String())
	}
	var said uint64
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		if said, err = strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	traced, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	allThere(t, n, dir, said)
	return strings.Contains(string(traced), "(INJECTED)")
}

// allThere checks that everything that was said is there, once, in order.
func allThere(t *testing.T, n int, dir string, said uint64) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("fault %d: it does not open again: %v", n, err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	id, last, _ := s.Position()
	if last != said || said == 0 {
		t.Fatalf("fault %d: %d samples were said to be spooled, %d are there", n, said, last)
	}
	for seq := uint64(1); seq <= last; {
		got, err := s.Read(id, seq, 1000)
		if err != nil || len(got) == 0 {
			t.Fatalf("fault %d: sample %d: %v", n, seq, errors.Join(err))
		}
		for _, sample := range got {
			if sample != sampleNo(int64(seq)) {
				t.Fatalf("fault %d: sample %d is %+v", n, seq, sample)
			}
			seq++
		}
	}
}
