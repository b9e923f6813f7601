// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// send is the one goroutine that writes to the stream. Live values go first:
// after a long outage a full spool must not delay the present.
func (s *session) send(ctx context.Context) error {
	if s.link.refused.isCareful() {
		if err := s.sendCarefully(ctx); err != nil {
			return err
		}
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		more, err := s.sendRound()
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.link.wake:
		case <-s.link.cfg.Source.Changed():
		case <-tick.C:
		}
	}
}

// sendRound sends what is due; more says that there is more at once.
func (s *session) sendRound() (more bool, err error) {
	mark := s.link.wanted() // first: what it waits for was handed in before it
	stamp, readings := s.link.takeLive()
	readings = slices.DeleteFunc(readings, func(r meters.Reading) bool { return !s.link.refused.takesLive(r.Asset) })
	if len(readings) > 0 {
		if err := s.put(encodeLive(stamp, readings)); err != nil {
			return false, err
		}
	}
	sent, err := s.sendSamples()
	if err != nil {
		return false, err
	}
	now := time.Now()
	if now.Sub(s.lastStatus) >= s.link.bounds.StatusEvery {
		s.lastStatus = now
		_, last, acked := s.link.cfg.Source.Position()
		state := s.link.cfg.Status()
		if state.SpoolError == "" {
			state.SpoolError = s.link.refused.problem()
		}
		if err := s.put(encodeStatus(s.link.cfg.Now(), state, s.link.clock.best(), last-acked)); err != nil {
			return false, err
		}
	}
	if sent {
		return true, nil
	}
	return false, s.sendProbe(now, mark, false)
}

// sendSamples sends one batch if the window has room.
func (s *session) sendSamples() (sent bool, err error) {
	s.mu.Lock()
	waiting := s.next - 1 - min(s.acked, s.next-1)
	if waiting == 0 {
		s.progress = time.Now() // nothing waits for an acknowledgement
	}
	s.mu.Unlock()
	b := s.link.bounds
	if waiting >= uint64(b.Window)*uint64(b.BatchSamples) {
		return false, nil
	}
	samples, err := s.link.cfg.Source.Read(s.id, s.next, b.BatchSamples)
	if err != nil {
		return false, fmt.Errorf("reading the spool: %w", err)
	}
	if samples, err = s.standIn(s.next, samples); err != nil || len(samples) == 0 {
		return false, err
	}
	if err := s.put(encodeMeter(s.id, s.next, samples)); err != nil {
		return false, err
	}
	s.next += uint64(len(samples))
	return true, nil
}

// sendProbe asks for the time, if it is due or a barrier waits. There is one
// probe at a time, because a coordinator in a hurry answers only the latest.
func (s *session) sendProbe(now time.Time, mark uint64, force bool) error {
	s.mu.Lock()
	due := !s.probing && (force || now.Sub(s.lastProbe) >= s.link.bounds.ProbeEvery || mark > s.probeMark)
	if due {
		s.probing, s.probeMark = true, max(s.probeMark, mark)
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	s.lastProbe = now
	probe := &allmendev1.ClockProbe{SentUnixMs: int64(s.link.cfg.Now())}
	return s.put(&allmendev1.Uplink{Message: &allmendev1.Uplink_ClockProbe{ClockProbe: probe}})
}

func (s *session) put(m *allmendev1.Uplink) error {
	err := s.stream.Send(m)
	if errors.Is(err, io.EOF) {
		<-s.ended // the reason comes to the receiver
		return fmt.Errorf("sending: %w", err)
	}
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}
