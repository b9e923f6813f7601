// SPDX-License-Identifier: AGPL-3.0-or-later

// Package guard protects a battery from its commands: it is the part of the
// house that is there when the network is not.
//
// A setpoint is in force until its stamp plus its time-to-live on the
// gateway's own monotonic clock, whatever the network did in between; then the
// battery is released to itself. Commands of an earlier owner (a lower epoch)
// or out of order (a lower sequence) are refused, what remains is clamped to
// the battery's limits and stopped at its state-of-charge guards, and the
// device's own reversion timer is armed for the time that is left, so that a
// dead gateway leaves nothing behind.
//
// A [Guard] decides and writes nothing: its owner carries out what
// [Guard.Decide] says and tells [Guard.Done] what became of it.
package guard

import (
	"errors"
	"fmt"
	"math"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Stamp is a reading of the gateway's monotonic clock in milliseconds. It has
// no meaning outside the gateway that made it.
type Stamp int64

// Setpoint is a command to a battery.
type Setpoint struct {
	Asset    roll.AssetID
	Power    energy.Power // discharge positive, charge negative
	Stamp    Stamp        // the newest that the coordinator had from this gateway
	TTL      energy.Span  // the command ends at Stamp + TTL
	Epoch    uint64       // of the coordinator that owns the community
	Sequence uint64       // rises with every command to the asset within an epoch
}

// Why a setpoint is refused, for errors.Is.
var (
	ErrEpoch    = errors.New("lower epoch")
	ErrSequence = errors.New("old sequence")
	ErrExpired  = errors.New("expired before it came")
	ErrStamp    = errors.New("stamp of another clock")
	ErrTTL      = errors.New("time-to-live out of bounds")
)

// MaxTTL bounds how long a command may be in force without being renewed.
const MaxTTL = energy.Hour

// Limits are what the gateway allows a battery, whatever it is told.
type Limits struct {
	MaxCharge    energy.Power // ≥ 0
	MaxDischarge energy.Power // ≥ 0
	MinSoC       int64        // permille: at or below, no discharge
	MaxSoC       int64        // permille: at or above, no charge
}

// DeviceLimits leave everything to the device's own rating.
func DeviceLimits() Limits {
	return Limits{MaxCharge: math.MaxInt64, MaxDischarge: math.MaxInt64, MinSoC: 0, MaxSoC: 1000}
}

// Kind is what an [Action] asks for.
type Kind uint8

// Kinds of action.
const (
	Nothing Kind = iota
	Set          // write Power and arm the device's reversion
	Release      // give the battery back to itself
)

// Action is what is to be done with the device now.
type Action struct {
	Kind      Kind
	Power     energy.Power // discharge positive
	Reversion energy.Span  // whole seconds
}

// State is what is said about a guard.
type State struct {
	Setpoint Setpoint     // the latest accepted one
	Power    energy.Power // what of it is commanded after limits
	Expires  Stamp
	InForce  bool
	Note     string // why a command was refused, changed or ended; empty if all is well
}

// Guard watches over one battery. Not for concurrent use.
type Guard struct {
	limits Limits
	poll   energy.Span

	epoch    uint64
	sequence uint64
	held     bool
	setpoint Setpoint
	expires  Stamp
	power    energy.Power
	note     string

	// commanded: the device may hold a command of ours. known: it holds
	// `written`, armed at armedAt until revertsAt.
	commanded bool
	known     bool
	written   energy.Power
	armedAt   Stamp
	revertsAt Stamp
}

// New watches over a battery that is polled once in every poll.
func New(limits Limits, poll energy.Span) *Guard {
	return &Guard{limits: limits, poll: poll}
}

// Fence refuses every epoch below this one from now on.
func (g *Guard) Fence(epoch uint64) {
	if epoch > g.epoch {
		g.epoch, g.sequence = epoch, 0
	}
}

// Offer takes a setpoint or says why not. The refusal is also in the state's note.
func (g *Guard) Offer(sp Setpoint, now Stamp) error {
	if err := g.check(sp, now); err != nil {
		g.note = "refused: " + err.Error()
		return fmt.Errorf("setpoint %d of epoch %d for %s refused: %w", sp.Sequence, sp.Epoch, sp.Asset, err)
	}
	g.epoch, g.sequence = sp.Epoch, sp.Sequence
	g.setpoint, g.expires, g.held, g.note = sp, sp.Stamp+Stamp(sp.TTL), true, ""
	return nil
}

func (g *Guard) check(sp Setpoint, now Stamp) error {
	switch {
	case sp.Epoch < g.epoch:
		return fmt.Errorf("%w (%d is in force)", ErrEpoch, g.epoch)
	case sp.Epoch == g.epoch && sp.Sequence <= g.sequence:
		return fmt.Errorf("%w (%d was accepted)", ErrSequence, g.sequence)
	case sp.TTL <= 0 || sp.TTL > MaxTTL:
		return fmt.Errorf("%w (%s, at most %s)", ErrTTL, sp.TTL, MaxTTL)
	case sp.Stamp < 0 || sp.Stamp > now:
		return ErrStamp
	case sp.Stamp+Stamp(sp.TTL) <= now:
		return ErrExpired
	}
	return nil
}

// Decide says what is to be done with the device at now, with its state of
// charge in permille, -1 where it is not known.
func (g *Guard) Decide(now Stamp, soc int64) Action {
	if g.held && now >= g.expires {
		g.held, g.note = false, "expired"
	}
	if !g.held {
		if g.commanded {
			return Action{Kind: Release}
		}
		return Action{}
	}
	g.power, g.note = g.clamp(soc)
	left := energy.Span(g.expires - now)
	// A timer shorter than two polls would run out between writes; this is what
	// a dead gateway may leave in force past the expiry.
	reversion := ceilSecond(max(left, 2*g.poll))
	if g.known && g.power == g.written && !g.mustRearm(now) {
		return Action{}
	}
	return Action{Kind: Set, Power: g.power, Reversion: reversion}
}

// mustRearm says that the device's timer fits the command no more: half of it
// is over and it would end before the command does, or a shorter command came
// and it would end long after.
func (g *Guard) mustRearm(now Stamp) bool {
	if g.revertsAt > max(g.expires, g.armedAt+Stamp(2*g.poll))+Stamp(energy.Second) {
		return true
	}
	return g.revertsAt < g.expires && now-g.armedAt >= (g.revertsAt-g.armedAt)/2
}

// clamp is the commanded power within the limits, and why it differs.
func (g *Guard) clamp(soc int64) (energy.Power, string) {
	p := min(max(g.setpoint.Power, -g.limits.MaxCharge), g.limits.MaxDischarge)
	note := ""
	if p != g.setpoint.Power {
		note = "power limit"
	}
	switch {
	case p == 0:
	case soc < 0:
		p, note = 0, "state of charge unknown"
	case p > 0 && soc <= g.limits.MinSoC:
		p, note = 0, "state of charge at its minimum"
	case p < 0 && soc >= g.limits.MaxSoC:
		p, note = 0, "state of charge at its maximum"
	}
	return p, note
}

// Done says what became of an action that was carried out at now. A write that
// failed may have reached the device all the same: it is written again, and
// released in the end.
func (g *Guard) Done(a Action, now Stamp, err error) {
	switch {
	case a.Kind == Set && err == nil:
		g.commanded, g.known, g.written = true, true, a.Power
		g.armedAt, g.revertsAt = now, now+Stamp(a.Reversion)
	case a.Kind == Set:
		g.commanded, g.known = true, false
		g.note = "could not be written: " + err.Error()
	case a.Kind == Release && err == nil:
		g.commanded, g.known = false, false
	case a.Kind == Release:
		g.known = false
		g.note = "expired, and the release could not be written: " + err.Error()
	}
}

// Drop ends the command in force, if any; the next Decide releases the device.
func (g *Guard) Drop(why string) {
	if g.held {
		g.held, g.note = false, why
	}
}

// Forget says that the device may have been restarted: what it was told has to
// be told again.
func (g *Guard) Forget() { g.known = false }

// State is what is to be reported.
func (g *Guard) State() State {
	return State{Setpoint: g.setpoint, Power: g.power, Expires: g.expires, InForce: g.held, Note: g.note}
}

func ceilSecond(s energy.Span) energy.Span {
	return (s + energy.Second - 1) / energy.Second * energy.Second
}
