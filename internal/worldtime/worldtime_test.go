// SPDX-License-Identifier: AGPL-3.0-or-later

package worldtime_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Two loops with different periods meet at every common multiple, whatever the
// scheduler does: that is what tests build on.
func TestSteppedWorldWaitsForEverybody(t *testing.T) {
	world := worldtime.NewStepped(0, 0, 2)
	var mu sync.Mutex
	var seen []energy.Instant
	loop := func(period energy.Span, p worldtime.Participant) {
		defer p.Leave()
		for at := energy.Instant(period); at <= 600_000; at = at.Add(period) {
			now, err := p.WaitUntil(t.Context(), at)
			if err != nil || now != at {
				t.Errorf("woken at %v for %v: %v", now, at, err)
				return
			}
			mu.Lock()
			seen = append(seen, now)
			mu.Unlock()
		}
	}
	var work sync.WaitGroup
	work.Go(func() { loop(1_000, world.Join("fast")) })
	work.Go(func() { loop(7_000, world.Join("slow")) })
	work.Wait()
	for i := 1; i < len(seen); i++ {
		if seen[i] < seen[i-1] {
			t.Fatalf("the world moved back from %v to %v", seen[i-1], seen[i])
		}
	}
	if want := 600 + 85; len(seen) != want {
		t.Fatalf("%d wake-ups, want %d", len(seen), want)
	}
}

func TestRemoteParticipantsStepAndDie(t *testing.T) {
	world := worldtime.NewStepped(5_000, 0, 2)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- worldtime.Serve(ctx, world, l) }()

	remote, err := worldtime.Dial(ctx, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if remote.Now() != 5_000 {
		t.Fatalf("the remote world stands at %v", remote.Now())
	}
	defer remote.Close()
	a, b := remote.Join("a"), world.Join("b")
	go func() {
		if _, err := a.WaitUntil(ctx, 6_000); err != nil {
			t.Error(err)
		}
		a.Leave() // as a killed process would
	}()
	if now, err := b.WaitUntil(ctx, 90_000); err != nil || now != 90_000 {
		t.Fatalf("the world stopped at %v for somebody who left: %v", now, err)
	}
	if remote.Now() != 90_000 { // though no participant of it was woken
		t.Fatalf("the remote world stands at %v", remote.Now())
	}
	b.Leave()
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	late := remote.Join("late")
	if _, err := late.WaitUntil(t.Context(), 100_000); err == nil {
		t.Fatal("waiting in a world that is gone succeeded")
	}
	late.Leave()
}

func TestWaitEndsWithItsContext(t *testing.T) {
	world := worldtime.NewStepped(0, 0, 0)
	idle, p := world.Join("working"), world.Join("p")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.WaitUntil(ctx, 1_000); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	if names := world.Running(); len(names) != 2 {
		t.Fatalf("the world waits for %v", names)
	}
	idle.Leave()
	p.Leave()
}

func TestRealClockNeverMovesBack(t *testing.T) {
	clock := worldtime.NewReal()
	p := clock.Join("p")
	last := clock.Now()
	for range 1000 {
		now := clock.Now()
		if now < last {
			t.Fatal("moved back")
		}
		last = now
	}
	if now, err := p.WaitUntil(t.Context(), last+2); err != nil || now < last+2 {
		t.Fatal(now, err)
	}
}
