// SPDX-License-Identifier: AGPL-3.0-or-later

package roll_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

const (
	founding = energy.Instant(1_780_012_800_000) // 2026-05-29T00:00:00Z
	quarter  = energy.QuarterHour
)

func at(n int) energy.Instant { return founding.Add(energy.Span(n) * quarter) }

// street is a small register that is in order.
func street() roll.Community {
	return roll.Community{
		ID: "lane", Name: "Lane", Timezone: "Europe/Vienna",
		Members:     []roll.Member{{ID: "anna", Name: "Anna"}, {ID: "ben"}},
		Connections: []roll.Connection{{ID: "village", Kind: roll.PublicGrid}},
		Sites:       []roll.Site{{ID: "anna-home", Member: "anna", Connection: "village"}},
		Assets:      []roll.Asset{{ID: "anna-meter", Kind: roll.Meter, Site: "anna-home", Gateway: "gw"}},
		Gateways:    []roll.Gateway{{ID: "gw"}},
	}
}

func member(id string, name string, groups ...roll.Group) roll.Entry {
	return roll.Entry{Member: &roll.Member{ID: roll.MemberID(id), Name: name, Groups: groups}}
}

func rules() roll.Rules {
	return roll.Rules{Interval: quarter, Earliest: founding, Why: "that is too long ago"}
}

// oracle is the register at an instant, found the slow way: for each entry by
// itself, from the list of what was recorded.
func oracle(recorded []roll.Change, t energy.Instant) roll.Community {
	sorted := slices.Clone(recorded)
	slices.SortStableFunc(sorted, func(a, b roll.Change) int { return int(a.From - b.From) })
	var order []roll.Ref
	for _, c := range sorted {
		if ref := c.Entry.Ref(); c.From <= t && c.Op == roll.OpAdd && !slices.Contains(order, ref) {
			order = append(order, ref)
		}
	}
	out := roll.Community{}
	for _, ref := range order {
		var e roll.Entry
		there := false
		for _, c := range sorted {
			if c.From > t || c.Entry.Ref() != ref {
				continue
			}
			switch c.Op {
			case roll.OpAdd:
				e, there = c.Entry, true
			case roll.OpRetire:
				there = false
			case roll.OpChange:
				if !there {
					continue
				}
				if m := e.Member; m != nil {
					next := *m
					if slices.Contains(c.Fields, roll.FieldName) {
						next.Name = c.Entry.Member.Name
					}
					if slices.Contains(c.Fields, roll.FieldGroups) {
						next.Groups = c.Entry.Member.Groups
					}
					e = roll.Entry{Member: &next}
				}
			}
		}
		if !there {
			continue
		}
		switch {
		case e.Head != nil:
			out.ID, out.Name, out.Timezone = e.Head.ID, e.Head.Name, e.Head.Timezone
		case e.Member != nil:
			out.Members = append(out.Members, *e.Member)
		case e.Connection != nil:
			out.Connections = append(out.Connections, *e.Connection)
		case e.Site != nil:
			out.Sites = append(out.Sites, *e.Site)
		case e.Asset != nil:
			out.Assets = append(out.Assets, *e.Asset)
		case e.Gateway != nil:
			out.Gateways = append(out.Gateways, *e.Gateway)
		}
	}
	return out
}

// TestFoldIsTheOracle records acts of administration at random dates, forwards
// and backwards. Those that are refused leave everything as it was; the others
// give, for every instant, what going through the list by hand gives, and a
// register that is in order.
func TestFoldIsTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := roll.Found(street(), founding)
		var recorded []roll.Change
		for _, e := range street().Entries() {
			recorded = append(recorded, roll.Change{From: founding, Op: roll.OpAdd, Entry: e})
		}
		accepted := 0
		for range rapid.IntRange(1, 12).Draw(t, "acts") {
			act := drawAct(t)
			before := h.Since(founding)
			p, err := h.Plan(act, rules())
			if !reflect.DeepEqual(before, h.Since(founding)) {
				t.Fatal("planning changed the history itself")
			}
			if err != nil {
				if _, told := errors.AsType[roll.Problems](err); !told && !errors.Is(err, roll.ErrNothing) {
					t.Fatalf("refused with %T %v", err, err)
				}
				continue
			}
			accepted++
			h, recorded = p.History, append(recorded, act...)
			if again := roll.Recorded(recorded); !reflect.DeepEqual(again.Since(0), h.Since(0)) {
				t.Fatal("what was recorded does not give the history back")
			}
			if len(p.Dated) == 0 || p.Dated[0].From != p.From || p.From < act[0].From && !slices.ContainsFunc(act, func(c roll.Change) bool { return c.From <= p.From }) {
				t.Fatalf("planned from %v: %+v", p.From, p.Dated)
			}
		}
		for n := -1; n < 12; n++ {
			got, want := h.At(at(n)), oracle(recorded, at(n))
			if !reflect.DeepEqual(normal(got), normal(want)) {
				t.Fatalf("at %d:\n%+v\nby hand:\n%+v", n, got, want)
			}
			if err := got.Validate(); n >= 0 && err != nil {
				t.Fatalf("at %d the register is not in order: %v", n, err)
			}
		}
		for i, d := range h.Since(at(3)) {
			if !reflect.DeepEqual(d.Community, h.At(d.From)) || i == 0 && d.From != at(3) {
				t.Fatalf("since %v: %+v", d.From, d.Community)
			}
		}
	})
}

