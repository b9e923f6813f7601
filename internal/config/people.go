// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"net/url"

	"github.com/allmende-energy/allmende/internal/settings"
)

// People is who may look, and how she gets here.
type People struct {
	Visitors     Visitors
	MinAggregate int
	Address      string // of the page as people type it; empty: it follows from the listener
}

// Visitors are callers without an account.
type Visitors string

// What visitors may.
const (
	VisitorsNone Visitors = "none"
	VisitorsLook Visitors = "visitor"
)

const mostAggregate = 1_000

func peoplePart(s *Serve) settings.Part {
	p := &s.People
	return settings.Part{
		Title: "People",
		Intro: "Who may see and do what stands in docs/access.md. Accounts are kept in the database: see docs/people.md.",
		Keys: []settings.Key{
			{
				Name: "people.address", Value: settings.URL(&p.Address, "http", "https"), Example: "https://sun.example.org",
				Help: "The address of the page as people type it, for the links in invitations. Where it begins with https, browsers send their cookies over TLS alone, so write it where a web server with TLS stands in front. Without it, links lead to the first of http.names, or to this computer.",
			},
			{
				Name: "people.min_aggregate", Value: settings.Number(&p.MinAggregate, 1, mostAggregate), Default: "5", Example: "8",
				Help: "How many members stand behind a total, at least, before others than the treasurer see it. Behind a total over fewer, each could work out what single neighbours do. Make it smaller only if all who are concerned have agreed.",
			},
			{
				Name: "people.visitors", Value: settings.Choice(&p.Visitors, VisitorsNone, VisitorsLook), Default: string(VisitorsLook), Example: string(VisitorsNone),
				Help: "Whether somebody without an account may look around in a simulated world, such as the demo's (visitor), or not (none). In service nobody may, whatever stands here.",
			},
		},
		Check: func(report settings.Report) {
			if u, err := url.Parse(p.Address); p.Address != "" && (err != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "") {
				report("people.address", "%.80q holds more than an address: write it without a path, such as https://sun.example.org", p.Address)
			}
		},
	}
}
