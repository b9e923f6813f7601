// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
	"github.com/allmende-energy/allmende/scheduler/dispatch"
)

// poolPower is one pool in one tick. It does for powers what package settlement
// does for energies.
type poolPower struct {
	state             *State
	pool              roll.PoolID
	live              *Live
	rules             *charter.Sharing
	supply, demand    energy.Power // without the community's batteries
	charge, discharge energy.Power
	parts             []int64 // of the supply, under rules version 2: each source of the charter, and the rest
	fedIn             []int64 // into this pool, by each member of the book, under rules version 2
	// apart is what does not take part here, by the charter's participation.
	apart struct{ imported, exported energy.Power }
	bound bool // behind one meter
	// blind: a site's meter gave no value. Dispatch then steers nothing: half a
	// picture is worse than batteries at rest.
	blind bool
}

func (s *State) poolNow(pool roll.PoolID, live *Live) poolPower {
	p := poolPower{state: s, pool: pool, live: live, rules: &s.live.rules}
	if slices.Contains(s.book.islands, pool) {
		p.rules = &s.live.island
	}
	if s.live.plans != nil {
		p.parts = make([]int64, len(p.rules.Sources)+1)
		p.fedIn = make([]int64, len(s.book.members))
	}
	p.bound = slices.ContainsFunc(s.book.bindings, func(b bindingEntry) bool { return b.pool == pool })
	for i, m := range s.book.members {
		s.live.sharers[i] = allocation.Member{ID: m, Groups: s.book.groups[m]}
	}
	for _, site := range s.book.sites {
		if site.pool == pool {
			p.site(site)
		}
	}
	for i, b := range s.book.batteries {
		if b.pool == pool {
			p.charge += max(-live.Batteries[i].Power, 0)
			p.discharge += max(live.Batteries[i].Power, 0)
		}
	}
	p.share()
	return p
}

func (p *poolPower) site(site siteEntry) {
	s, flow := p.state, &p.live.Flow
	i, _ := slices.BinarySearch(s.book.members, site.member)
	m := &p.live.Members[i]
	net, ok := p.netOf(site)
	if !ok {
		p.missing(m)
		p.blind = true
		return
	}
	imported, exported := max(net, 0), max(-net, 0)
	var production energy.Power
	for _, inv := range site.inverters {
		r, ok := s.fresh(inv)
		if !ok {
			p.missing(m)
			continue
		}
		production += max(r.Power, 0)
	}
	// Devices are read one after the other: for a moment more may seem to be
	// fed in than is made.
	production = max(production, exported)
	ownUse := production - exported
	m.Production += production
	m.Import += imported
	m.Export += exported
	m.Consumption += ownUse + imported
	flow.Production += production
	flow.OwnUse += ownUse
	flow.Consumption += ownUse + imported
	imported, exported = p.takesPart(site.member, imported, exported)
	p.supply += exported
	if p.parts != nil {
		p.parts[partOf(p.rules, site)] += int64(exported)
		p.fedIn[i] += int64(exported)
	}
	p.demand += imported
	sharer := &s.live.sharers[i]
	sharer.Demand += int64(imported)
	sharer.Exports = sharer.Exports || exported > 0
}

// takesPart is the part of a member's import and export that counts here.
func (p *poolPower) takesPart(m roll.MemberID, imported, exported energy.Power) (in, out energy.Power) {
	in, out = imported, exported
	for _, part := range p.rules.Participation {
		if part.Member == m && !p.bound { // behind one meter, all of it is here
			in, out = energy.Power(part.Percent.Of(int64(imported))), energy.Power(part.Percent.Of(int64(exported)))
		}
	}
	p.apart.imported += imported - in
	p.apart.exported += exported - out
	return in, out
}

// netOf is the power through the site's meter, import positive, as it would be
// without the community's batteries behind it.
func (p *poolPower) netOf(site siteEntry) (energy.Power, bool) {
	r, ok := p.state.fresh(site.meter)
	net := r.Power
	for i, b := range p.state.book.batteries {
		if b.site == site.id && b.Placement == roll.BehindMeter {
			net += p.live.Batteries[i].Power
			ok = ok && p.live.Batteries[i].Quality < energy.Stale
		}
	}
	return net, ok
}

func (p *poolPower) missing(m *MemberLive) {
	p.live.Flow.Missing++
	p.live.Flow.Quality = p.live.Flow.Quality.Worse(energy.Stale)
	m.Quality = m.Quality.Worse(energy.Stale)
}

