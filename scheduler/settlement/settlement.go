// SPDX-License-Identifier: AGPL-3.0-or-later

// Package settlement books one interval: from validated register differences,
// under a charter, to shares, storage accounts and totals. It is a pure
// function; the ledger's verifier runs the same one again years later.
//
// The order of a pool: own load (it never reaches the meter), members, storage,
// export. In symbols, with everything in milliwatt-hours and without the
// community's batteries in import and export:
//
//	supply  P = Σ export        demand  M = Σ import
//	shared  S = allocation(P)   charged from the commons  Cc = min(C, P − S)
//	from storage  T = allocation(D) over what demand is left
//	traded  V: what the market round sells of what is left, to those who still need
//	grid import = M + C − S − T − Cc − V     grid export = P + D − S − T − Cc − V
package settlement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// Input is what was measured. Of each row only the input fields are read: a
// member's sites, groups and orders, a battery's measurements and opening stock, a
// connection's binding meter.
type Input struct {
	Interval    energy.Interval
	Members     []ledger.MemberRow
	Storage     []ledger.StorageRow
	Connections []ledger.ConnectionRow
	Islands     []roll.PoolID // pools that are cut off from the grid
}

// Result is the settled interval, rows sorted as the ledger sorts them.
type Result struct {
	Pools       []ledger.PoolTotals
	Members     []ledger.MemberRow
	Storage     []ledger.StorageRow
	Connections []ledger.ConnectionRow
	Quality     energy.Quality
}

// Settler settles intervals and reuses its buffers between them. The zero value is ready.
type Settler struct {
	work   allocation.Workspace
	plans  map[roll.PoolID]*plans // rules version 2
	market allocation.Market

	of, island *charter.Charter // a charter, and how it holds for an island
}

// Settle books the interval under the charter. It refuses inputs that
// contradict themselves, naming the row.
func (s *Settler) Settle(ch *charter.Charter, in Input) (Result, error) {
	if err := in.check(); err != nil {
		return Result{}, err
	}
	res := Result{
		Members:     slices.Clone(in.Members),
		Storage:     slices.Clone(in.Storage),
		Connections: slices.Clone(in.Connections),
	}
	for i := range res.Members {
		m := &res.Members[i]
		m.Periods = slices.Clone(m.Periods)
		for k := range m.Periods {
			m.Periods[k].Got = 0
		}
	}
	sortRows(&res)
	seed := allocation.SeedOf(in.Interval)
	for _, id := range poolsOf(res) {
		rules := ch
		if slices.Contains(in.Islands, id) {
			rules = s.islanded(ch)
		}
		p := newPool(s, rules, seed, id, &res)
		p.totals.Island = rules != ch
		if rules.Sharing.Market == nil {
			withoutOrders(res.Members, id)
		}
		if err := p.settle(); err != nil {
			return Result{}, fmt.Errorf("settling %v, pool %q: %w", in.Interval, id, err)
		}
		res.Pools = append(res.Pools, p.totals)
	}
	res.Quality = quality(res)
	return res, nil
}

// withoutOrders takes the orders from a pool's rows, where its rule has no market
// round: they are no input of it.
func withoutOrders(rows []ledger.MemberRow, pool roll.PoolID) {
	for i := range rows {
		if rows[i].Pool == pool {
			rows[i].Bid, rows[i].Offer = nil, nil
		}
	}
}

// islanded is the charter for a pool that is cut off; the charter itself where it
// has no other rule for that.
func (s *Settler) islanded(ch *charter.Charter) *charter.Charter {
	if ch.Island == nil {
		return ch
	}
	if s.of != ch {
		s.of, s.island = ch, ch.Islanded()
	}
	return s.island
}

// Rules is the charter as it held for a settled pool.
func Rules(ch *charter.Charter, pool *ledger.PoolTotals) *charter.Charter {
	if pool.Island {
		return ch.Islanded()
	}
	return ch
}

