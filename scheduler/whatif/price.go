// SPDX-License-Identifier: AGPL-3.0-or-later

package whatif

import (
	"math/big"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/energy"
)

// Clock is what a wall clock at home shows.
type Clock struct {
	Time    charter.Clock
	Weekend bool
}

// Prices is a charter's money as a function: what a kWh that is shared in an
// interval costs. It is pure; whoever posts money asks the same.
type Prices struct {
	charter *charter.Charter
	local   func(energy.Instant) Clock
}

// NewPrices reads a charter's prices.
func NewPrices(ch *charter.Charter, local func(energy.Instant) Clock) *Prices {
	return &Prices{charter: ch, local: local}
}

// At is the price of shared energy in an interval: fixed, by the hour, or the
// middle between feed-in and retail.
func (p *Prices) At(iv energy.Interval) energy.Price {
	t := p.charter.Tariff
	if t == nil {
		return p.charter.Price
	}
	switch t.By {
	case charter.TariffTimeOfUse:
		now := p.local(iv.Start)
		for _, b := range t.Bands {
			if holds(b, now) {
				return b.Price
			}
		}
	case charter.TariffMidMarket:
		if t.FeedIn != nil && t.Retail != nil {
			return energy.Price{Micro: (t.FeedIn.Micro + t.Retail.Micro + 1) / 2, Currency: p.charter.Currency}
		}
	case charter.TariffFixed, "":
	}
	return p.charter.Price
}

// holds says whether a band holds at a time of day. Where it ends at or before
// its beginning, it goes on past midnight.
func holds(b charter.PriceBand, now Clock) bool {
	if b.Days == charter.WorkingDays && now.Weekend || b.Days == charter.Weekends && !now.Weekend {
		return false
	}
	if b.From < b.To {
		return b.From <= now.Time && now.Time < b.To
	}
	return now.Time >= b.From || now.Time < b.To
}

// purse adds up energy times price exactly; it is rounded once, at the end.
type purse struct{ sum big.Int }

func (p *purse) pay(e energy.Energy, price energy.Price) {
	p.sum.Add(&p.sum, new(big.Int).Mul(big.NewInt(int64(e)), big.NewInt(price.Micro)))
}

// minor is the sum in cents, rounded half away from zero.
func (p *purse) minor() int64 {
	const divisor = 1_000_000 * int64(energy.KilowattHour)
	q, rem := new(big.Int).QuoRem(&p.sum, big.NewInt(divisor), new(big.Int))
	if rem.CmpAbs(big.NewInt(divisor/2)) >= 0 {
		q.Add(q, big.NewInt(int64(p.sum.Sign())))
	}
	return q.Int64()
}

// book adds what a member pays and is paid in an interval: shared energy at the
// charter's price, with the contribution to the solidarity fund; the rest at the
// grid's prices. A charter's own retail and feed-in price go before those given.
func (p *Prices) book(to *purse, iv energy.Interval, m *ledger.MemberRow, grid Grid) {
	inside := p.At(iv)
	got, gave := m.Share+m.FromStorage, m.Sold+m.Stored
	to.pay(got, inside)
	to.pay(-gave, inside)
	retail, feedIn := grid.Retail, grid.FeedIn
	if t := p.charter.Tariff; t != nil {
		if t.Solidarity != nil {
			to.pay(got, *t.Solidarity)
		}
		if t.StorageWear != nil {
			to.pay(m.FromStorage, *t.StorageWear)
		}
		if t.Retail != nil {
			retail = *t.Retail
		}
		if t.FeedIn != nil {
			feedIn = *t.FeedIn
		}
	}
	to.pay(m.GridImport, retail)
	to.pay(-m.GridExport, feedIn)
}
