// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// plans are a charter's sharing rule made ready for the members of a pool, as
// long as they, their groups and their terms stay the same.
type plans struct {
	charter *charter.Charter
	takers  []allocation.Taker
	terms   []charter.Term
	sun     *allocation.Plan
	storage *allocation.Plan
	figures allocation.Figures
}

// unnamed is the part of the pool that no source of the charter names.
const unnamed = "pool"

// plansFor gives the plans of a pool's members, the old ones where they still fit.
func (s *Settler) plansFor(ch *charter.Charter, pool roll.PoolID, members []*ledger.MemberRow) (*plans, error) {
	if old := s.plans[pool]; old != nil && old.fits(ch, members) {
		return old, nil
	}
	n := &plans{charter: ch}
	for _, m := range members {
		n.takers = append(n.takers, allocation.Taker{ID: m.Member, Groups: m.Groups})
		for _, t := range m.Terms {
			n.terms = append(n.terms, charter.Term{Expression: t.Expression, Member: m.Member, Value: t.Value})
		}
	}
	slices.SortFunc(n.terms, charter.CompareTerm)
	parts := make([]allocation.Part, 0, len(ch.Sharing.Sources)+1)
	for _, src := range ch.Sharing.Sources {
		parts = append(parts, allocation.Part{Source: src.Name, ID: string(src.Name)})
	}
	parts = append(parts, allocation.Part{ID: unnamed})
	terms := &charter.Terms{Terms: n.terms}
	var err error
	if n.sun, err = allocation.NewPlan(&ch.Sharing, n.takers, parts, terms); err != nil {
		return nil, err
	}
	rules := ch.Sharing.ForStorage()
	if n.storage, err = allocation.NewPlan(&rules, n.takers, []allocation.Part{{ID: unnamed}}, terms); err != nil {
		return nil, err
	}
	if s.plans == nil {
		s.plans = map[roll.PoolID]*plans{}
	}
	s.plans[pool] = n
	return n, nil
}

func (n *plans) fits(ch *charter.Charter, members []*ledger.MemberRow) bool {
	if n.charter != ch || len(n.takers) != len(members) {
		return false
	}
	terms := 0
	for i, m := range members {
		if n.takers[i].ID != m.Member || !slices.Equal(n.takers[i].Groups, m.Groups) {
			return false
		}
		for _, t := range m.Terms {
			at, ok := slices.BinarySearchFunc(n.terms, charter.Term{Expression: t.Expression, Member: m.Member}, charter.CompareTerm)
			if !ok || n.terms[at].Value != t.Value {
				return false
			}
		}
		terms += len(m.Terms)
	}
	return terms == len(n.terms)
}

// shareByPlan is share under rules version 2.
func (p *pool) shareByPlan() error {
	if err := p.rounds(); err != nil {
		return err
	}
	return p.trade()
}

// rounds are the sun's, and then those of what storage gave.
func (p *pool) rounds() error {
	n, err := p.settler.plansFor(p.charter, p.totals.Pool, p.members)
	if err != nil {
		return err
	}
	f := &n.figures
	f.Seed = p.seed
	f.Demand, f.Exports = f.Demand[:0], f.Exports[:0]
	for _, m := range p.members {
		f.Demand = append(f.Demand, p.charter.Sharing.OfOthers(int64(m.Demand), int64(m.Supply), int64(p.totals.Supply)))
		f.Exports = append(f.Exports, m.Supply > 0)
	}
	exported := energy.Energy(0)
	if p.binding != nil {
		exported = p.binding.Export
	}
	fromSun := min(exported, p.totals.Supply)
	gone := make([]int64, len(p.charter.Sharing.Sources)+1)
	f.Supply = p.supplies(f.Supply[:0], gone, fromSun)
	rounds := p.charter.Sharing.Rounds
	f.Budget = budgets(f.Budget, rounds, p.members)
	out, err := n.sun.Run(f)
	if err != nil {
		return err
	}
	for i, m := range p.members {
		m.Share = energy.Energy(out.Shares[i])
		p.totals.Shared += m.Share
		f.Demand[i] = int64(m.Demand) - out.Shares[i]
	}
	p.certify(out, ledger.FromSun)
	draw(f.Budget, rounds, p.members, out.InRound)
	p.attributeParts(out, gone, p.totals.Supply-fromSun)

	given := p.given()
	// What left through the binding meter was first what may not be shared.
	fromStorage := min(max(exported-fromSun-(p.totals.Discharged-given), 0), given)
	if given <= 0 {
		return nil
	}
	f.Supply = append(f.Supply[:0], int64(given-fromStorage))
	if out, err = n.storage.Run(f); err != nil {
		return err
	}
	for i, m := range p.members {
		m.FromStorage = energy.Energy(out.Shares[i])
		p.totals.FromStorage += m.FromStorage
	}
	p.certify(out, ledger.FromStorage)
	draw(f.Budget, rounds, p.members, out.InRound)
	return nil
}

