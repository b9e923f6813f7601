// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/canon"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func sample() Charter {
	return Charter{
		Charter: Format, Name: "Elm Road", RulesVersion: 1, Currency: "EUR",
		Interval: energy.QuarterHour, SettleAfter: 90 * energy.Minute, Price: energy.Price{Micro: 12_345_000, Currency: "EUR"},
		Sharing:  Sharing{ExportingSites: ExportersReceive, Rounds: []Round{{Name: "everybody", Method: Equal}}},
		Residual: Residual{By: ResidualEqual},
		Storage:  Storage{Use: StorageShared},
	}
}

// TestHashIsFrozen: ledgers name charters by this hash for ever. Both values were
// made with other programs (written by hand, hashed with sha256sum).
func TestHashIsFrozen(t *testing.T) {
	const want = `{"charter":"allmende/1","currency":"EUR","interval":"15m0s","name":"Elm Road","price":"12.345 ct/kWh EUR",` +
		`"residual":{"by":"equal"},"rules_version":1,"settle_after":"1h30m0s",` +
		`"sharing":{"exporting_sites":"receive","rounds":[{"method":"equal","name":"everybody"}]},"storage":{"use":"shared"}}`
	c := sample()
	b, err := c.Canonical()
	if err != nil || string(b) != want {
		t.Fatalf("canonical form\n%s, %v, want\n%s", b, err, want)
	}
	if h, err := c.Hash(); err != nil || h != "167a6154aa3d911162697fd79edb3a8f3122daa6a5e839f5a7f2b9ad25831518" {
		t.Errorf("hash %s, %v", h, err)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	if c := sample(); c.Validate() != nil {
		t.Fatal(c.Validate())
	}
	none := energy.Energy(0)
	rounds := func(n int) (r []Round) {
		for i := range n {
			r = append(r, Round{Name: fmt.Sprint("round ", i), Method: Equal})
		}
		return r
	}
	for want, change := range map[string]func(*Charter){
		"charter":                     func(c *Charter) { c.Charter = "allmende/2" },
		"name":                        func(c *Charter) { c.Name = " \t" },
		"name ":                       func(c *Charter) { c.Name = "two\nlines" },
		"name  ":                      func(c *Charter) { c.Name = strings.Repeat("ä", maxName+1) },
		"name   ":                     func(c *Charter) { c.Name = "a\xff" },
		"summary":                     func(c *Charter) { c.Summary = strings.Repeat("x", maxSummary+1) },
		"summary ":                    func(c *Charter) { c.Summary = "\xff" },
		"rules_version":               func(c *Charter) { c.RulesVersion = RulesVersion + 1 },
		"rules_version ":              func(c *Charter) { c.RulesVersion = 0 },
		"currency":                    func(c *Charter) { c.Currency = "XXX" },
		"currency ":                   func(c *Charter) { c.Currency = "" },
		"interval":                    func(c *Charter) { c.Interval = 20 * energy.Minute },
		"settle_after":                func(c *Charter) { c.SettleAfter = energy.Second },
		"settle_after ":               func(c *Charter) { c.SettleAfter = 41 * energy.Day },
		"price":                       func(c *Charter) { c.Price = energy.Price{} },
		"price ":                      func(c *Charter) { c.Price.Micro = -1 },
		"price  ":                     func(c *Charter) { c.Price.Currency = "CHF" },
		"price   ":                    func(c *Charter) { c.Price.Micro = maxPriceMicro + 1 },
		"price    ":                   func(c *Charter) { c.Price.Currency = "XXX" },
		"sharing.exporting_sites":     func(c *Charter) { c.Sharing.ExportingSites = "never" },
		"sharing.rounds":              func(c *Charter) { c.Sharing.Rounds = nil },
		"sharing.rounds ":             func(c *Charter) { c.Sharing.Rounds = rounds(MaxRounds + 1) },
		"sharing.rounds[0].name":      func(c *Charter) { c.Sharing.Rounds[0].Name = "" },
		"sharing.rounds[2].name":      func(c *Charter) { c.Sharing.Rounds = rounds(3); c.Sharing.Rounds[2].Name = "round 0" },
		"sharing.rounds[0].method":    func(c *Charter) { c.Sharing.Rounds[0].Method = "fair" },
		"sharing.rounds[0].groups":    func(c *Charter) { c.Sharing.Rounds[0].Groups = make([]roll.Group, MaxGroups+1) },
		"sharing.rounds[0].groups[1]": func(c *Charter) { c.Sharing.Rounds[0].Groups = []roll.Group{"a", "a"} },
		"sharing.rounds[0].groups[0]": func(c *Charter) { c.Sharing.Rounds[0].Groups = []roll.Group{"Ä"} },
		"sharing.rounds[0].cap":       func(c *Charter) { c.Sharing.Rounds[0].Cap = &none },
		"residual.by":                 func(c *Charter) { c.Residual.By = "nobody" },
		"residual.member":             func(c *Charter) { c.Residual.By = ResidualMember },
		"residual.member ":            func(c *Charter) { c.Residual = Residual{ResidualMember, "The House"} },
		"residual.member  ":           func(c *Charter) { c.Residual.Member = "house" },
		"storage.use":                 func(c *Charter) { c.Storage.Use = "" },
	} {
		c := sample()
		change(&c)
		var p Problems
		if err := c.Validate(); !errors.As(err, &p) || len(p) != 1 || p[0].Path != strings.TrimSpace(want) {
			t.Errorf("%s: %v", want, err)
		}
		if _, err := c.Hash(); err == nil {
			t.Errorf("%s: an invalid charter has a hash", want)
		}
	}
	var empty Charter
	var p Problems
	if err := empty.Validate(); !errors.As(err, &p) || len(p) != 11 {
		t.Errorf("an empty charter: %d problems, %v", len(p), err)
	}
}

// drawCharter is a random valid charter.
func drawCharter(t *rapid.T) Charter {
	c := sample()
	c.Name = rapid.StringMatching(`[A-Za-zÄ-ü][ -~€😀]{0,20}[a-z.]`).Draw(t, "name")
	c.Summary = rapid.StringMatching(`([ -~€]|\n){0,40}`).Draw(t, "summary")
	c.Interval = rapid.SampledFrom([]energy.Span{energy.QuarterHour, energy.Hour}).Draw(t, "interval")
	c.SettleAfter = energy.Span(rapid.Int64Range(int64(minSettleAfter), int64(maxSettleAfter)).Draw(t, "settle_after"))
	c.Currency = rapid.SampledFrom([]energy.Currency{"EUR", "CHF", "GBP", "SEK", "JPY"}).Draw(t, "currency")
	c.Price = energy.Price{Micro: rapid.Int64Range(0, maxPriceMicro).Draw(t, "price"), Currency: c.Currency}
	c.Sharing.ExportingSites = rapid.SampledFrom([]ExportRule{ExportersReceive, ExportersWait}).Draw(t, "exporters")
	c.Sharing.Rounds = nil
	for i := range rapid.IntRange(1, MaxRounds).Draw(t, "rounds") {
		r := Round{Name: fmt.Sprint("round ", i), Method: rapid.SampledFrom([]Method{Equal, Proportional}).Draw(t, "method")}
		for _, g := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9][a-z0-9_-]{0,39}`), 0, 3, rapid.ID).Draw(t, "groups") {
			r.Groups = append(r.Groups, roll.Group(g))
		}
		if rapid.Bool().Draw(t, "capped") {
			most := energy.Energy(rapid.Int64Range(1, 1<<62).Draw(t, "cap"))
			r.Cap = &most
		}
		c.Sharing.Rounds = append(c.Sharing.Rounds, r)
	}
	c.Residual.By = rapid.SampledFrom([]ResidualRule{ResidualEqual, ResidualProportional, ResidualMember}).Draw(t, "residual")
	if c.Residual.By == ResidualMember {
		c.Residual.Member = "house"
	}
	c.Storage.Use = rapid.SampledFrom([]StorageUse{StorageNone, StorageShared}).Draw(t, "storage")
	return c
}

func TestCanonicalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCharter(t)
		b, err := c.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeCanonical(b)
		if err != nil || !reflect.DeepEqual(c, back) {
			t.Fatalf("%+v became %s, read as %+v, %v", c, b, back, err)
		}
	})
}

func TestDecodeCanonicalIsStrict(t *testing.T) {
	b, err := sample().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, bad := range map[string]string{
		"white space":      text + "\n",
		"an unknown field": strings.Replace(text, `"storage":`, `"zoning":1,"storage":`, 1),
		"another order":    strings.Replace(text, `{"charter":"allmende/1","currency":"EUR",`, `{"currency":"EUR","charter":"allmende/1",`, 1),
		"another spelling": strings.Replace(text, `"15m0s"`, `"15m"`, 1),
		"capitals":         strings.Replace(text, `"charter":`, `"Charter":`, 1),
		"an invalid value": strings.Replace(text, `"equal"`, `"fair"`, 1),
		"a wrong type":     strings.Replace(text, `"Elm Road"`, `1`, 1),
		"nothing":          "",
		"null":             "null",
	} {
		if bad == text {
			t.Fatalf("%s: the sample did not change", name)
		}
		if c, err := DecodeCanonical([]byte(bad)); err == nil {
			t.Errorf("%s is accepted as %+v", name, c)
		}
	}
}

func TestExplain(t *testing.T) {
	c := sample()
	c.Price.Micro = 0
	most := energy.Energy(500_000)
	c.Sharing = Sharing{ExportingSites: ExportersWait, Rounds: []Round{
		{Name: "families first", Groups: []roll.Group{"families", "school"}, Method: Equal, Cap: &most},
		{Name: "by need", Groups: []roll.Group{"flats"}, Method: Proportional},
	}}
	c.Residual = Residual{By: ResidualMember, Member: "house"}
	c.Storage.Use = StorageNone
	text := strings.Join(c.Explain(), "\n")
	for _, want := range []string{
		"Elm Road", "two rounds", "Round 1, “families first”", "the groups “families” and “school”", "0.5 kWh from this round in one quarter-hour",
		"the group “flats”", "same percentage", "What is left over is not shared", "because sharing is not open to every member without a limit", "rounded down the most", "draw that is new every quarter-hour",
		"does not receive shared energy", "Batteries are left alone", "“house”", "costs nothing", "90 minutes after its end", "version 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said in\n%s", want, text)
		}
	}
	// Its cap is 0.5 kWh: the example of 2.5 kWh would say the opposite.
	for _, not := range []string{"%!", "exporting_sites", "Nothing is left unshared", "2.5 kWh"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is said in\n%s", not, text)
		}
	}
}

// TestExplainAlwaysSpeaks: every valid charter has an explanation in whole sentences.
func TestExplainAlwaysSpeaks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCharter(t)
		text := c.Explain()
		skip := 1 // the name and the summary are people's own
		if strings.TrimSpace(c.Summary) != "" {
			skip = 2
		}
		for _, p := range text[skip:] {
			if !strings.HasSuffix(p, ".") || strings.Contains(p, "%!") || strings.Contains(p, "  ") {
				t.Fatalf("paragraph %q", p)
			}
		}
	})
}

func TestInPower(t *testing.T) {
	c := sample()
	most := energy.Energy(500_000) // 0.5 kWh in a quarter-hour are 2 kW
	c.Sharing.Rounds[0].Cap = &most
	got := c.InPower()
	if *got.Rounds[0].Cap != energy.Energy(2*energy.Kilowatt) || most != 500_000 || got.Rounds[0].Name != "everybody" {
		t.Errorf("InPower: %+v, cap %d", got, *got.Rounds[0].Cap)
	}
}

func FuzzDecodeCanonical(f *testing.F) {
	b, err := sample().Canonical()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"charter":"allmende/1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCanonical(b)
		if err != nil {
			return
		}
		if again, err := c.Canonical(); err != nil || string(again) != string(b) {
			t.Fatalf("%q reads, and writes %q, %v", b, again, err)
		}
		if canon.Check(b) != nil {
			t.Fatalf("%q is not canonical", b)
		}
	})
}
