// SPDX-License-Identifier: AGPL-3.0-or-later

package statement

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Book adds up intervals under one charter. It is used by one goroutine.
type Book struct {
	charter  *charter.Charter
	local    func(energy.Instant) Local
	slots    []slot
	at       places
	accounts map[Party]*account
	product  big.Int // scratch
	factor   [2]big.Int
}

// slot is a line that a statement may have.
type slot struct {
	kind   Kind
	rule   string
	level  charter.Proximity
	price  energy.Price
	varies bool // the price is that of each interval
}

// places say where in the slots a kind begins; -1 where the charter has none.
type places struct {
	received, given, storageIn, storageOut           int    // one for each rate
	bought, sold                                     [2]int // with the grid, and cut off from it
	network                                          [levels]int
	solidarity, wear, wearOwner, membership          int
	gridImport, gridExport, houseImport, houseExport int
}

// account is what one party has so far.
type account struct {
	lines []tally
	seen  map[[3]int]struct{} // days of the calendar
	days  map[int]int         // how many of them lie in a period of that many days
}

// tally is a line under way.
type tally struct {
	energy energy.Energy // what was paid for less what was paid out
	sum    *big.Int      // where the price varies: Σ energy · price
	price  energy.Price
	mixed  bool // more than one price
}

// NewBook begins statements under a charter. Local says what clock and calendar
// at home show.
func NewBook(ch *charter.Charter, local func(energy.Instant) Local) *Book {
	b := &Book{charter: ch, local: local, accounts: map[Party]*account{}}
	add := func(s slot) int {
		b.slots = append(b.slots, s)
		return len(b.slots) - 1
	}
	rates := func(k Kind) int {
		first := len(b.slots)
		for _, r := range Rates(ch) {
			add(slot{kind: k, rule: r.Rule, price: r.Price})
		}
		return first
	}
	t := ch.Tariff
	if t == nil {
		t = &charter.Tariff{}
	}
	one := func(k Kind, rule string, price *energy.Price) int {
		if price == nil {
			return -1
		}
		return add(slot{kind: k, rule: rule, price: *price})
	}
	grid := func(k Kind, rule string, price *energy.Price) int {
		if price == nil {
			return add(slot{kind: k, rule: Contract, varies: true})
		}
		return add(slot{kind: k, rule: rule, price: *price})
	}
	market := func(k Kind) [2]int {
		at := [2]int{-1, -1}
		if ch.Sharing.Market != nil {
			at[0] = add(slot{kind: k, rule: "sharing.market", varies: true})
			at[1] = at[0] // cut off too, where there is no rule for that
		}
		if ch.Island != nil {
			at[1] = -1
			if ch.Island.Market != nil {
				at[1] = add(slot{kind: k, rule: "island.market", varies: true})
			}
		}
		return at
	}
	b.at.received, b.at.given = rates(Received), rates(Given)
	b.at.bought, b.at.sold = market(Bought), market(Sold)
	for i := range b.at.network {
		b.at.network[i] = -1
	}
	for i, n := range t.Network {
		b.at.network[slices.Index(charter.Proximities(), n.Level)] = add(slot{kind: Network, rule: fmt.Sprintf("tariff.network[%d]", i), level: n.Level, price: n.Price})
	}
	b.at.solidarity = one(Solidarity, "tariff.solidarity", t.Solidarity)
	b.at.wear, b.at.wearOwner = one(Wear, "tariff.storage_wear", t.StorageWear), one(WearOwner, "tariff.storage_wear", t.StorageWear)
	b.at.membership = -1
	if t.Membership != nil {
		b.at.membership = add(slot{kind: Membership, rule: "tariff.membership"})
	}
	b.at.gridImport, b.at.gridExport = grid(GridImport, "tariff.retail", t.Retail), grid(GridExport, "tariff.feed_in", t.FeedIn)
	b.at.storageIn, b.at.storageOut = rates(StorageIn), rates(StorageOut)
	b.at.houseImport, b.at.houseExport = grid(HouseImport, "tariff.retail", t.Retail), grid(HouseExport, "tariff.feed_in", t.FeedIn)
	return b
}

