// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/scheduler/allocation/kernel"
)

// Figures are one interval, or one tick, in the order of the plan's members and parts.
type Figures struct {
	Supply  []int64 // ≥ 0, of each part
	Demand  []int64 // ≥ 0, of each member
	Exports []bool  // who feeds in; nil: nobody
	// Budget is what a member may still get in a round's period, for each round
	// with a cap over a period; nil elsewhere, and nil altogether where there is none.
	Budget [][]int64
	Seed   Seed
}

// Outcome is how an interval was shared. It lives in the plan and lasts until
// its next Run; copy what must outlive it.
type Outcome struct {
	Shares  []int64   // of each member, from rounds and solidarity
	Unmet   []int64   // of each member: what she still needs; 0 for who feeds in, where they wait
	Left    []int64   // of each part: what nobody took
	Unsold  []int64   // of each part: what the market round may sell, which is Left, and of Grid what the last round gives
	Back    []int64   // of each part: what a round gave back to the injectors before the last
	Grid    []int64   // of each part: the community's, to sell to the grid
	Held    []int64   // of each part: in reserve for storage and sale
	Sale    []int64   // of each part: what of Held is in reserve for sale
	Used    []int64   // of each part: Σ shares
	InRound [][]int64 // of each round with a cap: of each member; nil elsewhere
	Flows   []Flow    // of rounds with keys by source, by round and member
	Steps   []Step
	Reserve int64 // what solidarity gave, within Shares
}

// Flow is what a member got from a part by her key to it.
type Flow struct {
	Taker, Part int32
	Amount      int64
}

// Step is the certificate of a round, or of one tier or pass of it: enough to
// check a member's share from her own line, see [Step.Share].
type Step struct {
	Round  int // place in the charter; -1: the reserve for solidarity
	Tier   int // of priority, else 0
	Pass   int // of rounds, else 0
	Part   int // of rounds and pairs: the part that is divided, else -1
	Method charter.Method
	Pool   int64 // what the step had to give
	Demand int64 // Σ demand of those in it, after caps; 0 where keys divide
	Gave   int64 // Σ shares
	Unit   int64 // in which the step counted
	Floor  bool  // units that the division left stayed in the pool
	kernel.Outcome
}

// Share is what a member gets in a step from what she needed as it began, after
// caps, and her weight or key. Of a proportional step the weight is that need, of
// an equal one it is 1.
func (s *Step) Share(need, weight int64, rank uint64) int64 {
	need /= s.Unit
	switch s.Method {
	case charter.Proportional:
		weight = need
	case charter.Equal:
		weight = 1
	case charter.Static, charter.Weighted, charter.Priority, charter.Passes, charter.Pairs:
	}
	o := s.Outcome
	if s.Floor {
		o.Cut, o.TieRank = math.MaxInt64, 0
	}
	return o.Share(need, weight, rank) * s.Unit
}

// seedWord is what a seed gives to [kernel.Rank].
func seedWord(s Seed) uint64 {
	return kernel.Rank(binary.BigEndian.Uint64(s[8:]), binary.BigEndian.Uint64(s[:8]))
}

// Rank is a member's place in the order of ties of rules version 2.
func (p *Plan) Rank(taker int, s Seed) uint64 { return kernel.Rank(seedWord(s), p.ties[taker]) }

// Run shares one interval. Errors wrap [ErrAmount]; nothing is shared then.
func (p *Plan) Run(in *Figures) (*Outcome, error) {
	if err := p.check(in); err != nil {
		return nil, err
	}
	out := p.begin(in)
	seed := seedWord(in.Seed)
	for i := range p.rounds {
		pl := &p.rounds[i]
		if len(p.parts) == 0 {
			break
		}
		total := p.offered(pl)
		counted := pl.round.Capped()
		if counted {
			out.InRound[i] = append(out.InRound[i][:0], out.Shares...)
		}
		switch {
		case len(pl.edges) > 0:
			p.keyed(i, pl, in, seed)
			if p.trace != nil { // Flows has them already
				copy(p.trace.before, out.Shares)
			}
		case len(pl.tiers) > 0:
			p.pooled(i, pl, total, in, seed)
		}
		if counted {
			round := out.InRound[i]
			for k, after := range out.Shares {
				round[k] = after - round[k]
			}
		}
		p.rest(i, pl)
	}
	p.solidarity(in, seed)
	for i, e := range out.Left {
		out.Unsold[i] += e
	}
	return out, nil
}

