// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func eur(micro int64) energy.Price { return energy.Price{Micro: micro, Currency: "EUR"} }

// full is a charter of version 2 with a bit of everything.
func full() Charter {
	c := sample()
	c.RulesVersion = 2
	c.Interval = energy.QuarterHour
	c.WeightingPeriod = PerMonth
	c.Expressions = []Expression{
		{Name: "settled-in", Gives: GivesEligible, CEL: "member.since_days >= 90"},
		{Name: "work", Gives: GivesWeight, CEL: "1000000"},
	}
	c.Sharing = Sharing{
		ExportingSites: ExportersReceive,
		Rounding:       &Rounding{Unit: energy.WattHour, Mode: LargestRemainder},
		Sources:        []Source{{Name: "roof", Member: "coop"}, {Name: "mill", Site: "mill-1"}},
		Attribution:    AttributeListed,
		Participation:  []Participation{{"anna", Whole / 2}},
		Reserve:        []Reserve{{For: ReserveSolidarity, Percent: Whole / 10, Groups: []roll.Group{"tight"}}, {For: ReserveStorage, Percent: Whole / 20}, {For: ReserveSale, Percent: Whole / 20}},
		Market:         &Market{Lowest: eur(0), Highest: eur(30_000_000)},
		Rounds: []Round{
			{Name: "keys", Method: Pairs, Sources: []Name{"roof", "mill"}, Keys: []MemberKeys{
				{"anna", []Key{{"roof", Whole * 4 / 10}, {"mill", Whole / 2}}}, {"ben", []Key{{"roof", Whole * 6 / 10}}},
			}},
			{Name: "turns", Method: Passes, Passes: 3, Keys: []MemberKeys{{"anna", []Key{{Percent: Whole / 3}}}}},
			{
				Name: "first", Method: Priority, Within: Weighted, Tiers: []Tier{{Groups: []roll.Group{"tight"}}, {Members: []roll.MemberID{"anna", "ben"}}},
				Weights: &Weights{Members: []MemberWeight{{"anna", 2 * Whole}}, Groups: []GroupWeight{{"tight", Whole}}, Default: new(Weight(Whole / 2))},
				Cap:     new(energy.KilowattHour), CapPeriod: &PeriodCap{20 * energy.KilowattHour, PerMonth},
			},
			{Name: "work", Method: Weighted, Eligible: "settled-in", Weights: &Weights{Expression: "work"}, Offer: new(Percent(Whole / 2)), Rest: RestNext},
			{Name: "parts", Method: Static, Tags: []roll.Group{"owners"}, Keys: []MemberKeys{{"anna", []Key{{Percent: Whole}}}}},
			{Name: "rest", Method: Equal, Rest: RestGrid},
		},
	}
	c.Storage.GridCharging = GridForfeits
	c.Tariff = &Tariff{
		By: TariffTimeOfUse, Bands: []PriceBand{{WorkingDays, 360, 600, eur(20_000_000)}},
		Network:    []NetworkCharge{{SameBuilding, eur(0)}, {LocalGrid, eur(2_000_000)}},
		Membership: &Contribution{500, PerMonth}, Solidarity: new(eur(500_000)), StorageWear: new(eur(3_000_000)),
	}
	c.Island = &Sharing{ExportingSites: ExportersReceive, Rounds: []Round{{Name: "all", Method: Equal}}}
	return c
}

// TestHashOfVersion2IsFrozen: as for version 1, ledgers name charters by this for ever.
func TestHashOfVersion2IsFrozen(t *testing.T) {
	c := full()
	b, err := c.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeCanonical(b)
	if err != nil || !reflect.DeepEqual(c, back) {
		t.Fatalf("%s\nis read back as %+v, %v", b, back, err)
	}
	const want = "95472ef614935d560f5b41291e70b40b125c179f222d459fbbb51a2c6d3f26db" // of sha256sum over the canonical form
	if h, _ := c.Hash(); h != want {
		t.Errorf("hash %s of\n%s", h, b)
	}
}

