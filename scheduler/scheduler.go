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
	// Registers are those in force since the oldest interval that may be settled
	// again, in order, and those that are planned.
	Registers   []roll.Dated
	Amended     []Amended // what is to be looked at again at the start
	Charter     charter.Charter
	CharterHash string
	Effective   energy.Instant // from when the charter is in force; no interval before it is settled
	Epoch       int64
	// Calendar cuts periods where the community lives. Only a charter that asks
	// for periods needs it.
	Calendar charter.Calendar

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
	cfg       Config
	community roll.CommunityID
	books     books
	book      *book // of the present
	now       energy.Instant

	speakers map[speaker]roll.AssetKind
	tracks   map[source]*meters.Track
	ledger   settledIntervals
	live     liveState
	settle   settlement.Settler

	periodRounds []charter.PeriodRound // of the charter
	weighting    weighting
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
	if len(cfg.Registers) == 0 {
		return nil, errors.New("scheduler: no register")
	}
	for _, d := range cfg.Registers {
		if err := d.Community.Validate(); err != nil {
			return nil, fmt.Errorf("scheduler: from %v on: %w", d.From, err)
		}
	}
	if err := cfg.Charter.Validate(); err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	if cfg.Calendar == nil && (len(cfg.Charter.PeriodRounds()) > 0 || cfg.Charter.WeightingPeriod != "") {
		return nil, errors.New("scheduler: the charter counts by periods, and there is no calendar")
	}
	s := &State{cfg: cfg, community: cfg.Registers[0].Community.ID, books: newBooks(cfg, nil, cfg.Registers), tracks: map[source]*meters.Track{}}
	s.periodRounds = cfg.Charter.PeriodRounds()
	s.cfg.Registers = nil // the books hold them from here on
	s.speakers = s.books.speakers()
	s.ledger = newSettledIntervals(cfg)
	s.live = newLiveState(cfg)
	s.turnTo(cfg.Effective)
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
	s.turnTo(s.now)
	s.ledger.startedAt, s.ledger.refill = e.At, e.Refill
	for _, a := range s.cfg.Amended {
		s.ledger.amend(a, s.now)
	}
	s.ledger.findHoles(s.now)
	if e.Founding {
		s.storeCharter(out)
	}
}

func (e EpochRaised) apply(s *State, _ *effects) {
	s.cfg.Epoch = max(s.cfg.Epoch, e.Epoch)
}

func (e Samples) apply(s *State, _ *effects) {
	for _, sample := range e.Samples {
		kind, known := s.speakers[speaker{e.Gateway, sample.Asset}]
		if !known || !HasRegister(kind, sample.Register) {
			continue // the edge refuses these; a state machine is not the place to trust it
		}
		from := source{e.Gateway, sample.Key}
		track := s.tracks[from]
		if track == nil {
			track = &meters.Track{}
			s.tracks[from] = track
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
	s.turnTo(s.now)
	s.settleDue(out)
	s.tick(e, out)
}
