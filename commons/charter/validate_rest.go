// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Bounds of version 2 outside rounds.
const (
	MaxExpressions = 16
	maxBands       = 48
	maxLimits      = 20
	maxText        = 600     // characters of a jurisdiction's texts
	maxMinor       = 1 << 40 // of a contribution
)

// validateNew checks what only charters of version 2 have.
func (c *Charter) validateNew(p *Problems) {
	if c.RulesVersion != 2 {
		return
	}
	used := map[Name]bool{}
	c.validateSharing(p, &c.Sharing, "sharing", used)
	if g := c.Storage.GridCharging; g != "" {
		oneOf(p, "storage.grid_charging", g, GridCounts, GridForfeits)
		if c.Storage.Use != StorageShared {
			p.add("storage.grid_charging", "has no use while storage.use is %.40s; remove it, or write use: shared", c.Storage.Use)
		}
	}
	if c.Tariff != nil {
		c.validateTariff(p)
	}
	c.validateExpressions(p)
	if c.Island != nil {
		c.Island.validate(p, "island")
		c.validateSharing(p, c.Island, "island", used)
	}
	for i := range c.Expressions {
		if e := &c.Expressions[i]; e.Name != "" && !used[e.Name] {
			p.add(fmt.Sprintf("expressions[%d].name", i), "%.40q is used by no round; name it there (eligible, or weights.expression), or remove it", e.Name)
		}
	}
	if c.Jurisdiction != nil {
		c.Jurisdiction.validate(p)
		c.validateScheme(p)
	}
}

func (c *Charter) validateExpressions(p *Problems) {
	switch {
	case len(c.Expressions) > MaxExpressions:
		p.add("expressions", "has %d entries; at most %d are allowed", len(c.Expressions), MaxExpressions)
		return
	case len(c.Expressions) > 0 && c.WeightingPeriod == "":
		p.add("weighting_period", "is missing; write how long an expression's result stays: day, month or year")
	case len(c.Expressions) == 0 && c.WeightingPeriod != "":
		p.add("weighting_period", "has no use without expressions; remove it")
	case c.WeightingPeriod != "":
		validPeriod(p, "weighting_period", c.WeightingPeriod)
	}
	seen := map[Name]bool{}
	for i, e := range c.Expressions {
		at := fmt.Sprintf("expressions[%d]", i)
		if err := roll.CheckID(string(e.Name)); err != nil {
			p.add(at+".name", "%.300s", err)
		} else if seen[e.Name] {
			p.add(at+".name", "%q is another expression already; give each its own name", e.Name)
		}
		seen[e.Name] = true
		oneOf(p, at+".gives", e.Gives, GivesEligible, GivesWeight)
		switch {
		case strings.TrimSpace(e.CEL) == "":
			p.add(at+".cel", "is missing; write an expression such as member.since_days >= 90")
		case len(e.CEL) > MaxExpression:
			p.add(at+".cel", "is longer than %d bytes; say it shorter, or use groups", MaxExpression)
		case !utf8.ValidString(e.CEL):
			p.add(at+".cel", "is not UTF-8 text; save the file as UTF-8")
		}
	}
}

func (j *Jurisdiction) validate(p *Problems) {
	text := func(path, s string, most int, example string) {
		switch {
		case strings.TrimSpace(s) == "":
			p.add("jurisdiction."+path, "is missing; write it, such as %s", example)
		case !utf8.ValidString(s) || utf8.RuneCountInString(s) > most:
			p.add("jurisdiction."+path, "is longer than %d characters, or not UTF-8; shorten it", most)
		}
	}
	text("country", j.Country, 10, "AT or BE-VLG")
	text("source", j.Source, maxText, "the law and its article")
	text("operator_computes", j.OperatorComputes, maxText, "the binding shares of each quarter-hour")
	text("community_does", j.CommunityDoes, maxText, "hands in the keys and bills its members")
	if !isDate(j.Date) {
		p.add("jurisdiction.date", "%.40q is no date; write it as 2024-07-01", j.Date)
	}
	if len(j.Limits) > maxLimits {
		p.add("jurisdiction.limits", "has %d entries; at most %d are allowed", len(j.Limits), maxLimits)
		return
	}
	for i, l := range j.Limits {
		text(fmt.Sprintf("limits[%d]", i), l, maxText, "what the law rules out")
	}
}

// isDate says whether s is a day of the calendar, as 2024-02-29.
func isDate(s string) bool {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return false
	}
	century, year, month, day := two(s[:2]), two(s[2:4]), two(s[5:7]), two(s[8:])
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if y := century*100 + year; month == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		days++
	}
	return day <= days
}