func (b *Book) account(p Party) *account {
	a := b.accounts[p]
	if a == nil {
		a = &account{lines: make([]tally, len(b.slots)), seen: map[[3]int]struct{}{}, days: map[int]int{}}
		b.accounts[p] = a
	}
	return a
}

// page is one pool of one interval being booked.
type page struct {
	*Book
	rate      int // which rate holds now
	interval  *Interval
	community *account
	retailer  *account
	operator  *account
	market    energy.Price // of the pool's market round
	overflow  bool
}

// Add books one settled interval.
func (b *Book) Add(in *Interval) error {
	now := b.local(in.At.Start)
	if err := now.check(); err != nil {
		return fmt.Errorf("%v: %w", in.At, err)
	}
	p := page{
		Book: b, rate: rateAt(b.charter, now), interval: in,
		community: b.account(Party{Role: Community}), retailer: b.account(Party{Role: Retailer}), operator: b.account(Party{Role: GridOperator}),
	}
	for i := range in.Pools {
		p.pool(&in.Pools[i])
	}
	for i := range in.Members {
		p.member(b.account(Party{Member, in.Members[i].Member}), now)
	}
	if p.overflow {
		return fmt.Errorf("%v: more energy than a statement can hold", in.At)
	}
	return nil
}

// member counts a day of membership, once.
func (p *page) member(a *account, now Local) {
	if p.at.membership < 0 {
		return
	}
	day := [3]int{now.Year, now.Month, now.Day}
	if _, counted := a.seen[day]; !counted {
		a.seen[day] = struct{}{}
		a.days[now.days(p.charter.Tariff.Membership.Per)]++
	}
}

// book adds energy that a party pays for, or is paid for where it is below zero.
func (p *page) book(a *account, slot int, e energy.Energy) {
	if slot < 0 || e == 0 {
		return
	}
	t := &a.lines[slot]
	if (e > 0) == (t.energy > 0) && max(t.energy, -t.energy) > math.MaxInt64-max(e, -e) {
		p.overflow = true
		return
	}
	t.energy += e
	if !p.slots[slot].varies {
		return
	}
	price := p.interval.Retail
	switch p.slots[slot].kind {
	case Bought, Sold:
		price = p.market
	case GridExport, HouseExport:
		price = p.interval.FeedIn
	default: // from the retailer
	}
	if t.sum == nil {
		t.sum, t.price = new(big.Int), price
	}
	t.mixed = t.mixed || t.price != price
	p.factor[0].SetInt64(int64(e))
	p.factor[1].SetInt64(price.Micro)
	t.sum.Add(t.sum, p.product.Mul(&p.factor[0], &p.factor[1]))
}

func (p *page) pool(t *ledger.PoolTotals) {
	var members []*ledger.MemberRow
	var batteries []*ledger.StorageRow
	for i := range p.interval.Members {
		if m := &p.interval.Members[i]; m.Pool == t.Pool {
			members = append(members, m)
		}
	}
	for i := range p.interval.Storage {
		if s := &p.interval.Storage[i]; s.Pool == t.Pool {
			batteries = append(batteries, s)
		}
	}
	p.energy(members)
	p.trades(t, members)
	p.network(t.Pool, members, batteries)
	p.storage(t, batteries)
	// What the pool took and gave, and no member did, the community bought for its
	// storage, and sold: out of storage, and what the charter gives it to sell.
	bought, sold := t.GridImport, t.GridExport
	for _, m := range members {
		bought -= m.GridImport
		sold -= m.GridExport
	}
	p.book(p.community, p.at.gridImport, bought)
	p.book(p.community, p.at.gridExport, -sold)
	imported, exported := t.GridImport, t.GridExport
	for i := range p.interval.Connections {
		// Behind one meter the retailer sees that meter alone. Energy that the rules
		// let some feed in while others took from the grid never passed it, and the
		// house keeps what lies between the two prices.
		if c := &p.interval.Connections[i]; c.Pool == t.Pool {
			imported, exported = c.Import, c.Export
		}
	}
	p.book(p.community, p.at.houseImport, imported-t.GridImport)
	p.book(p.community, p.at.houseExport, t.GridExport-exported)
	p.book(p.retailer, p.at.gridImport, -imported)
	p.book(p.retailer, p.at.gridExport, exported)
}