// TestVersion1KnowsNoneOfIt: whatever version 2 added is refused in version 1,
// as the program of then would have done.
func TestVersion1KnowsNoneOfIt(t *testing.T) {
	c := full()
	c.RulesVersion = 1
	err := c.Validate()
	for _, field := range []string{
		"sharing.rounds[0].method", "sharing.rounds[0].sources", "sharing.rounds[0].keys", "sharing.rounds[1].passes", "sharing.rounds[2].tiers",
		"sharing.rounds[2].within", "sharing.rounds[2].weights", "sharing.rounds[2].cap_period", "sharing.rounds[3].eligible", "sharing.rounds[3].offer",
		"sharing.rounds[3].rest", "sharing.rounds[4].tags", "sharing.rounding", "sharing.sources", "sharing.attribution", "sharing.participation",
		"sharing.reserve", "sharing.market", "storage.grid_charging", "tariff", "weighting_period", "expressions", "island",
	} {
		if err == nil || !strings.Contains(err.Error(), field+": is not part of rules version 1; write rules_version: 2") {
			t.Errorf("%s is not refused: %v", field, err)
		}
	}
}

func TestVersion2NamesTheField(t *testing.T) {
	if c := full(); c.Validate() != nil {
		t.Fatal(c.Validate())
	}
	plain := func(c *Charter, r Round) {
		r.Name = "it"
		c.Sharing.Rounds, c.Expressions, c.WeightingPeriod = []Round{r}, nil, ""
	}
	for _, x := range []struct {
		path, says string
		change     func(*Charter)
	}{
		// Rounds that contradict themselves or each other.
		{"sharing.rounds[0].offer", "never give anything", func(c *Charter) { c.Sharing.Rounds[0].Offer = new(Percent(0)) }},
		{"sharing.rounds[5].rest", "goes nowhere", func(c *Charter) { c.Sharing.Rounds[5].Rest = RestNext }},
		{"sharing.rounds[3].rest", "write next, injectors or grid", func(c *Charter) { c.Sharing.Rounds[3].Rest = "bin" }},
		{"sharing.rounds[3]", "sends everything that it leaves to the injectors", func(c *Charter) { c.Sharing.Rounds[2].Rest = RestInjectors }},
		{"sharing.rounds[5]", "without a limit", func(c *Charter) { c.Sharing.Rounds[4] = Round{Name: "all", Method: Proportional} }},
		{"sharing.rounds[2].cap", "less than the unit of rounding", func(c *Charter) { c.Sharing.Rounds[2].Cap = new(energy.Energy(999)) }},
		{"sharing.rounds[2].cap_period.energy", "contradicts the cap", func(c *Charter) { c.Sharing.Rounds[2].CapPeriod.Energy = energy.KilowattHour - 1 }},
		{"sharing.rounds[2].cap_period.energy", "is never reached", func(c *Charter) { c.Sharing.Rounds[2].CapPeriod.Energy = 3072 * energy.KilowattHour }},
		{"sharing.rounds[2].cap_period.energy", "lets nobody have anything", func(c *Charter) { c.Sharing.Rounds[2].CapPeriod.Energy = 0 }},
		{"sharing.rounds[2].cap_period.per", "write day, month or year", func(c *Charter) { c.Sharing.Rounds[2].CapPeriod.Per = "week" }},
		{"sharing.rounds[5].weights", "has no use with method equal", func(c *Charter) { c.Sharing.Rounds[5].Weights = &Weights{Default: new(Weight(1))} }},
		{"sharing.rounds[5].keys", "write method: static, rounds or pairs", func(c *Charter) { c.Sharing.Rounds[5].Keys = make([]MemberKeys, 1) }},
		{"sharing.rounds[5].tiers", "has no use", func(c *Charter) { c.Sharing.Rounds[5].Tiers = make([]Tier, 1) }},
		{"sharing.rounds[5].within", "has no use", func(c *Charter) { c.Sharing.Rounds[5].Within = Equal }},
		{"sharing.rounds[5].passes", "has no use", func(c *Charter) { c.Sharing.Rounds[5].Passes = 2 }},
		{"sharing.rounds[1].passes", "write a number from 1", func(c *Charter) { c.Sharing.Rounds[1].Passes = MaxPasses + 1 }},
		{"sharing.rounds[4].tags[0]", "only group already", func(c *Charter) { c.Sharing.Rounds[4].Groups = []roll.Group{"owners"} }},
		{"sharing.rounds[4].tags[1]", "named twice", func(c *Charter) { c.Sharing.Rounds[4].Tags = []roll.Group{"a", "a"} }},
		{"sharing.rounds[3].eligible", "is not among the expressions", func(c *Charter) { c.Sharing.Rounds[3].Eligible = "x"; c.Sharing.Rounds[2].Eligible = "settled-in" }},
		{"sharing.rounds[3].eligible", "gives weight", func(c *Charter) { c.Sharing.Rounds[3].Eligible = "work"; c.Sharing.Rounds[2].Eligible = "settled-in" }},
		// Keys.
		{"sharing.rounds[0].keys", `100.0001 % of source "roof"`, func(c *Charter) { c.Sharing.Rounds[0].Keys[1].Keys[0].Percent++ }},
		{"sharing.rounds[4].keys", "add up to 133.3333 %", func(c *Charter) {
			c.Sharing.Rounds[4].Keys = append(c.Sharing.Rounds[4].Keys, c.Sharing.Rounds[1].Keys[0])
			c.Sharing.Rounds[4].Keys[1].Member = "ben"
		}},
		{"sharing.rounds[0].keys[1].member", "has keys already", func(c *Charter) { c.Sharing.Rounds[0].Keys[1].Member = "anna" }},
		{"sharing.rounds[0].keys[1].keys", "write a percentage", func(c *Charter) { c.Sharing.Rounds[0].Keys[1].Keys = nil }},
		{"sharing.rounds[0].keys", "write for each member", func(c *Charter) { c.Sharing.Rounds[0].Keys = nil }},
		{"sharing.rounds[0].keys[0].keys[1].percent", "gives nothing", func(c *Charter) { c.Sharing.Rounds[0].Keys[0].Keys[1].Percent = 0 }},
		{"sharing.rounds[0].keys[0].keys[1].source", "has a key to it already", func(c *Charter) { c.Sharing.Rounds[0].Keys[0].Keys[1].Source = "roof" }},
		{"sharing.rounds[0].keys[0].keys[1].source", "is not among sharing.sources", func(c *Charter) { c.Sharing.Rounds[0].Keys[0].Keys[1].Source = "wind" }},
		{"sharing.rounds[0].keys[0].keys[1].source", "write all of them in one way", func(c *Charter) { c.Sharing.Rounds[0].Keys[0].Keys[1].Source = "" }},
		{"sharing.rounds[0].keys[0].keys[1].source", "not among the sources of this round", func(c *Charter) { c.Sharing.Rounds[0].Sources = []Name{"roof"} }},
		{"sharing.rounds[0].sources[1]", "named twice", func(c *Charter) {
			c.Sharing.Rounds[0].Sources = []Name{"roof", "roof"}
			c.Sharing.Rounds[0].Keys[0].Keys = c.Sharing.Rounds[0].Keys[0].Keys[:1]
		}},
		{"sharing.rounds[4].keys[0].keys[0].source", "write method: pairs", func(c *Charter) { c.Sharing.Rounds[4].Keys[0].Keys[0].Source = "roof" }},
		{"sharing.rounds[4].weights", "contradicts keys", func(c *Charter) { c.Sharing.Rounds[4].Weights = &Weights{Default: new(Weight(1))} }},
		{"sharing.rounds[4].keys", "or weights instead", func(c *Charter) { c.Sharing.Rounds[4].Keys = nil }},
		// Weights that divide by zero.
		{"sharing.rounds[2].weights.default", "divides by zero", func(c *Charter) { c.Sharing.Rounds[2].Weights.Default = new(Weight(0)) }},
		{"sharing.rounds[2].weights.members[0].weight", "divides by zero", func(c *Charter) { c.Sharing.Rounds[2].Weights.Members[0].Weight = 0 }},
		{"sharing.rounds[2].weights.groups[0].weight", "divides by zero", func(c *Charter) { c.Sharing.Rounds[2].Weights.Groups[0].Weight = 0 }},
		{"sharing.rounds[2].weights", "are empty", func(c *Charter) { c.Sharing.Rounds[2].Weights = &Weights{} }},
		{"sharing.rounds[2].weights", "is missing", func(c *Charter) { c.Sharing.Rounds[2].Weights = nil }},
		{"sharing.rounds[0].weights", "is missing", func(c *Charter) { plain(c, Round{Method: Weighted}) }},
		{"sharing.rounds[3].weights.expression", "contradicts", func(c *Charter) {
			c.Sharing.Rounds[3].Weights.Default = new(Weight(1))
			c.Sharing.Rounds[2].Weights = &Weights{Expression: "work"}
		}},
		// Tiers.
		{"sharing.rounds[2].tiers", "is missing", func(c *Charter) { c.Sharing.Rounds[2].Tiers = nil }},
		{"sharing.rounds[2].tiers[1].members[1]", "stands in tier 2 already", func(c *Charter) { c.Sharing.Rounds[2].Tiers[1].Members[1] = "anna" }},
		{"sharing.rounds[2].tiers[1]", "names nobody", func(c *Charter) { c.Sharing.Rounds[2].Tiers[1] = Tier{} }},
		{"sharing.rounds[2].within", "write equal, proportional or weighted", func(c *Charter) { c.Sharing.Rounds[2].Within = Static; c.Sharing.Rounds[2].Weights = nil }},
		// Around the rounds.
		{"sharing.sources[1]", "either member or site", func(c *Charter) { c.Sharing.Sources[1].Member = "anna" }},
		{"sharing.sources[1].name", "another source already", func(c *Charter) {
			c.Sharing.Sources = append(c.Sharing.Sources, Source{Name: "roof", Site: "x"})
			c.Sharing.Sources[1], c.Sharing.Sources[2] = c.Sharing.Sources[2], c.Sharing.Sources[1]
		}},
		{"sharing.sources[2]", "energy is counted once", func(c *Charter) { c.Sharing.Sources = append(c.Sharing.Sources, Source{Name: "two", Site: "mill-1"}) }},
		{"sharing.rounding.unit", "write 0.000001, 0.001 or 0.01", func(c *Charter) { c.Sharing.Rounding.Unit = 5 }},
		{"sharing.rounding.mode", "largest_remainder or floor", func(c *Charter) { c.Sharing.Rounding.Mode = "ceiling" }},
		{"sharing.attribution", "write proportional or listed", func(c *Charter) { c.Sharing.Attribution = "age" }},
		{"sharing.participation[0].percent", "is missing or 0", func(c *Charter) { c.Sharing.Participation[0].Percent = 0 }},
		{"sharing.participation[1].member", "listed already", func(c *Charter) {
			c.Sharing.Participation = append(c.Sharing.Participation, c.Sharing.Participation[0])
		}},
		{"sharing.reserve", "no round can ever give anything", func(c *Charter) { c.Sharing.Reserve[2].Percent = Whole }},
		{"sharing.reserve[0].groups", "for whose members", func(c *Charter) { c.Sharing.Reserve[0].Groups = nil }},
		{"sharing.reserve[1].groups", "has no use", func(c *Charter) { c.Sharing.Reserve[1].Groups = []roll.Group{"a"} }},
		{"sharing.reserve[2].for", "reserved for already", func(c *Charter) { c.Sharing.Reserve[2].For = ReserveStorage }},
		{"sharing.market.lowest", "no bid could ever be taken", func(c *Charter) { c.Sharing.Market.Lowest = eur(40_000_000) }},
		{"sharing.market.highest", "is missing", func(c *Charter) { c.Sharing.Market.Highest = energy.Price{} }},
		{"weighting_period", "is missing", func(c *Charter) { c.WeightingPeriod = "" }},
		{"weighting_period", "has no use", func(c *Charter) { plain(c, Round{Method: Equal}); c.WeightingPeriod = PerDay }},
		{"expressions[0].name", "is used by no round", func(c *Charter) { c.Sharing.Rounds[3].Eligible = "" }},
		{"expressions[1].name", "another expression already", func(c *Charter) { c.Expressions = []Expression{c.Expressions[0], c.Expressions[0], c.Expressions[1]} }},
		{"expressions[0].gives", "", func(c *Charter) {
			c.Expressions[0].Gives = ""
			c.Sharing.Rounds[3].Eligible = ""
			c.Sharing.Rounds[2].Weights = &Weights{Expression: "settled-in"}
		}},
		{"expressions[0].cel", "is missing", func(c *Charter) { c.Expressions[0].CEL = " " }},
		{"expressions[0].cel", "longer than", func(c *Charter) { c.Expressions[0].CEL = strings.Repeat("1", MaxExpression+1) }},
		{"storage.grid_charging", "counts or forfeits", func(c *Charter) { c.Storage.GridCharging = "maybe" }},
		{"tariff.by", "fixed, time_of_use or mid_market", func(c *Charter) { c.Tariff.By = "auction"; c.Tariff.Bands = nil }},
		{"tariff.bands", "is missing", func(c *Charter) { c.Tariff.Bands = nil }},
		{"tariff.bands", "has no use", func(c *Charter) { c.Tariff.By = TariffFixed }},
		{"tariff.bands[0]", "within an interval", func(c *Charter) { c.Tariff.Bands[0].To++ }},
		{"tariff.bands[0].price", "is in CHF", func(c *Charter) { c.Tariff.Bands[0].Price.Currency = "CHF" }},
		{"tariff.retail", "is missing", func(c *Charter) { c.Tariff.By, c.Tariff.Bands, c.Tariff.FeedIn = TariffMidMarket, nil, new(eur(1)) }},
		{"tariff.feed_in", "above retail", func(c *Charter) {
			c.Tariff.By, c.Tariff.Bands, c.Tariff.FeedIn, c.Tariff.Retail = TariffMidMarket, nil, new(eur(2)), new(eur(1))
		}},
		{"tariff.network[1].level", "stands here already", func(c *Charter) { c.Tariff.Network[1].Level = SameBuilding }},
		{"tariff.areas[0].level", "not nearer than local", func(c *Charter) { c.Tariff.Areas = []Area{{"street", LocalGrid}} }},
		{"tariff.areas[0].level", "has no charge", func(c *Charter) { c.Tariff.Areas = []Area{{"street", RegionalGrid}} }},
		{"tariff.areas[0].level", "building, local, regional or wide", func(c *Charter) { c.Tariff.Areas = []Area{{"street", "near"}} }},
		{"tariff.areas[0].group", "lower-case", func(c *Charter) { c.Tariff.Areas = []Area{{"The Street", SameBuilding}} }},
		{"tariff.areas[1].group", "is an area already", func(c *Charter) { c.Tariff.Areas = []Area{{"street", SameBuilding}, {"street", SameBuilding}} }},
		{"tariff.areas", "write the charges there", func(c *Charter) { c.Tariff.Network, c.Tariff.Areas = nil, []Area{{"street", SameBuilding}} }},
		{"tariff.default_level", "write the charges there", func(c *Charter) { c.Tariff.Network, c.Tariff.DefaultLevel = nil, LocalGrid }},
		{"tariff.default_level", "write its price there", func(c *Charter) { c.Tariff.DefaultLevel = WideGrid }},
		{"tariff.default_level", "building, local, regional or wide", func(c *Charter) { c.Tariff.DefaultLevel = "far" }},
		{"tariff.membership.minor", "positive", func(c *Charter) { c.Tariff.Membership.Minor = 0 }},
		{"tariff", "is empty", func(c *Charter) { c.Tariff = &Tariff{} }},
		{"island.rounds", "at least one round", func(c *Charter) { c.Island.Rounds = nil }},
		{"island.rounds[0].weights", "is missing", func(c *Charter) { c.Island.Rounds[0].Method = Weighted }},
	} {
		c := full()
		x.change(&c)
		var p Problems
		if err := c.Validate(); !errors.As(err, &p) || p[0].Path != x.path && p[len(p)-1].Path != x.path || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s … %s: %v", x.path, x.says, err)
		}
	}
}

