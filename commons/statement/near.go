// SPDX-License-Identifier: AGPL-3.0-or-later

package statement

import (
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

const levels = 4 // of proximity

// near says from how near the energy came that members of one pool received.
// Energy in a pool has no label, so what somebody receives counts as coming from
// all who gave in that interval, in proportion to what each gave. Givers who are
// in the same areas are one class: there are few of those, and many givers.
type near struct {
	tariff *charter.Tariff
	house  bool // behind one meter: all in one building
	others bool // nobody receives what she gave herself
	sun    []giver
	stored []giver
	market []giver // those who sold in the market round
}

// giver is what one class of givers gave, or one member of it.
type giver struct {
	groups []roll.Group // the areas that the class is in
	all    energy.Energy
	of     map[roll.MemberID]energy.Energy
}

func newNear(ch *charter.Charter, pool roll.PoolID) *near {
	return &near{tariff: ch.Tariff, house: pool != roll.GridPool, others: ch.Sharing.ExportingSites == charter.ExportersOthers}
}

// areas are those of a member's groups that say something about the grid.
func (n *near) areas(groups []roll.Group) []roll.Group {
	var in []roll.Group
	for _, a := range n.tariff.Areas {
		if slices.Contains(groups, a.Group) {
			in = append(in, a.Group)
		}
	}
	return in
}

func (n *near) gave(to *[]giver, m roll.MemberID, groups []roll.Group, e energy.Energy) {
	if e <= 0 {
		return
	}
	areas := n.areas(groups)
	i := slices.IndexFunc(*to, func(g giver) bool { return slices.Equal(g.groups, areas) })
	if i < 0 {
		i = len(*to)
		*to = append(*to, giver{groups: areas, of: map[roll.MemberID]energy.Energy{}})
	}
	(*to)[i].all += e
	(*to)[i].of[m] += e
}

// fill takes in who gave what.
func (n *near) fill(members []*ledger.MemberRow, batteries []*ledger.StorageRow) {
	at := map[roll.SiteID]*ledger.MemberRow{}
	for _, m := range members {
		n.gave(&n.sun, m.Member, m.Groups, m.Sold)
		n.gave(&n.market, m.Member, m.Groups, m.MarketSold)
		for _, s := range m.Sites {
			at[s.Site] = m
		}
	}
	for _, b := range batteries {
		var host roll.MemberID // nobody: a battery with a place of its own
		var groups []roll.Group
		if m := at[b.Site]; m != nil {
			host, groups = m.Member, m.Groups
		}
		n.gave(&n.stored, host, groups, b.Discharged)
	}
}

// received splits what a member got and bought by level, to the milliwatt-hour.
// What comes back to her own meter counts as within one building. What she bought
// comes from all who sold in that market round, in proportion to what each sold.
func (n *near) received(m *ledger.MemberRow) (by [levels]energy.Energy) {
	if n.house {
		by[0] = m.Share + m.FromStorage + m.MarketBought
		return by
	}
	sun, stored := n.split(m, n.sun, m.Share, n.others), n.split(m, n.stored, m.FromStorage, false)
	bought := n.split(m, n.market, m.MarketBought, true)
	for i := range by {
		by[i] = sun[i] + stored[i] + bought[i]
	}
	return by
}

func (n *near) split(m *ledger.MemberRow, givers []giver, e energy.Energy, notOwn bool) (by [levels]energy.Energy) {
	var weights [levels]energy.Energy
	var all energy.Energy
	for _, g := range givers {
		own := g.of[m.Member]
		weights[n.level(m.Groups, g.groups)] += g.all - own
		all += g.all - own
		if !notOwn {
			weights[0] += own
			all += own
		}
	}
	if all == 0 { // nobody is known to have given it: it came from afar
		by[slices.Index(charter.Proximities(), n.tariff.Farthest())] = e
		return by
	}
	var rest [levels]int64
	left := e
	for i, w := range weights {
		q, r := energy.MulDivRem(int64(e), int64(w), int64(all))
		by[i], rest[i] = energy.Energy(q), r
		left -= by[i]
	}
	for ; left > 0; left-- { // largest remainder, the nearer first
		most := 0
		for i, r := range rest {
			if r > rest[most] {
				most = i
			}
		}
		by[most]++
		rest[most] = -1
	}
	return by
}

func (n *near) level(a, b []roll.Group) int {
	return slices.Index(charter.Proximities(), n.tariff.Nearness(a, b))
}
