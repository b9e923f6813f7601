// SPDX-License-Identifier: AGPL-3.0-or-later

// Package roster reads a list of members, their sites and meters from a
// spreadsheet, compares it with the register, and says what would have to change
// and what is wrong. It takes nobody out: who is not in the list stays.
//
// An empty cell says nothing and changes nothing. A "-" says that there is none.
package roster

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/sheet"
	"github.com/allmende-energy/allmende/energy"
)

// none is what a cell says that takes something away.
const none = "-"

// Roster is what came of a spreadsheet.
type Roster struct {
	Changes []roll.Change
	Rows    int // of the file
	// Of the entries that it names: members, sites, meters and inverters.
	Added, Changed, Unchanged int

	rows map[roll.Ref]place
}

// place is where an entry came from.
type place struct {
	row     int
	columns map[string]string // field → the column's name in the file
}

// Read compares a table with the register in force at an instant, and returns
// the changes from then on that make the register say what the table says. Where
// there are problems, the changes are those of the rows without.
func Read(t sheet.Table, present roll.Community, from energy.Instant) (Roster, sheet.Problems) {
	h, found := readHeader(t.Header)
	if _, there := h.at["member"]; !there {
		return Roster{}, found
	}
	r := reader{
		header: h, found: found, from: from, have: map[roll.Ref]roll.Entry{}, want: map[roll.Ref]roll.Entry{}, sites: map[roll.MemberID][]string{},
		out: Roster{Rows: len(t.Rows), rows: map[roll.Ref]place{}},
	}
	for _, e := range present.Entries() {
		r.have[e.Ref()] = e
	}
	for i := range present.Assets {
		if a := &present.Assets[i]; a.Kind == roll.Meter && a.Site != "" {
			r.meterOf(a.Site, a.ID)
		}
	}
	for i := range present.Sites {
		s := &present.Sites[i]
		r.sites[s.Member] = append(r.sites[s.Member], string(s.ID))
	}
	for _, row := range t.Rows {
		r.row(row)
	}
	r.compare()
	return r.out, r.found
}

// reader goes through a table.
type reader struct {
	header
	from   energy.Instant
	have   map[roll.Ref]roll.Entry // in the register
	want   map[roll.Ref]roll.Entry // as the table has it
	order  []roll.Ref
	meters map[roll.SiteID]roll.AssetID // in the register
	sites  map[roll.MemberID][]string   // in the register
	out    Roster
	found  sheet.Problems
}

func (r *reader) meterOf(site roll.SiteID, meter roll.AssetID) {
	if r.meters == nil {
		r.meters = map[roll.SiteID]roll.AssetID{}
	}
	r.meters[site] = meter
}

func (r *reader) addf(row sheet.Row, column, format string, args ...any) {
	if column != "" {
		column = r.column(column)
	}
	r.found = append(r.found, sheet.Problem{Row: row.Number, Column: column, Reason: fmt.Sprintf(format, args...)})
}

// id reads a cell that holds an id.
func (r *reader) id(row sheet.Row, column string) (string, bool) {
	v := r.cell(row, column)
	if v == "" || v == none {
		return v, true
	}
	if err := roll.CheckID(v); err != nil {
		r.addf(row, column, "%v", err)
		return "", false
	}
	return v, true
}

// row reads a member with what stands beside her.
func (r *reader) row(row sheet.Row) {
	before := len(r.found)
	ids := map[string]string{}
	for _, column := range []string{"member", "site", "connection", "meter", "inverter", "gateway", "owner"} {
		v, ok := r.id(row, column)
		if !ok {
			continue
		}
		if v == none && column != "owner" {
			r.addf(row, column, "- takes nothing away here: leave the cell empty, and retire what has gone with `allmende member|site|asset retire`")
		}
		ids[column] = v
	}
	if ids["member"] == "" && len(r.found) == before {
		r.addf(row, "member", "missing: write the member's id, such as anna")
	}
	if len(r.found) > before {
		return
	}
	r.member(row, roll.MemberID(ids["member"]))
	if ids["site"] == "" && ids["connection"] == "" && ids["meter"] == "" && ids["inverter"] == "" {
		about := ""
		for _, column := range []string{"latitude", "longitude", "gateway", "owner"} {
			if about == "" && r.cell(row, column) != "" {
				about = column
			}
		}
		switch {
		case about == "":
			return // a member and nothing else
		case len(r.sites[roll.MemberID(ids["member"])]) == 0:
			r.addf(row, about, "it belongs to a site, and %s has none yet: write the connection of a new one", ids["member"])
			return
		}
	}
	r.site(row, ids)
}

