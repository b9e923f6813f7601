// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// Authority is who asks for something.
type Authority uint8

// Authorities, the lower rank first. Above both stand equipment and fuse,
// which nobody asks: they are in [Limits].
const (
	Charter      Authority = iota // the coordinator, by the members' rules
	GridOperator                  // the operator of the grid, through the coordinator
	authorities
)

// Setpoint is a command to a device.
type Setpoint struct {
	Asset    roll.AssetID
	Quantity device.Quantity // empty: device.BatteryPower
	Power    energy.Power    // of every quantity but ActivePowerPct; of a battery, discharge is positive
	Permille int64           // of ActivePowerPct
	From     Authority
	Stamp    Stamp       // the newest that the coordinator had from this gateway
	TTL      energy.Span // the command ends at Stamp + TTL
	Epoch    uint64      // of the coordinator that owns the community
	Sequence uint64      // rises with every command to the asset within an epoch
}

// Why a setpoint is refused, for errors.Is.
var (
	ErrEpoch     = errors.New("lower epoch")
	ErrNoEpoch   = errors.New("no epoch that a coordinator counts to")
	ErrSequence  = errors.New("old sequence")
	ErrExpired   = errors.New("expired before it came")
	ErrStamp     = errors.New("stamp of another clock")
	ErrTTL       = errors.New("time-to-live out of bounds")
	ErrNoControl = errors.New("the device does not take this command")
	ErrWatched   = errors.New("the device is only watched: it never comes back to itself, so an operator has to sign a waiver")
	ErrPower     = errors.New("more than any device has")
	ErrNegative  = errors.New("a limit is not negative")
	ErrRank      = errors.New("a grid operator sets limits only")
)

// MaxTTL bounds how long a command may be in force without being renewed.
const MaxTTL = energy.Hour

// MaxEpoch is the highest epoch that there is: coordinators count milliseconds
// since 1970 and do not get there in a hundred thousand years.
const MaxEpoch = 1 << 52

// mostPower bounds what is computed with.
const mostPower = 1_000_000 * energy.Kilowatt

// Offer takes a setpoint or says why not. The refusal is also in the state's note.
func (g *Guard) Offer(sp Setpoint, now Stamp) error {
	at, value, err := g.check(sp, now)
	return g.take(sp, at, value, err)
}

// OfferLess takes a setpoint as [Guard.Offer] does, but only if it takes away
// from what its authority allows now; otherwise it is refused with why.
func (g *Guard) OfferLess(sp Setpoint, now Stamp, why error) error {
	at, value, err := g.check(sp, now)
	if err == nil {
		o, held := g.held(at, sp.From)
		switch {
		case at == battery,
			held && (value > o.value || sp.Stamp+Stamp(sp.TTL) < o.expires),
			!held && sp.From == Charter && value > g.offline(at): // it would lift what holds without a coordinator
			err = why
		}
	}
	return g.take(sp, at, value, err)
}

func (g *Guard) take(sp Setpoint, at place, value int64, err error) error {
	if err != nil {
		g.note = "refused: " + err.Error()
		return fmt.Errorf("setpoint %d of epoch %d for %s refused: %w", sp.Sequence, sp.Epoch, sp.Asset, err)
	}
	g.epoch, g.note = sp.Epoch, ""
	g.orders[at][sp.From] = order{
		held: true, setpoint: sp, value: value, expires: sp.Stamp + Stamp(sp.TTL), epoch: sp.Epoch, sequence: sp.Sequence,
	}
	return nil
}

func (g *Guard) check(sp Setpoint, now Stamp) (at place, value int64, err error) {
	at, known := placeOf(sp.Quantity)
	if !known || sp.From >= authorities || g.slots[at] == nil {
		return 0, 0, fmt.Errorf("%w (%s)", ErrNoControl, sp.Quantity)
	}
	if sp.From != Charter && at == battery {
		return 0, 0, ErrRank
	}
	last := g.orders[at][sp.From]
	switch {
	case sp.Epoch > MaxEpoch:
		return 0, 0, fmt.Errorf("%w: %d", ErrNoEpoch, sp.Epoch)
	case sp.Epoch < g.epoch:
		return 0, 0, fmt.Errorf("%w (%d is in force)", ErrEpoch, g.epoch)
	case sp.Epoch == last.epoch && sp.Sequence <= last.sequence:
		return 0, 0, fmt.Errorf("%w (%d was accepted)", ErrSequence, last.sequence)
	case sp.TTL <= 0 || sp.TTL > MaxTTL:
		return 0, 0, fmt.Errorf("%w (%s, at most %s)", ErrTTL, sp.TTL, MaxTTL)
	case sp.Stamp < g.cfg.Born || sp.Stamp > now:
		return 0, 0, ErrStamp
	case sp.Stamp+Stamp(sp.TTL) <= now:
		return 0, 0, ErrExpired
	case sp.Power > mostPower || sp.Power < -mostPower:
		return 0, 0, ErrPower
	case !g.commandable(at):
		return 0, 0, ErrWatched
	}
	value, err = g.inUnit(at, sp)
	return at, value, err
}

// commandable says whether a place may be written at all.
func (g *Guard) commandable(at place) bool {
	s := g.slots[at]
	return s != nil && (s.control.Reversion != device.NeverReverts || g.cfg.Waived)
}

// inUnit is a setpoint's value in the unit of its control.
func (g *Guard) inUnit(at place, sp Setpoint) (int64, error) {
	value := int64(sp.Power)
	if sp.Quantity == device.ActivePowerPct {
		value = min(sp.Permille, full)
	}
	if value < 0 && at != battery {
		return 0, ErrNegative
	}
	if at != feed || g.slots[at].control.Quantity == sp.Quantity {
		return value, nil
	}
	rated := int64(g.cfg.Limits.Rated)
	if rated <= 0 {
		return 0, fmt.Errorf("%w (%s: it takes %s, and limits.rated_w is missing in gateway.yaml)", ErrNoControl, sp.Quantity, g.slots[at].control.Quantity)
	}
	if sp.Quantity == device.ActivePower {
		return energy.MulDiv(min(value, rated), full, rated), nil
	}
	return energy.MulDiv(rated, min(value, full), full), nil
}
