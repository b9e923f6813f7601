// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/meters"
)

// fakeSpool is a disk that may be full or hang.
type fakeSpool struct {
	mu      sync.Mutex
	err     error
	hang    chan struct{} // closed: appends go on
	got     []meters.Sample
	appends int
}

func (f *fakeSpool) Append(samples []meters.Sample) (uint64, error) {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	f.appends++
	f.got = append(f.got, samples...)
	return uint64(len(f.got)), nil
}

func (f *fakeSpool) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func numbered(from, n int) []meters.Sample {
	out := make([]meters.Sample, n)
	for i := range out {
		out[i].Value = energy.Energy(from + i)
	}
	return out
}

func startLane(t *testing.T, f *fakeSpool) (l *lane, stop func()) {
	t.Helper()
	l = newLane(f, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.run(ctx) }()
	return l, func() { cancel(); <-done }
}

func TestLaneFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSpool{}
		l, stop := startLane(t, f)
		l.take(numbered(0, 10))
		l.flush(t.Context())
		f.set(spool.ErrNoSpace)
		l.take(numbered(10, 10))
		l.flush(t.Context()) // does not wait for a disk that is full
		synctest.Wait()
		if p := l.problem(); !strings.Contains(p, "no space") || !strings.Contains(p, "10 samples wait") {
			t.Errorf("status %q", p)
		}
		f.set(nil)
		l.take(numbered(20, 5))
		l.flush(t.Context())
		synctest.Wait()
		if p := l.problem(); p != "" {
			t.Errorf("status %q with room again", p)
		}
		if !slices.Equal(f.got, numbered(0, 25)) {
			t.Errorf("%d of 25 samples", len(f.got))
		}
		stop()
	})
}

// TestLaneRetriesByItself: nothing new comes, and the samples are written all
// the same once there is room.
func TestLaneRetriesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSpool{err: spool.ErrNoSpace}
		l, stop := startLane(t, f)
		l.take(numbered(0, 3))
		synctest.Wait()
		f.set(nil)
		l.mu.Lock()
		idle := l.idle
		l.mu.Unlock()
		<-idle
		if !slices.Equal(f.got, numbered(0, 3)) {
			t.Error("not written")
		}
		stop()
	})
}

// TestLaneHangingDisk: whoever hands samples over goes on, memory is bounded,
// and what is lost is counted and said.
func TestLaneHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSpool{hang: make(chan struct{})}
		l, stop := startLane(t, f)
		for i := range maxQueue/100 + 7 {
			l.take(numbered(i*100, 100))
		}
		close(f.hang)
		l.flush(t.Context())
		synctest.Wait()
		if len(f.got) != maxQueue || !slices.Equal(f.got, numbered(0, maxQueue)) {
			t.Errorf("%d samples written", len(f.got))
		}
		if p := l.problem(); !strings.Contains(p, "700 samples were lost") {
			t.Errorf("status %q", p)
		}
		stop()
	})
}

func TestLaneWritesTheLastSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSpool{err: errors.New("not yet")}
		l, stop := startLane(t, f)
		l.take(numbered(0, 3))
		synctest.Wait()
		f.set(nil)
		stop()
		if len(f.got) != 3 {
			t.Errorf("%d samples at the end", len(f.got))
		}
	})
}

// TestLaneGathers: what comes during an append goes into the next, as one.
func TestLaneGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSpool{hang: make(chan struct{})}
		l, stop := startLane(t, f)
		for i := range 40 {
			l.take(numbered(i, 1))
			synctest.Wait()
		}
		close(f.hang)
		l.flush(t.Context())
		if f.appends != 2 {
			t.Errorf("%d appends for 40 buses", f.appends)
		}
		stop()
	})
}
