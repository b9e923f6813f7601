// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// explainPrice says what shared energy costs, and what else is paid.
func (c *Charter) explainPrice() []string {
	text := []string{c.explainRate()}
	if says := c.explainStoragePrice(); says != "" {
		text = append(text, says)
	}
	text = append(text, c.explainTariff()...)
	if len(c.Markets()) > 0 {
		text = append(text, c.explainMarketPrice())
	}
	return text
}

// explainMarketPrice says what energy costs that is bought in the market round.
func (c *Charter) explainMarketPrice() string {
	const inside = "What is bought in the market costs the market's price, paid by the one who buys it to the one who sells it, and nothing else within the community."
	if c.Tariff == nil || len(c.Tariff.Network) == 0 {
		return inside
	}
	return inside + " The charge for the grid comes on top, by how near those are who sold at that time, in proportion to what each sold."
}

// explainTariff says what is paid on top of the price, in the order of paid.
func (c *Charter) explainTariff() []string {
	var text []string
	t := c.Tariff
	if t == nil {
		return nil
	}
	if len(t.Network) > 0 {
		text = append(text, c.explainNetwork())
	}
	if m := t.Membership; m != nil {
		says := fmt.Sprintf("Each member contributes %s a %s to the community's budget, whatever she uses.", energy.Money{Minor: m.Minor, Currency: c.Currency}, m.Per)
		if m.Per != PerDay {
			says += fmt.Sprintf(" Who is a member for a part of a %s pays for the days of it.", m.Per)
		}
		text = append(text, says)
	}
	if t.Solidarity != nil {
		text = append(text, fmt.Sprintf("Besides, the receiver pays %s for each kWh into the solidarity fund, which belongs to the community.", c.amount(*t.Solidarity)))
	}
	if t.StorageWear != nil {
		text = append(text, fmt.Sprintf("For each kWh that she gets out of a battery, she also pays %s to the battery's owner for the wear; where the battery is the community's own, to the community.", c.amount(*t.StorageWear)))
	}
	return text
}

// explainStoragePrice says who pays whom when energy goes through a battery.
func (c *Charter) explainStoragePrice() string {
	free := c.Price.Micro == 0 && (c.Tariff == nil || c.Tariff.By == "" || c.Tariff.By == TariffFixed)
	if c.Storage.Use != StorageShared || free {
		return ""
	}
	return "The community buys what goes into a shared battery from those who fed it in, at the price of that hour, and sells what comes out at the price of its hour. " +
		"What lies between the two, such as losses, it bears or keeps."
}

// explainNetwork says what the grid between giver and receiver costs, and how
// near they are.
func (c *Charter) explainNetwork() string {
	t := c.Tariff
	levels := make([]string, 0, len(t.Network)+1)
	for _, n := range t.Network {
		levels = append(levels, fmt.Sprintf("%s %s", c.amount(n.Price), n.Level.words()))
	}
	if !slices.ContainsFunc(t.Network, func(n NetworkCharge) bool { return n.Level == SameBuilding }) {
		levels = append(levels, "nothing within one building")
	}
	near := []string{"sites behind one meter count as within one building"}
	for _, a := range t.Areas {
		near = append(near, fmt.Sprintf("members of the group “%s” count as %s", a.Group, a.Level.words()))
	}
	near = append(near, fmt.Sprintf("all others count as %s", t.Farthest().words()))
	return fmt.Sprintf("On top comes a charge for the grid between giver and receiver, which goes to the grid operator. For each kWh received it is %s. How near: %s. "+
		"What a member receives counts as coming from all who gave at that time, in proportion to what each gave.", list(levels, "and"), list(near, "and"))
}

func (c *Charter) explainRate() string {
	const outside = " What the grid operator and the tax office ask is not part of this price."
	t := c.Tariff
	switch {
	case t != nil && t.By == TariffMidMarket && t.FeedIn != nil && t.Retail != nil:
		mid := energy.Price{Micro: t.FeedIn.Micro + (t.Retail.Micro-t.FeedIn.Micro+1)/2, Currency: c.Currency}
		return fmt.Sprintf("Shared energy costs %s, paid by the one who receives it to the one who fed it in: the middle between the %s that the grid pays and the %s that energy from the grid costs.",
			c.named(mid), c.amount(*t.FeedIn), c.amount(*t.Retail)) + outside
	case t != nil && t.By == TariffTimeOfUse:
		bands := make([]string, len(t.Bands))
		for i, b := range t.Bands {
			bands[i] = fmt.Sprintf("%s %s", c.amount(b.Price), b.words())
		}
		return fmt.Sprintf("Shared energy costs %s, and %s at all other times, paid by the one who receives it to the one who fed it in.", strings.Join(bands, ", "), c.named(c.Price)) + outside
	case c.Price.Micro == 0:
		return "Shared energy costs nothing between neighbours. What the grid operator and the tax office ask is not part of these rules."
	}
	return fmt.Sprintf("Shared energy costs %s, paid by the one who receives it to the one who fed it in.", c.named(c.Price)) + outside
}

// amount is a price as people say it: in cents without the currency's code, or in
// the major unit where nobody has the minor one in her purse any more.
func (c *Charter) amount(p energy.Price) string {
	switch p.Currency {
	case "CZK", "HUF", "SEK", "DKK", "NOK", "JPY":
		return p.Major()
	}
	text, _ := strings.CutSuffix(p.String(), " "+string(p.Currency))
	return text
}

// named is a price with its currency, as a text says it for the first time.
func (c *Charter) named(p energy.Price) string {
	text, code := c.amount(p), string(p.Currency)
	if strings.Contains(text, code) {
		return text
	}
	return text + " (" + code + ")"
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
		return "beyond one region"
	}
	return string(p)
}

// oneLine and stop fit a text of the charter into a page: on one line, and with a
// full stop at its end.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
func stop(s string) string    { return strings.TrimSuffix(oneLine(s), ".") + "." }
