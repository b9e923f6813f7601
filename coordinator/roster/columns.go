// SPDX-License-Identifier: AGPL-3.0-or-later

package roster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/coordinator/sheet"
)

// column is one that a roster may have.
type column struct {
	name  string
	also  []string // other names that people give it
	means string
	like  string // in the template
}

// columns are all of them, in the template's order.
func columns() []column {
	return []column{
		{"member", []string{"member id", "id", "mitglied", "mitglieds-id"}, "The member's id: a short name for machines (lower-case letters, digits, - and _), for good. Required.", "anna"},
		{"name", []string{"member name", "full name"}, "The member's name, as people read it.", "Anna Example"},
		{"groups", []string{"group", "gruppe", "gruppen"}, "Groups that the charter may name, with spaces between them.", "families"},
		{"site", []string{"site id", "standort"}, "The id of the member's place. Empty: the one that she has, or for a new one the member's id.", "anna-home"},
		{"connection", []string{"anschluss", "netzanschluss"}, "The id of the connection under which the site hangs. Required for a new site.", "village"},
		{"latitude", []string{"lat", "breite", "breitengrad"}, "Of the site, in decimal degrees.", "48.2082"},
		{"longitude", []string{"lon", "lng", "long", "länge", "längengrad"}, "Of the site; both or neither.", "16.3738"},
		{"meter", []string{"meter id", "zähler", "zaehler"}, "The id of the site's grid meter. Empty: the site's id with -meter behind it, for a new site.", "anna-meter"},
		{"inverter", []string{"inverter id", "roof", "wechselrichter"}, "The id of an inverter at the site. Empty: none is added.", "anna-roof"},
		{"gateway", []string{"gateway id"}, "The id of the gateway that reads meter and inverter. Required for new ones.", "gw-lane"},
		{"owner", []string{"eigentümer", "eigentuemer"}, "The id of the member who owns meter and inverter. Empty: this member; -: the community.", ""},
	}
}

// Template is a roster to begin with: the header, and a row to write over.
func Template() [][]string {
	var header, like []string
	for _, c := range columns() {
		header, like = append(header, c.name), append(like, c.like)
	}
	return [][]string{header, like}
}

// Describe lists the columns, one a line.
func Describe() string {
	var b strings.Builder
	for _, c := range columns() {
		fmt.Fprintf(&b, "  %-11s %s\n", c.name, c.means)
	}
	return b.String()
}

// header finds the columns of a sheet.
type header struct {
	at    map[string]int    // our name → its place
	their map[string]string // our name → how the file calls it
}

func readHeader(row sheet.Row) (header, sheet.Problems) {
	h := header{map[string]int{}, map[string]string{}}
	var found sheet.Problems
	addf := func(col, format string, args ...any) {
		found = append(found, sheet.Problem{Row: row.Number, Column: col, Reason: fmt.Sprintf(format, args...)})
	}
	for i, cell := range row.Cells {
		switch ours, known := known(cell); {
		case cell == "" || strings.HasPrefix(cell, "#"):
		case !known:
			addf(clip(cell), "no such column: the columns are %s; put # in front of the name to have it passed over", names())
		case h.their[ours] != "":
			addf(clip(cell), "it stands there twice (%q is the same): delete one of the two, or put # in front of its name", h.their[ours])
		default:
			h.at[ours], h.their[ours] = i, cell
		}
	}
	if _, there := h.at["member"]; !there && len(found) == 0 {
		addf("", "the column member is missing: the first row names the columns, which are %s", names())
	}
	return h, found
}

// known is our name of a column: case, spaces and - or _ don't matter.
func known(cell string) (string, bool) {
	key := fold(cell)
	for _, c := range columns() {
		if fold(c.name) == key || slices.ContainsFunc(c.also, func(a string) bool { return fold(a) == key }) {
			return c.name, true
		}
	}
	return "", false
}

func fold(s string) string {
	return strings.NewReplacer(" ", "", "-", "", "_", "", ".", "").Replace(strings.ToLower(s))
}

func names() string {
	var out []string
	for _, c := range columns() {
		out = append(out, c.name)
	}
	return strings.Join(out, ", ")
}

// cell is what stands in a column of ours.
func (h header) cell(row sheet.Row, name string) string {
	if i, ok := h.at[name]; ok && i < len(row.Cells) {
		return row.Cells[i]
	}
	return ""
}

// column is how the file calls a column of ours.
func (h header) column(name string) string {
	if their := h.their[name]; their != "" {
		return their
	}
	return name
}

func clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
