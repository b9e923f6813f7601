// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// Event is something that happened to a community. Events are applied one at a
// time, in the order in which their owner collected them.
type Event interface{ apply(s *State, out *effects) }

// Restored is an interval that stands in the ledger, told at start, oldest
// first, before any other event.
type Restored struct {
	Index   int64 // of its leaf
	Settled ledger.IntervalSettled
	Rows    []ledger.Row
}

// Started ends the restoring. Founding says that the ledger is empty: the
// charter's activation becomes its first leaf.
type Started struct {
	At       energy.Instant
	Founding bool
	// Refill: until then no deadline falls, because the ledger was restored from
	// a backup and gateways bring what came after it.
	Refill energy.Instant
}

// EpochRaised says that the community is owned under a higher epoch from now on.
type EpochRaised struct{ Epoch int64 }

// Samples are metering-lane samples that are durable in the inbox.
type Samples struct {
	Gateway  roll.GatewayID
	Samples  []meters.Sample
	Replayed bool // read back from the inbox at start
}

// Readings are live-lane values.
type Readings struct {
	Gateway  roll.GatewayID
	Session  uint64 // of the gateway's streams, counting up; stamps compare only within one
	StampMS  int64  // the gateway's monotonic clock; setpoints echo it
	Readings []meters.Reading
}

// Tick is one pass of the live loop.
type Tick struct {
	At       energy.Instant
	DayStart energy.Instant // when the community's local day began
}

// Committed says that the latest Store is durable. FirstIndex is the index of
// its first leaf.
type Committed struct{ FirstIndex int64 }

// Effect is something to be done for the state machine, by whoever steps it.
type Effect interface{ effect() }

// Store asks for leaves to be appended in one transaction. At most one Store is
// under way: the next follows the Committed. A Store that fails is tried again
// unchanged.
type Store struct{ Leaves []PendingLeaf }

// PendingLeaf is a leaf to append; the store adds the commitments to its rows.
type PendingLeaf struct {
	Leaf ledger.Leaf
	Rows []ledger.Row
}

// Failed says that an interval could not be settled, and why. It is left out when
// its deadline has passed, so that it holds up no others, and tried again when
// data for it come and at each start.
type Failed struct {
	Interval energy.Interval
	Err      error
}

// Mended says that an interval which [Failed] named is settled after all.
type Mended struct{ Interval energy.Interval }

// Setpoints are commands for the batteries of one gateway.
type Setpoints struct {
	Gateway   roll.GatewayID
	Setpoints []Setpoint
}

// Setpoint commands a battery. It ends by itself: expiry on the gateway's
// monotonic clock = StampMS + TTL.
type Setpoint struct {
	Asset    roll.AssetID
	Power    energy.Power // discharge positive
	StampMS  int64
	Session  uint64 // of the gateway's streams that the stamp came by; in another it means nothing
	TTL      energy.Span
	Epoch    int64
	Sequence int64 // rises within an epoch
}

// Publish is the present for pages.
type Publish struct{ Live Live }

func (Store) effect()     {}
func (Failed) effect()    {}
func (Mended) effect()    {}
func (Setpoints) effect() {}
func (Publish) effect()   {}

type effects struct{ list []Effect }

func (e *effects) add(x Effect) { e.list = append(e.list, x) }
