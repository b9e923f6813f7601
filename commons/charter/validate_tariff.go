// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func (c *Charter) validateTariff(p *Problems) {
	t := c.Tariff
	if t.By == "" && len(t.Bands) == 0 && t.FeedIn == nil && t.Retail == nil && len(t.Network) == 0 &&
		len(t.Areas) == 0 && t.DefaultLevel == "" && t.Membership == nil && t.Solidarity == nil && t.StorageWear == nil {
		p.add("tariff", "is empty; write what it is to say, or remove it")
		return
	}
	if t.By != "" {
		oneOf(p, "tariff.by", t.By, TariffFixed, TariffTimeOfUse, TariffMidMarket)
	}
	c.validateBands(p)
	c.validateMidMarket(p)
	c.validateNetwork(p)
	if m := t.Membership; m != nil {
		if m.Minor <= 0 || m.Minor > maxMinor {
			p.add("tariff.membership.minor", "%d is not allowed here; write a positive number of cents (the smallest unit of the currency), or remove the contribution", m.Minor)
		}
		validPeriod(p, "tariff.membership.per", m.Per)
	}
	if t.Solidarity != nil {
		c.price(p, "tariff.solidarity", *t.Solidarity)
	}
	if t.StorageWear != nil {
		c.price(p, "tariff.storage_wear", *t.StorageWear)
		if c.Storage.Use != StorageShared {
			p.add("tariff.storage_wear", "is never paid while storage.use is %.40s; write use: shared, or remove it", c.Storage.Use)
		}
	}
}

func (c *Charter) validateBands(p *Problems) {
	t := c.Tariff
	switch {
	case t.By == TariffTimeOfUse && len(t.Bands) == 0:
		p.add("tariff.bands", "is missing; write from, to and price of each band of hours")
	case t.By != TariffTimeOfUse && len(t.Bands) > 0:
		p.add("tariff.bands", "has no use here; remove it, or write by: time_of_use")
	case len(t.Bands) > maxBands:
		p.add("tariff.bands", "has %d bands; at most %d are allowed", len(t.Bands), maxBands)
		return
	}
	for i, b := range t.Bands {
		at := fmt.Sprintf("tariff.bands[%d]", i)
		if b.Days != "" {
			oneOf(p, at+".days", b.Days, WorkingDays, Weekends)
		}
		if b.From < 0 || b.From >= minutesOfDay {
			p.add(at+".from", "is no time of day; write one from 00:00 to 23:59")
		}
		if b.To < 0 || b.To >= minutesOfDay {
			p.add(at+".to", "is no time of day; write one from 00:00 to 23:59")
		}
		if q := Clock(c.Interval / energy.Minute); q > 0 && (b.From%q != 0 || b.To%q != 0) {
			p.add(at, "begins or ends within an interval; put it on a full %s", slotName(c.Interval))
		}
		c.price(p, at+".price", b.Price)
	}
}

const minutesOfDay = 24 * 60

func (c *Charter) validateMidMarket(p *Problems) {
	t := c.Tariff
	mid := t.By == TariffMidMarket
	both := true
	for _, x := range []struct {
		path  string
		price *energy.Price
	}{{"tariff.feed_in", t.FeedIn}, {"tariff.retail", t.Retail}} {
		switch {
		case !mid && x.price != nil:
			p.add(x.path, "has no use here; remove it, or write by: mid_market")
			both = false
		case mid && x.price == nil:
			p.add(x.path, "is missing; mid_market lies between the two, so write it as \"8 ct/kWh EUR\"")
			both = false
		case x.price != nil:
			both = c.price(p, x.path, *x.price) && both
		default:
			both = false
		}
	}
	if both && t.FeedIn.Micro > t.Retail.Micro {
		p.add("tariff.feed_in", "is above retail, so nobody would gain by sharing; swap them, or correct one")
	}
}

// MaxAreas bounds the areas of a charter.
const MaxAreas = 64

// validateNetwork checks the charges by nearness, and who is how near.
func (c *Charter) validateNetwork(p *Problems) {
	t := c.Tariff
	listed := map[Proximity]bool{}
	for i, n := range t.Network {
		at := fmt.Sprintf("tariff.network[%d]", i)
		oneOf(p, at+".level", n.Level, Proximities()...)
		if listed[n.Level] {
			p.add(at+".level", "%.40s stands here already; remove one", n.Level)
		}
		listed[n.Level] = true
		c.price(p, at+".price", n.Price)
	}
	switch level := t.DefaultLevel; {
	case level != "" && len(t.Network) == 0:
		p.add("tariff.default_level", "has no use without tariff.network; write the charges there, or remove it")
	case level != "" && !slices.Contains(Proximities(), level):
		oneOf(p, "tariff.default_level", level, Proximities()...)
	case level != "" && !listed[level]:
		p.add("tariff.default_level", "%s has no charge in tariff.network; write its price there (0 if it is free)", level)
	}
	switch {
	case len(t.Areas) > 0 && len(t.Network) == 0:
		p.add("tariff.areas", "has no use without tariff.network; write the charges there, or remove the areas")
		return
	case len(t.Areas) > MaxAreas:
		p.add("tariff.areas", "has %d entries; at most %d are allowed", len(t.Areas), MaxAreas)
		return
	}
	groups := map[roll.Group]bool{}
	for i, a := range t.Areas {
		c.validateArea(p, a, fmt.Sprintf("tariff.areas[%d]", i), groups, listed)
	}
}

func (c *Charter) validateArea(p *Problems, a Area, at string, groups map[roll.Group]bool, listed map[Proximity]bool) {
	if err := roll.CheckID(string(a.Group)); err != nil {
		p.add(at+".group", "%.300s", err)
	} else if groups[a.Group] {
		p.add(at+".group", "%q is an area already; remove one", a.Group)
	}
	groups[a.Group] = true
	far := c.Tariff.Farthest()
	switch rank := slices.Index(Proximities(), a.Level); {
	case rank < 0:
		oneOf(p, at+".level", a.Level, Proximities()...)
	case !listed[a.Level]:
		p.add(at+".level", "%s has no charge in tariff.network; write its price there (0 if it is free)", a.Level)
	case rank >= slices.Index(Proximities(), far):
		p.add(at+".level", "%s is not nearer than %s, which holds between all members; write a nearer level, or remove the area", a.Level, far)
	}
}
