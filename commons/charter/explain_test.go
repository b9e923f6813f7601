// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// told is what a charter with this sharing rule says of itself.
func told(t *testing.T, change func(*Charter)) string {
	t.Helper()
	c := Charter{
		Charter: Format, Name: "Elm Road", RulesVersion: 2, Currency: "EUR", Interval: energy.QuarterHour, SettleAfter: energy.Hour,
		Price: energy.Price{Micro: 12_000_000, Currency: "EUR"}, Residual: Residual{By: ResidualEqual}, Storage: Storage{Use: StorageNone},
		Sharing: Sharing{ExportingSites: ExportersReceive},
	}
	change(&c)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(c.Explain(), "\n")
}

// TestExplainSaysWhatIsDone: sentences that a page once said too broadly, or of
// a rule that they don't hold for.
func TestExplainSaysWhatIsDone(t *testing.T) {
	half := []MemberKeys{{Member: "anna", Keys: []Key{{Percent: Whole / 2}}}, {Member: "ben", Keys: []Key{{Percent: Whole / 2}}}}
	ofRoof := []MemberKeys{{Member: "anna", Keys: []Key{{Source: "roof", Percent: Whole / 2}}}}
	roof := []Source{{Name: "roof", Member: "coop"}}
	for name, x := range map[string]struct {
		change      func(*Charter)
		says, never []string
	}{
		"turns over a pool": {
			func(c *Charter) { c.Sharing.Rounds = []Round{{Name: "keys", Method: Passes, Passes: 3, Keys: half}} },
			[]string{
				"goes round three times", "her percentage of what is still there when the turn begins", "in the first turn",
				"cut down to the thousandth of a watt-hour; what is cut off is there in the next turn",
				"What is left over is not shared, even if somebody still needs energy, because nobody gets more than her percentage in a turn.",
			},
			[]string{"source", "draw that is new", "shared out exactly", "fixed part"},
		},
		"one turn over sources, in steps": {
			func(c *Charter) {
				c.Sharing.Sources = roof
				c.Sharing.Rounding = &Rounding{Unit: 10 * energy.WattHour, Mode: Floor}
				c.Sharing.Rounds = []Round{{Name: "keys", Method: Passes, Passes: 1, Keys: ofRoof}}
			},
			[]string{"There is one turn: every member gets her percentage of what each of her sources has", "cut down to whole steps of 0.01 kWh; what is cut off is given to nobody"},
			[]string{"next turn", "still has"},
		},
		"turns, then need": {
			func(c *Charter) {
				c.Sharing.Rounds = []Round{{Name: "keys", Method: Passes, Keys: half}, {Name: "need", Method: Proportional}}
			},
			[]string{"five times, or as often as there are members who hold a percentage", "In the other rounds: everything is shared out exactly", "What nobody needs stays with those who fed it in."},
			nil,
		},
		"an order, by need within": {
			func(c *Charter) {
				c.Sharing.Rounds = []Round{{Name: "order", Method: Priority, Within: Proportional, Tiers: []Tier{{Members: []roll.MemberID{"anna", "ben"}}}}}
			},
			[]string{"because only members who have a place in the order take part", "rounded down the most"},
			[]string{"without a limit"},
		},
		"parts by weight": {
			func(c *Charter) {
				one := Weight(1_000_000)
				c.Sharing.Rounds = []Round{{Name: "parts", Method: Static, Weights: &Weights{Default: &one}}}
			},
			[]string{"A member's part is what she counts, out of what all who may take part count together.", "What is left over is not shared, even if somebody still needs energy, because each holds a fixed part."},
			nil,
		},
		"whole steps, what does not fill one is lost": {
			func(c *Charter) {
				c.Sharing.Rounding = &Rounding{Unit: 10 * energy.WattHour, Mode: Floor}
				c.Sharing.Rounds = []Round{{Name: "all", Method: Equal}}
			},
			[]string{"because what does not fill a step is given to nobody"},
			[]string{"without a limit"},
		},
		"a currency without small coins": {
			func(c *Charter) {
				c.Currency, c.Price = "CZK", energy.Price{Micro: 250_000_000, Currency: "CZK"}
				c.Sharing.Rounds = []Round{{Name: "all", Method: Equal}}
			},
			[]string{"Shared energy costs 2.5 CZK/kWh, paid"},
			[]string{"250 h"},
		},
	} {
		text := told(t, x.change)
		for _, s := range x.says {
			if !strings.Contains(text, s) {
				t.Errorf("%s: does not say %q:\n%s", name, s, text)
			}
		}
		for _, s := range x.never {
			if strings.Contains(text, s) {
				t.Errorf("%s: says %q:\n%s", name, s, text)
			}
		}
	}
}

// TestPlacesHaveNames: people don't speak in codes.
func TestPlacesHaveNames(t *testing.T) {
	for _, s := range schemes() {
		if name := placeOf(s.country); name == s.country {
			t.Errorf("%s is of %s, which has no name", s.name, s.country)
		}
	}
}