// drawNew is a random valid charter of version 2.
func drawNew(t *rapid.T) Charter {
	c := full()
	all := c.Sharing.Rounds
	c.Sharing.Rounds = nil
	for i := range rapid.IntRange(1, 5).Draw(t, "rounds") {
		r := all[rapid.IntRange(0, len(all)-2).Draw(t, "which")]
		r.Name = fmt.Sprint("round ", i)
		if r.Method == Priority || r.Method == Weighted {
			r.Within = map[bool]Method{true: r.Within, false: ""}[rapid.Bool().Draw(t, "within")]
			if r.Method == Priority && r.Within == "" {
				r.Weights = nil
			}
		}
		if rapid.Bool().Draw(t, "offered") {
			r.Offer = new(Percent(rapid.Int64Range(1, Whole).Draw(t, "offer")))
		}
		c.Sharing.Rounds = append(c.Sharing.Rounds, r)
	}
	if rapid.Bool().Draw(t, "open at the end") {
		c.Sharing.Rounds = append(c.Sharing.Rounds, all[len(all)-1])
	} else if c.Sharing.Rounds[len(c.Sharing.Rounds)-1].Rest == RestNext {
		c.Sharing.Rounds[len(c.Sharing.Rounds)-1].Rest = RestInjectors
	}
	if rapid.Bool().Draw(t, "coarse") {
		c.Sharing.Rounding = rapid.SampledFrom([]*Rounding{nil, {10 * energy.WattHour, Floor}, {energy.MilliwattHour, LargestRemainder}}).Draw(t, "rounding")
	}
	if rapid.Bool().Draw(t, "no extras") {
		c.Sharing.Reserve, c.Sharing.Market, c.Sharing.Participation, c.Sharing.Attribution, c.Island, c.Tariff = nil, nil, nil, "", nil, nil
	}
	var kept []Expression
	for _, e := range c.Expressions {
		for i := range c.Sharing.Rounds {
			r := &c.Sharing.Rounds[i]
			if r.Eligible == e.Name || r.Weights != nil && r.Weights.Expression == e.Name {
				kept = append(kept, e)
				break
			}
		}
	}
	if c.Expressions = kept; len(kept) == 0 {
		c.WeightingPeriod = ""
	}
	return c
}

