// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"errors"
	"sync"
	"time"
)

// scribe makes small files durable, one after the other, in the background:
// whoever asks waits for the disk for a bounded time, once, and while the disk
// hangs not at all. The loop of a bus must be back when a device is to be released.
type scribe struct {
	within time.Duration // the longest wait, on the wall clock

	mu    sync.Mutex
	ended chan struct{} // closed when the job under way has ended; nil: there is none
	hangs bool          // somebody waited for it in vain
}

// Longest waits for the disk: in service, and in a stepped world, which stands
// still meanwhile.
const (
	diskWithin        = time.Second
	steppedDiskWithin = time.Minute
)

var errDiskHangs = errors.New("the disk does not answer")

// do has a job done and says what became of it, or that the disk hangs; the job
// then goes on, and may still succeed.
func (s *scribe) do(job func() error) error {
	late := time.NewTimer(s.within)
	defer late.Stop()
	for {
		done, before := s.begin(job)
		if done == nil && before == nil {
			return errDiskHangs
		}
		select {
		case err := <-done:
			return err
		case <-before:
		case <-late.C:
			s.mu.Lock()
			s.hangs = s.ended != nil
			s.mu.Unlock()
			return errDiskHangs
		}
	}
}

// start has a job done and does not wait for it; while another is under way it
// does nothing.
func (s *scribe) start(job func() error) { _, _ = s.begin(job) }

// begin starts a job, or returns a channel that is closed when the one before
// has ended, or neither while that one hangs.
func (s *scribe) begin(job func() error) (done chan error, before chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		if s.hangs {
			return nil, nil
		}
		return nil, s.ended
	}
	done, ended := make(chan error, 1), make(chan struct{})
	s.ended = ended
	go func() {
		err := job()
		s.mu.Lock()
		s.ended, s.hangs = nil, false
		s.mu.Unlock()
		close(ended)
		done <- err
	}()
	return done, nil
}
