// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler"
)

// shelf is a store whose disk may be full, for what is too rare to wait for.
type shelf struct {
	mu      sync.Mutex
	err     error
	tries   int
	durable uint64
}

func (s *shelf) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shelf) Commit(context.Context, int64, []store.NewLeaf) (int64, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	return 7, 8, s.err
}

func (s *shelf) AppendInbox(_ context.Context, _ roll.GatewayID, _ string, first uint64, samples []meters.Sample) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.durable = max(s.durable, first+uint64(len(samples))-1)
	return s.durable, nil
}

func (s *shelf) Acknowledged(context.Context, roll.GatewayID, string) (uint64, error) {
	return s.durable, nil
}

func TestTheCommitterWaitsOutAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		s := &shelf{err: fmt.Errorf("ledger: %w", store.ErrNoSpace)}
		p := newProblems(slog.New(slog.NewTextHandler(&log, nil)))
		size := int64(0)
		c := &committer{store: s, fence: &fence{epoch: 1}, problems: p, retry: retryCommit, grown: func(n int64) { size = n }}
		ctx, cancel := context.WithCancel(t.Context())
		jobs, committed := make(chan scheduler.Store, 1), make(chan scheduler.Committed, 1)
		ended := make(chan error, 1)
		go func() { ended <- c.run(ctx, jobs, committed) }()
		jobs <- scheduler.Store{Leaves: []scheduler.PendingLeaf{{Leaf: ledger.Leaf{Kind: ledger.KindReversal}}}}
		time.Sleep(10*retryCommit + time.Second)
		synctest.Wait()
		if len(committed) != 0 || s.tries != 11 {
			t.Errorf("%d tries while the disk is full, %d said to be done", s.tries, len(committed))
		}
		if got := p.list(); len(got) != 1 || !strings.Contains(got[0], "no space") {
			t.Errorf("problems %q", got)
		}
		if n := strings.Count(log.String(), "storing fails"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		s.set(nil)
		if done := <-committed; done.FirstIndex != 7 || size != 8 {
			t.Errorf("%+v, size %d", done, size)
		}
		if got := p.list(); len(got) != 0 {
			t.Errorf("problems afterwards %q", got)
		}
		s.set(store.ErrDurability)
		jobs <- scheduler.Store{}
		if err := <-ended; !errors.Is(err, store.ErrDurability) {
			t.Errorf("a failed fsync ended the committer with %v", err)
		}
		cancel()
	})
}

// TestTheInboxWaitsOutAFullDisk drives the metering lane through a full disk on
// a real stream: nothing is acknowledged, the stream stays for the live lane,
// and when there is space the gateway is told to begin again.
func TestTheInboxWaitsOutAFullDisk(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	s := &shelf{err: fmt.Errorf("inbox: %w", store.ErrNoSpace)}
	c.fleet.inbox = s
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	send := func(first uint64) {
		a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Meter{Meter: &allmendev1.MeterBatch{
			SpoolId: "s1", FirstSequence: first, Samples: []*allmendev1.MeterSample{reading("anna-meter", "import", dawn, 5)},
		}}})
	}
	send(1)
	send(2)
	a.barrier() // an acknowledgement would come before
	if s.durable != 0 {
		t.Error("stored on a full disk")
	}
	var state struct {
		Status   string
		Problems []string
	}
	if get(t, c, "/healthz", &state); state.Status != "degraded" || len(state.Problems) != 1 {
		t.Errorf("%+v", state)
	}
	var list struct {
		Gateways []struct{ Health gatewayHealth }
	}
	if get(t, c, "/v1/gateways", &list); !strings.Contains(list.Gateways[0].Health.Problem, "free space") {
		t.Errorf("%+v", list)
	}
	s.set(nil)
	if err := a.ended(); err == nil || !strings.Contains(err.Error(), "connect anew") {
		t.Errorf("the stream ended with %v", err)
	}
	if get(t, c, "/healthz", &state); state.Status != "ok" {
		t.Errorf("%+v", state)
	}
	a, _ = connect(t, c, enrol(t, c, "gw-a"), "s1")
	a.meter(2, reading("anna-meter", "import", dawn, 5))
}

