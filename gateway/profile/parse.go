// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// Bounds of a profile. The largest of the library stays far below.
const (
	mostBytes    = 256 << 10
	mostPoints   = 400
	mostControls = 16
	mostSteps    = 24
	mostText     = 32 // registers of a string
	mostRead     = 125
)

// Parse reads a profile. Its error is a [strictyaml.Problems]: everything that
// is wrong, each with its line, its field and what to write instead.
func Parse(file string, src []byte) (*Profile, error) {
	p := &Profile{Reads: "registers"}
	doc := strictyaml.Read(file, src, p, strictyaml.Options{
		MaxSize: mostBytes, Start: "see docs/profiles.md for a profile to begin with",
	})
	c := checker{p: p, doc: doc}
	c.head()
	c.identify()
	c.points()
	c.overlaps()
	c.sums()
	c.vocabulary()
	for i := range p.Controls {
		c.control(&p.Controls[i], fmt.Sprintf("controls[%d]", i))
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	p.Origin = file
	return p, nil
}

// checker finds what a profile's words say that cannot be.
type checker struct {
	p   *Profile
	doc *strictyaml.Document
}

func (c *checker) bad(field, format string, args ...any) { c.doc.Problemf(field, format, args...) }

var (
	namePattern  = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	pointPattern = regexp.MustCompile(`^([a-z_]+\.)?[a-z][a-z0-9_]*$`)
)

func (c *checker) head() {
	p := c.p
	if !namePattern.MatchString(p.Name) || len(p.Name) > 40 {
		c.bad("profile", "%.60q is no name; write small letters, digits and hyphens, such as eastron-sdm630", p.Name)
	}
	if p.Version < 1 {
		c.bad("version", "%d; versions of a profile count from 1", p.Version)
	}
	if p.Manufacturer == "" {
		c.bad("manufacturer", "missing; write the maker's name")
	}
	if len(p.Models) == 0 {
		c.bad("models", "missing; list the models that the sources speak of")
	}
	if len(p.Kinds) == 0 {
		c.bad("kinds", "missing; write one or more of %s", kindList())
	}
	for i, k := range p.Kinds {
		at := fmt.Sprintf("kinds[%d]", i)
		if !slices.Contains(Kinds(), k) {
			c.bad(at, "%.40q is no kind of device; known are %s", k, kindList())
		} else if slices.Index(p.Kinds, k) < i {
			c.bad(at, "%s comes a second time; remove one", k)
		}
	}
	if p.Reads != "registers" && p.Reads != SunSpec {
		c.bad("reads", "%.40q; write registers, or sunspec for a device that is read by its SunSpec models", p.Reads)
	}
	if len(p.Sources) == 0 {
		c.bad("sources", "missing; a profile names the public documents or integrations that confirm its registers")
	}
	for i, s := range p.Sources {
		at := fmt.Sprintf("sources[%d]", i)
		if !namePattern.MatchString(s.ID) {
			c.bad(at+".id", "%.40q is no name; write small letters, digits and hyphens", s.ID)
		}
		if slices.IndexFunc(p.Sources, func(x Source) bool { return x.ID == s.ID }) < i {
			c.bad(at+".id", "a second source is called %s; give it another name", s.ID)
		}
		if !strings.HasPrefix(s.URL, "https://") && !strings.HasPrefix(s.URL, "http://") {
			c.bad(at+".url", "%.80q is no address of a page; write it with https://", s.URL)
		}
		if !slices.Contains([]string{"wire", "one", "modicon"}, s.Numbers) {
			c.bad(at+".numbers", "%.40q; say how it counts addresses: wire (from 0), one (from 1) or modicon (40001 stands for 0)", s.Numbers)
		}
	}
	c.connection()
}

func (c *checker) connection() {
	n := c.p.Connection
	for _, f := range []struct {
		field       string
		value, most int
	}{
		{"baud", n.Baud, 1_000_000},
		{"stop_bits", n.StopBits, 2},
		{"connect_delay_ms", n.ConnectDelayMS, 60_000},
		{"request_gap_ms", n.RequestGapMS, 60_000},
		{"timeout_ms", n.TimeoutMS, 60_000},
		{"max_registers", n.MaxRegisters, mostRead},
		{"max_gap", n.MaxGap, mostRead},
	} {
		if f.value < 0 || f.value > f.most {
			c.bad("connection."+f.field, "%d; must be between 0 and %d", f.value, f.most)
		}
	}
	if !slices.Contains([]string{"", "N", "E", "O"}, n.Parity) {
		c.bad("connection.parity", "%.20q; write N, E or O", n.Parity)
	}
	for i, u := range n.Units {
		if u == 0 && len(n.Units) == 1 {
			c.bad(fmt.Sprintf("connection.units[%d]", i), "unit 0 is everybody on a serial line; write the device's own")
		}
	}
}

func (c *checker) identify() {
	if len(c.p.Identify) == 0 && c.p.Reads != SunSpec {
		c.bad("identify", "missing; name a register whose value tells these devices from others, at least one within bounds such as the grid's frequency, so that a wrong profile is noticed")
	}
	for i, s := range c.p.Identify {
		at := fmt.Sprintf("identify[%d]", i)
		c.encoding(at, s.Table, s.Address, s.Type, s.Count)
		bounds := s.Least != nil || s.Most != nil
		given := 0
		for _, is := range []bool{len(s.Is) > 0, len(s.Like) > 0, bounds} {
			if is {
				given++
			}
		}
		switch {
		case given != 1:
			c.bad(at, "write one of is, like, or least with most")
		case len(s.Like) > 0 && s.Type != String, bounds && s.Type == String, len(s.Is) > 0 && s.Type == String:
			c.bad(at+".type", "%s; like is for strings, the others are for numbers", s.Type)
		case bounds && (s.Least == nil || s.Most == nil || s.Least.Cmp(*s.Most) >= 0):
			c.bad(at+".most", "least and most go together, the larger last")
		}
	}
}

// encoding checks what a point and a sign have in common.
func (c *checker) encoding(at string, table Table, address *uint16, t Type, count uint16) {
	if address == nil {
		c.bad(at+".address", "missing; write the register's number as it is in the telegram, from 0")
		return
	}
	size := t.size()
	switch {
	case t == NoType:
		c.bad(at+".type", "missing; known are %s", strings.TrimPrefix(strings.Join(typeNames, ", "), ", "))
		return
	case t == String && (count < 1 || count > mostText):
		c.bad(at+".count", "%d; a string takes 1 to %d registers", count, mostText)
		return
	case t == String:
		size = int(count)
	case count != 0:
		c.bad(at+".count", "only strings say how long they are; %s takes %d, so remove this", t, size)
	}
	if table.Bits() != (t == Bit) {
		c.bad(at+".type", "%s in a %s; coils and discrete inputs are of type bit, registers are not", t, table)
	}
	if int(*address)+size > 1<<16 {
		c.bad(at+".address", "%d and %d registers end beyond 65535", *address, size)
	}
}

func kindList() string {
	var s []string
	for _, k := range Kinds() {
		s = append(s, string(k))
	}
	return strings.Join(s, ", ")
}