func (p *Plan) check(in *Figures) error {
	if len(in.Supply) != len(p.parts) || len(in.Demand) != len(p.takers) || in.Exports != nil && len(in.Exports) != len(p.takers) {
		return fmt.Errorf("%w: the figures are not those of the plan's members and sources", ErrAmount)
	}
	if i, ok := sums(in.Demand); !ok {
		return fmt.Errorf("%w: the demand of %q is negative, or the demands add up to more than 63 bits hold; check her meters", ErrAmount, p.takers[i].ID)
	}
	if i, ok := sums(in.Supply); !ok {
		return fmt.Errorf("%w: source %q is negative, or the sources add up to more than 63 bits hold; check the meters behind it", ErrAmount, p.parts[i].ID)
	}
	return nil
}

// sums says whether v is nowhere negative and adds up within 63 bits, and where not.
func sums(v []int64) (int, bool) {
	var sum int64
	bad := int64(0)
	for _, x := range v {
		sum += x
		bad |= x | sum // a sum that passes 63 bits turns negative before it can come back
	}
	if bad >= 0 {
		return 0, true
	}
	sum = 0
	for i, x := range v {
		if sum += x; x < 0 || sum < 0 {
			return i, false
		}
	}
	return 0, true
}

// begin sets the results to nothing shared, reserves held back.
func (p *Plan) begin(in *Figures) *Outcome {
	k, n, m := &p.last, len(p.takers), len(p.parts)
	k.Shares, k.Unmet = resize(k.Shares, n), resize(k.Unmet, n)
	k.Left, k.Back, k.Grid, k.Held, k.Used, k.Unsold = resize(k.Left, m), resize(k.Back, m), resize(k.Grid, m), resize(k.Held, m), resize(k.Used, m), resize(k.Unsold, m)
	k.Sale, k.InRound = resize(k.Sale, m), resize(k.InRound, len(p.rounds))
	p.offer, p.taken = resize(p.offer, m), resize(p.taken, m)
	clear(k.Shares)
	clear(k.Grid)
	clear(k.Back)
	clear(k.Used)
	clear(k.Unsold)
	k.Flows, k.Steps, k.Reserve = k.Flows[:0], k.Steps[:0], 0
	copy(k.Unmet, in.Demand)
	if in.Exports != nil && p.rules.ExportingSites == charter.ExportersWait {
		for i, exports := range in.Exports {
			if exports {
				k.Unmet[i] = 0
			}
		}
	}
	for i, s := range in.Supply {
		k.Held[i], k.Sale[i] = 0, 0
		for _, r := range p.rules.Reserve {
			held := r.Percent.Of(s) / p.unit * p.unit
			k.Held[i] += held
			if r.For == charter.ReserveSale {
				k.Sale[i] = held
			}
		}
		k.Left[i] = s - k.Held[i]
	}
	return k
}

// offered notes what a round offers of each part, and gives the sum.
func (p *Plan) offered(pl *planned) (total int64) {
	clear(p.offer)
	for _, i := range pl.parts {
		e := p.last.Left[i]
		if pl.round.Offer != nil {
			e = pl.round.Offer.Of(e)
		}
		p.offer[i] = e
		total += e
	}
	clear(p.taken)
	return total
}

// pooled runs a round that divides its parts as one pool, tier by tier.
func (p *Plan) pooled(i int, pl *planned, pool int64, in *Figures, seed uint64) {
	var used int64
	for k := range pl.tiers {
		t := &pl.tiers[k]
		step := p.divide(t, p.capsOf(i, pl, in), pool-used, in, seed)
		step.Round, step.Tier = i, k
		p.last.Steps = append(p.last.Steps, step)
		used += step.Gave
	}
	p.draw(used, seed)
}

// caps are what bounds a member in a round.
type caps struct {
	each   int64   // -1: nothing
	budget []int64 // of each taker; nil: nothing
}

func (p *Plan) capsOf(i int, pl *planned, in *Figures) caps {
	c := caps{each: -1}
	if pl.round.Cap != nil {
		c.each = int64(*pl.round.Cap)
	}
	if i < len(in.Budget) && in.Budget[i] != nil {
		c.budget = in.Budget[i]
	} else if pl.round.CapPeriod != nil {
		if most := int64(pl.round.CapPeriod.Energy); c.each < 0 || most < c.each {
			c.each = most // nobody counted the period: an interval alone cannot pass its cap
		}
	}
	return c
}

