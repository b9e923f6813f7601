// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// pool is one pool at work: the rows that belong to it, and its totals.
type pool struct {
	settler *Settler
	work    *allocation.Workspace
	charter *charter.Charter
	seed    allocation.Seed
	members []*ledger.MemberRow
	ids     []roll.MemberID // of members, in the same order
	storage []*ledger.StorageRow
	binding *ledger.ConnectionRow // one_meter only
	totals  ledger.PoolTotals
	unsold  *unsold // with a market round only
}

func newPool(s *Settler, ch *charter.Charter, seed allocation.Seed, id roll.PoolID, res *Result) *pool {
	p := &pool{settler: s, work: &s.work, charter: ch, seed: seed, totals: ledger.PoolTotals{Pool: id}}
	for i := range res.Members {
		if m := &res.Members[i]; m.Pool == id {
			p.members, p.ids = append(p.members, m), append(p.ids, m.Member)
		}
	}
	for i := range res.Storage {
		if b := &res.Storage[i]; b.Pool == id {
			p.storage = append(p.storage, b)
		}
	}
	for i := range res.Connections {
		if c := &res.Connections[i]; c.Pool == id {
			p.binding = c
		}
	}
	return p
}

func (p *pool) settle() error {
	for _, m := range p.members {
		p.measure(m)
	}
	for _, b := range p.storage {
		p.totals.Charged += b.Charged
		p.totals.Discharged += b.Discharged
	}
	p.assignResidual()
	for _, m := range p.members {
		p.totals.Supply += m.Supply
		p.totals.Demand += m.Demand
		p.totals.OwnUse += m.OwnUse
		for _, s := range m.Sites {
			p.totals.Production += s.Production
		}
	}
	p.totals.Consumption = p.totals.OwnUse + p.totals.Demand
	if err := p.share(); err != nil {
		return err
	}
	p.bookStorage()
	p.close()
	return nil
}

// measure reduces a member's sites to demand, supply and own use, with the
// community's batteries taken out (see withoutBatteries).
func (p *pool) measure(m *ledger.MemberRow) {
	m.Demand, m.Supply, m.OwnUse, m.Residual, m.FromStorage, m.ForSale = 0, 0, 0, 0, 0, 0
	m.MarketLeft, m.MarketBought, m.MarketSold = 0, 0, 0
	for _, s := range m.Sites {
		imp, exp := p.withoutBatteries(s)
		m.Demand += imp
		m.Supply += exp
		if s.Metered {
			m.OwnUse += s.Production - exp
		}
	}
	for _, part := range p.charter.Sharing.Participation {
		if part.Member == m.Member && p.binding == nil { // behind one meter, all of it is here
			m.Demand = energy.Energy(part.Percent.Of(int64(m.Demand)))
			m.Supply = energy.Energy(part.Percent.Of(int64(m.Supply)))
		}
	}
}

// withoutBatteries is the site's import and export as its meter would have
// counted them, had the community's batteries behind it stood beside it. The
// convention: charging counts as having come in through the meter and
// discharging as having left through it, as far as the meter saw any; the rest
// happened behind it.
func (p *pool) withoutBatteries(s ledger.SiteInput) (imp, exp energy.Energy) {
	var charged, discharged energy.Energy
	for _, b := range p.storage {
		if b.Site == s.Site && b.Placement == roll.BehindMeter {
			charged += b.Charged
			discharged += b.Discharged
		}
	}
	chargedThrough, dischargedThrough := min(charged, s.Import), min(discharged, s.Export)
	imp = s.Import - chargedThrough + (discharged - dischargedThrough)
	exp = s.Export - dischargedThrough + (charged - chargedThrough)
	return imp, exp
}

// assignResidual gives what a one_meter connection's submeters don't explain to
// the members, as the charter says: a loss is demand, a gain is supply.
//
//	residual = (import + supply + discharged) − (export + demand + charged)
func (p *pool) assignResidual() {
	if p.binding == nil || len(p.members) == 0 {
		return
	}
	residual := p.binding.Import + p.totals.Discharged - p.binding.Export - p.totals.Charged
	for _, m := range p.members {
		residual += m.Supply - m.Demand
	}
	p.totals.Residual = residual
	part := make([]int64, len(p.members))
	p.work.Split(part, int64(magnitude(residual)), p.residualWeights(), p.ids, p.seed)
	for i, m := range p.members {
		if residual >= 0 {
			m.Residual = energy.Energy(part[i])
			m.Demand += m.Residual
		} else {
			m.Residual = -energy.Energy(part[i])
			m.Supply -= m.Residual
		}
	}
}

