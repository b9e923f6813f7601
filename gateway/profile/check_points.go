// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"fmt"
	"slices"
	"strings"
)

// units that a point may have, and what exponent of ten makes it the unit of
// the snapshot (W, Wh, %).
var units = map[string]int{
	"W": 0, "kW": 3, "VA": 0, "kVA": 3, "var": 0, "kvar": 3, "Wh": 0, "kWh": 3, "MWh": 6,
	"V": 0, "mV": -3, "A": 0, "mA": -3, "Hz": 0, "%": 0, "°C": 0, "s": 0, "min": 0, "h": 0, "Ohm": 0, "Ah": 0, "1": 0,
}

func unitList() string {
	var s []string
	for u := range units {
		s = append(s, u)
	}
	slices.Sort(s)
	return strings.Join(s, ", ")
}

// words of the vocabulary that a snapshot is made of, with the units they may have.
func vocabulary(k Kind) map[string][]string {
	power, count := []string{"W", "kW"}, []string{"Wh", "kWh", "MWh"}
	v := map[string][]string{"power": power, "state": nil}
	switch k {
	case Meter:
		v["import"], v["export"] = count, count
	case Inverter:
		v["production"] = count
	case Battery:
		v["charged"], v["discharged"], v["soc"] = count, count, []string{"%"}
	case Charger, HeatPump:
		v["import"] = count
	case Contact:
		delete(v, "power")
	}
	return v
}

// common are words that need no kind in a profile of several.
var common = []string{"model", "serial", "firmware", "manufacturer", "state"}

func (c *checker) points() {
	if len(c.p.Points) > mostPoints {
		c.bad("points", "%d; a profile holds at most %d", len(c.p.Points), mostPoints)
	}
	for i := range min(len(c.p.Points), mostPoints) {
		p := &c.p.Points[i]
		at := fmt.Sprintf("points[%d]", i)
		c.name(p, i, at)
		if p.Sum != nil {
			if p.Address != nil || p.Type != NoType {
				c.bad(at+".sum", "a sum has no register of its own; remove address and type")
			}
		} else {
			c.encoding(at, p.Table, p.Address, p.Type, p.Count)
		}
		c.number(p, at)
		c.from(p.From, at)
		c.firmwareRange(p.Since, p.Before, at)
	}
}

func (c *checker) name(p *Point, i int, at string) {
	if !pointPattern.MatchString(p.Name) || len(p.Name) > 40 {
		c.bad(at+".name", "%.60q is no name; write small letters, digits and _, such as power or battery.power", p.Name)
		return
	}
	kind, word, dotted := strings.Cut(p.Name, ".")
	if dotted && !slices.Contains(c.p.Kinds, Kind(kind)) {
		c.bad(at+".name", "%s is none of this profile's kinds; list it in kinds, or write another word before the dot", kind)
	}
	if !dotted && len(c.p.Kinds) > 1 && !slices.Contains(common, p.Name) {
		for _, k := range c.p.Kinds {
			if _, known := vocabulary(k)[p.Name]; known {
				c.bad(at+".name", "whose %s is it? This profile describes several kinds; write %s.%s", p.Name, k, p.Name)
				break
			}
		}
	}
	if dotted && len(c.p.Kinds) == 1 {
		c.bad(at+".name", "this profile describes one kind, so write %s", word)
	}
	for j, other := range c.p.Points[:i] {
		if other.Name == p.Name && meet(other.Since, other.Before, p.Since, p.Before) {
			c.bad(at+".name", "points[%d] is called %s too; only variants of different firmware (since, before) may share a name", j, p.Name)
			return
		}
	}
}

// number checks how a number is to be understood.
func (c *checker) number(p *Point, at string) {
	plain := p.Type == String || p.Type == Enum || p.Type == Bitfield || p.Type == Bit
	switch {
	case plain && p.Unit != "":
		c.bad(at+".unit", "a %s has none; remove it", p.Type)
	case !plain && p.Unit == "":
		c.bad(at+".unit", "missing; write one of %s", unitList())
	case !plain:
		if _, ok := units[p.Unit]; !ok {
			c.bad(at+".unit", "%.20q is not known; write one of %s", p.Unit, unitList())
		}
	}
	if plain && (p.Scale != nil || p.Factor != nil || p.Offset != 0 || p.Least != nil || p.Most != nil || p.Sign != "") {
		c.bad(at+".type", "a %s is not scaled and has no bounds or sign", p.Type)
	}
	if p.Scale != nil && p.Scale.Raw <= 0 {
		c.bad(at+".scale", "%s; must be above 0 (a device that counts the other way has sign: opposite)", p.Scale)
	}
	if p.Sign != "" && p.Sign != "opposite" {
		c.bad(at+".sign", "%.20q; write opposite, or remove the line", p.Sign)
	}
	if p.Least != nil && p.Most != nil && p.Least.Cmp(*p.Most) >= 0 {
		c.bad(at+".most", "%s is not above %s", p.Most, p.Least)
	}
	if p.Pace != "" && p.Pace != "fast" && p.Pace != "slow" {
		c.bad(at+".pace", "%.20q; write fast or slow", p.Pace)
	}
	if p.Factor != nil && p.Address != nil {
		if from, to := min(*p.Factor, *p.Address), max(*p.Factor+1, *p.Address+p.registers()); to-from > mostRead {
			c.bad(at+".factor", "%d registers from its value; both must fit into one read, because devices move the factor", to-from)
		}
	}
	for j, w := range p.Missing {
		if size := p.Type.size(); size < 4 && uint64(w)>>(16*size) != 0 {
			c.bad(fmt.Sprintf("%s.missing[%d]", at, j), "0x%x does not fit into a %s", uint64(w), p.Type)
		}
	}
	if len(p.Values) > 0 && p.Type != Enum && p.Type != Bitfield && p.Type != Bit {
		c.bad(at+".values", "only an enum, a bitfield or a bit has names for values")
	}
	if len(p.Asleep) > 0 && p.Type != Enum {
		c.bad(at+".asleep", "only an enum tells that a device sleeps")
	}
	if _, word, _ := cutKind(p.Name); word == "power" && p.Sum == nil && p.NegativeIf == nil && p.Type != NoType && (p.Least == nil || p.Most == nil) {
		c.bad(at+".most", "power needs least and most: what no such device can have is not believed")
	}
}