// normal makes an empty list and none the same.
func normal(c roll.Community) string {
	for i := range c.Members {
		if len(c.Members[i].Groups) == 0 {
			c.Members[i].Groups = nil
		}
	}
	return fmt.Sprintf("%+v", c)
}

// drawAct is one to three changes of a few entries around a few quarter-hours.
func drawAct(t *rapid.T) []roll.Change {
	var act []roll.Change
	for range rapid.IntRange(1, 3).Draw(t, "changes") {
		c := roll.Change{
			From:  at(rapid.IntRange(0, 10).Draw(t, "from")),
			Op:    rapid.SampledFrom([]roll.Op{roll.OpAdd, roll.OpAdd, roll.OpChange, roll.OpChange, roll.OpRetire}).Draw(t, "op"),
			Again: rapid.Bool().Draw(t, "again"),
		}
		id := rapid.SampledFrom([]string{"anna", "ben", "clara", "dora"}).Draw(t, "id")
		c.Entry = member(id, rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "name"), roll.Group(rapid.SampledFrom([]string{"g", "h"}).Draw(t, "group")))
		switch {
		case c.Op == roll.OpChange:
			c.Fields = rapid.SampledFrom([][]string{{roll.FieldName}, {roll.FieldGroups}, {roll.FieldName, roll.FieldGroups}}).Draw(t, "fields")
		case rapid.IntRange(0, 3).Draw(t, "gateway") == 0:
			c.Entry = roll.Entry{Gateway: &roll.Gateway{ID: roll.GatewayID("gw-" + id)}}
		}
		act = append(act, c)
	}
	return act
}

// A name that was corrected for a time before another change must survive it:
// changes are of fields, not of whole entries.
func TestChangesOfDifferentFieldsMeet(t *testing.T) {
	h := roll.Found(street(), founding)
	plan := func(c roll.Change) {
		t.Helper()
		p, err := h.Plan([]roll.Change{c}, rules())
		if err != nil {
			t.Fatal(err)
		}
		h = p.History
	}
	plan(roll.Change{From: at(8), Op: roll.OpChange, Entry: member("ben", "Benjamin"), Fields: []string{roll.FieldName}})
	plan(roll.Change{From: at(4), Op: roll.OpChange, Entry: member("ben", "", "families"), Fields: []string{roll.FieldGroups}})
	got := h.At(at(9)).Members[1]
	if got.Name != "Benjamin" || !slices.Equal(got.Groups, []roll.Group{"families"}) {
		t.Errorf("%+v", got)
	}
	if m := h.At(at(5)).Members[1]; m.Name != "" || len(m.Groups) != 1 {
		t.Errorf("before: %+v", m)
	}
	if m := h.At(at(3)).Members[1]; len(m.Groups) != 0 {
		t.Errorf("long before: %+v", m)
	}
}

