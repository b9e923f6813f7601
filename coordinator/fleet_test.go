// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
)

// alwaysDurable is an inbox that takes everything.
type alwaysDurable struct{}

func (alwaysDurable) AppendInbox(_ context.Context, _ roll.GatewayID, _ string, first uint64, samples []meters.Sample) (uint64, error) {
	return first + uint64(len(samples)) - 1, nil
}

func (alwaysDurable) Acknowledged(context.Context, roll.GatewayID, string) (uint64, error) {
	return 0, nil
}

func testFleet() (*fleet, *api.Session) {
	log := slog.New(slog.DiscardHandler)
	f := newFleet("c")
	f.follow(always(roll.Community{ID: "c", Gateways: []roll.Gateway{{ID: "gw"}}}))
	f.inbox, f.owner, f.clock, f.log, f.problems = alwaysDurable{}, newOwner(nil, time.UTC), worldtime.NewReal(), log, newProblems(log)
	f.fatal, f.fence = func(error) {}, &fence{epoch: 1}
	f.identities = &identities{store: forgetful{}, wall: time.Now, newest: map[roll.GatewayID]used{}}
	return f, api.NewSession(testIdentity(), api.Hello{SpoolID: "spool"})
}

func testIdentity() api.Identity {
	return api.Identity{Gateway: "gw", Serial: "1", Certificate: &x509.Certificate{}}
}

// forgetful is a store that takes note of nothing.
type forgetful struct{ certificateStore }

func (forgetful) CertificateSeen(context.Context, store.Certificate, time.Time) error { return nil }

// What is durable will not be sent again. If its stream dies while it is
// stored, it must still reach the state machine.
func TestDurableSamplesReachTheOwner(t *testing.T) {
	f, s := testFleet()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the gateway was killed
	const batches = 100
	for i := range uint64(batches) {
		b := api.MeterBatch{SpoolID: "spool", First: i + 1, Samples: make([]meters.Sample, 1)}
		if _, err := f.Meter(ctx, s, b); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.owner.events); n != batches {
		t.Fatalf("%d of %d durable batches reach the owner", n, batches)
	}
}

// An owner that is full is waited for, until it has ended.
func TestSamplesWaitForTheOwner(t *testing.T) {
	f, s := testFleet()
	for range eventQueue {
		f.owner.live(scheduler.Readings{})
	}
	done := make(chan error, 1)
	go func() {
		_, err := f.Meter(t.Context(), s, api.MeterBatch{SpoolID: "spool", First: 1, Samples: make([]meters.Sample, 1)})
		done <- err
	}()
	close(f.owner.ended)
	if err := <-done; !errors.Is(err, api.ErrClosing) {
		t.Fatal(err)
	}
}

// Each stream of a gateway has a number of its own: stamps of its clock compare
// only within one.
func TestStreamsAreNumbered(t *testing.T) {
	f, first := testFleet()
	second := api.NewSession(testIdentity(), api.Hello{SpoolID: "spool"})
	for _, s := range []*api.Session{first, second} {
		if _, err := f.Attach(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := f.Live(t.Context(), s, api.LiveBatch{StampMS: 5}); err != nil {
			t.Fatal(err)
		}
	}
	one, two := (<-f.owner.events).(scheduler.Readings), (<-f.owner.events).(scheduler.Readings)
	if one.Session == 0 || two.Session <= one.Session {
		t.Fatalf("streams %d and %d", one.Session, two.Session)
	}
}