func cutKind(name string) (Kind, string, bool) {
	kind, word, dotted := strings.Cut(name, ".")
	if !dotted {
		return "", name, false
	}
	return Kind(kind), word, true
}

// registers is how many the point takes.
func (p *Point) registers() uint16 {
	if p.Type == String {
		return p.Count
	}
	return uint16(p.Type.size())
}

func (c *checker) from(ids []string, at string) {
	for i, id := range ids {
		if !slices.ContainsFunc(c.p.Sources, func(s Source) bool { return s.ID == id }) {
			c.bad(fmt.Sprintf("%s.from[%d]", at, i), "%.40q is none of the sources above", id)
		}
	}
}

// overlaps finds registers that two points claim: one of them has a wrong address.
func (c *checker) overlaps() {
	points := c.p.Points[:min(len(c.p.Points), mostPoints)]
	for i, p := range points {
		if p.Address == nil {
			continue
		}
		for j, q := range points[:i] {
			if q.Address == nil || p.Table != q.Table || !meet(p.Since, p.Before, q.Since, q.Before) {
				continue
			}
			if int(*p.Address) < int(*q.Address)+int(q.registers()) && int(*q.Address) < int(*p.Address)+int(p.registers()) {
				c.bad(fmt.Sprintf("points[%d].address", i), "%s %d to %d overlap points[%d] (%s), which begins at %d; one of the two has a wrong address or type",
					p.Table, *p.Address, int(*p.Address)+int(p.registers())-1, j, q.Name, *q.Address)
			}
		}
	}
}

// sums checks that what a sum and a direction name is there.
func (c *checker) sums() {
	named := func(name string) *Point {
		i := slices.IndexFunc(c.p.Points, func(p Point) bool { return p.Name == name })
		if i < 0 {
			return nil
		}
		return &c.p.Points[i]
	}
	for i, p := range c.p.Points {
		at := fmt.Sprintf("points[%d]", i)
		if n := p.NegativeIf; n != nil {
			by := named(n.Point)
			odd := slices.ContainsFunc(n.Bits, func(bit int) bool { return bit < 0 || bit > 15 })
			if by == nil || by.Address == nil || len(n.Is)+len(n.Bits) == 0 || odd {
				c.bad(at+".negative_if", "write point: the name of a point with a register, and is: the values, or bits: those from 0 to 15, at which this one is negative")
			}
		}
		for j, term := range p.Sum {
			part := named(strings.TrimPrefix(term, "-"))
			if part == nil || part.Address == nil || part.Unit != p.Unit {
				c.bad(fmt.Sprintf("%s.sum[%d]", at, j), "%.40q is no point with a register in %s", term, p.Unit)
			}
		}
	}
}

// vocabulary checks that each kind has what makes it one.
func (c *checker) vocabulary() {
	for _, k := range c.p.Kinds {
		for word, allowed := range vocabulary(k) {
			i := slices.IndexFunc(c.p.Points, func(p Point) bool { return p.is(k, word, len(c.p.Kinds)) })
			switch {
			case i < 0 && word == "power" && c.p.Reads != SunSpec && (k == Meter || k == Inverter || k == Battery):
				c.bad("points", "a %s has power; add a point of that name", k)
			case i >= 0 && allowed != nil && !slices.Contains(allowed, c.p.Points[i].Unit):
				c.bad(fmt.Sprintf("points[%d].unit", i), "%s is in %s", word, strings.Join(allowed, " or "))
			}
		}
	}
}

// is says whether the point is a word of the vocabulary for a kind.
func (p *Point) is(k Kind, word string, kinds int) bool {
	if p.Name == word {
		return kinds == 1 || slices.Contains(common, word)
	}
	return p.Name == string(k)+"."+word
}

func (c *checker) firmwareRange(since, before, at string) {
	if since == "" && before == "" {
		return
	}
	if !slices.ContainsFunc(c.p.Points, func(p Point) bool { return p.Name == "firmware" }) {
		c.bad(at+".since", "this needs a point named firmware to tell the version")
	}
	if since != "" && before != "" && compareVersions(since, before) >= 0 {
		c.bad(at+".before", "%.20q is not later than %.20q", before, since)
	}
}

// meet says whether two ranges of firmware have a version in common.
func meet(since1, before1, since2, before2 string) bool {
	return (before1 == "" || since2 == "" || compareVersions(since2, before1) < 0) &&
		(before2 == "" || since1 == "" || compareVersions(since1, before2) < 0)
}
