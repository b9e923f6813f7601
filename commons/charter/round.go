// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Sharing is the sharing rule. The order of evaluation in an interval:
//
//  1. Participation scales what each member's meters count here.
//  2. Each source gives up its reserve; what is held back is in no round's pool.
//  3. The rounds run in order. Each divides what the ones before left in the pool
//     and in the members' demands, and its Rest says where what it leaves goes.
//  4. The reserve for solidarity goes, by equal water-filling, to the members of
//     its groups who still need; what they don't need joins the rest.
//  5. The market round sells from the rest to who bids and still needs.
//  6. What is left then stays with the injectors, or is the community's to sell to
//     the grid (Rest of the last round).
//
// Batteries charge from what members leave, and the community sells what batteries
// leave: from what is for sale they take only what the rest does not cover, so that
// nobody charges from the grid what the community feeds into it. Behind one meter,
// what left through it before anybody could have it goes where the last round
// sends what it leaves.
//
// An owner's battery reserve is in none of it: what a battery keeps for its
// owner is not part of any pool, whatever a charter says.
type Sharing struct {
	ExportingSites ExportRule `json:"exporting_sites"`
	Rounds         []Round    `json:"rounds"`

	// From here on: version 2.
	Rounding      *Rounding       `json:"rounding,omitempty"`      // left out: to the milliwatt-hour, largest remainder
	Sources       []Source        `json:"sources,omitempty"`       // the parts of the pool that keys name; left out: one pool
	Attribution   Attribution     `json:"attribution,omitempty"`   // whose energy was shared; left out: in proportion
	Participation []Participation `json:"participation,omitempty"` // members not listed take part with all of their meter
	Reserve       []Reserve       `json:"reserve,omitempty"`
	Market        *Market         `json:"market,omitempty"`
}

// ExportRule says whether a site that feeds in during an interval may receive in the same interval.
type ExportRule string

// Export rules.
const (
	ExportersReceive ExportRule = "receive"
	ExportersWait    ExportRule = "wait" // as in Portugal
	// ExportersOthers (version 2): who feeds in may receive, but only what others
	// fed in (as in Flanders, where nobody shares within one connection point): of
	// the sun she gets, all rounds together, no more than the others fed in. What
	// storage gives is nobody's own.
	ExportersOthers ExportRule = "others"
)

// Method is how a round divides its pool.
type Method string

// Methods. In each, 0 ≤ share ≤ demand, where a member's demand is what she
// still needs when the round begins, cut to her caps; "the pool" is the part of
// what is left that the round offers. Units that a division leaves go by
// [Rounding]; ties by the hash of interval and member.
const (
	Equal        Method = "equal"        // the same for each, never more than the demand (water-filling)
	Proportional Method = "proportional" // in proportion to the demand

	// Static (version 2): each holds a fixed part of the pool, whatever anybody
	// needs: with Keys, part = percent of the pool (Σ ≤ 100 %; the rest is nobody's);
	// with Weights, part = pool · weight / Σ weights of all eligible members, also
	// of those without demand. share = min(demand, part), in one pass: what a
	// member does not need goes to nobody in this round. The parts are rounded
	// before they are cut to the demand: with largest remainder their sum is
	// Σ percent · pool, cut to the unit.
	Static Method = "static"

	// Weighted (version 2): water-filling with weights: share = min(demand, λ · weight)
	// with one λ for all, Σ shares = min(pool, Σ demand). Who has weight 0 gets nothing.
	Weighted Method = "weighted"

	// Priority (version 2): the tiers in order; a tier gets something only when all
	// before it have all that they need. Within a tier: Round.Within. A member who
	// is in several tiers is in the first of them, who is in none gets nothing.
	Priority Method = "priority"

	// Passes (version 2, "rounds") is the rule of the Czech data centre (EDC). Pass
	// by pass: for each source and member, in each member's order of her keys,
	//
	//	flow = min(what she still needs, percent · what the source had when the pass began, cut to Rounding.Unit)
	//
	// What she still needs falls at once, what the source has falls at the end of the pass;
	// as Σ percent ≤ 100 for each source, members don't stand in each other's way and
	// their order does not matter. It ends after Round.Passes, or when a pass moves
	// nothing. The cut is to the unit below, whatever Rounding.Mode says.
	Passes Method = "rounds"

	// Pairs (version 2) has a key per producer and consumer: one pass of Passes,
	// with the parts rounded per source as in Static.
	Pairs Method = "pairs"
)

