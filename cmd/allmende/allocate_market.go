// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"math"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// marketOut is what the market round added to what the rounds gave.
type marketOut struct {
	Price  decimalKWh            `json:"price"` // cents have as many decimals as kilowatt-hours
	Bought map[string]decimalKWh `json:"bought"`
	Sold   map[string]decimalKWh `json:"sold"`
	Flows  []flowOut             `json:"flows"`
}

// readOrder reads a price, for all that there is, or a price with the most energy it stands for.
func readOrder(path string, raw []byte) (o allocation.Order, err error) {
	o.Most = math.MaxInt64
	if len(raw) == 0 || raw[0] != '{' {
		o.Limit, err = limitOf(path, raw)
		return o, err
	}
	fields, err := objectFields(path, raw)
	if err != nil {
		return o, err
	}
	priced := false
	for _, f := range fields {
		at := under(path, f.name)
		switch f.name {
		case "price":
			priced = true
			o.Limit, err = limitOf(at, f.raw)
		case "energy":
			var e energy.Energy
			e, err = energyOf(at, f.raw)
			o.Most = int64(e)
		default:
			err = problemAt(at, "is not a field of an order; there are price and energy")
		}
		if err != nil {
			return o, err
		}
	}
	if !priced {
		return o, problemAt(under(path, "price"), "is missing")
	}
	return o, nil
}

// limitOf reads a price in ct/kWh; which currency, the charter says.
func limitOf(path string, raw []byte) (int64, error) {
	text, err := textOf(path, raw)
	if err != nil {
		return 0, err
	}
	p, err := energy.ParsePrice(text + " ct/kWh EUR")
	if err != nil {
		return 0, problemAt(path, `%.40q is no price; write ct/kWh with at most 6 decimals, such as "12.5"`, text)
	}
	return p.Micro, nil
}

// orders says whether anybody bids or offers, and where.
func (q *question) orders() (path string, any bool) {
	for _, s := range q.sinks {
		if s.bid.Most > 0 {
			return "sinks." + string(s.name) + ".bid", true
		}
	}
	for _, s := range q.sources {
		if s.offer.Most > 0 {
			return "sources." + string(s.name) + ".offer", true
		}
	}
	return "", false
}

// trade runs the market round on what the rounds left. A source and a sink of one
// name are one member.
func trade(rules *charter.Sharing, sinks []sinkIn, sources []sourceIn, out *allocation.Outcome, seed allocation.Seed) (*marketOut, error) {
	var traders []allocation.Trader
	at := make(map[roll.MemberID]int, len(sinks)+len(sources))
	for i, s := range sinks {
		at[s.name] = i
		traders = append(traders, allocation.Trader{ID: s.name, Needs: out.Unmet[i], Bid: s.bid})
	}
	for i, s := range sources {
		id := roll.MemberID(s.name)
		k, ok := at[id]
		if !ok {
			k = len(traders)
			at[id] = k
			traders = append(traders, allocation.Trader{ID: id})
		}
		traders[k].Left, traders[k].Offer = out.Unsold[i], s.offer
	}
	var m allocation.Market
	c, err := m.Clear(rules, traders, seed)
	if err != nil {
		return nil, err
	}
	bought, sold := c.Bought[:len(sinks)], make([]int64, len(sources))
	a := &marketOut{Price: decimalKWh(c.Price), Bought: map[string]decimalKWh{}, Sold: map[string]decimalKWh{}}
	for i, s := range sinks {
		if bought[i] > 0 {
			a.Bought[string(s.name)] = decimalKWh(bought[i])
		}
	}
	for i, s := range sources {
		if sold[i] = c.Sold[at[roll.MemberID(s.name)]]; sold[i] > 0 {
			a.Sold[string(s.name)] = decimalKWh(sold[i])
		}
	}
	a.Flows = flowsOut(sinks, sources, allocation.FlowsOf(&allocation.Outcome{Shares: bought, Used: sold}))
	return a, nil
}