// named says which source of the charter a site's feed-in belongs to.
func (p *pool) named(m roll.MemberID, site roll.SiteID) (int, bool) {
	whole := -1
	for i, s := range p.charter.Sharing.Sources {
		if s.Site != "" && s.Site == site {
			return i, true
		}
		if s.Member != "" && s.Member == m {
			whole = i
		}
	}
	return whole, whole >= 0
}

// ofParts is what each member gives to each part: Σ over her sites, with a
// residual and what participation leaves falling on the parts in proportion.
func (p *pool) ofParts(m *ledger.MemberRow) []int64 {
	n := len(p.charter.Sharing.Sources)
	give := make([]int64, n+1)
	if n == 0 {
		give[0] = int64(m.Supply)
		return give
	}
	for _, s := range m.Sites {
		_, exp := p.withoutBatteries(s)
		at, ok := p.named(m.Member, s.Site)
		if !ok {
			at = n
		}
		give[at] += int64(exp)
	}
	if sum(give) == 0 {
		give[n] = 1 // a gain of the connection alone
	}
	part, ids := make([]int64, n+1), p.partIDs()
	p.work.Split(part, int64(m.Supply), give, ids, p.seed)
	return part
}

func (p *pool) partIDs() []roll.MemberID {
	ids := make([]roll.MemberID, 0, len(p.charter.Sharing.Sources)+1)
	for _, s := range p.charter.Sharing.Sources {
		ids = append(ids, roll.MemberID(s.Name))
	}
	return append(ids, unnamed)
}

// supplies are the parts of the pool, less what left through a binding meter,
// which less is filled with.
func (p *pool) supplies(parts, less []int64, gone energy.Energy) []int64 {
	parts = append(parts, make([]int64, len(p.charter.Sharing.Sources)+1)...)
	for _, m := range p.members {
		for i, e := range p.ofParts(m) {
			parts[i] += e
		}
	}
	if gone > 0 {
		p.work.Split(less, int64(gone), parts, p.partIDs(), p.seed)
		for i := range parts {
			parts[i] -= less[i]
		}
	}
	return parts
}

// attributeParts says whose sun was shared: of each part what was used of it, in
// proportion to what each fed into that part. What the community sells is each
// one's in proportion to what she has left of the part.
func (p *pool) attributeParts(out *allocation.Outcome, gone []int64, give energy.Energy) {
	p.totals.ChargedGrid = p.totals.Charged - min(p.totals.Charged, give-p.totals.Shared)
	gives := make([][]int64, len(p.members))
	if p.charter.Sharing.Market != nil {
		p.unsold = newUnsold(len(p.members), give-p.totals.Shared-(p.totals.Charged-p.totals.ChargedGrid))
	}
	for i, m := range p.members {
		gives[i] = p.ofParts(m)
		m.Sold, m.ForSale = 0, 0
	}
	weights, part := make([]int64, len(p.members)), make([]int64, len(p.members))
	for k, used := range out.Used {
		for i := range p.members {
			weights[i] = gives[i][k]
		}
		p.work.Split(part, used, weights, p.ids, p.seed)
		for i, m := range p.members {
			m.Sold += energy.Energy(part[i])
			weights[i] -= part[i]
		}
		p.leave(out, k, gone[k], weights, part)
		if sale := out.Grid[k] + out.Sale[k] + p.toSell(k, out.Held[k]-out.Sale[k], gone[k]); sale > 0 {
			p.work.Split(part, sale, weights, p.ids, p.seed)
			for i, m := range p.members {
				m.ForSale += energy.Energy(part[i])
			}
		}
	}
	p.store(weights, part)
}

