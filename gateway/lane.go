// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/meters"
)

// sink makes samples durable; *spool.Spool is one.
type sink interface {
	Append(samples []meters.Sample) (last uint64, err error)
}

// lane takes samples to the spool. Buses hand them over and go on at once: a
// slow disk delays no setpoint, and a full one holds up nothing but this lane.
// What comes while an append is under way goes into the next one, so that the
// samples of all buses at a boundary cost one or two fsyncs.
type lane struct {
	sink sink
	log  *slog.Logger

	mu      sync.Mutex
	queue   []meters.Sample
	writing bool
	lost    int
	err     error
	idle    chan struct{} // closed and replaced when an append has ended
	wake    chan struct{} // one place
}

const (
	// maxQueue bounds what waits in memory while the disk is full: for a
	// gateway of 50 registers, four days.
	maxQueue = 20_000
	// retryEvery is how often a full disk is tried again, on the wall clock.
	retryEvery = 5 * time.Second
)

func newLane(s sink, log *slog.Logger) *lane {
	return &lane{sink: s, log: log, idle: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// take never waits. What does not fit any more is counted as lost: the counters
// go on at the device, so that only the curve of the time between is gone.
func (l *lane) take(samples []meters.Sample) {
	if len(samples) == 0 {
		return
	}
	l.mu.Lock()
	room := min(maxQueue-len(l.queue), len(samples))
	l.queue = append(l.queue, samples[:room]...)
	lost := len(samples) - room
	l.lost += lost
	l.mu.Unlock()
	if lost > 0 {
		l.log.Error("the spool can't be written and the memory for samples is full; samples are lost until there is room", "samples", lost)
	}
	l.notify()
}

func (l *lane) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and once more then.
func (l *lane) run(ctx context.Context) {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		select {
		case <-l.wake:
		case <-retry.C:
		case <-ctx.Done():
			l.write()
			return
		}
		l.write()
	}
}

// write appends what waits.
func (l *lane) write() {
	l.mu.Lock()
	batch := l.queue[:min(len(l.queue), spool.MaxAppend)]
	l.writing = len(batch) > 0
	l.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	_, err := l.sink.Append(batch) // take only appends behind it meanwhile
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	if err == nil {
		l.queue = append([]meters.Sample(nil), l.queue[len(batch):]...)
	}
	switch {
	case err != nil && l.err == nil:
		l.log.Error("samples can't be spooled; they wait in memory", "error", err)
	case err == nil && l.err != nil:
		l.log.Info("samples are spooled again", "lost", l.lost)
	}
	l.err = err
	if len(l.queue) > 0 && err == nil {
		l.notify()
	}
	close(l.idle)
	l.idle = make(chan struct{})
}

// flush waits until what was handed over before is durable, or can't be made
// so, or ctx ends.
func (l *lane) flush(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 && (l.err == nil || l.writing) {
		idle := l.idle
		l.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if ctx.Err() != nil {
			return
		}
	}
}

// problem is what is wrong, for people; empty if all is well.
func (l *lane) problem() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return fmt.Sprintf("%v; %d samples wait in memory, %d were lost", l.err, len(l.queue), l.lost)
	case l.lost > 0:
		return fmt.Sprintf("the disk was full for too long: %d samples were lost (the totals are right, the curve of that time is not); it works again", l.lost)
	default:
		return ""
	}
}
