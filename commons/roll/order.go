// SPDX-License-Identifier: AGPL-3.0-or-later

package roll

import (
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/energy"
)

// Order is a standing bid or offer of a member in the market round, for those
// charters that have one: after all rounds and storage, who still needs energy
// bids for it, and who has some left offers it. It stands, interval after
// interval, until another one takes its place or it is withdrawn. What an interval
// is settled by is the order in force at its beginning.
type Order struct {
	// Price is the most that a bid pays, or the least that an offer takes.
	Price energy.Price `json:"price"`
	// Most is the most in one interval and pool; 0: all that she still needs or has left.
	Most energy.Energy `json:"most,omitempty"`
}

// Bounds of an order: those of a charter's prices, and more than any member uses.
const (
	maxOrderPrice = 1_000_000 * 1_000_000 // a million minor units per kWh
	maxOrder      = maxCapacity
)

// Check says what is wrong with an order by itself. Whether a charter takes it is
// the charter's word.
func (o Order) Check() error {
	switch {
	case o.Price == energy.Price{}:
		return errors.New("its price is missing: write it as \"18 ct/kWh EUR\" or \"0.18 EUR/kWh\"")
	case o.Price.Micro < 0 || o.Price.Micro > maxOrderPrice:
		return errors.New("its price is below zero or over a million per kWh: write it as \"18 ct/kWh EUR\" or \"0.18 EUR/kWh\"")
	case o.Most < 0 || o.Most > maxOrder:
		return fmt.Errorf("at most %s in an interval is no amount: write kilowatt-hours such as 0.5, or leave it out for all that is needed or left", o.Most)
	}
	if _, err := energy.ParsePrice("0 " + string(o.Price.Currency) + "/kWh"); err != nil {
		return fmt.Errorf("its price is in %.10q, which is no currency known here: write one such as EUR", o.Price.Currency)
	}
	return nil
}

// UpTo is how much of what a member still needs, or has left, the order is for:
// nothing where none stands.
func (o *Order) UpTo(amount energy.Energy) energy.Energy {
	switch {
	case o == nil:
		return 0
	case o.Most == 0:
		return amount
	}
	return min(o.Most, amount)
}

// copied is an order that shares nothing with o.
func (o *Order) copied() *Order {
	if o == nil {
		return nil
	}
	c := *o
	return &c
}

func sameOrder(a, b *Order) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// orders are those that a change sets, by field; nil: it withdraws it.
func (c Change) orders() map[string]*Order {
	m := c.Entry.Member
	if m == nil {
		return nil
	}
	out := map[string]*Order{}
	switch c.Op {
	case OpAdd: // a member who is new has withdrawn nothing
		if m.Bid != nil {
			out[FieldBid] = m.Bid
		}
		if m.Offer != nil {
			out[FieldOffer] = m.Offer
		}
	case OpChange:
		for _, f := range c.Fields {
			switch f {
			case FieldBid:
				out[f] = m.Bid
			case FieldOffer:
				out[f] = m.Offer
			}
		}
	case OpRetire:
	}
	return out
}

// orders checks what a change says of bids and offers: none may be changed for an
// interval that has begun, because whoever knows what an interval was like would
// bid accordingly.
func (p *planner) orders(c Change) {
	set := c.orders()
	for _, f := range []string{FieldBid, FieldOffer} {
		o, ok := set[f]
		if !ok {
			continue
		}
		if c.From < p.rules.Orders {
			p.addf(c.Entry.Ref(), f, "it cannot change from %s on: a bid or an offer stands before the interval begins, so let it change from %s or later",
				p.rules.Say(c.From), p.rules.Say(p.rules.Orders))
		}
		if o == nil || p.rules.Order == nil || o.Check() != nil {
			continue // what is wrong with the order itself is found with the register
		}
		if err := p.rules.Order(*o); err != nil {
			p.addf(c.Entry.Ref(), f, "%v", err)
		}
	}
}

// stood checks that whoever was a member when an interval began, and still was by
// what is known now, has the orders for it that she had: not even by leaving and
// coming back in the past may anybody lose a bid that an interval was settled by.
func (p *planner) stood(before, after []Dated) {
	told := map[MemberID]bool{}
	for _, d := range after {
		if d.From >= p.rules.Orders {
			return
		}
		had := map[MemberID]*Member{}
		was := inForce(before, d.From)
		for i := range was.Members {
			had[was.Members[i].ID] = &was.Members[i]
		}
		for _, m := range d.Community.Members {
			h := had[m.ID]
			if h == nil || told[m.ID] || sameOrder(h.Bid, m.Bid) && sameOrder(h.Offer, m.Offer) {
				continue
			}
			told[m.ID] = true
			p.addf(Ref{KindMember, string(m.ID)}, "", "she would have had another bid or offer from %s on, in intervals that have begun: let it change from %s or later",
				p.rules.Say(d.From), p.rules.Say(p.rules.Orders))
		}
	}
}