// entry is what the table says of an entry so far, beginning with the register;
// isNew says that the register has none.
func (r *reader) entry(row sheet.Row, ref roll.Ref) (e roll.Entry, isNew, again bool) {
	_, there := r.have[ref]
	if e, again = r.want[ref]; again {
		return e, !there, true
	}
	e = roll.Named(ref)
	if there {
		e = r.have[ref].With(roll.Entry{}, nil) // a copy
	}
	r.want[ref], r.out.rows[ref] = e, place{row.Number, map[string]string{}}
	r.order = append(r.order, ref)
	return e, !there, false
}

// set writes a field from a column, and refuses another value than an earlier
// row of the same entry had.
func (r *reader) set(row sheet.Row, ref roll.Ref, column, field, want, have string, write func()) {
	p := r.out.rows[ref]
	if _, said := p.columns[field]; said {
		if want != have {
			r.addf(row, column, "%q, but row %d says %q of %s: write the same in both, or leave one of the cells empty", clip(want), p.row, clip(have), ref)
		}
		return
	}
	p.columns[field] = r.column(column)
	write()
}

func (r *reader) member(row sheet.Row, id roll.MemberID) {
	ref := roll.Ref{Kind: roll.KindMember, ID: string(id)}
	e, _, _ := r.entry(row, ref)
	m := e.Member
	if name := r.cell(row, "name"); name != "" {
		if name == none {
			name = ""
		}
		r.set(row, ref, "name", roll.FieldName, name, m.Name, func() { m.Name = name })
	}
	cell := r.cell(row, "groups")
	if cell == "" {
		return
	}
	var groups []roll.Group
	if cell != none {
		for _, g := range strings.FieldsFunc(cell, func(c rune) bool { return c == ' ' || c == ',' || c == ';' }) {
			if err := roll.CheckID(g); err != nil {
				r.addf(row, "groups", "%v", err)
				return
			}
			groups = append(groups, roll.Group(g))
		}
	}
	r.set(row, ref, "groups", roll.FieldGroups, join(groups), join(m.Groups), func() { m.Groups = groups })
}

func join(groups []roll.Group) string {
	var out []string
	for _, g := range groups {
		out = append(out, string(g))
	}
	return strings.Join(out, " ")
}

func (r *reader) site(row sheet.Row, ids map[string]string) {
	id := ids["site"]
	if here := r.sites[roll.MemberID(ids["member"])]; id == "" && len(here) == 1 {
		id = here[0]
	} else if id == "" && len(here) > 1 {
		r.addf(row, "site", "missing: %s has the sites %s, so write which one is meant", ids["member"], strings.Join(here, ", "))
		return
	}
	if id == "" {
		id = ids["member"]
	}
	ref := roll.Ref{Kind: roll.KindSite, ID: id}
	e, isNew, again := r.entry(row, ref)
	s := e.Site
	if again && string(s.Member) != ids["member"] {
		r.addf(row, "site", "row %d gives this site to member %q: give each its own", r.out.rows[ref].row, s.Member)
		return
	}
	s.Member = roll.MemberID(ids["member"])
	r.out.rows[ref].columns[roll.FieldMember] = r.column("member")
	switch {
	case ids["connection"] != "":
		r.set(row, ref, "connection", roll.FieldConnection, ids["connection"], string(s.Connection), func() { s.Connection = roll.ConnectionID(ids["connection"]) })
	case isNew && s.Connection == "":
		r.addf(row, "connection", "missing: site %s is new, so write under which connection it hangs (allmende connection list)", id)
	}
	r.degrees(row, ref, "latitude", roll.FieldLatitude, &s.Latitude)
	r.degrees(row, ref, "longitude", roll.FieldLongitude, &s.Longitude)
	r.devices(row, ids, roll.SiteID(id), isNew)
}

// degrees reads a coordinate; it may have a decimal comma.
func (r *reader) degrees(row sheet.Row, ref roll.Ref, column, field string, into *string) {
	switch v := strings.Replace(r.cell(row, column), ",", ".", 1); v {
	case "":
	case none:
		r.set(row, ref, column, field, "", *into, func() { *into = "" })
	default:
		if _, err := energy.ParseKWh(v); err != nil { // exact decimals with at most six places
			r.addf(row, column, "%q is not decimal degrees: write it as 48.2082, at most six decimals", clip(v))
			return
		}
		r.set(row, ref, column, field, v, *into, func() { *into = v })
	}
}

