// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// scheme is what the program knows of a jurisdiction's rule: what a charter that
// names it may say. A field that is zero asks nothing.
type scheme struct {
	name     string
	country  string
	methods  []Method // those that the operator runs
	rounds   int      // at most
	interval energy.Span
	// plain: the operator computes and knows nothing of our groups, caps, offers,
	// reserves or markets; a charter that has them would promise what does not happen.
	plain      bool
	exporters  []ExportRule
	decimals   int  // of a key's percent; 0: the four that a charter has
	whole      bool // the keys of a source add up to 100 % exactly
	sources    int  // that one member may have keys to
	passes     int  // at most
	meters     int  // of a group that goes round more than once, at most
	cut        bool // Rounding is 0.01 kWh, floor
	factors    bool // participation in whole percent
	alone      bool // a meter is in one community only
	attributed bool // sources in an order
	renewable  bool // storage forfeits by charging from the grid
	free       bool // the energy itself may not be sold to members
}

// schemes are all that a charter may name, in the order of their countries.
func schemes() []scheme {
	const quarter, hour = energy.QuarterHour, energy.Hour
	return []scheme{
		{name: "at-dynamic", country: "AT", methods: []Method{Proportional}, rounds: 1, interval: quarter, plain: true, factors: true},
		{name: "at-static", country: "AT", methods: []Method{Static}, rounds: 1, interval: quarter, plain: true, factors: true},
		{name: "be-brussels", country: "BE-BRU", methods: []Method{Static, Passes, Proportional}, rounds: 2, interval: quarter, plain: true},
		{name: "be-flanders", country: "BE-VLG", methods: []Method{Static, Proportional, Pairs}, rounds: 2, interval: quarter, plain: true, exporters: []ExportRule{ExportersOthers, ExportersWait}, free: true},
		{name: "ch-leg", country: "CH", interval: quarter, alone: true},
		{name: "cz-edc", country: "CZ", methods: []Method{Passes}, rounds: 1, interval: quarter, plain: true, decimals: 2, sources: 5, passes: 5, meters: 50, cut: true, alone: true},
		{name: "de-42c", country: "DE", interval: quarter, renewable: true},
		{name: "de-ggv-constant", country: "DE", methods: []Method{Static}, rounds: 1, interval: quarter, plain: true},
		{name: "de-ggv-proportional", country: "DE", methods: []Method{Proportional}, rounds: 1, interval: quarter, plain: true},
		{name: "es-beta", country: "ES", methods: []Method{Static}, rounds: 1, interval: hour, plain: true, whole: true},
		{name: "fr-default", country: "FR", methods: []Method{Proportional}, rounds: 1, interval: quarter, plain: true},
		{name: "fr-full-dynamic", country: "FR", methods: []Method{Pairs}, rounds: 1, interval: quarter},
		{name: "fr-simple-dynamic", country: "FR", methods: []Method{Equal, Proportional, Static, Weighted, Priority}, interval: quarter},
		{name: "fr-static", country: "FR", methods: []Method{Static}, rounds: 1, interval: quarter, plain: true},
		{name: "it-cer", country: "IT", methods: []Method{Proportional}, rounds: 1, interval: hour, plain: true, attributed: true},
		{name: "lu-percentage", country: "LU", methods: []Method{Static, Passes}, rounds: 1, interval: quarter, plain: true},
		{name: "lu-priority", country: "LU", methods: []Method{Priority}, rounds: 1, interval: quarter, plain: true},
		{name: "lu-proportional", country: "LU", methods: []Method{Proportional}, rounds: 1, interval: quarter, plain: true},
		{name: "pt-dynamic", country: "PT", interval: quarter, exporters: []ExportRule{ExportersWait}},
		{name: "pt-fixed", country: "PT", methods: []Method{Static}, rounds: 1, interval: quarter, plain: true, exporters: []ExportRule{ExportersWait}},
		{name: "pt-proportional", country: "PT", methods: []Method{Proportional}, rounds: 1, interval: quarter, plain: true, exporters: []ExportRule{ExportersWait}},
		{name: "sk-okte", country: "SK", methods: []Method{Static, Proportional, Priority}, interval: quarter},
		{name: "us-md", country: "US-MD", methods: []Method{Static}, rounds: 1, interval: hour, plain: true},
	}
}

// placeOf is how people call where a rule holds.
func placeOf(country string) string {
	switch country {
	case "AT":
		return "Austria"
	case "BE-BRU":
		return "Brussels"
	case "BE-VLG":
		return "Flanders"
	case "CH":
		return "Switzerland"
	case "CZ":
		return "Czechia"
	case "DE":
		return "Germany"
	case "ES":
		return "Spain"
	case "FR":
		return "France"
	case "IT":
		return "Italy"
	case "LU":
		return "Luxembourg"
	case "PT":
		return "Portugal"
	case "SK":
		return "Slovakia"
	case "US-MD":
		return "Maryland"
	}
	return country
}

// Schemes are the names of the rules of law that a charter may say it follows.
func Schemes() []string {
	all := schemes()
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name
	}
	return names
}

// validateScheme refuses a charter that exceeds the rule it says it follows.
func (c *Charter) validateScheme(p *Problems) {
	all := schemes()
	i := slices.IndexFunc(all, func(s scheme) bool { return s.name == c.Jurisdiction.Scheme })
	if i < 0 {
		p.add("jurisdiction.scheme", "%s; write one of %s", got(c.Jurisdiction.Scheme), strings.Join(Schemes(), ", "))
		return
	}
	l := limits{&all[i], c, p}
	if l.country != c.Jurisdiction.Country {
		p.add("jurisdiction.country", "%s is a rule of %s; write %s, or name another scheme", l.name, l.country, l.country)
	}
	if l.interval != 0 && c.Interval != l.interval {
		p.add("interval", "%s counts in intervals of %s; write that, or remove the jurisdiction", l.name, slotSpan(l.interval))
	}
	l.sharing()
	for i := range c.Sharing.Rounds {
		l.round(&c.Sharing.Rounds[i], fmt.Sprintf("sharing.rounds[%d]", i))
	}
}

