// SPDX-License-Identifier: AGPL-3.0-or-later

// Package scheduler decides: who gets the sun right now, what each battery
// does, and how each interval is booked. [Step] takes one community from one
// state to the next and says what is to be done. It is deterministic: it reads
// no clock, waits for nothing and does nothing by itself.
package scheduler

import (
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// Config is what a community's state machine starts from.
type Config struct {
	Community   roll.Community
	Charter     charter.Charter
	CharterHash string
	Effective   energy.Instant // from when the charter is in force; no interval before it is settled
	Epoch       int64

	SetpointTTL energy.Span // how long a setpoint may stand
	StaleAfter  energy.Span // how old a live value may be
	MaxGap      energy.Span // see meters.Limits
	Horizon     energy.Span // how far back late data still re-settle
}

// Defaults for the spans of a [Config] that are zero.
const (
	DefaultSetpointTTL = 10 * energy.Second
	DefaultStaleAfter  = 10 * energy.Second
	DefaultMaxGap      = 5 * energy.Minute
	DefaultHorizon     = 40 * energy.Day // as long as a gateway's spool remembers
)

// maxPower is what no single register of a community's device exceeds where
// neither nameplate nor connection says more.
const maxPower = 1000 * energy.Kilowatt

// State is one community's state. It belongs to the goroutine that steps it.
type State struct {
	cfg  Config
	book book
	now  energy.Instant

	tracks map[meters.Key]*meters.Track
	ledger settledIntervals
	live   liveState
	settle settlement.Settler
}

// New checks the configuration and returns the state before the first event.
func New(cfg Config) (*State, error) {
	orDefault := func(s *energy.Span, d energy.Span) {
		if *s == 0 {
			*s = d
		}
	}
	orDefault(&cfg.SetpointTTL, DefaultSetpointTTL)
	orDefault(&cfg.StaleAfter, DefaultStaleAfter)
	orDefault(&cfg.MaxGap, DefaultMaxGap)
	orDefault(&cfg.Horizon, DefaultHorizon)
	if cfg.SetpointTTL < 0 || cfg.StaleAfter < 0 || cfg.MaxGap < 0 || cfg.Horizon < energy.Day {
		return nil, errors.New("scheduler: a negative span, or a horizon under a day")
	}
	if err := cfg.Community.Validate(); err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	if err := cfg.Charter.Validate(); err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	s := &State{cfg: cfg, book: newBook(cfg), tracks: map[meters.Key]*meters.Track{}}
	s.ledger = newSettledIntervals(cfg)
	s.live = newLiveState(cfg, &s.book)
	return s, nil
}

// Step applies one event and returns the state after it, and what is to be
// done, in order. The state passed in is used up.
func Step(s *State, e Event) (*State, []Effect) {
	var out effects
	e.apply(s, &out)
	return s, out.list
}

func (e Started) apply(s *State, out *effects) {
	s.now = max(s.now, e.At)
	s.ledger.startedAt = e.At
	if e.Founding {
		s.storeCharter(out)
	}
}

func (e Samples) apply(s *State, _ *effects) {
	for _, sample := range e.Samples {
		if !s.book.reports(e.Gateway, sample.Key) {
			continue // the edge refuses these; a state machine is not the place to trust it
		}
		track := s.tracks[sample.Key]
		if track == nil {
			track = &meters.Track{}
			s.tracks[sample.Key] = track
		}
		if from, to, changed := track.Add(sample); changed {
			s.ledger.touch(from, to, s.now, e.Replayed)
		}
	}
}

func (e Tick) apply(s *State, out *effects) {
	if e.At < s.now {
		return // world time never moves back
	}
	s.now = e.At
	s.settleDue(out)
	s.tick(e, out)
}
