// SPDX-License-Identifier: AGPL-3.0-or-later

package roster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/roster"
	"github.com/allmende-energy/allmende/coordinator/sheet"
	"github.com/allmende-energy/allmende/energy"
)

const from = energy.Instant(1_780_012_800_000) // 2026-05-29T00:00:00Z

// lane is a register that a roster meets: Anna has a place, Ben has two.
func lane() roll.Community {
	c := roll.Community{
		ID: "lane", Name: "Lane", Timezone: "Europe/Vienna",
		Members:     []roll.Member{{ID: "anna", Name: "Anna", Groups: []roll.Group{"families"}}, {ID: "ben"}},
		Connections: []roll.Connection{{ID: "village", Kind: roll.PublicGrid}},
		Gateways:    []roll.Gateway{{ID: "gw"}, {ID: "gw-2"}},
	}
	for _, s := range []struct {
		site   roll.SiteID
		member roll.MemberID
	}{{"anna-home", "anna"}, {"ben-a", "ben"}, {"ben-b", "ben"}} {
		c.Sites = append(c.Sites, roll.Site{ID: s.site, Member: s.member, Connection: "village"})
		c.Assets = append(c.Assets, roll.Asset{ID: roll.AssetID(s.site + "-meter"), Kind: roll.Meter, Site: s.site, Gateway: "gw"})
	}
	return c
}

func read(t *testing.T, csv string, c roll.Community) (roster.Roster, sheet.Problems) {
	t.Helper()
	table, err := sheet.Read("m.csv", []byte(csv))
	if err != nil {
		t.Fatal(err)
	}
	return roster.Read(table, c, from)
}

// changed says the changes of a roster in one line each.
func changed(r roster.Roster) string {
	var out []string
	for _, c := range r.Changes {
		out = append(out, fmt.Sprintf("%s %s %v", c.Op, c.Entry.Ref(), c.Fields))
	}
	return strings.Join(out, "\n")
}

func TestWhatARosterSays(t *testing.T) {
	for _, c := range []struct{ name, csv, want string }{
		{"a member", "Member-ID,Full Name,Gruppen\nclara,Clara,families early\n", "add member clara []"},
		{"with a site and a meter", "mitglied;Anschluss;gateway\nclara;village;gw\n", "add member clara []\nadd site clara []\nadd asset clara-meter []"},
		{"with an inverter", "member,site,connection,meter,inverter,gateway\nclara,home,village,m1,roof,gw\n", "add member clara []\nadd site home []\nadd asset m1 []\nadd asset roof []"},
		{"two sites", "member,name,site,connection,gateway\nclara,C,a,village,gw\nclara,C,b,village,gw-2\n", "add member clara []\nadd site a []\nadd asset a-meter []\nadd site b []\nadd asset b-meter []"},
		{"nothing new", "member,name,groups,connection,gateway\nanna,Anna,families,village,gw\n", ""},
		{"empty cells say nothing", "member,name,groups,#phone\nanna,,,123\nben,,,\n", ""},
		{"another name, no group", "member,name,groups\nanna,Anna B.,-\n", "change member anna [name groups]"},
		{"a decimal comma", "member;connection;latitude;longitude\nanna;village;48,2;16,3\n", "change site anna-home [latitude longitude]"},
		{"another gateway", "member,site,gateway\nben,ben-b,gw-2\n", "change asset ben-b-meter [gateway]"},
		{"a tenant", "member,site,connection,owner\nclara,anna-home,village,-\n", "add member clara []\nchange site anna-home [member]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, found := read(t, c.csv, lane())
			if len(found) > 0 || changed(r) != c.want {
				t.Errorf("%v\n%s\nexpected\n%s", found, changed(r), c.want)
			}
		})
	}
}

func TestEveryProblemIsTold(t *testing.T) {
	_, found := read(t, strings.Join([]string{
		"Mitglied,name,phone,Site,connection,latitude,meter,gateway,groups", // 1
		"Anna,x,,,,,,,",                            // 2
		",nobody,,,,,,,",                           // 3
		"clara,,,,nowhere,,,,",                     // 4: no gateway
		"clara,C,,,village,1e5,,gw,",               // 5: latitude, another connection
		"ben,,,,village,,,,",                       // 6: which site
		"dora,,,,,48.2,,,",                         // 7: of what
		"anna,,,anna-home,,,other,gw,",             // 8: exchange
		"eva,,,eva,village,,anna-home-meter,gw,Ü!", // 9: group; a meter that is elsewhere
		"-,,,,,,,,",                                // 10
	}, "\n"), lane())
	want := []struct {
		row      int
		col, say string
	}{
		{1, "phone", "no such column"},
		{2, "Mitglied", "lower-case"},
		{3, "Mitglied", "missing"},
		{4, "gateway", "missing"},
		{5, "connection", "row 4 says"},
		{5, "latitude", "decimal degrees"},
		{6, "Site", "ben-a, ben-b"},
		{7, "latitude", "has none yet"},
		{8, "meter", "--replaces anna-home-meter"},
		{9, "groups", "lower-case"},
		{10, "Mitglied", "takes nothing away"},
	}
	for _, w := range want {
		hit := false
		for _, p := range found {
			hit = hit || p.Row == w.row && p.Column == w.col && strings.Contains(p.Reason, w.say)
		}
		if !hit {
			t.Errorf("row %d, %s: nothing about %q", w.row, w.col, w.say)
		}
	}
	if t.Failed() {
		t.Logf("\n%v", found)
	}
}

// TestTwiceIsOnce: what was done is not done again, and what the register's
// rules find wrong is told by row and column.
func TestTwiceIsOnce(t *testing.T) {
	const csv = "member,name,groups,site,connection,latitude,longitude,meter,inverter,gateway,owner\n" +
		"clara,Clara,families,,village,48.2,16.3,,clara-roof,gw,\n" +
		"anna,Anna A.,-,,,,,,,gw-2,-\n"
	h := roll.Found(lane(), from)
	r, found := read(t, csv, h.At(from))
	if len(found) > 0 {
		t.Fatal(found)
	}
	p, err := h.Plan(r.Changes, roll.Rules{Interval: energy.QuarterHour})
	if err != nil {
		t.Fatal(err)
	}
	if r.Added != 4 || r.Changed != 2 || r.Unchanged != 1 {
		t.Errorf("%d new, %d different, %d the same", r.Added, r.Changed, r.Unchanged)
	}
	again, found := read(t, csv, p.History.At(from))
	if len(found) > 0 || len(again.Changes) != 0 {
		t.Errorf("a second time: %v\n%s", found, changed(again))
	}
	bad, found := read(t, "member,Anschluss,gateway\nclara,nowhere,gw-9\n", lane())
	if len(found) > 0 {
		t.Fatal(found)
	}
	_, err = h.Plan(bad.Changes, roll.Rules{Interval: energy.QuarterHour})
	located := bad.Locate(err)
	if len(located) != 2 || located[0].Row != 2 || located[0].Column != "Anschluss" || located[1].Column != "gateway" {
		t.Errorf("%+v", located)
	}
}

func TestTemplateIsRead(t *testing.T) {
	for _, name := range []string{"m.csv", "m.xlsx"} {
		content, err := sheet.Write(name, roster.Template())
		if err != nil {
			t.Fatal(err)
		}
		table, err := sheet.Read(name, content)
		if err != nil {
			t.Fatal(err)
		}
		if r, found := roster.Read(table, roll.Community{}, from); len(found) > 0 || r.Added != 4 {
			t.Errorf("%s: %v, %d new", name, found, r.Added)
		}
	}
}
