// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"context"
	"time"
)

// barrier lets a stepped world wait for the link. A mark is a promise asked
// for: all that was handed in before it has reached the coordinator.
type barrier struct {
	want    uint64 // the latest mark asked for
	done    uint64 // the latest mark answered
	spoolID string
	acked   uint64
	skip    time.Time     // after a coordinator that did not answer in time
	changed chan struct{} // closed and replaced when any of it changes
}

// announce wakes all who wait. The link's mutex is held.
func (b *barrier) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// barrierPause is how long barriers are passed without waiting after one that
// was not answered: a coordinator that hangs must not hold up the world.
const barrierPause = 10 * time.Second

// Barrier waits until the coordinator has received the live readings handed in
// before and acknowledged the samples spooled before, or ctx ends, or there is
// no stream. A stepped world uses it, so that its speed does not depend on the
// link; in service nobody waits.
func (l *Link) Barrier(ctx context.Context) {
	id, last, _ := l.cfg.Source.Position()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.connected || time.Now().Before(l.barrier.skip) {
		return
	}
	l.barrier.want++
	mark := l.barrier.want
	l.notify()
	for l.connected {
		b := &l.barrier
		if b.done >= mark && (b.spoolID != id || b.acked >= last) {
			return
		}
		changed := b.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-ctx.Done():
			l.mu.Lock()
			l.barrier.skip = time.Now().Add(barrierPause)
			return
		}
	}
}

// wanted is the latest mark asked for.
func (l *Link) wanted() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.barrier.want
}

// answered says that everything before mark has arrived.
func (l *Link) answered(mark uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.barrier.done = max(l.barrier.done, mark)
	l.barrier.announce()
}

// resumed says where a coordinator goes on at the start of a stream, which is
// before what it has acknowledged if its database was set back.
func (l *Link) resumed(id string, acked uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.barrier.spoolID, l.barrier.acked = id, acked
	l.barrier.announce()
}

// reached says that the coordinator has a spool up to seq.
func (l *Link) reached(id string, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id != l.barrier.spoolID {
		l.barrier.spoolID, l.barrier.acked = id, 0
	}
	l.barrier.acked = max(l.barrier.acked, seq)
	l.barrier.announce()
}
