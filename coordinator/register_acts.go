// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/scheduler"
)

// backdating is how far back the register may be corrected: as far as gateways
// remember what they measured, and settled intervals are settled again.
const backdating = scheduler.DefaultHorizon

// View implements [api.Registrar].
func (r *register) View() api.RegisterView {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return api.RegisterView{History: r.history, Revisions: r.revisions, Zone: r.zone, Now: r.now(), Interval: r.rules.Interval, Rules: r.rules}
}

// Apply implements [api.Registrar]: it checks an act as a whole, records it, and
// lets it take effect.
func (r *register) Apply(ctx context.Context, act api.Act) (api.Applied, error) {
	r.acting.Lock()
	defer r.acting.Unlock()
	now := r.now()
	r.mu.RLock()
	history, revision, before := r.history, int64(len(r.revisions)), r.standing.assets()
	r.mu.RUnlock()
	if act.Expected != 0 && act.Expected != revision {
		return api.Applied{}, fmt.Errorf("%w: it is at revision %d, and this was made for %d", api.ErrConflict, revision, act.Expected)
	}
	planned, err := history.Plan(act.Changes, r.limits(now))
	if errors.Is(err, roll.ErrNothing) {
		return api.Applied{Revision: revision, Unchanged: true, DryRun: act.DryRun}, nil
	}
	if err != nil {
		return api.Applied{}, fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	rev := roll.Revision{
		Number: revision + 1, Actor: act.Actor, Note: act.Note,
		Recorded: r.wall().UTC().Truncate(time.Millisecond), World: now, Changes: act.Changes,
	}
	done := api.Applied{Revision: rev.Number, From: planned.From, Recorded: rev, DryRun: act.DryRun}
	if running := energy.IntervalAt(now, r.rules.Interval).Start; planned.From < running {
		done.SettledAgain = int64(running.Sub(planned.From) / r.rules.Interval)
	}
	if act.DryRun {
		return done, nil
	}
	if err := r.store.AppendRegister(ctx, rev); err != nil {
		if errors.Is(err, store.ErrRevision) {
			return api.Applied{}, fmt.Errorf("%w: %w", api.ErrConflict, err)
		}
		if passing(err) {
			return api.Applied{}, fmt.Errorf("%w: %w", api.ErrStorage, err)
		}
		return api.Applied{}, err
	}
	r.mu.Lock()
	r.history, r.revisions = planned.History, append(r.revisions, rev)
	r.stand()
	after := r.standing.assets()
	r.mu.Unlock()
	r.log.Info("register changed", "revision", rev.Number, "by", rev.Actor, "changes", len(rev.Changes), "from", planned.From, "settled_again", done.SettledAgain)
	// It is recorded: whoever asked may be gone by now, it takes effect all the same.
	if err := r.effect(context.WithoutCancel(ctx), planned, after.Without(before)); err != nil {
		r.log.Error("a change of the register takes full effect at the next start only", "revision", rev.Number, "error", err)
	}
	return done, nil
}

// File implements [api.Registrar].
func (r *register) File(c roll.Community) []byte { return config.EncodeCommunity(c) }

// effect tells everybody: the state machine first, so that it knows an asset
// before its first sample, then those who let samples in, and last come the
// samples of new assets that came before and were set aside.
func (r *register) effect(ctx context.Context, p roll.Planned, newAssets api.Assets) error {
	if err := r.tell(scheduler.RollChanged{From: p.From, Registers: p.Dated}); err != nil {
		return err
	}
	r.announce()
	if len(newAssets) == 0 || p.From > r.now() {
		return nil
	}
	return r.recall(ctx, p.From.Add(-margin), newAssets)
}

// limits are what a change must keep to.
func (r *register) limits(now energy.Instant) roll.Rules {
	earliest, why := r.earliest(now)
	return roll.Rules{
		Interval: r.rules.Interval, Earliest: earliest, Why: why, Say: r.say,
		// An interval that has begun is settled by the orders that stood then.
		Orders: energy.IntervalAt(now, r.rules.Interval).End(),
		Order:  r.rules.CheckOrder,
		Also:   func(c roll.Community) roll.Problems { return charterNeeds(r.rules, c) },
	}
}

func (r *register) earliest(now energy.Instant) (energy.Instant, string) {
	r.mu.RLock()
	founding, _ := r.history.Founded()
	r.mu.RUnlock()
	earliest := energy.IntervalAt(now.Add(-backdating), r.rules.Interval).End()
	if earliest <= founding {
		return founding, fmt.Sprintf("the community began at %s", r.say(founding))
	}
	return earliest, fmt.Sprintf("what was settled more than %d days ago stays as it is, because the gateways no longer have what it would be settled again from; let it change from %s or later, and settle what lies before among yourselves",
		backdating/energy.Day, r.say(earliest))
}

// say writes an instant in the community's time zone.
func (r *register) say(t energy.Instant) string {
	return t.Time().In(r.zone).Format("2006-01-02 15:04")
}

// charterNeeds is what the charter in force names and the register must have.
func charterNeeds(rules charter.Charter, c roll.Community) roll.Problems {
	id := rules.Residual.Member
	if id == "" {
		return nil
	}
	for _, m := range c.Members {
		if m.ID == id {
			return nil
		}
	}
	return roll.Problems{{
		Field:  roll.Ref{Kind: roll.KindMember, ID: string(id)}.String(),
		Reason: "the charter in force lets this member bear what the meters don't explain (residual.member), so the register must have it",
	}}
}
