// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"maps"
	"slices"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// slice bounds how many intervals one tick settles or looks at again, so that
// a long re-settlement never holds up the live loop.
const slice = 16

// restartGrace is how long after a start no deadline falls: gateways that were
// cut off with us are given the time to bring what they kept.
const restartGrace = energy.QuarterHour

// settleDue settles what is due: intervals that late data touched, then the
// next ones that are complete or past their deadline. Each has a slice of its
// own, so that neither waits for the other.
func (s *State) settleDue(out *effects) {
	if s.ledger.busy {
		return
	}
	s.askTerms(out)
	var leaves []PendingLeaf
	for _, start := range s.ledger.nextDirty(slice) {
		leaves = append(leaves, s.resettle(start, out)...)
	}
	for left := slice; left > 0 && s.ledger.next.End() <= s.now; left-- {
		more, moved := s.settleNext(out)
		if !moved {
			break
		}
		leaves = append(leaves, more...)
	}
	if len(leaves) > 0 {
		s.ledger.busy = true
		out.add(Store{leaves})
	}
	// The next interval goes on from the one before it: that is kept, too.
	if horizon := s.now.Add(-s.cfg.Horizon); s.ledger.next.Start.Add(-s.ledger.length) >= horizon {
		kept := s.ledger.forget(horizon)
		for _, t := range s.tracks {
			t.Prune(kept)
		}
		s.books = s.books.forget(kept)
		s.weighting.forget(kept)
	}
}

// overdue says whether an interval is settled without waiting any longer.
func (s *State) overdue(iv energy.Interval, since energy.Instant) bool {
	grace := min(s.cfg.Charter.SettleAfter, restartGrace)
	return s.now >= max(iv.End(), since).Add(s.cfg.Charter.SettleAfter) && s.now >= max(s.ledger.startedAt.Add(grace), s.ledger.refill)
}

func (s *State) settleNext(out *effects) (leaves []PendingLeaf, moved bool) {
	iv := s.ledger.next
	in, complete := s.inputs(iv)
	overdue := s.overdue(iv, iv.End())
	if !complete && !overdue || !s.addTerms(iv, in.Members) {
		return nil, false
	}
	leaf, done, err := s.settleInterval(in, complete, 0)
	if err != nil {
		if !overdue {
			return nil, false // data that mend it may come
		}
		s.failed(iv, err, out)
		s.ledger.next, s.ledger.holes[iv.Start] = iv.Next(), true
		return nil, true
	}
	s.ledger.next = iv.Next()
	s.ledger.byStart[iv.Start] = done
	s.ledger.inFlight = append(s.ledger.inFlight, done)
	delete(s.ledger.dirty, iv.Start)
	return []PendingLeaf{leaf}, true
}

func (s *State) failed(iv energy.Interval, err error, out *effects) {
	s.ledger.failed[iv.Start] = true
	out.add(Failed{iv, err})
}

// mended says that an interval could be settled, where that was not so before.
func (s *State) mended(iv energy.Interval, out *effects) {
	if s.ledger.failed[iv.Start] {
		delete(s.ledger.failed, iv.Start)
		out.add(Mended{iv})
	}
}

// fill settles an interval that could not be settled when its time came.
func (s *State) fill(start energy.Instant, out *effects) []PendingLeaf {
	iv := energy.IntervalAt(start, s.ledger.length)
	in, complete := s.inputs(iv)
	if !s.addTerms(iv, in.Members) {
		s.lateTerms(iv)
		return nil
	}
	delete(s.ledger.dirty, start)
	leaf, done, err := s.settleInterval(in, complete, 0)
	if err != nil {
		s.failed(iv, err, out)
		return nil
	}
	s.mended(iv, out)
	delete(s.ledger.holes, start)
	s.ledger.byStart[start] = done
	s.ledger.inFlight = append(s.ledger.inFlight, done)
	if next := iv.Next(); s.ledger.byStart[next.Start] != nil {
		s.ledger.touched(next.Start, iv.End(), false) // its accounts go on from here
	}
	return []PendingLeaf{leaf}
}

