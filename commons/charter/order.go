// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Markets are the market rounds of the charter: that of its sharing rule, and that
// of its rule for when the community is cut off from the grid.
func (c *Charter) Markets() []Market {
	var out []Market
	if m := c.Sharing.Market; m != nil {
		out = append(out, *m)
	}
	if c.Island != nil && c.Island.Market != nil {
		out = append(out, *c.Island.Market)
	}
	return out
}

// Takes says whether a price is within what the market round takes.
func (m *Market) Takes(p energy.Price) bool {
	return p.Currency == m.Lowest.Currency && p.Micro >= m.Lowest.Micro && p.Micro <= m.Highest.Micro
}

// CheckOrder says why no market round of the charter takes a bid or an offer, and
// what to do. One that stands already when a charter comes into force that does
// not take it stands for nothing.
func (c *Charter) CheckOrder(o roll.Order) error {
	markets := c.Markets()
	if len(markets) == 0 {
		return errors.New("the charter in force has no market round (sharing.market), so nobody can bid or offer: what the rounds leave goes to the grid; the members can decide on a charter that has one")
	}
	if o.Price.Currency != c.Currency {
		return fmt.Errorf("its price is in %s, and the charter in force counts in %s: write it in that, as in \"0.18 %s/kWh\"", o.Price.Currency, c.Currency, c.Currency)
	}
	for i := range markets {
		if markets[i].Takes(o.Price) {
			return nil
		}
	}
	m := markets[0]
	return fmt.Errorf("the market round of the charter in force takes prices from %s to %s, and %s is not between them: write another price", m.Lowest, m.Highest, o.Price)
}
