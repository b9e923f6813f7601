// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler

import (
	"cmp"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// book is one register in the order and shape that a tick and a settlement
// need. It is built once and never changed. Books in a row share their holdings
// where only bids and offers are different.
type book struct {
	*holdings
	orders []orders // by place in members; nil: nobody has any
}

// holdings are all of a book but what members bid and offer.
type holdings struct {
	of        roll.Community // what they were made from
	pools     []roll.PoolID
	sites     []siteEntry    // by pool, then member, then site
	batteries []batteryEntry // the batteries that have an account, by asset
	bindings  []bindingEntry // one_meter connections
	gateway   map[roll.AssetID]roll.GatewayID
	kind      map[roll.AssetID]roll.AssetKind
	owner     map[roll.AssetID]roll.MemberID
	members   []roll.MemberID // sorted
	groups    map[roll.MemberID][]roll.Group
	islands   []roll.PoolID // pools that are cut off from the grid
}

// orders are a member's bid and offer.
type orders struct{ bid, offer *roll.Order }

type siteEntry struct {
	id        roll.SiteID
	member    roll.MemberID
	pool      roll.PoolID
	meter     roll.AssetID
	inverters []roll.AssetID
	maxPower  energy.Power
}

type batteryEntry struct {
	roll.BatteryData
	id      roll.AssetID
	site    roll.SiteID
	pool    roll.PoolID
	gateway roll.GatewayID
}

type bindingEntry struct {
	connection roll.ConnectionID
	pool       roll.PoolID
	meter      roll.AssetID
	maxPower   energy.Power
}

func newBook(cfg Config, c roll.Community) *book {
	b := &book{holdings: newHoldings(cfg, c)}
	b.enter(c.Members)
	return b
}

// enter fills in what members bid and offer.
func (b *book) enter(members []roll.Member) {
	for _, m := range members {
		if m.Bid == nil && m.Offer == nil {
			continue
		}
		if b.orders == nil {
			b.orders = make([]orders, len(b.members))
		}
		if i, found := slices.BinarySearch(b.members, m.ID); found {
			b.orders[i] = orders{m.Bid, m.Offer}
		}
	}
}

// ordersOf are what a member bids and offers.
func (b *book) ordersOf(m roll.MemberID) orders {
	if i, found := slices.BinarySearch(b.members, m); found && b.orders != nil {
		return b.orders[i]
	}
	return orders{}
}

func newHoldings(cfg Config, c roll.Community) *holdings {
	b := &holdings{
		of:      c,
		gateway: map[roll.AssetID]roll.GatewayID{}, kind: map[roll.AssetID]roll.AssetKind{},
		owner: map[roll.AssetID]roll.MemberID{}, groups: map[roll.MemberID][]roll.Group{},
	}
	for _, m := range c.Members {
		b.members = append(b.members, m.ID)
		b.groups[m.ID] = slices.Sorted(slices.Values(m.Groups))
	}
	slices.Sort(b.members)
	pool, limit := map[roll.ConnectionID]roll.PoolID{}, map[roll.ConnectionID]energy.Power{}
	for _, conn := range c.Connections {
		pool[conn.ID], limit[conn.ID] = roll.GridPool, plausible(conn)
		if conn.Kind == roll.OneMeter {
			pool[conn.ID] = roll.PoolID(conn.ID)
			b.bindings = append(b.bindings, bindingEntry{conn.ID, pool[conn.ID], conn.Meter, limit[conn.ID]})
		}
	}
	b.islands = islandsOf(c)
	bySite := map[roll.SiteID]*siteEntry{}
	for _, s := range c.Sites {
		bySite[s.ID] = &siteEntry{id: s.ID, member: s.Member, pool: pool[s.Connection], maxPower: limit[s.Connection]}
	}
	for _, a := range c.Assets {
		b.addAsset(cfg, a, bySite)
	}
	for _, s := range bySite {
		slices.Sort(s.inverters)
		b.sites = append(b.sites, *s)
		b.pools = append(b.pools, s.pool)
	}
	slices.SortFunc(b.sites, func(x, y siteEntry) int {
		return cmp.Or(cmp.Compare(x.pool, y.pool), cmp.Compare(x.member, y.member), cmp.Compare(x.id, y.id))
	})
	slices.SortFunc(b.batteries, func(x, y batteryEntry) int { return cmp.Compare(x.id, y.id) })
	slices.Sort(b.pools)
	b.pools = slices.Compact(b.pools)
	return b
}

// islandsOf are the pools that the register says are cut off from the grid: that
// over the public grid only where all of its connections are.
func islandsOf(c roll.Community) (islands []roll.PoolID) {
	public, cut := 0, 0
	for _, conn := range c.Connections {
		switch {
		case conn.Kind == roll.PublicGrid:
			public++
			if conn.Island {
				cut++
			}
		case conn.Island:
			islands = append(islands, roll.PoolID(conn.ID))
		}
	}
	if cut > 0 && cut == public {
		islands = append(islands, roll.GridPool)
	}
	slices.Sort(islands)
	return islands
}

func (b *holdings) addAsset(cfg Config, a roll.Asset, bySite map[roll.SiteID]*siteEntry) {
	b.gateway[a.ID], b.kind[a.ID], b.owner[a.ID] = a.Gateway, a.Kind, a.Owner
	site := bySite[a.Site]
	if site == nil {
		return // a connection's binding meter
	}
	switch a.Kind {
	case roll.Meter:
		site.meter = a.ID
	case roll.Inverter:
		site.inverters = append(site.inverters, a.ID)
	case roll.Battery:
		// A battery behind its owner's meter that the charter leaves alone is
		// part of her own use.
		own := cfg.Charter.Storage.Use != charter.StorageShared || !a.Battery.Dispatchable
		if own && a.Battery.Placement == roll.BehindMeter {
			return
		}
		b.batteries = append(b.batteries, batteryEntry{*a.Battery, a.ID, a.Site, site.pool, a.Gateway})
	}
}

// plausible is the power above which a register under this connection jumps.
func plausible(c roll.Connection) energy.Power {
	limit := max(c.ImportLimit, c.ExportLimit)
	if limit <= 0 {
		return maxPower
	}
	return limit + limit/4 // fuses are slow
}

// has says whether a battery has an account.
func (b *book) has(battery roll.AssetID) bool {
	_, found := slices.BinarySearchFunc(b.batteries, battery, func(x batteryEntry, id roll.AssetID) int { return cmp.Compare(x.id, id) })
	return found
}

// HasRegister says whether a kind of asset has a register.
func HasRegister(kind roll.AssetKind, r meters.Register) bool {
	switch kind {
	case roll.Meter:
		return r == meters.Import || r == meters.Export
	case roll.Inverter:
		return r == meters.Production
	case roll.Battery:
		return r == meters.Charged || r == meters.Discharged
	}
	return false
}