// Bounds of one interval: a hostile annex can neither overflow a sum nor make
// it long. No site moves 100 GWh in an interval.
const (
	maxEnergy energy.Energy = 100_000_000 * energy.KilowattHour
	maxRows                 = 20_000
	minEff                  = million / 100
)

func outside(values ...energy.Energy) bool {
	for _, v := range values {
		if v < 0 || v > maxEnergy {
			return true
		}
	}
	return false
}

func (in Input) check() error {
	if n := len(in.Members) + len(in.Storage) + len(in.Connections); n > maxRows {
		return fmt.Errorf("settling %v: %d rows, at most %d are supported", in.Interval, n, maxRows)
	}
	type key struct {
		m roll.MemberID
		p roll.PoolID
	}
	seen := map[key]bool{}
	for _, m := range in.Members {
		k := key{m.Member, m.Pool}
		if seen[k] {
			return fmt.Errorf("settling %v: member %q stands twice in pool %q", in.Interval, m.Member, m.Pool)
		}
		seen[k] = true
		if err := cmp.Or(checkPeriods(&m), checkOrders(&m)); err != nil {
			return fmt.Errorf("settling %v: %w", in.Interval, err)
		}
		for _, site := range m.Sites {
			if outside(site.Import, site.Export, site.Production) {
				return fmt.Errorf("settling %v: site %q has a register difference below zero or beyond %v", in.Interval, site.Site, maxEnergy)
			}
		}
	}
	for _, b := range in.Storage {
		switch {
		case outside(b.Charged, b.Discharged, b.Capacity):
			return fmt.Errorf("settling %v: battery %q has a register difference or capacity below zero or beyond %v", in.Interval, b.Asset, maxEnergy)
		case b.SoC > 1000:
			return fmt.Errorf("settling %v: battery %q has a state of charge over 100 %%", in.Interval, b.Asset)
		case b.ChargeEff < minEff || b.ChargeEff > million || b.DischargeEff < minEff || b.DischargeEff > million:
			return fmt.Errorf("settling %v: battery %q has an efficiency outside 1 to 100 %%", in.Interval, b.Asset)
		case outside(b.Opening.Own, b.Opening.Commons, b.Opening.Grid):
			return fmt.Errorf("settling %v: battery %q opens with a stock below zero or beyond %v", in.Interval, b.Asset, maxEnergy)
		}
	}
	for _, c := range in.Connections {
		if outside(c.Import, c.Export) {
			return fmt.Errorf("settling %v: connection %q has a register difference below zero or beyond %v", in.Interval, c.Connection, maxEnergy)
		}
	}
	return nil
}

// checkOrders keeps what a hostile row bids or offers within what a register takes.
func checkOrders(m *ledger.MemberRow) error {
	for _, o := range []*roll.Order{m.Bid, m.Offer} {
		if o == nil {
			continue
		}
		if err := o.Check(); err != nil {
			return fmt.Errorf("member %q has an order that no register takes: %w", m.Member, err)
		}
	}
	return nil
}

func sortRows(r *Result) {
	slices.SortFunc(r.Members, func(a, b ledger.MemberRow) int {
		if a.Pool != b.Pool {
			return compare(a.Pool, b.Pool)
		}
		return compare(a.Member, b.Member)
	})
	slices.SortFunc(r.Storage, func(a, b ledger.StorageRow) int { return compare(a.Asset, b.Asset) })
	slices.SortFunc(r.Connections, func(a, b ledger.ConnectionRow) int { return compare(a.Connection, b.Connection) })
}

func compare[T ~string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func poolsOf(r Result) []roll.PoolID {
	var ids []roll.PoolID
	for _, m := range r.Members {
		ids = append(ids, m.Pool)
	}
	for _, b := range r.Storage {
		ids = append(ids, b.Pool)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func quality(r Result) energy.Quality {
	q := energy.Good
	for _, m := range r.Members {
		for _, s := range m.Sites {
			q = q.Worse(s.Quality)
		}
	}
	for _, b := range r.Storage {
		q = q.Worse(b.Quality)
	}
	for _, c := range r.Connections {
		q = q.Worse(c.Quality)
	}
	return q
}
