// SPDX-License-Identifier: AGPL-3.0-or-later

package expr

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func TestRefusals(t *testing.T) {
	for _, x := range []struct {
		gives     charter.ExpressionKind
		cel, says string
	}{
		// What would not come out the same everywhere and always.
		{"weight", "1000000 * 1.5", "is a fraction"},
		{"weight", "int(double(member.sites))", "int is not known"},
		{"weight", "double(1)", "makes fractions"},
		{"eligible", "timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')", "is a matter of time"},
		{"eligible", "duration('1h') > duration('1m')", "is a matter of time"},
		{"eligible", "now() > 1", "is a matter of time"},
		{"eligible", "member.id.matches('a+b')", "matches is not known here"},
		{"eligible", "b'x' == b'x'", "it has a bytes"},
		{"eligible", "1u < 2u", "it has a uint"},
		{"eligible", "null == null", "it has a null"},
		// What could run long or grow.
		{"eligible", "member.groups.all(g, g != 'x')", "it has a loop (all)"},
		{"eligible", "member.groups.exists(g, member.groups.exists(h, g == h))", "it has a loop (exists)"},
		{"eligible", "[1, 2].map(x, x * 2) == [2, 4]", "it has a loop (map)"},
		{"eligible", "size(member.groups) > 1", "size is not known"},
		{"eligible", "has(member.id)", "has is not needed"},
		{"eligible", "{'a': 1}['a'] == 1", "is not known here"},
		{"eligible", "member.groups[0] == 'x'", "is not known here"},
		{"eligible", "member.id + 'x' == 'annax'", "texts and lists are not added"},
		{"weight", strings.Repeat("(", 60) + "1000000" + strings.Repeat(")", 60), "say it shorter"},
		{"weight", "1000000" + strings.Repeat("+1", 300), "in a simpler way|nodes|cannot be read"},
		{"weight", "1" + strings.Repeat(" ", charter.MaxExpression), "longer than"},
		{"weight", "last.used_wh * last.used_wh * last.used_wh", "write min(…) around what can grow"},
		{"weight", "9223372036854775807 + 1", "more than a computer's whole number holds"},
		{"weight", "1" + strings.Repeat(" * 10", 20), "more than a computer's whole number holds"},
		// What divides by zero.
		{"weight", "1000000 / member.sites", "write max(1, …) around the divisor"},
		{"weight", "1000000 % (member.since_days - 3)", "divides by something that can be 0 (it lies between -3 and 36522)"},
		{"weight", "member.sites > 0 ? 1000000 / member.sites : 1", "write max(1, …) around the divisor"},
		{"weight", "last.gave_wh", "it can give 0, and a weight of nothing divides by zero"},
		{"weight", "1000000 - member.since_days * 1000", "it can give -35525000"},
		{"weight", "1 + last.gave_wh * 10", "a weight is at most 1000000000000; write min("},
		// What is not what it should be.
		{"eligible", "member.since_days", "wants true or false"},
		{"weight", "member.since_days > 3", "wants a whole number of millionths"},
		{"weight", "'a'", "it gives text"},
		{"eligible", "member.since_day > 3", "did you mean member.since_days?"},
		{"eligible", "anna.age > 3", "the names are member.id, member.groups"},
		{"eligible", "member.id == 3", "whole numbers go with whole numbers"},
		{"eligible", "3 in member.groups", "whole numbers go with whole numbers"},
		{"eligible", "member.id in ['a', member.id]", "a list holds texts"},
		{"eligible", "member.since_days >", "cannot be read"},
		{"eligible", "(member.groups).x == 1", "is not known"},
	} {
		_, err := Compile(charter.Expression{Name: "x", Gives: x.gives, CEL: x.cel})
		ok := false
		for _, says := range strings.Split(x.says, "|") {
			ok = ok || err != nil && strings.Contains(err.Error(), says)
		}
		if !errors.Is(err, ErrExpression) || !ok {
			t.Errorf("%.80s: %v, want … %s", x.cel, err, x.says)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80s: more than a line: %v", x.cel, err)
		}
	}
}