// TestRefusals: a refusal names the entry and what to do, and tells everything
// that is wrong at once.
func TestRefusals(t *testing.T) {
	h := roll.Found(street(), founding)
	p, err := h.Plan([]roll.Change{
		{From: at(2), Op: roll.OpRetire, Entry: member("ben", "")},
		{From: at(6), Op: roll.OpAdd, Entry: roll.Entry{Gateway: &roll.Gateway{ID: "gw-2"}}},
	}, rules())
	if err != nil {
		t.Fatal(err)
	}
	h = p.History
	battery := roll.Entry{Asset: &roll.Asset{ID: "anna-meter", Kind: roll.Battery, Site: "anna-home", Gateway: "gw"}}
	for _, c := range []struct {
		name   string
		change roll.Change
		want   string
	}{
		{"too old", roll.Change{From: at(-1), Op: roll.OpRetire, Entry: member("anna", "")}, "too long ago"},
		{"inside an interval", roll.Change{From: at(2) + 1, Op: roll.OpRetire, Entry: member("anna", "")}, "inside a settlement interval"},
		{"there already", roll.Change{From: at(3), Op: roll.OpAdd, Entry: member("anna", "x")}, "in the register already"},
		{"another's id", roll.Change{From: at(3), Op: roll.OpAdd, Entry: member("ben", "Benedikt")}, "choose another"},
		{"unknown", roll.Change{From: at(3), Op: roll.OpChange, Entry: member("zoe", "x"), Fields: []string{"name"}}, "no such member"},
		{"gone", roll.Change{From: at(3), Op: roll.OpChange, Entry: member("ben", "x"), Fields: []string{"name"}}, "not in the register"},
		{"no field", roll.Change{From: at(3), Op: roll.OpChange, Entry: member("anna", "x")}, "names no field"},
		{"its kind", roll.Change{From: at(3), Op: roll.OpChange, Entry: battery, Fields: []string{"kind"}}, "retire it, and add"},
		{"something else", roll.Change{From: at(3), Op: roll.OpAdd, Again: true, Entry: battery}, "already"},
		{"still needed", roll.Change{From: at(3), Op: roll.OpRetire, Entry: member("anna", "")}, `site anna-home: member: there is no member "anna"`},
		{"not yet there", roll.Change{From: at(3), Op: roll.OpChange, Fields: []string{roll.FieldGateway}, Entry: roll.Entry{Asset: &roll.Asset{ID: "anna-meter", Gateway: "gw-2"}}}, `asset anna-meter: gateway: there is no gateway "gw-2"`},
		{"not an id", roll.Change{From: at(3), Op: roll.OpAdd, Entry: member("Zoë", "")}, "cannot be an id"},
		{"the community", roll.Change{From: at(3), Op: roll.OpRetire, Entry: roll.Entry{Head: &roll.Head{ID: "lane"}}}, "only its name"},
		{"nothing", roll.Change{From: at(3), Op: roll.OpAdd}, "names no entry"},
		{"no operation", roll.Change{From: at(3), Op: "drop", Entry: member("anna", "")}, "no operation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.Plan([]roll.Change{c.change}, rules())
			if _, ok := errors.AsType[roll.Problems](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v does not say %q", err, c.want)
			}
		})
	}
	again := roll.Change{From: at(3), Op: roll.OpAdd, Entry: member("ben", "Ben"), Again: true}
	if _, err := h.Plan([]roll.Change{again}, rules()); err != nil {
		t.Errorf("Ben may not come back: %v", err)
	}
	if _, err := h.Plan([]roll.Change{{From: at(3), Op: roll.OpChange, Entry: member("anna", "Anna"), Fields: []string{"name"}}}, rules()); !errors.Is(err, roll.ErrNothing) {
		t.Errorf("a change that changes nothing: %v", err)
	}
	late := rules()
	late.Also = func(c roll.Community) roll.Problems {
		if len(c.Gateways) > 1 {
			return roll.Problems{{Field: "charter", Reason: "only one"}}
		}
		return nil
	}
	if _, err := h.Plan([]roll.Change{again}, late); err == nil || !strings.Contains(err.Error(), "charter: from 2026-05-29T01:30:00Z on: only one") {
		t.Errorf("a register that is out of order later: %v", err)
	}
}

// A meter is exchanged: the old one and the new one in one step, though the
// site has none or two of them in between.
func TestOneStepIsOneRegister(t *testing.T) {
	h := roll.Found(street(), founding)
	p, err := h.Plan([]roll.Change{
		{From: at(4), Op: roll.OpAdd, Entry: roll.Entry{Asset: &roll.Asset{ID: "anna-meter-2", Kind: roll.Meter, Site: "anna-home", Gateway: "gw"}}},
		{From: at(4), Op: roll.OpRetire, Entry: roll.Named(roll.Ref{Kind: roll.KindAsset, ID: "anna-meter"})},
	}, rules())
	if err != nil {
		t.Fatal(err)
	}
	if got := p.History.At(at(4)).Assets; len(got) != 1 || got[0].ID != "anna-meter-2" {
		t.Errorf("%+v", got)
	}
	if got := p.History.At(at(4) - 1).Assets; len(got) != 1 || got[0].ID != "anna-meter" {
		t.Errorf("before: %+v", got)
	}
	if got := street().Dependents(roll.Ref{Kind: roll.KindMember, ID: "anna"}); fmt.Sprint(got) != "[asset anna-meter site anna-home]" {
		t.Errorf("hanging from anna: %v", got)
	}
}