// devices reads the meter of a site, and an inverter.
func (r *reader) devices(row sheet.Row, ids map[string]string, site roll.SiteID, isNew bool) {
	meter := ids["meter"]
	if meter == "" && isNew && r.meters[site] == "" {
		meter = string(site) + "-meter"
	}
	if meter == "" && (ids["gateway"] != "" || ids["owner"] != "") {
		meter = string(r.meters[site]) // what the row says is about the meter that is there
	}
	if old := r.meters[site]; old != "" && meter != "" && meter != string(old) {
		r.addf(row, "meter", "site %s has the meter %s: exchange it with `allmende asset add %s --replaces %s`", site, old, meter, old)
		return
	}
	if meter != "" {
		r.meterOf(site, roll.AssetID(meter))
		r.device(row, ids, site, "meter", meter, roll.Meter)
	}
	if ids["inverter"] != "" {
		r.device(row, ids, site, "inverter", ids["inverter"], roll.Inverter)
	}
}

func (r *reader) device(row sheet.Row, ids map[string]string, site roll.SiteID, column, id string, kind roll.AssetKind) {
	ref := roll.Ref{Kind: roll.KindAsset, ID: id}
	e, isNew, again := r.entry(row, ref)
	a := e.Asset
	switch {
	case (!isNew || again) && a.Kind != kind:
		r.addf(row, column, "%s is a %s: write the id of a %s", id, a.Kind, kind)
		return
	case again && a.Site != site:
		r.addf(row, column, "row %d has it at site %s: a device is at one site", r.out.rows[ref].row, a.Site)
		return
	case isNew && !again && ids["gateway"] == "":
		r.addf(row, "gateway", "missing: %s %s is new, so write which gateway reads it (allmende gateway list)", kind, id)
		return
	}
	fields := r.out.rows[ref].columns
	a.Kind, a.Site, a.Connection = kind, site, ""
	fields[roll.FieldSite] = r.column(column)
	if ids["gateway"] != "" {
		a.Gateway = roll.GatewayID(ids["gateway"])
		fields[roll.FieldGateway] = r.column("gateway")
	}
	switch owner := ids["owner"]; {
	case owner == none:
		a.Owner = ""
	case owner != "":
		a.Owner = roll.MemberID(owner)
	case isNew:
		a.Owner = roll.MemberID(ids["member"])
	}
	fields[roll.FieldOwner] = r.column("owner")
}

// compare makes changes of what differs from the register.
func (r *reader) compare() {
	for _, ref := range r.order {
		want := r.want[ref]
		have, there := r.have[ref]
		if !there {
			r.out.Added++
			r.out.Changes = append(r.out.Changes, roll.Change{From: r.from, Op: roll.OpAdd, Entry: want})
			continue
		}
		fields := roll.Differences(have, want)
		if len(fields) == 0 {
			r.out.Unchanged++
			continue
		}
		r.out.Changed++
		if want.Member != nil { // what else is hers, such as what she bids, is not whoever imports' to see
			want = roll.Named(ref).With(want, fields)
		}
		r.out.Changes = append(r.out.Changes, roll.Change{From: r.from, Op: roll.OpChange, Entry: want, Fields: fields})
	}
}

// Locate says by row and column what the register's rules found wrong with the
// changes. What is about none of the rows is about the whole file.
func (r Roster) Locate(err error) sheet.Problems {
	found, ok := errors.AsType[roll.Problems](err)
	if !ok {
		return sheet.Problems{{Reason: err.Error()}}
	}
	out := make(sheet.Problems, 0, len(found))
	for _, p := range found {
		out = append(out, r.locate(p))
	}
	slices.SortStableFunc(out, func(a, b sheet.Problem) int { return a.Row - b.Row })
	return out
}

func (r Roster) locate(p roll.Problem) sheet.Problem {
	name, field, _ := strings.Cut(p.Field, ": ")
	kind, id, _ := strings.Cut(name, " ")
	at, ok := r.rows[roll.Ref{Kind: roll.Kind(kind), ID: id}]
	if !ok {
		return sheet.Problem{Reason: p.Error()}
	}
	if column := at.columns[field]; column != "" {
		return sheet.Problem{Row: at.row, Column: column, Reason: p.Reason}
	}
	if field != "" {
		return sheet.Problem{Row: at.row, Reason: p.Error()}
	}
	return sheet.Problem{Row: at.row, Reason: name + ": " + p.Reason}
}