func (p *pool) residualWeights() []int64 {
	weights := make([]int64, len(p.members))
	var sum int64
	for i, m := range p.members {
		switch p.charter.Residual.By {
		case charter.ResidualProportional:
			weights[i] = max(int64(m.OwnUse+m.Demand), 0)
		case charter.ResidualMember:
			if m.Member == p.charter.Residual.Member {
				weights[i] = 1
			}
		case charter.ResidualEqual:
			weights[i] = 1
		}
		sum += weights[i]
	}
	if sum == 0 { // nobody used anything, or the bearer is not in this pool: in equal parts
		for i := range weights {
			weights[i] = 1
		}
	}
	return weights
}

// share divides the sun among the members, then what storage gave among those
// who still need.
func (p *pool) share() error {
	if p.charter.RulesVersion > 1 {
		return p.shareByPlan()
	}
	// Behind one meter, what left through it during the interval could not be
	// shared: it was not there when it was needed.
	exported := energy.Energy(0)
	if p.binding != nil {
		exported = p.binding.Export
	}
	fromSun := min(exported, p.totals.Supply)
	in := make([]allocation.Member, len(p.members))
	for i, m := range p.members {
		in[i] = allocation.Member{ID: m.Member, Groups: m.Groups, Demand: int64(m.Demand), Exports: m.Supply > 0}
	}
	shares, err := p.allocate(in, p.totals.Supply-fromSun, ledger.FromSun)
	if err != nil {
		return err
	}
	for i, m := range p.members {
		m.Share = energy.Energy(shares[i])
		p.totals.Shared += m.Share
		in[i].Demand -= shares[i]
	}
	fromStorage := min(exported-fromSun, p.totals.Discharged)
	if p.totals.Discharged > 0 {
		shares, err = p.allocate(in, p.totals.Discharged-fromStorage, ledger.FromStorage)
		if err != nil {
			return err
		}
		for i, m := range p.members {
			m.FromStorage = energy.Energy(shares[i])
			p.totals.FromStorage += m.FromStorage
		}
	}
	p.attribute(p.totals.Supply - fromSun)
	return nil
}

func (p *pool) allocate(in []allocation.Member, give energy.Energy, src ledger.Source) ([]int64, error) {
	shares, certs, err := p.work.Allocate(&p.charter.Sharing, in, int64(give), p.seed)
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		p.totals.Rounds = append(p.totals.Rounds, ledger.Round{
			Round: c.Round, Source: src, Method: c.Method,
			Pool: energy.Energy(c.Pool), Demand: energy.Energy(c.Demand), Shared: energy.Energy(c.Shared),
			LevelNum: c.LevelNum, LevelDen: c.LevelDen, Remainder: c.Remainder,
		})
	}
	return shares, nil
}

// attribute says whose sun was shared and whose went into storage: in
// proportion to what each fed in.
func (p *pool) attribute(give energy.Energy) {
	p.totals.ChargedGrid = p.totals.Charged - min(p.totals.Charged, give-p.totals.Shared)
	weights, part := make([]int64, len(p.members)), make([]int64, len(p.members))
	for i, m := range p.members {
		weights[i] = int64(m.Supply)
	}
	p.work.Split(part, int64(p.totals.Shared), weights, p.ids, p.seed)
	for i, m := range p.members {
		m.Sold = energy.Energy(part[i])
		weights[i] -= part[i]
	}
	p.work.Split(part, int64(p.totals.Charged-p.totals.ChargedGrid), weights, p.ids, p.seed)
	for i, m := range p.members {
		m.Stored = energy.Energy(part[i])
	}
}

// close books what is left over to the grid.
func (p *pool) close() {
	t := &p.totals
	for _, m := range p.members {
		m.GridImport = m.Demand - m.Share - m.FromStorage - m.MarketBought
		m.GridExport = m.Supply - m.Sold - m.Stored - m.ForSale - m.MarketSold
	}
	inside := t.Shared + t.FromStorage + t.Charged - t.ChargedGrid + t.Traded()
	t.GridImport = t.Demand + t.Charged - inside
	t.GridExport = t.Supply + t.Discharged - inside
}

func magnitude(e energy.Energy) energy.Energy { return max(e, -e) }
