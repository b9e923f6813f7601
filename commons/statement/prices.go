// SPDX-License-Identifier: AGPL-3.0-or-later

package statement

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// Rate is a price of shared energy and the charter's field that it comes from.
type Rate struct {
	Rule  string
	Price energy.Price
}

// Rates are all that a charter may ask for shared energy: bands in their order,
// and the price that holds where none does at the end.
func Rates(ch *charter.Charter) []Rate {
	t := ch.Tariff
	if t == nil {
		return []Rate{{"price", ch.Price}}
	}
	switch t.By {
	case charter.TariffTimeOfUse:
		rates := make([]Rate, 0, len(t.Bands)+1)
		for i, b := range t.Bands {
			rates = append(rates, Rate{fmt.Sprintf("tariff.bands[%d]", i), b.Price})
		}
		return append(rates, Rate{"price", ch.Price})
	case charter.TariffMidMarket:
		if t.FeedIn != nil && t.Retail != nil {
			return []Rate{{"tariff.by", energy.Price{Micro: t.FeedIn.Micro + (t.Retail.Micro-t.FeedIn.Micro+1)/2, Currency: ch.Currency}}}
		}
	case charter.TariffFixed, "":
	}
	return []Rate{{"price", ch.Price}}
}

// rateAt says which of a charter's rates holds at a time.
func rateAt(ch *charter.Charter, now Local) int {
	if ch.Tariff == nil || ch.Tariff.By != charter.TariffTimeOfUse {
		return 0
	}
	for i, b := range ch.Tariff.Bands {
		if holds(b, now) {
			return i
		}
	}
	return len(ch.Tariff.Bands)
}

// holds says whether a band holds at a time of day. Where it ends at or before
// its beginning, it goes on past midnight; the day is that of the interval.
func holds(b charter.PriceBand, now Local) bool {
	if b.Days == charter.WorkingDays && now.Weekend || b.Days == charter.Weekends && !now.Weekend {
		return false
	}
	if b.From < b.To {
		return b.From <= now.Time && now.Time < b.To
	}
	return now.Time >= b.From || now.Time < b.To
}
