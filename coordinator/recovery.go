// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
)

const (
	// margin before the first interval whose samples are read back: the value at
	// a boundary is interpolated from the sample before it.
	margin = energy.Hour
	// chunk bounds how many samples are read back in one event.
	chunk = 1_000
	// patience is how far the clock may be behind the newest world time known,
	// for example after it was corrected by a little; it is waited out.
	patience = 2 * energy.Minute
)

// charterInForce is the charter that the ledger says is in force, or the given
// one for a ledger that is still empty.
func charterInForce(ctx context.Context, s *store.Store, cfg Config, now energy.Instant) (in api.InForce, founding bool, err error) {
	hash, err := cfg.Rules.Hash()
	if err != nil {
		return api.InForce{}, false, fmt.Errorf("charter: %w", err)
	}
	active, ok, err := s.ActiveCharter(ctx)
	if err != nil {
		return api.InForce{}, false, err
	}
	if !ok {
		if g := emptyGroup(cfg.Rules, cfg.Roll); g != "" {
			return api.InForce{}, false, fmt.Errorf("%s: sharing.rounds: no member is in group %q, so nobody would take part, and the charter stays in the ledger for good: give the group to members in %s, or write the one that you mean",
				cfg.Charter, g, cfg.Community)
		}
		if found := charters.Against(&cfg.Rules, &cfg.Roll); len(found) > 0 {
			return api.InForce{}, false, fmt.Errorf("%s: %s. A charter stays in the ledger for good, so this one is not put in force: `allmende charter check --dir` lists all that is in the way", cfg.Charter, found[0])
		}
		if err := ordersTaken(&cfg.Rules, &cfg.Roll); err != nil {
			return api.InForce{}, false, fmt.Errorf("%s: %w", cfg.Community, err)
		}
		return api.InForce{Charter: cfg.Rules, Hash: hash, Effective: now}, true, nil
	}
	if active.Hash != hash {
		return api.InForce{}, false, fmt.Errorf("%s is not the charter in force: its hash is %s, the ledger has %q with %s, in force since %s. "+
			"A charter changes by a decision of the members, which this version cannot take yet, not by changing the file: "+
			"put back the file that was in force (`allmende charter hash FILE` tells its hash), or run `allmende init` in a new folder to begin a new community under the new one",
			cfg.Charter, hash, active.Charter.Name, active.Hash, active.Effective)
	}
	return api.InForce{Charter: active.Charter, Hash: active.Hash, Effective: active.Effective}, false, nil
}

// ordersTaken says what a register bids or offers that the charter takes none of.
func ordersTaken(rules *charter.Charter, community *roll.Community) error {
	for _, m := range community.Members {
		for _, side := range []struct {
			field string
			order *roll.Order
		}{{roll.FieldBid, m.Bid}, {roll.FieldOffer, m.Offer}} {
			if side.order == nil {
				continue
			}
			if err := rules.CheckOrder(*side.order); err != nil {
				return fmt.Errorf("the %s of member %q: %w, or take it out", side.field, m.ID, err)
			}
		}
	}
	return nil
}

// emptyGroup is a group that the rules name and no member is in, or nothing.
// Later it may be so, because the last one moved away; at the founding it is a
// slip of the pen that would leave energy unshared.
func emptyGroup(rules charter.Charter, community roll.Community) roll.Group {
	for _, r := range rules.Sharing.Rounds {
		for _, g := range r.Groups {
			if !slices.ContainsFunc(community.Members, func(m roll.Member) bool { return slices.Contains(m.Groups, g) }) {
				return g
			}
		}
	}
	return ""
}

// awaitWorldTime refuses a clock that stands before the newest world time that
// the ledger has seen, and waits where it is only a little behind.
func awaitWorldTime(ctx context.Context, s *store.Store, part worldtime.Participant, clock worldtime.Clock) (energy.Instant, error) {
	now := clock.Now()
	latest, ok, err := s.WorldTime(ctx)
	if err != nil || !ok || latest <= now {
		return now, err
	}
	if behind := latest.Sub(now); behind > patience {
		return 0, fmt.Errorf("world time: this computer's clock says %s, but this community has been at %s already, %s later: set the clock (timedatectl set-ntp true), then start again",
			now, latest, behind)
	}
	return part.WaitUntil(ctx, latest)
}