// energy books what members received, gave, drew and fed in.
func (p *page) energy(members []*ledger.MemberRow) {
	for _, m := range members {
		a, got := p.account(Party{Member, m.Member}), m.Share+m.FromStorage
		p.book(a, p.at.received+p.rate, got)
		p.book(a, p.at.given+p.rate, -m.Sold-m.Stored)
		p.book(a, p.at.gridImport, m.GridImport)
		p.book(a, p.at.gridExport, -m.GridExport)
		p.book(a, p.at.solidarity, got)
		p.book(p.community, p.at.solidarity, -got)
		p.book(a, p.at.wear, m.FromStorage)
	}
}

// trades books what members bought and sold in the market round: at its one price,
// and nothing of it stays on the way.
func (p *page) trades(t *ledger.PoolTotals, members []*ledger.MemberRow) {
	if t.Traded() == 0 {
		return
	}
	p.market = t.Market.Price
	cut := 0
	if t.Island {
		cut = 1
	}
	for _, m := range members {
		a := p.account(Party{Member, m.Member})
		p.book(a, p.at.bought[cut], m.MarketBought)
		p.book(a, p.at.sold[cut], -m.MarketSold)
	}
}

func (p *page) network(pool roll.PoolID, members []*ledger.MemberRow, batteries []*ledger.StorageRow) {
	if p.charter.Tariff == nil || len(p.charter.Tariff.Network) == 0 {
		return
	}
	n := newNear(p.charter, pool)
	n.fill(members, batteries)
	for _, m := range members {
		a := p.account(Party{Member, m.Member})
		for i, e := range n.received(m) {
			p.book(a, p.at.network[i], e)
			p.book(p.operator, p.at.network[i], -e)
		}
	}
}

// storage books what the community buys for its batteries and sells out of them,
// and gives the fee for their wear to those whom they belong to, in proportion to
// what each battery gave.
func (p *page) storage(t *ledger.PoolTotals, batteries []*ledger.StorageRow) {
	p.book(p.community, p.at.storageIn+p.rate, t.Charged-t.ChargedGrid)
	p.book(p.community, p.at.storageOut+p.rate, -t.FromStorage)
	if p.at.wearOwner < 0 || t.FromStorage == 0 {
		return
	}
	var gave, before energy.Energy // of all batteries, and of those before this one
	for _, b := range batteries {
		gave += p.gave(b)
	}
	if gave == 0 {
		p.book(p.community, p.at.wearOwner, -t.FromStorage)
		return
	}
	part := func(e energy.Energy) energy.Energy { // floors of running sums: they add up to the whole
		return energy.Energy(energy.MulDiv(int64(t.FromStorage), int64(e), int64(gave)))
	}
	for _, b := range batteries {
		to := p.community
		if owner := p.interval.Owners[b.Asset]; owner != "" {
			to = p.account(Party{Member, owner})
		}
		g := p.gave(b)
		p.book(to, p.at.wearOwner, part(before)-part(before+g))
		before += g
	}
}

// gave is what a battery gave to be shared: nothing where energy from the grid
// forfeits it, see settlement.
func (p *page) gave(b *ledger.StorageRow) energy.Energy {
	if p.charter.Storage.GridCharging == charter.GridForfeits && (b.Opening.Grid != 0 || b.In.Grid != 0) {
		return 0
	}
	return b.Discharged
}
