// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler"
)

// registers is the part of the store that keeps the register.
type registers interface {
	AppendRegister(ctx context.Context, rev roll.Revision) error
	Register(ctx context.Context) ([]roll.Revision, error)
}

// register is the community's register, dated. Nobody keeps the one that was
// there at the start: who needs it asks for the present one, and who keeps
// something that follows from it is told when it changes. It implements
// [api.Registrar].
type register struct {
	store registers
	rules charter.Charter
	now   func() energy.Instant // world time
	wall  func() time.Time
	log   *slog.Logger
	// What a change is followed by: the state machine hears of it, and then of
	// the samples since an instant that count only now.
	tell   func(scheduler.RollChanged) error
	recall func(ctx context.Context, since energy.Instant, assets api.Assets) error

	acting sync.Mutex // one act of administration at a time

	// telling keeps followers from being told of two registers at once, or in
	// the wrong order.
	telling   sync.Mutex
	followers []func(standing)

	mu        sync.RWMutex
	zone      *time.Location
	history   roll.History
	revisions []roll.Revision
	standing  standing
	next      energy.Instant // when what was planned changes the standing
}

// standing is what the register says at a time.
type standing struct {
	Present roll.Community
	// Dated are the registers from as far back as anything may be settled again,
	// with those that are planned; Coming is the present one and what follows. They
	// are without bids and offers, which nobody who follows asks for.
	Dated, Coming []roll.Dated
}

// assets are those that gateways may speak for: had, have or will have.
func (s standing) assets() api.Assets {
	all := make([]roll.Community, len(s.Dated))
	for i, d := range s.Dated {
		all[i] = d.Community
	}
	return api.AssetsOf(all...)
}

// founded is who records what community.yaml says when a community begins.
const founded = "founding"

// open reads the register, or founds it with what community.yaml says, unless
// that could not be read.
func (r *register) open(ctx context.Context, founding roll.Community, unread error, effective energy.Instant) error {
	revisions, err := r.store.Register(ctx)
	if err != nil {
		return err
	}
	if len(revisions) == 0 && unread != nil {
		return unread
	}
	if len(revisions) == 0 {
		from := energy.IntervalAt(effective, r.rules.Interval).Start
		first := roll.Revision{Number: 1, Actor: founded, Note: "from community.yaml", Recorded: r.wall(), World: r.now()}
		for _, e := range founding.Entries() {
			first.Changes = append(first.Changes, roll.Change{From: from, Op: roll.OpAdd, Entry: e})
		}
		if err := r.store.AppendRegister(ctx, first); err != nil {
			return err
		}
		revisions = append(revisions, first)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revisions, r.history = revisions, roll.HistoryOf(revisions)
	r.stand()
	if r.zone, err = time.LoadLocation(r.standing.Present.Timezone); err != nil {
		return fmt.Errorf("community: timezone: %w", err)
	}
	return nil
}

// differs says whether a founding document is another than the one that the
// register began with: somebody changed a file that is no longer read.
func (r *register) differs(founding roll.Community) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	first := roll.HistoryOf(r.revisions[:1])
	from, _ := first.Founded()
	a, b := first.At(from).Entries(), founding.Entries()
	return !slices.EqualFunc(a, b, roll.Equal)
}

// stand works out what the register says now. The mutex is held.
func (r *register) stand() {
	now := r.now()
	s := standing{Present: r.history.At(now), Dated: r.history.WithoutOrders().Since(now.Add(-scheduler.DefaultHorizon - energy.Day))}
	s.Coming = s.Dated
	for i, d := range s.Dated {
		if d.From > now {
			break
		}
		s.Coming = s.Dated[i:]
	}
	var planned bool
	if r.next, planned = r.history.Next(now); !planned {
		r.next = math.MaxInt64
	}
	r.standing = s
}

// Current is the register in force now. It is a value that nobody may change.
func (r *register) Current() roll.Community {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.standing.Present
}

// At is the register that was, is or will be in force at an instant of world time.
func (r *register) At(t energy.Instant) roll.Community {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.history.At(t)
}

// since are the registers from an instant on.
func (r *register) since(t energy.Instant) []roll.Dated {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.history.Since(t)
}

// gatewaysOf are the gateways of some registers, each once, as it is first.
func gatewaysOf(dated []roll.Dated) []roll.Gateway {
	var out []roll.Gateway
	seen := map[roll.GatewayID]bool{}
	for _, d := range dated {
		for _, g := range d.Community.Gateways {
			if !seen[g.ID] {
				seen[g.ID] = true
				out = append(out, g)
			}
		}
	}
	return out
}

// amended are the stretches of time whose intervals may have been settled before
// a change that reaches back to them was recorded.
func (r *register) amended() []scheduler.Amended {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []scheduler.Amended
	for _, rev := range r.revisions[1:] {
		from := rev.World
		for _, c := range rev.Changes {
			from = min(from, c.From)
		}
		if from < rev.World {
			// It was told to the state machine a moment after it was recorded.
			out = append(out, scheduler.Amended{From: from, Until: rev.World.Add(energy.Day)})
		}
	}
	return out
}

// Follow hands fn what the register says, at once and whenever that changes. fn
// must not wait.
func (r *register) Follow(fn func(standing)) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.followers = append(r.followers, fn)
	fn(r.stands())
}

func (r *register) stands() standing {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.standing
}

// advance lets what was planned come into force.
func (r *register) advance(now energy.Instant) {
	r.mu.RLock()
	due := now >= r.next
	r.mu.RUnlock()
	if !due {
		return
	}
	r.mu.Lock()
	r.stand()
	r.mu.Unlock()
	r.announce()
}

// announce tells the followers.
func (r *register) announce() {
	r.telling.Lock()
	defer r.telling.Unlock()
	s := r.stands()
	for _, fn := range r.followers {
		fn(s)
	}
}