// TestEveryCharterExplainsItself: whole sentences, every round by its name, and
// every figure that a member may ask for.
func TestEveryCharterExplainsItself(t *testing.T) {
	whole := regexp.MustCompile(`^[A-Z“].*[.]$`)
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.OneOf(rapid.Custom(drawCharter), rapid.Custom(drawNew)).Draw(t, "charter")
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		text := c.Explain()
		said := strings.Join(text, "\n")
		for i, p := range text[1:] {
			own := i == 0 && strings.TrimSpace(c.Summary) != ""
			if !own && (!whole.MatchString(p) || strings.Contains(p, "  ") || strings.Contains(p, "..") || strings.Contains(p, "%!") || strings.Contains(p, " .")) {
				t.Fatalf("not whole sentences: %q", p)
			}
		}
		for _, r := range c.Sharing.Rounds {
			if len(c.Sharing.Rounds) > 1 && !strings.Contains(said, "“"+r.Name+"”") {
				t.Fatalf("round %q is not told in\n%s", r.Name, said)
			}
			if r.Cap != nil && !strings.Contains(said, r.Cap.String()) || r.Offer != nil && !strings.Contains(said, r.Offer.String()+" %") ||
				r.CapPeriod != nil && !strings.Contains(said, r.CapPeriod.Energy.String()) || r.Eligible != "" && !strings.Contains(said, "“"+string(r.Eligible)+"”") {
				t.Fatalf("a limit of round %q is not told in\n%s", r.Name, said)
			}
		}
		for _, r := range c.Sharing.Reserve {
			if !strings.Contains(said, r.Percent.String()+" % of it is set aside") {
				t.Fatalf("a reserve is not told in\n%s", said)
			}
		}
	})
}

