// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// explainPrice says what shared energy costs, and what else is paid.
func (c *Charter) explainPrice() []string {
	text := []string{c.explainRate()}
	t := c.Tariff
	if t == nil {
		return text
	}
	if len(t.Network) > 0 {
		levels := make([]string, len(t.Network))
		for i, n := range t.Network {
			levels[i] = fmt.Sprintf("%s %s", c.amount(n.Price), n.Level.words())
		}
		text = append(text, "On top comes a charge for the grid between giver and receiver, for each kWh received: "+list(levels, "and")+".")
	}
	if m := t.Membership; m != nil {
		text = append(text, fmt.Sprintf("Each member contributes %s a %s, whatever she uses.", energy.Money{Minor: m.Minor, Currency: c.Currency}, m.Per))
	}
	if t.Solidarity != nil {
		text = append(text, fmt.Sprintf("Of each kWh received, %s go into the solidarity fund.", c.amount(*t.Solidarity)))
	}
	if t.StorageWear != nil {
		text = append(text, fmt.Sprintf("For each kWh that comes out of a battery, %s go to its owner for the wear.", c.amount(*t.StorageWear)))
	}
	return text
}

func (c *Charter) explainRate() string {
	const outside = " What the grid operator and the tax office ask is not part of this price."
	t := c.Tariff
	switch {
	case t != nil && t.By == TariffMidMarket && t.FeedIn != nil && t.Retail != nil:
		mid := energy.Price{Micro: t.FeedIn.Micro + (t.Retail.Micro-t.FeedIn.Micro+1)/2, Currency: c.Currency}
		return fmt.Sprintf("Shared energy costs %s (%s), paid by the one who receives it to the one who fed it in: the middle between the %s that the grid pays and the %s that energy from the grid costs.",
			c.amount(mid), c.Currency, c.amount(*t.FeedIn), c.amount(*t.Retail)) + outside
	case t != nil && t.By == TariffTimeOfUse:
		bands := make([]string, len(t.Bands))
		for i, b := range t.Bands {
			bands[i] = fmt.Sprintf("%s %s", c.amount(b.Price), b.words())
		}
		return fmt.Sprintf("Shared energy costs %s, and %s at all other times (%s), paid by the one who receives it to the one who fed it in.", strings.Join(bands, ", "), c.amount(c.Price), c.Currency) + outside
	case c.Price.Micro == 0:
		return "Shared energy costs nothing between neighbours. What the grid operator and the tax office ask is not part of these rules."
	}
	return fmt.Sprintf("Shared energy costs %s (%s), paid by the one who receives it to the one who fed it in.", c.amount(c.Price), c.Currency) + outside
}

// amount is a price without the currency's code.
func (c *Charter) amount(p energy.Price) string {
	text, _ := strings.CutSuffix(p.String(), " "+string(p.Currency))
	return text
}

func (b *PriceBand) words() string {
	days := ""
	switch b.Days {
	case WorkingDays:
		days = " from Monday to Friday"
	case Weekends:
		days = " on Saturday and Sunday"
	}
	if b.From == b.To {
		return "all day" + days
	}
	return fmt.Sprintf("from %s to %s%s", b.From, b.To, days)
}

func (p Proximity) words() string {
	switch p {
	case SameBuilding:
		return "within one building"
	case LocalGrid:
		return "within one local grid"
	case RegionalGrid:
		return "within one region"
	case WideGrid:
		return "beyond"
	}
	return string(p)
}

// oneLine and stop fit a text of the charter into a page: on one line, and with a
// full stop at its end.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
func stop(s string) string    { return strings.TrimSuffix(oneLine(s), ".") + "." }