// Round is one step of the sharing rule. Who takes part: who is in any of Groups
// (empty: everyone), carries all of Tags, for whom Eligible is true, and who may
// receive at all (ExportingSites).
type Round struct {
	Name   string         `json:"name"`
	Groups []roll.Group   `json:"groups,omitempty"` // who: members of any of these; empty means everyone
	Method Method         `json:"method"`
	Cap    *energy.Energy `json:"cap,omitempty"` // most that one member gets in this round, per interval: of the sun and of what storage gives together; under version 1 of each

	// From here on: version 2.
	Tags      []roll.Group `json:"tags,omitempty"`       // who: members that are in all of these as well
	Eligible  Name         `json:"eligible,omitempty"`   // who: for whom this expression is true
	CapPeriod *PeriodCap   `json:"cap_period,omitempty"` // most that one member gets in this round, per day, month or year
	Sources   []Name       `json:"sources,omitempty"`    // which parts of the pool it divides; empty: all. What storage gives is a part of every pool
	Offer     *Percent     `json:"offer,omitempty"`      // of each source's energy that is left when the round begins, cut to the unit below; left out: 100. What is not offered stays for the next round
	Weights   *Weights     `json:"weights,omitempty"`    // static, weighted, and priority within weighted
	Keys      []MemberKeys `json:"keys,omitempty"`       // static, rounds, pairs
	Tiers     []Tier       `json:"tiers,omitempty"`      // priority
	Within    Method       `json:"within,omitempty"`     // priority: equal, proportional or weighted; left out: equal
	Passes    int          `json:"passes,omitempty"`     // rounds: how many; left out: 5, or the number of members with keys where that is smaller
	Rest      Rest         `json:"rest,omitempty"`       // left out: next, and in the last round injectors
}

// Capped says whether a round bounds what one member gets.
func (r *Round) Capped() bool { return r.Cap != nil || r.CapPeriod != nil }

// Name names something within a charter: a source or an expression. It is
// spelled as an id of the register.
type Name string

// PeriodCap is a cap over more than an interval. Periods are cut in the
// community's time zone; an interval belongs to the period in which it begins.
// What a member received in the period before counts interval by interval, as the
// settlements stand: where one is corrected, those behind it in the period are
// settled again. It counts in each pool by itself, as Cap does, and anew for who
// was not in the pool for an interval. A live tick does not know it.
type PeriodCap struct {
	Energy energy.Energy `json:"energy"`
	Per    Period        `json:"per"`
}

// Period is a stretch of the calendar in the community's time zone.
type Period string

// Periods.
const (
	PerDay   Period = "day"
	PerMonth Period = "month"
	PerYear  Period = "year"
)

// Rest says what becomes of what a round offered and nobody took.
type Rest string

// Rests.
const (
	RestNext      Rest = "next"      // the next round divides it
	RestInjectors Rest = "injectors" // it goes back to those who fed it in, in proportion to what each fed in, and is in no later round
	RestGrid      Rest = "grid"      // the community sells it to the grid as its own, and it is in no later round
)

// Rounding says in which steps energy is shared. With a unit over a milliwatt-hour
// a round's pool is first cut to whole units, and so is each member's demand
// (but in rounds and pairs, where only the keyed part is cut); what is cut off stays
// in the pool or in the demand.
type Rounding struct {
	Unit energy.Energy `json:"unit"` // 0.000001 (a milliwatt-hour), 0.001 (a watt-hour) or 0.01 kWh
	Mode RoundingMode  `json:"mode"`
}