func TestAmounts(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "100": Whole, "33.3333": 333_333, "0.0001": 1, "25": 250_000, "100.0": Whole} {
		if p, err := ParsePercent(text); err != nil || int64(p) != want {
			t.Errorf("percent %s: %d, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "-1", "100.0001", "33.33333", "1e1", "5 %", "99999999999999999999"} {
		if p, err := ParsePercent(text); err == nil {
			t.Errorf("percent %q is read as %d", text, p)
		}
	}
	for _, text := range []string{"", "-1", "1000000.1", "0.0000001", "x"} {
		if w, err := ParseWeight(text); err == nil {
			t.Errorf("weight %q is read as %d", text, w)
		}
	}
	for _, text := range []string{"", "6:00", "24:00", "12:60", "12.30", "1a:00", "006:0"} {
		if c, err := ParseClock(text); err == nil {
			t.Errorf("%q is read as %s", text, c)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := Percent(rapid.Int64Range(0, Whole).Draw(t, "percent"))
		w := Weight(rapid.Int64Range(0, int64(MaxWeight)).Draw(t, "weight"))
		at := Clock(rapid.IntRange(0, minutesOfDay-1).Draw(t, "clock"))
		p2, err1 := ParsePercent(p.String())
		w2, err2 := ParseWeight(w.String())
		at2, err3 := ParseClock(at.String())
		if err := errors.Join(err1, err2, err3); err != nil || p2 != p || w2 != w || at2 != at {
			t.Fatalf("%s %s %s come back as %s %s %s, %v", p, w, at, p2, w2, at2, err)
		}
	})
}
