// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build unix

package spool

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const killedDir = "ALLMENDE_TEST_SPOOL_TO_KILL"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		if err := appendForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if dir := os.Getenv(faultyDir); dir != "" {
		if err := appendStubbornly(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// appendForEver says each sequence after it was spooled.
func appendForEver(dir string) error {
	s, err := Open(dir, Options{SegmentBytes: 4 << 10})
	if err != nil {
		return err
	}
	_, last, _ := s.Position()
	o := oracle{count: int64(last)}
	for {
		last, err := s.Append(o.next(rand.IntN(40) + 1))
		if err != nil {
			return err
		}
		fmt.Println(last)
	}
}

// TestSIGKILL kills a process again and again while it spools: what it said to
// have spooled is there, and the sequence goes on.
func TestSIGKILL(t *testing.T) {
	dir := t.TempDir()
	var id string
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var said uint64
		for i := 0; lines.Scan(); i++ {
			n, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 64)
			if err != nil {
				break // the last line may be cut
			}
			said = n
			if i == 20+round*7 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // "killed" is what it should say
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, last, _ := s.Position()
		if last < said || said == 0 || (id != "" && s.ID() != id) {
			t.Fatalf("round %d: %d said to be spooled, %d are there, id %s (%s)", round, said, last, s.ID(), id)
		}
		id = s.ID()
		for seq := uint64(1); seq <= last; {
			got, err := s.Read(id, seq, 1000)
			if err != nil || len(got) == 0 {
				t.Fatal(seq, err)
			}
			for _, sample := range got {
				if sample != sampleNo(int64(seq)) {
					t.Fatalf("sample %d is %+v", seq, sample)
				}
				seq++
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