func slotSpan(s energy.Span) string {
	if s == energy.Hour {
		return "1h"
	}
	return "15m"
}

// limits checks one charter against one scheme.
type limits struct {
	*scheme
	charter *Charter
	p       *Problems
}

func (l limits) exceeds(path, format string, args ...any) {
	l.p.add(path, "exceeds the rule "+l.name+": "+format+", or remove the jurisdiction if you share by your own rule", args...)
}

func (l limits) sharing() {
	s := &l.charter.Sharing
	if l.rounds > 0 && len(s.Rounds) > l.rounds {
		l.exceeds("sharing.rounds", "it has at most %d, this charter has %d; merge some", l.rounds, len(s.Rounds))
	}
	if len(l.exporters) > 0 && !slices.Contains(l.exporters, s.ExportingSites) {
		why := "a site that feeds in cannot receive at that moment"
		if slices.Contains(l.exporters, ExportersOthers) {
			why = "nobody shares within one connection point"
		}
		l.exceeds("sharing.exporting_sites", "%s; write %s", why, l.exporters[0])
	}
	if l.free && l.charter.Price.Micro > 0 {
		l.exceeds("price", "members may not be charged for the energy itself; write 0 ct/kWh %s", l.charter.Currency)
	}
	if l.plain && len(s.Reserve) > 0 {
		l.exceeds("sharing.reserve", "whoever computes the shares holds nothing back; remove it")
	}
	if l.plain && s.Market != nil {
		l.exceeds("sharing.market", "whoever computes the shares knows no bids; remove it")
	}
	if l.cut && (s.Rounding == nil || s.Rounding.Unit != 10*energy.WattHour || s.Rounding.Mode != Floor) {
		l.exceeds("sharing.rounding", "the keyed part is cut to 0.01 kWh; write unit: 0.01 and mode: floor")
	}
	if l.attributed && s.Attribution != AttributeListed {
		l.exceeds("sharing.attribution", "what is shared is the older plant's first; list the sources in their order and write attribution: listed")
	}
	if l.renewable && l.charter.Storage.Use == StorageShared && l.charter.Storage.GridCharging != GridForfeits {
		l.exceeds("storage.grid_charging", "only storage that is filled with renewable energy takes part; write forfeits")
	}
	if l.alone && len(s.Participation) > 0 {
		l.exceeds("sharing.participation", "a meter is in one community only, with all that it measures; remove it")
	}
	for i, f := range s.Participation {
		if l.factors && f.Percent%(Whole/100) != 0 {
			l.exceeds(fmt.Sprintf("sharing.participation[%d].percent", i), "factors are whole percentages; write %d", int64(f.Percent)/(Whole/100))
		}
	}
}

func (l limits) round(r *Round, path string) {
	if len(l.methods) > 0 && !slices.Contains(l.methods, r.Method) {
		names := make([]string, len(l.methods))
		for i, m := range l.methods {
			names[i] = string(m)
		}
		l.exceeds(path+".method", "it shares by %s; write that", strings.Join(names, " or "))
	}
	if l.plain {
		l.plainRound(r, path)
	}
	if l.passes > 0 && r.Passes > l.passes {
		l.exceeds(path+".passes", "there are at most %d; lower it", l.passes)
	}
	// A member and a source have a meter each, at least.
	if n := len(r.Keys) + len(l.charter.Sharing.Sources); l.meters > 0 && n > l.meters && r.Passes != 1 {
		l.exceeds(path+".passes", "a group of more than %d meters goes round once, and this one has %d; write passes: 1", l.meters, n)
	}
	sums := map[Name]Percent{}
	for i, mk := range r.Keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		if l.sources > 0 && len(mk.Keys) > l.sources {
			l.exceeds(at+".keys", "a member has keys to at most %d sources, not %d; remove some", l.sources, len(mk.Keys))
		}
		for j, key := range mk.Keys {
			sums[key.Source] = min(sums[key.Source]+max(key.Percent, 0), 10*Whole)
			if l.decimals == 2 && key.Percent%100 != 0 {
				l.exceeds(fmt.Sprintf("%s.keys[%d].percent", at, j), "keys have two decimals; write %s", key.Percent/100*100)
			}
		}
	}
	if !l.whole {
		return
	}
	switch {
	case r.Weights != nil:
		l.exceeds(path+".weights", "the operator takes coefficients; write keys that add up to 100")
	case len(r.Keys) > 0 && sums[""] != Whole:
		l.exceeds(path+".keys", "they must add up to exactly 100 %%, and add up to %s; change some", sums[""])
	}
}

func (l limits) plainRound(r *Round, path string) {
	for _, x := range []struct {
		field string
		used  bool
	}{
		{"groups", len(r.Groups) > 0}, {"tags", len(r.Tags) > 0}, {"eligible", r.Eligible != ""},
		{"cap", r.Cap != nil}, {"cap_period", r.CapPeriod != nil}, {"offer", r.Offer != nil},
	} {
		if x.used {
			l.exceeds(path+"."+x.field, "whoever computes the shares does not know it; remove it")
		}
	}
}