// TestAFullDatabase fills the real database up to its bound and gives it space
// with the next start.
func TestAFullDatabase(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated, cfg.maxPages = true, 160
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	identity := enrol(t, c, "gw-a")
	a, _ := connect(t, c, identity, "s1")
	acked, next := uint64(0), uint64(1)
	for acked+1 == next { // until nothing is acknowledged any more
		var samples []*allmendev1.MeterSample
		for i := range uint64(500) {
			samples = append(samples, reading("anna-meter", "import", dawn.Add(energy.Span(next+i)), int64(next+i)))
		}
		a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Meter{Meter: &allmendev1.MeterBatch{SpoolId: "s1", FirstSequence: next, Samples: samples}}})
		next += 500
		a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_ClockProbe{ClockProbe: &allmendev1.ClockProbe{}}})
		for {
			down, err := a.stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if ack := down.GetAck(); ack != nil {
				acked = ack.GetSequence()
			}
			if down.GetClockReply() != nil {
				break
			}
		}
	}
	if problems := c.problems.list(); len(problems) == 0 || !strings.Contains(problems[0], "no space") {
		t.Errorf("problems %q", problems)
	}
	var l live
	if get(t, c, "/v1/live", &l); l.Sequence == "0" {
		t.Error("the page is gone")
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, w)
	_, welcome := connect(t, c, identity, "s1")
	if welcome.GetAcknowledgedSequence() != acked {
		t.Errorf("%d are durable, %d were acknowledged", welcome.GetAcknowledgedSequence(), acked)
	}
}

// TestSamplesBehindTheDurableSequence: what the store has not taken does not
// reach the state machine.
func TestSamplesBehindTheDurableSequence(t *testing.T) {
	state, err := scheduler.New(stateConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet("test")
	f.follow(always(stateConfig(t).Registers[0].Community))
	f.owner, f.clock, f.problems, f.log = newOwner(state, time.UTC), worldtime.NewStepped(dawn, 0, 0), newProblems(testLog(t)), testLog(t)
	f.inbox = short{2}
	s := api.NewSession(api.Identity{Gateway: "gw-a"}, api.Hello{SpoolID: "s1"})
	samples := make([]meters.Sample, 5)
	if _, err := f.Meter(t.Context(), s, api.MeterBatch{SpoolID: "s1", First: 1, Samples: samples}); err != nil {
		t.Fatal(err)
	}
	if e := (<-f.owner.events).(scheduler.Samples); len(e.Samples) != 2 {
		t.Errorf("%d samples reached the owner", len(e.Samples))
	}
	if _, err := f.Meter(t.Context(), s, api.MeterBatch{SpoolID: "s1", First: 3, Samples: samples}); err != nil {
		t.Fatal(err)
	}
	if len(f.owner.events) != 0 {
		t.Error("samples that are not durable reached the owner")
	}
	f.inbox = short{5}
	samples[4].Value = 4
	aside := []api.Aside{{Index: 0, Why: api.ErrInvalid}, {Index: 2, Why: api.ErrInvalid}, {Index: 3, Why: api.ErrInvalid}}
	if _, err := f.Meter(t.Context(), s, api.MeterBatch{SpoolID: "s1", First: 1, Samples: samples, Aside: aside}); err != nil {
		t.Fatal(err)
	}
	if e := (<-f.owner.events).(scheduler.Samples); len(e.Samples) != 2 || e.Samples[1].Value != 4 {
		t.Errorf("of five samples, three of them set aside, %+v reached the owner", e.Samples)
	}
}

// short takes so many samples in all.
type short struct{ durable uint64 }

func (s short) AppendInbox(context.Context, roll.GatewayID, string, uint64, []meters.Sample) (uint64, error) {
	return s.durable, nil
}
func (s short) Acknowledged(context.Context, roll.GatewayID, string) (uint64, error) {
	return s.durable, nil
}

func stateConfig(t *testing.T) scheduler.Config {
	t.Helper()
	cfg, err := Load(folder(t, twoHomes))
	if err != nil {
		t.Fatal(err)
	}
	return scheduler.Config{Registers: roll.Always(cfg.Roll), Charter: cfg.Rules, CharterHash: "x", Effective: dawn, Epoch: 1}
}

func TestTheLiveLaneLosesInsteadOfWaiting(t *testing.T) {
	state, err := scheduler.New(stateConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	o := newOwner(state, time.UTC)
	for range eventQueue {
		if !o.live(scheduler.Readings{}) {
			t.Fatal("lost while there was a place")
		}
	}
	if o.live(scheduler.Readings{}) {
		t.Error("more than the queue holds")
	}
}

func TestTicksAreMultiplesOfThePeriod(t *testing.T) {
	for now, want := range map[energy.Instant]energy.Instant{dawn: dawn.Add(minute), dawn + 1: dawn.Add(minute), dawn - 1: dawn, -1: 0} {
		if got := nextTick(now, minute); got != want {
			t.Errorf("after %d comes %d, expected %d", now, got, want)
		}
	}
	zone, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	if got := dayStart(dawn, zone); got != dawn.Add(-2*energy.Hour) {
		t.Errorf("the day began at %s", got)
	}
}