func facts() []Facts {
	return []Facts{
		{Member: "ben", Groups: []roll.Group{"suspended"}, SinceDays: 400, Sites: 2, GaveWh: 3_000_000, BatteryWh: 6400},
		{Member: "anna", Groups: []roll.Group{"families", "owners"}, SinceDays: 90, Sites: 1, UsedWh: 250_000, FedInWh: 100_000, GaveWh: 40_000, ReceivedWh: 7},
	}
}

func TestEvaluate(t *testing.T) {
	for _, x := range []struct {
		gives     charter.ExpressionKind
		cel       string
		anna, ben int64
	}{
		{"eligible", "member.since_days >= 90 && !('suspended' in member.groups)", 1, 0},
		{"eligible", "member.id in ['ben', 'carla'] || member.sites == 3", 0, 1},
		{"eligible", "member.id < 'b'", 1, 0},
		{"eligible", "last.gave_wh * 2 <= last.fed_in_wh && last.received_wh % 2 == 1", 1, 0},
		{"weight", "1000000 + min(last.gave_wh, 500000) * 4", 1_160_000, 3_000_000},
		{"weight", "'families' in member.groups ? 2000000 : 1000000", 2_000_000, 1_000_000},
		{"weight", "max(1, last.used_wh / community.members)", 125_000, 1},
		{"weight", "max(1, min(1000000, 1000000 * last.gave_wh / max(1, community.gave_wh)))", 13157, 986842},
		{"weight", "1 + member.battery_wh % 1000 - -2", 3, 403},
	} {
		c := charter.Charter{
			Charter: charter.Format, Name: "x", RulesVersion: 2, Currency: "EUR", Interval: energy.Hour, SettleAfter: energy.Hour,
			Price: energy.Price{Currency: "EUR"}, WeightingPeriod: charter.PerMonth,
			Expressions: []charter.Expression{{Name: "it", Gives: x.gives, CEL: x.cel}},
			Sharing:     charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "a", Method: charter.Equal, Eligible: "it"}}},
			Residual:    charter.Residual{By: charter.ResidualEqual}, Storage: charter.Storage{Use: charter.StorageNone},
		}
		if x.gives == "weight" {
			c.Sharing.Rounds[0] = charter.Round{Name: "a", Method: charter.Weighted, Weights: &charter.Weights{Expression: "it"}}
		}
		if p := Check(&c); len(p) > 0 {
			t.Errorf("%s: %v", x.cel, p)
			continue
		}
		terms, err := Evaluate(&c, 0, 1000, facts())
		if err != nil || terms.Of("it", "anna") != x.anna || terms.Of("it", "ben") != x.ben || terms.Of("it", "carla") != 0 || terms.Of("else", "ben") != 0 {
			t.Errorf("%s: %+v, %v", x.cel, terms, err)
		}
		twice := append(facts(), facts()[0])
		if _, err := Evaluate(&c, 0, 1000, twice); err == nil {
			t.Error("a member counts twice")
		}
		other, err := Evaluate(&c, 0, 1000, []Facts{facts()[1], facts()[0]})
		if err != nil || !reflect.DeepEqual(terms, other) {
			t.Errorf("the order of members matters: %+v, %v", other, err)
		}
	}
}

