// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// A process is killed in the middle of its work, again and again. What it said
// was stored is there, once; at most the one write that it was about to
// acknowledge is there besides; and the ledger verifies.
func TestKilledProcessLosesNothing(t *testing.T) { onEach(t, testKilledProcessLosesNothing) }

func testKilledProcessLosesNothing(t *testing.T, on engine) {
	path := on.database(t)
	rng := rand.New(chacha(11))
	for round := range 4 {
		leaves, samples := runAndKill(t, path, 1+rng.IntN(25))
		verified := holds(t, path) // as the dead process left it
		s := open(t, path)
		size, err := s.Size(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if size != leaves && size != leaves+1 {
			t.Fatalf("round %d: %d leaves acknowledged, %d there", round, leaves, size)
		}
		durable, err := s.Acknowledged(context.Background(), "gw-1", "a")
		if err != nil {
			t.Fatal(err)
		}
		if durable != samples && durable != samples+batchLength {
			t.Fatalf("round %d: %d samples acknowledged, %d durable", round, samples, durable)
		}
		seq := uint64(0)
		err = s.InboxSince(context.Background(), day0, func(_ roll.GatewayID, m meters.Sample) error {
			if seq++; m != sampleOf(seq) {
				return fmt.Errorf("sample %d is %+v", seq, m)
			}
			return nil
		})
		if err != nil || seq != durable {
			t.Fatalf("round %d: %d samples there, %d durable, %v", round, seq, durable, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if r := holds(t, path); r.Leaves != size || verified.Leaves != size {
			t.Fatalf("round %d: %d and %d leaves verified of %d", round, verified.Leaves, r.Leaves, size)
		}
	}
}

const batchLength = 30

// runAndKill starts a child on the database, kills it after so many
// acknowledgements, and returns the last ones it made.
func runAndKill(t *testing.T, path string, acknowledgements int) (leaves int64, samples uint64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), crashEnv+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// Read on after the kill: what the child still said counts.
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscanf(lines.Text(), "leaves %d samples %d", &leaves, &samples); err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
		if n == acknowledgements {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return leaves, samples
}

// crashingChild writes until it is killed, and says after each write what it
// has stored. The first line says what it found.
func crashingChild(path string) {
	var tb panicking
	s := open(tb, path)
	epoch := raise(tb, s)
	v := newVillage(tb, 6)
	ctx := context.Background()
	size, err := s.Size(ctx)
	tb.check(err)
	samples, err := s.Acknowledged(ctx, "gw-1", "a")
	tb.check(err)
	say := func() { fmt.Printf("leaves %d samples %d\n", size, samples) }
	say()
	if size == 0 {
		_, size = commit(tb, s, epoch, v.founding())
		say()
	}
	last, err := s.SettledPage(ctx, day0.Add(365*energy.Day), 1)
	tb.check(err)
	for _, rec := range last {
		v.restore(tb, rec)
	}
	for ; ; say() {
		if size%3 == 0 {
			samples, err = s.AppendInbox(ctx, "gw-1", "a", samples+1, batchOf(samples+1, batchLength))
			tb.check(err)
			say()
		}
		_, size = commit(tb, s, epoch, v.interval(tb, int(size)-1, 0))
	}
}

// restore takes the batteries' stocks from the latest interval.
func (v *village) restore(tb testing.TB, rec store.SettledRecord) {
	for _, r := range rec.Rows {
		if r.Kind != ledger.RowStorage {
			continue
		}
		b, err := r.Storage()
		if err != nil {
			tb.Fatal(err)
		}
		v.stock[b.Asset] = b.Closing
	}
}

// panicking is a testing.TB for a process that is no test.
type panicking struct{ testing.TB }

func (panicking) Helper()           {}
func (panicking) Cleanup(func())    {}
func (panicking) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (p panicking) check(err error) {
	if err != nil {
		p.Fatal(err)
	}
}