// resettle looks at a touched interval again: if it comes out differently, the
// old leaf is reversed and a new one follows. While data are still missing it
// waits for them, but no longer than a first settlement would.
func (s *State) resettle(start energy.Instant, out *effects) []PendingLeaf {
	old, why := s.ledger.byStart[start], s.ledger.dirty[start]
	if old == nil {
		return s.fill(start, out)
	}
	in, complete := s.inputs(old.interval)
	if !complete && !s.overdue(old.interval, why.since) {
		return nil
	}
	if !s.addTerms(old.interval, in.Members) {
		s.lateTerms(old.interval)
		return nil
	}
	delete(s.ledger.dirty, start)
	leaf, done, err := s.settleInterval(in, complete, old.revision+1)
	if err != nil {
		s.failed(old.interval, err, out) // what stands goes on to stand
		return nil
	}
	s.mended(old.interval, out)
	if done.digest == old.digest && done.complete == old.complete {
		return nil
	}
	s.ledger.byStart[start] = done
	s.ledger.inFlight = append(s.ledger.inFlight, nil, done)
	carries := !maps.Equal(done.closing, old.closing) || !maps.Equal(done.uses, old.uses)
	if next := old.interval.Next(); carries && s.ledger.byStart[next.Start] != nil {
		// Its accounts open differently now, and it waits for nothing else.
		s.ledger.dirty[next.Start] = touched{old.interval.End(), why.roll || s.ledger.dirty[next.Start].roll}
	}
	reason := "late or corrected meter data"
	switch {
	case why.roll:
		reason = "the register was corrected"
	case complete && !old.complete:
		reason = "the missing meter data came"
	}
	reversal := ledger.Leaf{
		Kind: ledger.KindReversal, Community: s.community,
		Reversal: &ledger.Reversal{Leaf: old.index, Interval: old.interval, Reason: reason},
	}
	return []PendingLeaf{{Leaf: reversal}, leaf}
}

func (s *State) settleInterval(in settlement.Input, complete bool, revision int) (PendingLeaf, *settledInterval, error) {
	res, err := s.settle.Settle(&s.cfg.Charter, in)
	if err != nil {
		return PendingLeaf{}, nil, err
	}
	book := s.books.at(in.Interval.Start)
	rows, err := res.Rows(func(a roll.AssetID) roll.MemberID { return book.owner[a] })
	if err != nil {
		return PendingLeaf{}, nil, err
	}
	set := ledger.IntervalSettled{
		Interval: in.Interval, Revision: revision,
		CharterHash: s.cfg.CharterHash, RulesVersion: s.cfg.Charter.RulesVersion,
		Quality: res.Quality, Complete: complete, Pools: res.Pools,
	}
	leaf := ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: s.community, Settled: &set}
	return PendingLeaf{leaf, rows}, newSettledInterval(set, rows, -1), nil
}

func (s *State) storeCharter(out *effects) {
	leaf := ledger.Leaf{
		Kind: ledger.KindCharterActivated, Community: s.community,
		Charter: &ledger.CharterActivated{
			Hash: s.cfg.CharterHash, Effective: s.cfg.Effective, DecidedBy: "founding", Charter: s.cfg.Charter,
		},
	}
	s.ledger.busy, s.ledger.inFlight = true, []*settledInterval{nil}
	out.add(Store{[]PendingLeaf{{Leaf: leaf}}})
}

// inputs gathers an interval's register differences. complete means that every
// register has a sample at or after the interval's end.
func (s *State) inputs(iv energy.Interval) (in settlement.Input, complete bool) {
	g := gather{state: s, book: s.books.at(iv.Start), iv: iv, complete: true}
	in.Interval, in.Islands = iv, g.book.islands
	for _, site := range g.book.sites {
		row := g.site(site)
		n := len(in.Members)
		if n > 0 && in.Members[n-1].Member == site.member && in.Members[n-1].Pool == site.pool {
			in.Members[n-1].Sites = append(in.Members[n-1].Sites, row)
			continue
		}
		in.Members = append(in.Members, ledger.MemberRow{
			Member: site.member, Pool: site.pool, Groups: g.book.groups[site.member], Sites: []ledger.SiteInput{row},
			Periods: g.periods(site.member, site.pool),
		})
		g.orders(&in.Members[n])
	}
	for _, b := range g.book.batteries {
		in.Storage = append(in.Storage, g.battery(b))
	}
	for _, b := range g.book.bindings {
		row := ledger.ConnectionRow{Connection: b.connection, Pool: b.pool}
		row.Import = g.register(b.meter, meters.Import, b.maxPower, &row.Quality)
		row.Export = g.register(b.meter, meters.Export, b.maxPower, &row.Quality)
		in.Connections = append(in.Connections, row)
	}
	return in, g.complete
}