// toSell is what of two kinds of a part's energy is the community's to sell, because
// it goes where the last round sends what it leaves: what was held for storage, which
// takes of it before anything is sold, and what left through the binding meter before
// anybody could have it.
func (p *pool) toSell(part int, held, gone int64) int64 {
	s := &p.charter.Sharing
	last := &s.Rounds[len(s.Rounds)-1]
	divides := len(last.Sources) == 0 || part < len(s.Sources) && slices.Contains(last.Sources, s.Sources[part].Name)
	switch {
	case last.Rest != charter.RestGrid || !divides:
		return 0
	case last.Offer != nil:
		return held + last.Offer.Of(gone)
	}
	return held + gone
}

// store says whose sun went into storage: in proportion to what each has left.
// It comes before what the community sells, because nobody charges from the grid
// what the community feeds into it; but first from what is not for sale.
func (p *pool) store(weights, part []int64) {
	var left int64
	for i, m := range p.members {
		m.Stored = 0
		weights[i] = int64(m.Supply - m.Sold - m.ForSale)
		left += weights[i]
	}
	charged := int64(p.totals.Charged - p.totals.ChargedGrid)
	p.work.Split(part, min(charged, left), weights, p.ids, p.seed)
	for i, m := range p.members {
		m.Stored = energy.Energy(part[i])
		weights[i] = int64(m.ForSale)
	}
	p.work.Split(part, max(charged-left, 0), weights, p.ids, p.seed)
	for i, m := range p.members {
		m.Stored += energy.Energy(part[i])
		m.ForSale -= energy.Energy(part[i])
		p.totals.ForSale += m.ForSale
	}
}

// given is what storage gave to the pool: all that it discharged, but for
// batteries that hold energy from the grid where the charter says that this forfeits it.
func (p *pool) given() energy.Energy {
	if p.charter.Storage.GridCharging != charter.GridForfeits {
		return p.totals.Discharged
	}
	var e energy.Energy
	commons := p.chargedFromCommons()
	for i, b := range p.storage {
		if b.Opening.Grid == 0 && b.Charged == commons[i] {
			e += b.Discharged
		}
	}
	return e
}

// certify writes the steps of an outcome as certificates.
func (p *pool) certify(out *allocation.Outcome, src ledger.Source) {
	for i := range out.Steps {
		p.totals.Rounds = append(p.totals.Rounds, Certificate(p.charter, &out.Steps[i], src))
	}
}

// Certificate is a step as the ledger keeps it.
func Certificate(ch *charter.Charter, s *allocation.Step, src ledger.Source) ledger.Round {
	r := ledger.Round{
		Round: solidarityRound, Source: src, Method: s.Method,
		Pool: energy.Energy(s.Pool), Demand: energy.Energy(s.Demand), Shared: energy.Energy(s.Gave), Remainder: s.Extra,
		Exact: &ledger.Exact{
			Tier: s.Tier, Pass: s.Pass, Unit: energy.Energy(s.Unit), Floor: s.Floor,
			Num: s.Num, Den: s.Den, Cut: s.Cut, TieRank: s.TieRank,
		},
	}
	if s.Round >= 0 {
		r.Round = ch.Sharing.Rounds[s.Round].Name
	}
	if s.Part >= 0 {
		r.Exact.Keyed = true
		if s.Part < len(ch.Sharing.Sources) {
			r.Exact.Part = ch.Sharing.Sources[s.Part].Name
		}
	}
	return r
}

// solidarityRound is the certificate's name of the reserve for solidarity.
const solidarityRound = charter.SolidarityRound

func sum(v []int64) (s int64) {
	for _, x := range v {
		s += x
	}
	return s
}