// restore brings a new state machine to where the ledger and the inbox are. It
// returns the effects of the start, which the owner does first.
func restore(ctx context.Context, s *store.Store, state *scheduler.State, assets api.Assets, started scheduler.Started, from energy.Instant) (*scheduler.State, []scheduler.Effect, error) {
	now := started.At
	settled, err := s.LatestSettled(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range settled {
		state, _ = scheduler.Step(state, scheduler.Restored{Index: r.Index, Settled: r.Settled, Rows: r.Rows})
	}
	var batch scheduler.Samples
	flush := func() {
		if len(batch.Samples) > 0 {
			state, _ = scheduler.Step(state, batch)
		}
		batch = scheduler.Samples{Replayed: true}
	}
	flush()
	err = s.InboxSince(ctx, from.Add(-margin), func(g roll.GatewayID, m meters.Sample) error {
		if assets.Bookable(g, now, m) != nil {
			return ctx.Err() // set aside, as when it came
		}
		if g != batch.Gateway || len(batch.Samples) == chunk {
			flush()
			batch.Gateway = g
		}
		batch.Samples = append(batch.Samples, m)
		return ctx.Err()
	})
	if err != nil {
		return nil, nil, err
	}
	flush()
	state, effects := scheduler.Step(state, started)
	return state, effects, nil
}

// awaitRefill is the world time until which no deadline falls, because this
// ledger was restored from a backup and gateways fill the gap behind it; 0 where
// there is none.
func awaitRefill(ctx context.Context, s *store.Store, now energy.Instant, log *slog.Logger) (energy.Instant, error) {
	until, ok, err := s.RefillUntil(ctx, now)
	if err != nil || !ok {
		return 0, err
	}
	log.Info("this ledger was restored from a backup; gateways bring what came after it", "incomplete_intervals_wait_until", until)
	return until, nil
}

// restoreFrom is the first instant that the state machine must know about: as
// far back as late data may still come, or further where nothing was settled
// for longer than that. Samples are read back from there, too, not only behind
// the newest settled interval: when one gateway brings late data, the interval
// is settled again from the data of all.
func restoreFrom(ctx context.Context, s *store.Store, now, effective energy.Instant) (energy.Instant, error) {
	newest, err := s.SettledPage(ctx, math.MaxInt64, 1)
	if err != nil {
		return 0, err
	}
	if len(newest) == 0 {
		return effective, nil
	}
	from := min(now.Add(-scheduler.DefaultHorizon), newest[0].Settled.Interval.Start)
	return max(from, effective.Add(-energy.Day)), nil
}

// worldTimes is the part of the store that the saver writes to.
type worldTimes interface {
	SaveWorldTime(ctx context.Context, at energy.Instant) error
}

// worldSaver keeps the newest world time in the store: in a simulated world
// before each tick, because its clock is ours alone; in the real one now and
// then, because the computer has a clock of its own, and beside the ticks,
// which wait for no disk and no server.
type worldSaver struct {
	store    worldTimes
	every    time.Duration // of the wall clock; 0: each time, and it is waited for
	beside   func(func())  // runs what is not waited for
	problems *problems
	began    time.Time
	busy     atomic.Bool
}

func (w *worldSaver) save(ctx context.Context, now energy.Instant) {
	if w.every == 0 {
		w.write(ctx, now)
		return
	}
	if time.Since(w.began) < w.every || !w.busy.CompareAndSwap(false, true) {
		return
	}
	w.began = time.Now()
	w.beside(func() {
		defer w.busy.Store(false)
		w.write(ctx, now)
	})
}

// last saves once more at the end, and does not wait for ever to do so.
func (w *worldSaver) last(now energy.Instant) {
	const most = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	w.write(ctx, now)
}

func (w *worldSaver) write(ctx context.Context, now energy.Instant) {
	if err := w.store.SaveWorldTime(ctx, now); err != nil {
		if ctx.Err() == nil {
			w.problems.set(problemState, err)
		}
		return
	}
	w.problems.clear(problemState)
}
