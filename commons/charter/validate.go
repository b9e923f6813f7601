// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Bounds of a charter. They are far from what a community needs and keep every
// loop over a charter short.
const (
	MaxRounds     = 16
	MaxGroups     = 32 // named by one round
	maxName       = 120
	maxSummary    = 2000
	maxPriceMicro = 1_000_000 * 1_000_000 // a million minor units per kWh

	minSettleAfter = energy.Minute
	maxSettleAfter = 40 * energy.Day // how long a gateway keeps what it has delivered
)

// Problem is one thing that keeps a charter from being valid.
type Problem struct {
	Path    string // of the field, such as "sharing.rounds[0].method"
	Message string // what is wrong and what to write instead
}

func (p Problem) String() string { return p.Path + ": " + p.Message }

// Problems is the error of [Charter.Validate]: all problems at once, in the order of the fields.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return "invalid charter: " + strings.Join(lines, "; ")
}

func (p *Problems) add(path, format string, args ...any) {
	*p = append(*p, Problem{path, fmt.Sprintf(format, args...)})
}

// Validate says whether the charter can be put in force by this program. Its
// error is a [Problems], which names each field and what to write.
func (c *Charter) Validate() error {
	var p Problems
	c.validateHead(&p)
	c.validatePrice(&p)
	c.Sharing.validate(&p, "sharing")
	c.Residual.validate(&p)
	oneOf(&p, "storage.use", c.Storage.Use, StorageNone, StorageShared)
	c.validateEdition(&p)
	c.validateNew(&p)
	if len(p) > 0 {
		return p
	}
	return nil
}

func (c *Charter) validateHead(p *Problems) {
	if c.Charter != Format {
		p.add("charter", "%s; write %s, the format that this program reads", got(c.Charter), Format)
	}
	validateLine(p, "name", c.Name)
	switch {
	case !utf8.ValidString(c.Summary):
		p.add("summary", "is not UTF-8 text; save the file as UTF-8")
	case utf8.RuneCountInString(c.Summary) > maxSummary:
		p.add("summary", "is longer than %d characters; keep to what a neighbour reads in a minute", maxSummary)
	}
	switch {
	case c.RulesVersion < 1:
		p.add("rules_version", "write %d, the newest that this program knows", RulesVersion)
	case c.RulesVersion > RulesVersion:
		p.add("rules_version", "%d is newer than this program, which knows up to %d; update the program, or write %d", c.RulesVersion, RulesVersion, RulesVersion)
	}
	if c.Interval != 15*energy.Minute && c.Interval != energy.Hour {
		p.add("interval", "%s; write 15m or 1h", gotSpan(c.Interval))
	}
	if c.SettleAfter < minSettleAfter || c.SettleAfter > maxSettleAfter {
		p.add("settle_after", "%s; write a time from 1m to %dh, such as 24h", gotSpan(c.SettleAfter), maxSettleAfter/energy.Hour)
	}
}

func (c *Charter) validatePrice(p *Problems) {
	const example = "write it as \"12.5 ct/kWh EUR\" or \"0.125 EUR/kWh\""
	if c.Currency == "" {
		p.add("currency", "is missing; write an ISO 4217 code such as EUR")
	} else if _, err := energy.ParsePrice("0 " + string(c.Currency) + "/kWh"); err != nil {
		p.add("currency", "%.40q is not a currency that this program knows; write an ISO 4217 code such as EUR or CHF", string(c.Currency))
		return
	}
	again, err := energy.ParsePrice(c.Price.String())
	switch {
	case c.Price == energy.Price{}:
		p.add("price", "is missing; %s (0 ct/kWh EUR makes shared energy free)", example)
	case err != nil || again != c.Price:
		p.add("price", "has an unknown currency; %s", example)
	case c.Price.Micro < 0:
		p.add("price", "is negative; %s", example)
	case c.Price.Micro > maxPriceMicro:
		p.add("price", "is over a million per kWh; %s", example)
	case c.Currency != "" && c.Price.Currency != c.Currency:
		p.add("price", "is in %s, but currency says %s; use one currency in both", c.Price.Currency, c.Currency)
	}
}