// needs gathers what the members of a tier still need, in units, after caps.
func (p *Plan) needs(who []int32, c caps) (sum int64) {
	demand := p.last.Unmet
	p.need = resize(p.need, len(demand))
	if who != nil {
		p.need = p.need[:len(who)]
	}
	need, each := p.need, c.each
	if each < 0 {
		each = math.MaxInt64
	}
	if who == nil {
		for k, d := range demand {
			d = min(d, each)
			need[k] = d
			sum += d
		}
	} else {
		for k, i := range who {
			d := min(demand[i], each)
			need[k] = d
			sum += d
		}
	}
	if c.budget == nil && p.unit == 1 {
		return sum
	}
	sum = 0
	for k, d := range need {
		if c.budget != nil {
			d = min(d, max(0, c.budget[at(who, k)]))
		}
		if p.unit > 1 {
			d /= p.unit
		}
		need[k] = d
		sum += d
	}
	return sum
}

func at(who []int32, k int) int {
	if who == nil {
		return k
	}
	return int(who[k])
}

// divide shares a pool among a tier and books the shares.
func (p *Plan) divide(t *tier, c caps, pool int64, in *Figures, seed uint64) Step {
	step := Step{Part: -1, Method: t.method, Pool: pool, Unit: p.unit, Floor: p.floor}
	sum := p.needs(t.who, c)
	step.Demand = sum * p.unit
	pool /= p.unit
	if pool == 0 || sum == 0 {
		return step
	}
	p.got = resize(p.got, len(p.need))
	ties := kernel.Ties{Seed: seed, Keys: t.ties}
	switch {
	case t.method == charter.Static:
		weight, of := p.present(t, in)
		step.Outcome = p.kernel.Once(p.got, p.need, weight, pool, of, ties)
	case pool >= sum && t.method != charter.Weighted: // covered: everybody gets what she needs
		copy(p.got, p.need)
		step.Outcome = kernel.Outcome{Num: 1, Shared: sum}
	case t.method == charter.Equal:
		step.Outcome = p.kernel.Fill(p.got, p.need, nil, pool, ties)
	case t.method == charter.Proportional:
		step.Outcome = p.kernel.Prorate(p.got, p.need, pool, ties)
	default:
		step.Outcome = p.kernel.Fill(p.got, p.need, t.weight, pool, ties)
	}
	if p.floor && step.Extra > 0 {
		p.takeBack(&step, t, seed)
	}
	p.book(t.who)
	step.Gave = step.Shared * p.unit
	return step
}

// takeBack undoes the units that went beyond a cut, for charters that leave them in the pool.
func (p *Plan) takeBack(step *Step, t *tier, seed uint64) {
	step.Shared = 0
	bare := *step
	for k := range p.got {
		weight := int64(0)
		if t.weight != nil {
			weight = t.weight[k]
		}
		p.got[k] = bare.Share(p.need[k]*p.unit, weight, kernel.Rank(seed, t.ties[k])) / p.unit
		step.Shared += p.got[k]
	}
	step.Extra = 0
}

// present is the weight of a static tier's members without those who wait
// because they feed in.
func (p *Plan) present(t *tier, in *Figures) (weight []int64, of int64) {
	if in.Exports == nil || p.rules.ExportingSites != charter.ExportersWait {
		return t.weight, t.of
	}
	p.weight = append(p.weight[:0], t.weight...)
	of = t.of
	for k := range p.weight {
		if in.Exports[at(t.who, k)] {
			if !t.keyed {
				of -= p.weight[k]
			}
			p.weight[k] = 0
		}
	}
	return p.weight, of
}

// book adds what a tier got.
func (p *Plan) book(who []int32) {
	shares, demand, unit := p.last.Shares, p.last.Unmet, p.unit
	got := p.got
	if who == nil {
		shares, demand = shares[:len(got)], demand[:len(got)]
		for i, g := range got {
			shares[i] += g * unit
			demand[i] -= g * unit
		}
		return
	}
	for k, i := range who {
		e := got[k] * unit
		shares[i] += e
		demand[i] -= e
	}
}
