// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/pgtest"
	"github.com/allmende-energy/allmende/meters"
)

// The server is killed under load, again and again. A committer and two gateways
// do what theirs do: the same again until it is stored. In the end everything is
// there once.
func TestKilledServerLosesNothing(t *testing.T) {
	s := own(t, &pgtest.Server{})
	database := s.Database(t)
	st := open(t, database)
	epoch := raise(t, st)
	v := newVillage(t, 3)
	commit(t, st, epoch, v.founding())
	var stop atomic.Bool
	var leaves, refused atomic.Int64
	gateways := map[roll.GatewayID]*atomic.Uint64{"gw-1": {}, "gw-2": {}}
	var wg sync.WaitGroup
	try := func(what string, write func() error) {
		for {
			err := write()
			if err == nil {
				return
			}
			if !store.Passing(err) {
				t.Errorf("%s: %v", what, err)
				return
			}
			refused.Add(1)
			time.Sleep(20 * time.Millisecond)
		}
	}
	wg.Go(func() {
		for n := 0; !stop.Load(); n++ {
			leaf := v.interval(t, n, 0)
			try("a leaf", func() error {
				first, _, err := st.Commit(context.Background(), epoch, []store.NewLeaf{leaf})
				if err == nil && first != int64(n)+1 {
					t.Errorf("interval %d is leaf %d", n, first)
				}
				return err
			})
			leaves.Add(1)
		}
	})
	for gw, acknowledged := range gateways {
		wg.Go(func() {
			for !stop.Load() {
				try("samples", func() error {
					durable, err := st.AppendInbox(context.Background(), gw, "a", acknowledged.Load()+1, batchOf(acknowledged.Load()+1, 20))
					if err == nil {
						acknowledged.Store(durable)
					}
					return err
				})
			}
		})
	}
	for round := range 4 {
		before := leaves.Load()
		for waited := 0; leaves.Load() < before+5 && waited < 3000 && !t.Failed(); waited++ {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Duration(round*7) * time.Millisecond)
		s.Kill(t)
		s.Restart(t)
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d leaves, %d refusals", leaves.Load(), refused.Load())
	if r := holds(t, database); r.Leaves != leaves.Load()+1 {
		t.Errorf("%d leaves were acknowledged, %d are there", leaves.Load()+1, r.Leaves)
	}
	there := map[roll.GatewayID]uint64{}
	err := st.InboxSince(context.Background(), day0, func(gw roll.GatewayID, m meters.Sample) error {
		if there[gw]++; m != sampleOf(there[gw]) {
			return fmt.Errorf("sample %d of %s is %+v", there[gw], gw, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for gw, acknowledged := range gateways {
		if there[gw] != acknowledged.Load() {
			t.Errorf("%s: %d samples were acknowledged, %d are there", gw, acknowledged.Load(), there[gw])
		}
	}
}

// cutter stands between a store and its server and cuts the line at a commit:
// before the server hears of it, or before its answer arrives.
type cutter struct {
	tb     testing.TB
	server string // socket
	dir    string
	l      net.Listener
	wg     sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	cut  cut
	dead bool // nobody gets through
}

type cut int

const (
	never cut = iota
	beforeCommit
	afterCommit
)

func newCutter(t *testing.T, database string) (c *cutter, through string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	name := ".s.PGSQL." + q.Get("port")
	c = &cutter{tb: t, server: filepath.Join(q.Get("host"), name), dir: t.TempDir(), open: map[net.Conn]bool{}}
	if c.l, err = net.Listen("unix", filepath.Join(c.dir, name)); err != nil {
		t.Fatal(err)
	}
	q.Set("host", c.dir)
	u.RawQuery = q.Encode()
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		_ = c.l.Close()
		c.hangUp(true)
		c.wg.Wait()
	})
	return c, u.String()
}

func (c *cutter) accept() {
	for {
		near, err := c.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", c.server)
		c.mu.Lock()
		if err != nil || c.dead {
			c.mu.Unlock()
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		c.open[near], c.open[far] = true, true
		c.mu.Unlock()
		c.wg.Go(func() { c.pass(near, far) })
		c.wg.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	}
}

// pass hands on what the store says, as far as it is to be heard.
func (c *cutter) pass(near, far net.Conn) {
	defer far.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := near.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		armed := c.cut
		isCommit := bytes.Contains(buf[:n], []byte("commit\x00"))
		if isCommit && armed != never {
			c.cut = never
		}
		c.mu.Unlock()
		if isCommit && armed != never {
			_ = near.Close() // no answer gets back
			if armed == afterCommit {
				_, _ = far.Write(buf[:n])
				time.Sleep(50 * time.Millisecond) // the server may finish
			}
			return
		}
		if _, err := far.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *cutter) arm(at cut, dead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.dead = at, dead
}

func (c *cutter) hangUp(dead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = dead
	for conn := range c.open {
		_ = conn.Close()
	}
	clear(c.open)
}

// A commit gets no answer. What became of it is found out; where it can't be
// found out at once, the same commit may come again and is stored once.
func TestCommitWithoutAnswer(t *testing.T) {
	ctx := context.Background()
	database := postgres.database(t)
	c, through := newCutter(t, database)
	s := open(t, through)
	epoch := raise(t, s)
	v := newVillage(t, 2)
	commit(t, s, epoch, v.founding())
	n := 0
	check := func(what string, leaves int64) {
		t.Helper()
		if r := holds(t, database); r.Leaves != leaves {
			t.Fatalf("%s: %d leaves, expected %d", what, r.Leaves, leaves)
		}
	}
	next := func() []store.NewLeaf { n++; return []store.NewLeaf{v.interval(t, n-1, 0)} }

	leaf := next()
	c.arm(afterCommit, false)
	if first, size, err := s.Commit(ctx, epoch, leaf); err != nil || first != 1 || size != 2 {
		t.Fatalf("the answer was lost, the server is there: %d, %d, %v", first, size, err)
	}
	check("the answer was lost", 2)

	leaf = next()
	c.arm(beforeCommit, false)
	if _, _, err := s.Commit(ctx, epoch, leaf); !errors.Is(err, store.ErrUnreachable) {
		t.Fatalf("the commit was lost: %v", err)
	}
	check("the commit was lost", 2)
	if first, _ := commit(t, s, epoch, leaf...); first != 2 {
		t.Fatalf("leaf %d", first)
	}
	check("the commit came again", 3)

	s.AskFor(300 * time.Millisecond)
	for _, at := range []cut{afterCommit, beforeCommit} {
		leaf = next()
		there := int64(n) // with the founding, before this leaf
		c.arm(at, true)   // and nobody answers for a while
		for range 2 {
			if _, _, err := s.Commit(ctx, epoch, leaf); !errors.Is(err, store.ErrUnreachable) {
				t.Fatalf("the server is away: %v", err)
			}
		}
		if _, err := s.AppendInbox(ctx, "gw-1", "a", 1, batchOf(1, 3)); !errors.Is(err, store.ErrUnreachable) {
			t.Fatalf("the server is away: %v", err)
		}
		c.arm(never, false)
		if at == afterCommit {
			check("before it comes again", there+1)
		}
		first, size, err := s.Commit(ctx, epoch, leaf)
		if err != nil || first != there || size != there+1 {
			t.Fatalf("it came again: %d, %d, %v", first, size, err)
		}
		check("it came again", there+1)
	}

	// The inbox knows by its sequence.
	c.arm(afterCommit, true)
	if _, err := s.AppendInbox(ctx, "gw-1", "a", 1, batchOf(1, 3)); !errors.Is(err, store.ErrUnreachable) {
		t.Fatal(err)
	}
	c.arm(never, false)
	if got, err := s.AppendInbox(ctx, "gw-1", "a", 1, batchOf(1, 3)); err != nil || got != 3 {
		t.Fatalf("%d, %v", got, err)
	}
	seen := 0
	err := s.InboxSince(ctx, day0, func(roll.GatewayID, meters.Sample) error { seen++; return nil })
	if err != nil || seen != 3 {
		t.Fatalf("%d samples, %v", seen, err)
	}
	if got := s.Stats(); got.Unanswered != 5 || got.Refused < 5 || got.Sessions < 6 || got.Writes < 6 {
		t.Errorf("%+v", got)
	}
	// A commit left open does not stand in the way of another.
	leaf, other := next(), next()
	c.arm(beforeCommit, true)
	if _, _, err := s.Commit(ctx, epoch, leaf); !errors.Is(err, store.ErrUnreachable) {
		t.Fatal(err)
	}
	c.arm(never, false)
	commit(t, s, epoch, other...)
}

// A server that crashes gives the transaction's id to another, which is
// committed. The one that was lost must not be taken for stored.
func TestTheCommitOfAnotherIsNotTaken(t *testing.T) {
	ctx := context.Background()
	server := own(t, &pgtest.Server{Settings: []string{"wal_writer_delay = 10s"}}) // what is not committed stays in memory
	database := server.Database(t)
	c, through := newCutter(t, database)
	s := open(t, through)
	if err := s.SaveWorldTime(ctx, day0); err != nil {
		t.Fatal(err)
	}
	s.AskFor(time.Minute)
	c.arm(beforeCommit, true)
	lost := make(chan error, 1)
	go func() {
		_, err := s.AppendInbox(ctx, "gw-1", "a", 1, batchOf(1, 3))
		lost <- err
	}()
	for s.Stats().Unanswered == 0 {
		time.Sleep(time.Millisecond)
	}
	server.Kill(t)
	server.Restart(t)
	c.arm(never, false)
	for i := 1; len(lost) == 0 && i < 1000; i++ {
		if err := s.SaveWorldTime(ctx, day0+energy.Instant(i)); err != nil && !store.Passing(err) {
			t.Fatal(err)
		}
	}
	if err := <-lost; !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("what was lost was said to be stored: %v", err)
	}
	if got, err := s.Acknowledged(ctx, "gw-1", "a"); err != nil || got != 0 {
		t.Errorf("%d, %v", got, err)
	}
}