// RoundingMode says who gets the units that a division leaves.
type RoundingMode string

// Rounding modes.
const (
	LargestRemainder RoundingMode = "largest_remainder" // whose share was cut the most; among equals by the hash of interval and member
	Floor            RoundingMode = "floor"             // nobody: they stay in the pool
)

// Source is a part of the pool with a name: what one member, or one site of
// hers, feeds in. What no source names is a part of the pool that only rounds
// without Sources and Keys by source divide. Exactly one of Member and Site is set.
type Source struct {
	Name   Name          `json:"name"`
	Member roll.MemberID `json:"member,omitempty"` // all that she feeds in, but for sites that another source names
	Site   roll.SiteID   `json:"site,omitempty"`
}

// Attribution says whose energy was shared where a round does not say it by keys.
type Attribution string

// Attributions.
const (
	AttributeProportional Attribution = "proportional" // each injector's in proportion to what she fed in
	AttributeListed       Attribution = "listed"       // the sources in the order of the list, the next only when the one before is used up (as in Italy: the older plant first); sources that are not listed come last, in proportion
)

// Participation is the part of a member's meters that counts in this community,
// where law lets a meter be in several (as in Austria): import and export of each
// interval times Percent, cut to the milliwatt-hour below.
type Participation struct {
	Member  roll.MemberID `json:"member"`
	Percent Percent       `json:"percent"`
}

// MemberKeys are one member's keys, in her order of priority.
type MemberKeys struct {
	Member roll.MemberID `json:"member"`
	Keys   []Key         `json:"keys"`
}

// Key is the part of a source that a member holds.
type Key struct {
	Source  Name    `json:"source,omitempty"` // left out: the pool as a whole; a round has keys of one kind only
	Percent Percent `json:"percent"`
}

// Tier is a step of priority: members of any of the groups, and those named.
type Tier struct {
	Groups  []roll.Group    `json:"groups,omitempty"`
	Members []roll.MemberID `json:"members,omitempty"`
}

// Weights say how much of a round each member counts for. Either Expression is
// set, or the others: a member's weight is her own entry, else that of the first
// listed group that she is in, else Default, else 0.
type Weights struct {
	Expression Name           `json:"expression,omitempty"` // gives millionths, as evaluated for the weighting period
	Members    []MemberWeight `json:"members,omitempty"`
	Groups     []GroupWeight  `json:"groups,omitempty"`
	Default    *Weight        `json:"default,omitempty"`
}

// MemberWeight is one member's weight.
type MemberWeight struct {
	Member roll.MemberID `json:"member"`
	Weight Weight        `json:"weight"`
}

// GroupWeight is the weight of a group's members.
type GroupWeight struct {
	Group  roll.Group `json:"group"`
	Weight Weight     `json:"weight"`
}

// Reserve holds back a part of each source before the first round: percent of
// its energy, cut to the unit of rounding below. Reserves add up.
type Reserve struct {
	For     ReserveUse   `json:"for"`
	Percent Percent      `json:"percent"`
	Groups  []roll.Group `json:"groups,omitempty"` // solidarity: who it is for
}

// ReserveUse is what a reserve is for.
type ReserveUse string

// Uses of a reserve. What a use does not take joins the rest of the last round.
const (
	ReserveSolidarity ReserveUse = "solidarity" // after the rounds, for members of its groups who still need, in equal shares
	ReserveStorage    ReserveUse = "storage"    // for the community's batteries, before surplus charges them
	ReserveSale       ReserveUse = "sale"       // the community sells it, and spends the money as it decides
)

// Market is a round on the residual: members who still need bid, members whose
// energy is left offer, and one price clears both. It runs after all rounds, so
// that no bid can lower anybody's share from them. Who does not bid takes no part.
type Market struct {
	Lowest  energy.Price `json:"lowest"`  // bids and offers below it, or above Highest, are refused
	Highest energy.Price `json:"highest"` // ≥ Lowest
}