// share fills in the indicative shares, from the sun and then from storage, and
// closes the balance to the grid.
func (p *poolPower) share() {
	flow, seed := &p.live.Flow, allocation.SeedOf(p.live.Interval)
	var shared, fromStorage, gone energy.Power
	if p.parts == nil {
		shared, fromStorage = p.divide(p.supply, seed), p.divide(p.discharge, seed)
	} else {
		leaves := p.leaves()
		gone = min(leaves, p.supply)
		p.takeOut(gone, seed)
		shared = p.divideByPlan(p.supply-gone, p.parts, seed)
		p.chargedNow(p.supply - gone - shared)
		given := p.given()
		// What leaves the house is first what may not be shared.
		fromStorage = p.divideByPlan(given-min(max(leaves-gone-(p.discharge-given), 0), given), nil, seed)
	}
	flow.Shared += shared
	flow.FromStorage += fromStorage
	flow.Charge += p.charge
	flow.Discharge += p.discharge
	inside := shared + fromStorage + min(p.charge, p.supply-gone-shared)
	flow.GridImport += p.demand + p.charge - inside + p.apart.imported
	flow.GridExport += p.supply + p.discharge - inside + p.apart.exported
}

// leaves is what leaves through a binding meter now: nobody behind it can have it.
func (p *poolPower) leaves() energy.Power {
	if !p.bound {
		return 0
	}
	return max(p.supply+p.discharge-p.demand-p.charge, 0)
}

// takeOut lessens the parts of the pool, each in proportion, as settlement does.
func (p *poolPower) takeOut(gone energy.Power, seed allocation.Seed) {
	if gone <= 0 {
		return
	}
	ids := make([]roll.MemberID, len(p.parts))
	for i := range ids {
		ids[i] = "pool"
		if i < len(p.rules.Sources) {
			ids[i] = roll.MemberID(p.rules.Sources[i].Name)
		}
	}
	less := make([]int64, len(p.parts))
	p.state.live.work.Split(less, int64(gone), p.parts, ids, seed)
	for i := range p.parts {
		p.parts[i] -= less[i]
	}
}

// divide gives power to the sharers, lowers their demand and adds to their shares.
func (p *poolPower) divide(give energy.Power, seed allocation.Seed) energy.Power {
	if give <= 0 {
		return 0
	}
	in := p.state.live.sharers
	shares, _, err := p.state.live.work.Allocate(p.rules, in, int64(give), seed)
	if err != nil {
		return 0 // the charter was validated, and no demand is negative
	}
	var sum energy.Power
	for i := range in {
		in[i].Demand -= shares[i]
		p.live.Members[i].Share += energy.Power(shares[i])
		sum += energy.Power(shares[i])
	}
	return sum
}

// command decides what the pool's batteries do next and adds the setpoints by
// gateway. A battery without a fresh reading gets none: its last setpoint runs
// out and its gateway lets it rest.
func (p *poolPower) command(byGateway map[roll.GatewayID][]Setpoint) {
	s, l := p.state, &p.state.live
	if p.blind {
		return
	}
	if l.loops[p.pool] == nil {
		l.loops[p.pool] = &poolLoop{}
	}
	l.indices, l.batteries = l.indices[:0], l.batteries[:0]
	for i, b := range s.book.batteries {
		now := p.live.Batteries[i]
		if b.pool != p.pool || !b.Dispatchable || now.Quality >= energy.Stale || now.SoC < 0 || l.stamp[b.gateway].ms == 0 {
			continue
		}
		l.indices = append(l.indices, i)
		l.batteries = append(l.batteries, dispatchable(b, now.SoC))
	}
	l.powers = slices.Grow(l.powers[:0], len(l.indices))[:len(l.indices)]
	loop := l.loops[p.pool]
	need := loop.damper.Step(loop.told, p.demand-p.supply, dispatch.Charge(l.batteries, s.cfg.SetpointTTL), dispatch.Discharge(l.batteries, s.cfg.SetpointTTL))
	dispatch.Decide(l.powers, l.batteries, max(-need, 0), max(need, 0), s.cfg.SetpointTTL)
	loop.told = 0
	for k, i := range l.indices {
		b := s.book.batteries[i]
		loop.told += l.powers[k]
		l.setpoint++
		p.live.Batteries[i].Setpoint, p.live.Batteries[i].Commanded = l.powers[k], true
		byGateway[b.gateway] = append(byGateway[b.gateway], Setpoint{
			Asset: b.id, Power: l.powers[k], StampMS: l.stamp[b.gateway].ms, Session: l.stamp[b.gateway].session,
			TTL: s.cfg.SetpointTTL, Epoch: s.cfg.Epoch, Sequence: l.setpoint,
		})
	}
}

func dispatchable(b batteryEntry, soc int64) dispatch.Battery {
	permille := func(v int64) energy.Energy { return energy.Energy(energy.MulDiv(int64(b.Capacity), v, 1000)) }
	return dispatch.Battery{
		Capacity: b.Capacity, MaxCharge: b.MaxCharge, MaxDischarge: b.MaxDischarge,
		Floor: permille(max(b.MinSoC, b.ReserveSoC)), Ceiling: permille(b.MaxSoC), Stock: permille(soc),
		ChargeEff: b.ChargeEff, DischargeEff: b.DischargeEff,
	}
}
