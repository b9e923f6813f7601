// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/strictyaml"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// ruleCase is one interval of a template, see testdata/rules.yaml.
type ruleCase struct {
	Template string        `yaml:"template"`
	Rule     string        `yaml:"rule"` // the article; our own templates have none
	Wording  string        `yaml:"wording"`
	Change   []ruleChange  `yaml:"change"` // of the template's text, as its notes say
	Keep     []string      `yaml:"keep"`   // only these rounds
	Supply   []string      `yaml:"supply"`
	Demand   []string      `yaml:"demand"`
	Groups   []string      `yaml:"groups"`
	Exports  []string      `yaml:"exports"`
	Terms    []string      `yaml:"terms"`
	Shares   []string      `yaml:"shares"`
	Given    []string      `yaml:"given"`
	Left     energy.Energy `yaml:"left"`
}

type ruleChange struct {
	Old string `yaml:"old"`
	New string `yaml:"new"`
}

// TestTemplatesDoWhatTheirLawSays runs every template over figures that were
// worked out by hand from the wording of its rule.
func TestTemplatesDoWhatTheirLawSays(t *testing.T) {
	text, err := os.ReadFile("testdata/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Cases []ruleCase `yaml:"cases"`
	}
	if err := strictyaml.Read("rules.yaml", text, &all, strictyaml.Options{}).Err(); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, c := range all.Cases {
		shown[c.Template] = true
		if ours := slices.Contains(Ours(), c.Template); ours != (c.Rule == "") {
			t.Errorf("%s, %s: a law has an article, and what is ours has none", c.Template, c.Wording)
		}
		t.Run(c.Template+"/"+c.Wording, c.run)
	}
	for _, tpl := range Templates() {
		if !shown[tpl.Name] {
			t.Errorf("%s has no figures", tpl.Name)
		}
	}
}

// amounts are entries such as "anna 1.5".
func amounts(t *testing.T, entries []string) (names []string, of []int64) {
	t.Helper()
	for _, e := range entries {
		name, number, ok := strings.Cut(e, " ")
		v, err := energy.ParseKWh(number)
		if !ok || err != nil {
			t.Fatalf("%q is no name and amount: %v", e, err)
		}
		names, of = append(names, name), append(of, int64(v))
	}
	return names, of
}

func (c *ruleCase) charter(t *testing.T) charter.Charter {
	t.Helper()
	i := slices.IndexFunc(Templates(), func(tpl Template) bool { return tpl.Name == c.Template })
	if i < 0 {
		t.Fatalf("there is no template %q", c.Template)
	}
	text := string(Templates()[i].YAML)
	for _, x := range c.Change {
		if strings.Count(text, x.Old) != 1 {
			t.Fatalf("%q is not there once", x.Old)
		}
		text = strings.Replace(text, x.Old, x.New, 1)
	}
	ch, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Keep) > 0 {
		ch.Sharing.Rounds = slices.DeleteFunc(ch.Sharing.Rounds, func(r charter.Round) bool { return !slices.Contains(c.Keep, r.Name) })
		if err := ch.Validate(); err != nil || len(ch.Sharing.Rounds) != len(c.Keep) {
			t.Fatalf("%d rounds, %v", len(ch.Sharing.Rounds), err)
		}
	}
	return ch
}

// counts is the part of a meter's energy that is in this community.
func counts(s *charter.Sharing, member string, of int64) int64 {
	for _, p := range s.Participation {
		if string(p.Member) == member {
			return p.Percent.Of(of)
		}
	}
	return of
}

func (c *ruleCase) run(t *testing.T) {
	ch := c.charter(t)
	names, demand := amounts(t, c.Demand)
	takers := make([]allocation.Taker, len(names))
	figures := allocation.Figures{Demand: demand, Exports: make([]bool, len(names))}
	for i, name := range names {
		takers[i].ID = roll.MemberID(name)
		figures.Exports[i] = slices.Contains(c.Exports, name)
		for _, g := range c.Groups {
			if member, group, _ := strings.Cut(g, " "); member == name {
				takers[i].Groups = append(takers[i].Groups, roll.Group(group))
			}
		}
	}
	terms := &charter.Terms{}
	for _, entry := range c.Terms {
		f := strings.Fields(entry)
		v, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		terms.Terms = append(terms.Terms, charter.Term{Expression: charter.Name(f[0]), Member: roll.MemberID(f[1]), Value: v})
	}
	slices.SortFunc(terms.Terms, charter.CompareTerm)
	sources, supply := amounts(t, c.Supply)
	figures.Supply = supply
	var there int64
	for i, name := range sources {
		supply[i] = counts(&ch.Sharing, name, supply[i])
		there += supply[i]
	}
	for i, name := range names {
		own := int64(0)
		if k := slices.Index(sources, name); k >= 0 {
			own = supply[k]
		}
		demand[i] = ch.Sharing.OfOthers(counts(&ch.Sharing, name, demand[i]), own, there)
	}
	parts := make([]allocation.Part, len(sources))
	for i, s := range sources {
		parts[i].ID = s
		if slices.ContainsFunc(ch.Sharing.Sources, func(x charter.Source) bool { return string(x.Name) == s }) {
			parts[i].Source = charter.Name(s)
		}
	}
	if len(c.Terms) > 0 {
		if _, err := allocation.NewPlan(&ch.Sharing, takers, parts, nil); !errors.Is(err, allocation.ErrRule) {
			t.Errorf("an expression that nobody evaluated: %v", err)
		}
	}
	plan, err := allocation.NewPlan(&ch.Sharing, takers, parts, terms)
	if err != nil {
		t.Fatal(err)
	}
	out, err := plan.Run(&figures)
	if err != nil {
		t.Fatal(err)
	}
	wanted, want := amounts(t, c.Shares)
	var shared int64
	for i, name := range names {
		shared += out.Shares[i]
		expect := int64(0)
		if k := slices.Index(wanted, name); k >= 0 {
			expect = want[k]
		}
		if out.Shares[i] != expect {
			t.Errorf("%s gets %s kWh, and should get %s", name, energy.Energy(out.Shares[i]).KWh(), energy.Energy(expect).KWh())
		}
	}
	givers, gave := amounts(t, c.Given)
	for i, name := range givers {
		if k := slices.Index(sources, name); k < 0 || out.Used[k] != gave[i] {
			t.Errorf("%s gave %v kWh, and should give %s: %v", name, out.Used, energy.Energy(gave[i]).KWh(), sources)
		}
	}
	if left := energy.Energy(there - shared); left != c.Left {
		t.Errorf("%s kWh are left, and should be %s", left.KWh(), c.Left.KWh())
	}
}