// orders fills in a member's standing orders where the rule of her pool has a market
// round: the rows of other charters tell nobody's.
func (g *gather) orders(m *ledger.MemberRow) {
	rules := &g.state.cfg.Charter
	if slices.Contains(g.book.islands, m.Pool) {
		rules = rules.Islanded()
	}
	if rules.Sharing.Market != nil {
		o := g.book.ordersOf(m.Member)
		m.Bid, m.Offer = o.bid, o.offer
	}
}

// gather reads registers over one interval.
type gather struct {
	state    *State
	book     *book // in force at the interval's start
	iv       energy.Interval
	complete bool
}

func (g *gather) register(a roll.AssetID, r meters.Register, limit energy.Power, q *energy.Quality) energy.Energy {
	track := g.track(a, r)
	if track == nil {
		track = &meters.Track{}
	}
	v := track.Difference(g.iv, meters.Limits{MaxGap: g.state.cfg.MaxGap, MaxPower: limit})
	*q = q.Worse(v.Quality)
	g.complete = g.complete && v.State == meters.Complete
	return v.Energy
}

// track is what the gateway that the asset has in this interval read of it.
func (g *gather) track(a roll.AssetID, r meters.Register) *meters.Track {
	return g.state.tracks[source{g.book.gateway[a], meters.Key{Asset: a, Register: r}}]
}

func (g *gather) site(s siteEntry) ledger.SiteInput {
	row := ledger.SiteInput{Site: s.id, Metered: len(s.inverters) > 0}
	row.Import = g.register(s.meter, meters.Import, s.maxPower, &row.Quality)
	row.Export = g.register(s.meter, meters.Export, s.maxPower, &row.Quality)
	for _, inv := range s.inverters {
		row.Production += g.register(inv, meters.Production, s.maxPower, &row.Quality)
	}
	return row
}

func (g *gather) battery(b batteryEntry) ledger.StorageRow {
	row := ledger.StorageRow{
		Asset: b.id, Pool: b.pool, Site: b.site, Placement: b.Placement,
		Capacity: b.Capacity, ChargeEff: b.ChargeEff, DischargeEff: b.DischargeEff,
	}
	limit := 2 * max(b.MaxCharge, b.MaxDischarge) // inverters overshoot
	row.Charged = g.register(b.id, meters.Charged, limit, &row.Quality)
	row.Discharged = g.register(b.id, meters.Discharged, limit, &row.Quality)
	row.SoC = g.soc(b.id, g.iv.End())
	row.Opening = g.opening(b)
	return row
}

// opening is the stock that a battery's account begins the interval with: what
// it closed with before. A battery that had no account in the interval before
// opens a new one, with what is in it; what one took along that left the
// community is gone from its account with it, and nobody else's.
func (g *gather) opening(b batteryEntry) ledger.Stock {
	last := g.iv.Start.Add(-g.iv.Length)
	if last >= g.state.cfg.Effective && g.state.books.at(last).has(b.id) {
		if before := g.state.ledger.byStart[last]; before != nil {
			if stock, known := before.closing[b.id]; known {
				return stock
			}
		}
		if settled := g.state.ledger.byStart[g.iv.Start]; settled != nil {
			// The interval before lies behind the horizon; what it closed with stands here.
			if stock, known := settled.opening[b.id]; known {
				return stock
			}
		}
	}
	return settlement.Opening(b.Capacity, g.soc(b.id, g.iv.Start), b.ReserveSoC)
}

// periods are a member's accounts of rounds with a cap over a period: they go on
// from the interval before, as batteries do.
func (g *gather) periods(m roll.MemberID, pool roll.PoolID) []ledger.PeriodUse {
	s := g.state
	if len(s.periodRounds) == 0 {
		return nil
	}
	var before settlement.Uses
	last := s.ledger.byStart[g.iv.Start.Add(-g.iv.Length)]
	if last != nil {
		before = last.uses
	}
	out := before.Open(&s.cfg.Charter, s.cfg.Calendar, g.iv.Start, m, pool)
	if settled := s.ledger.byStart[g.iv.Start]; last == nil && settled != nil {
		// The interval before lies behind the horizon; what it came to stands here.
		for i, p := range out {
			if known, ok := settled.uses[settlement.UseKey{Member: m, Pool: pool, Round: p.Round, Per: p.Per}]; ok && known.From == p.From {
				out[i].Before = known.Before
			}
		}
	}
	return out
}

func (g *gather) soc(a roll.AssetID, at energy.Instant) int64 {
	for _, r := range [2]meters.Register{meters.Discharged, meters.Charged} {
		if t := g.track(a, r); t != nil {
			if soc := t.SoCAt(at, g.state.cfg.MaxGap); soc >= 0 {
				return soc
			}
		}
	}
	return -1
}
