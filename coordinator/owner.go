// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
)

// eventQueue bounds what waits for the owner. Where it is full, the metering
// lane waits and the live lane loses.
const eventQueue = 1_024

// owner is the one goroutine that owns the community.
type owner struct {
	state *scheduler.State
	zone  *time.Location

	events    chan scheduler.Event // from gateways' streams
	ticks     chan tick
	jobs      chan scheduler.Store // to the committer
	committed chan scheduler.Committed
	needs     chan needed // to the evaluator
	terms     chan scheduler.TermsEvaluated
	ended     chan struct{} // closed when run has ended

	measures *measures

	// What effects are done by; none of them may wait.
	command func(roll.GatewayID, []scheduler.Setpoint)
	publish func(scheduler.Live)
	failed  func(scheduler.Failed)
	mended  func(scheduler.Mended)

	// hold keeps a world that waits for its participants from moving on until what
	// it gives is called: an answer comes at the same world time on every computer.
	hold func() (release func())
}

// tick asks for one pass of the live loop; done is closed when it has passed.
type tick struct {
	at   energy.Instant
	done chan struct{}
}

func newOwner(state *scheduler.State, zone *time.Location) *owner {
	return &owner{
		state: state, zone: zone, measures: &measures{},
		events: make(chan scheduler.Event, eventQueue), ticks: make(chan tick), ended: make(chan struct{}),
		// The state machine has one Store under way at a time: neither of these ever fills.
		jobs: make(chan scheduler.Store, 1), committed: make(chan scheduler.Committed, 1),
		// Nor does it ask for terms twice before it has an answer.
		needs: make(chan needed, 1), terms: make(chan scheduler.TermsEvaluated, 1),
	}
}

// run steps the state machine until ctx ends.
func (o *owner) run(ctx context.Context) error {
	defer close(o.ended)
	for {
		select {
		case e := <-o.events:
			o.step(e)
		case c := <-o.committed:
			o.step(c)
		case t := <-o.terms:
			o.step(t)
		case t := <-o.ticks:
			begun := time.Now()
			o.drain()
			o.step(scheduler.Tick{At: t.at, DayStart: dayStart(t.at, o.zone)})
			o.measures.passed(time.Since(begun), o.state.Backlog())
			close(t.done)
		case <-ctx.Done():
			return nil
		}
	}
}

// drain applies what has arrived before a tick, so that the tick sees it.
func (o *owner) drain() {
	for range len(o.events) {
		o.step(<-o.events)
	}
	select {
	case c := <-o.committed:
		o.step(c)
	default:
	}
	select {
	case t := <-o.terms:
		o.step(t)
	default:
	}
}

func (o *owner) step(e scheduler.Event) {
	begun := o.measures.begin()
	var effects []scheduler.Effect
	o.state, effects = scheduler.Step(o.state, e)
	o.measures.decided(effects, begun)
	o.do(effects)
}

func (o *owner) do(effects []scheduler.Effect) {
	for _, effect := range effects {
		switch x := effect.(type) {
		case scheduler.Store:
			o.jobs <- x
		case scheduler.NeedTerms:
			o.needs <- needed{x, o.hold()}
		case scheduler.Failed:
			o.failed(x)
		case scheduler.Mended:
			o.mended(x)
		case scheduler.Setpoints:
			o.command(x.Gateway, x.Setpoints)
		case scheduler.Publish:
			o.publish(x.Live)
		}
	}
}

// live hands over live readings, or loses them where the owner is behind.
func (o *owner) live(e scheduler.Readings) bool {
	select {
	case o.events <- e:
		o.measures.liveTaken.Add(1)
		return true
	default:
		o.measures.liveTaken.Add(1)
		o.measures.liveLost.Add(1)
		return false
	}
}

// samples hands over samples that are durable; it waits for a place. It takes no
// context: a stream that dies meanwhile will not send them again. Only a start
// brings back from the inbox what an owner that ended did not take.
func (o *owner) samples(gateway roll.GatewayID, samples []meters.Sample) error {
	select {
	case o.events <- scheduler.Samples{Gateway: gateway, Samples: samples}:
		return nil
	case <-o.ended:
		return api.ErrClosing
	}
}

// raised hands over a new epoch; it waits for a place.
func (o *owner) raised(epoch int64) {
	select {
	case o.events <- scheduler.EpochRaised{Epoch: epoch}:
	case <-o.ended:
	}
}

// tell hands over a change of the register; it waits for a place.
func (o *owner) tell(e scheduler.RollChanged) error {
	select {
	case o.events <- e:
		return nil
	case <-o.ended:
		return api.ErrClosing
	}
}

// pace asks for a tick at each multiple of the period, in world time. The world
// stands still while a tick passes. Where it has moved on by more than a
// period, the ticks in between are left out.
func (o *owner) pace(ctx context.Context, part worldtime.Participant, now energy.Instant, period energy.Span, before, after func(energy.Instant)) error {
	for {
		before(now)
		t := tick{now, make(chan struct{})}
		select {
		case o.ticks <- t:
			<-t.done
			after(now)
		case <-ctx.Done():
			return nil
		}
		var err error
		now, err = part.WaitUntil(ctx, nextTick(now, period))
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end was asked for
		case err != nil:
			return err
		}
	}
}

// nextTick is the first multiple of the period after now.
func nextTick(now energy.Instant, period energy.Span) energy.Instant {
	into := energy.Span(now) % period
	if into < 0 {
		into += period
	}
	return now.Add(period - into)
}

// dayStart is when the day of an instant began in a time zone.
func dayStart(at energy.Instant, zone *time.Location) energy.Instant {
	y, m, d := at.Time().In(zone).Date()
	return energy.InstantOf(time.Date(y, m, d, 0, 0, 0, 0, zone))
}