// drawNumber and drawTruth write random expressions, most of them too bold.
func drawNumber(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0 {
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			return fmt.Sprint(rapid.OneOf(rapid.Int64Range(0, 9), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "literal"))
		default:
			var names []string
			for _, v := range Variables() {
				if v.Kind == Number {
					names = append(names, v.Name)
				}
			}
			return rapid.SampledFrom(names).Draw(t, "name")
		}
	}
	a, b := drawNumber(t, depth-1), drawNumber(t, depth-1)
	switch op := rapid.SampledFrom([]string{"+", "-", "*", "/", "%", "min", "max", "?", "-x", "guard"}).Draw(t, "op"); op {
	case "min", "max":
		return fmt.Sprintf("%s(%s, %s)", op, a, b)
	case "?":
		return fmt.Sprintf("(%s ? %s : %s)", drawTruth(t, depth-1), a, b)
	case "-x":
		return "-(" + a + ")"
	case "guard":
		return fmt.Sprintf("max(1, min(%s, 1000000))", a)
	default:
		return fmt.Sprintf("(%s %s %s)", a, op, b)
	}
}

func drawTruth(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{"true", "false", "'a' in member.groups", "member.id == 'b'"}).Draw(t, "truth")
	}
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return fmt.Sprintf("(%s %s %s)", drawNumber(t, depth-1), rapid.SampledFrom([]string{"<", "<=", ">", ">=", "==", "!="}).Draw(t, "cmp"), drawNumber(t, depth-1))
	case 1:
		return fmt.Sprintf("(%s %s %s)", drawTruth(t, depth-1), rapid.SampledFrom([]string{"&&", "||"}).Draw(t, "logic"), drawTruth(t, depth-1))
	default:
		return "!(" + drawTruth(t, depth-1) + ")"
	}
}

// TestWhatIsAcceptedRuns: an expression that the checker took gives, for any
// facts at all, a value within the range that it announced, and never an error.
func TestWhatIsAcceptedRuns(t *testing.T) {
	accepted := 0
	amount := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64(), rapid.Just(int64(maxWattHours)))
	rapid.Check(t, func(t *rapid.T) {
		e := charter.Expression{Name: "x", Gives: charter.GivesWeight}
		if rapid.Bool().Draw(t, "eligible") {
			e.Gives, e.CEL = charter.GivesEligible, drawTruth(t, 3)
		} else {
			e.CEL = fmt.Sprintf("max(1, min(%s, 1000000))", drawNumber(t, 3))
		}
		c, err := Compile(e)
		if err != nil {
			if !errors.Is(err, ErrExpression) {
				t.Fatal(err)
			}
			return
		}
		accepted++
		for range 5 {
			f := Facts{
				Member: "b", Groups: []roll.Group{"a"}, SinceDays: amount.Draw(t, "days"), Sites: amount.Draw(t, "sites"), BatteryWh: amount.Draw(t, "battery"),
				UsedWh: amount.Draw(t, "used"), FedInWh: amount.Draw(t, "fed in"), GaveWh: amount.Draw(t, "gave"), ReceivedWh: amount.Draw(t, "received"),
			}
			if v, err := c.run(f.values(amount.Draw(t, "members"), amount.Draw(t, "all gave"))); err != nil || v < c.Lowest || v > c.Highest {
				t.Fatalf("%s over %+v: %d, %v", e.CEL, f, v, err)
			}
		}
	})
	if accepted == 0 {
		t.Error("no expression was accepted, so nothing was shown")
	}
}

func FuzzCompile(f *testing.F) {
	for _, cel := range []string{"member.since_days >= 90", "1000000 + min(last.gave_wh, 5) * 4", "[[[[", "a.b.c()", "'\\x'", "-9223372036854775808 / -1"} {
		f.Add(cel, true)
		f.Add(cel, false)
	}
	f.Fuzz(func(t *testing.T, cel string, eligible bool) {
		e := charter.Expression{Name: "x", Gives: charter.GivesWeight, CEL: cel}
		if eligible {
			e.Gives = charter.GivesEligible
		}
		c, err := Compile(e)
		if err != nil {
			if !errors.Is(err, ErrExpression) {
				t.Fatal(err)
			}
			return
		}
		for _, m := range facts() {
			if v, err := c.run(m.values(2, 5)); err != nil || v < c.Lowest || v > c.Highest {
				t.Fatalf("%q: %d, %v", cel, v, err)
			}
		}
	})
}