func (s *Sharing) validate(p *Problems, base string) {
	oneOf(p, base+".exporting_sites", s.ExportingSites, ExportersReceive, ExportersWait, ExportersOthers)
	switch {
	case len(s.Rounds) == 0:
		p.add(base+".rounds", "is empty; write at least one round with a name and a method")
	case len(s.Rounds) > MaxRounds:
		p.add(base+".rounds", "has %d rounds; at most %d are allowed, so merge some", len(s.Rounds), MaxRounds)
		return
	}
	names := make(map[string]int, len(s.Rounds))
	for i := range s.Rounds {
		r, path := &s.Rounds[i], fmt.Sprintf("%s.rounds[%d]", base, i)
		r.validate(p, path)
		if first, taken := names[r.Name]; taken && r.Name != "" {
			p.add(path+".name", "%.40q is also the name of round %d; give each round its own", r.Name, first+1)
		} else {
			names[r.Name] = i
		}
	}
}

func (r *Round) validate(p *Problems, path string) {
	validateLine(p, path+".name", r.Name)
	oneOf(p, path+".method", r.Method, Methods()...)
	if len(r.Groups) > MaxGroups {
		p.add(path+".groups", "names %d groups; at most %d are allowed", len(r.Groups), MaxGroups)
		return
	}
	seen := make(map[roll.Group]bool, len(r.Groups))
	for j, g := range r.Groups {
		at := fmt.Sprintf("%s.groups[%d]", path, j)
		if err := roll.CheckID(string(g)); err != nil {
			p.add(at, "%.300s", err)
		} else if seen[g] {
			p.add(at, "%q is named twice; remove one", g)
		}
		seen[g] = true
	}
	if r.Cap != nil && *r.Cap <= 0 {
		p.add(path+".cap", "%s lets nobody have anything; write a positive number of kWh, or leave cap out", *r.Cap)
	}
}

func (r *Residual) validate(p *Problems) {
	oneOf(p, "residual.by", r.By, ResidualEqual, ResidualProportional, ResidualMember)
	if r.By != ResidualMember {
		if r.Member != "" {
			p.add("residual.member", "has no use here; remove it, or write by: member")
		}
		return
	}
	if r.Member == "" {
		p.add("residual.member", "is missing; write the id of the member who bears the residual")
	} else if err := roll.CheckID(string(r.Member)); err != nil {
		p.add("residual.member", "%.300s", err)
	}
}

// oneOf checks a word against the words that are allowed.
func oneOf[W ~string](p *Problems, path string, word W, allowed ...W) {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if word == a {
			return
		}
		names[i] = string(a)
	}
	last := len(names) - 1
	p.add(path, "%s; write %s or %s", got(string(word)), strings.Join(names[:last], ", "), names[last])
}

// validateLine checks a name that stands on one line of a page.
func validateLine(p *Problems, path, s string) {
	switch {
	case strings.TrimSpace(s) == "":
		p.add(path, "is missing; write a short name")
	case !utf8.ValidString(s):
		p.add(path, "is not UTF-8 text; save the file as UTF-8")
	case utf8.RuneCountInString(s) > maxName:
		p.add(path, "is longer than %d characters; shorten it", maxName)
	case s != strings.TrimSpace(s) || strings.ContainsFunc(s, unicode.IsControl):
		p.add(path, "has space around it, a line break or a control character; write it on one line")
	}
}

// got begins a problem with what stands there now.
func got(s string) string {
	if s == "" {
		return "is missing"
	}
	return fmt.Sprintf("%.40q is not allowed here", s)
}

func gotSpan(s energy.Span) string {
	if s == 0 {
		return "is missing"
	}
	text := s.String() // such as 10m0s
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text + " is not allowed here"
}
