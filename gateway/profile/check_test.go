// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// What cannot be is refused when a profile is loaded, each with its line and
// what to write instead.
func TestRefused(t *testing.T) {
	if _, err := profile.Parse("mine.yaml", []byte(timed)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, field, says string }{
		"a misspelt field":           {"scale", "", "", ""},
		"no unit":                    {", unit: W, missing", ", missing", "points[0].unit", "missing"},
		"an unknown unit":            {"unit: W, missing", "unit: watt, missing", "points[0].unit", "not known"},
		"overlapping registers":      {"controls:", "  - {name: soc, address: 1, type: u16, unit: \"%\"}\ncontrols:", "points[1].address", "overlap"},
		"two points with one name":   {"controls:", "  - {name: power, address: 9, type: s16, unit: W, least: 0, most: 1}\ncontrols:", "points[1].name", "points[0]"},
		"a register beyond the last": {"address: 1, type: s16", "address: 65535, type: s32", "points[0].address", "65535"},
		"a counter in watts":         {"controls:", "  - {name: charged, address: 9, type: u32, unit: W}\ncontrols:", "points[1].unit", "Wh"},
		"power without bounds":       {", least: -5000, most: 5000}", "}", "points[0].most", "power needs"},
		"a sentinel that is too long": {
			"0x8000", "0x80000000", "points[0].missing[0]", "does not fit",
		},
		"a source that is not there": {"unit: W, missing", "unit: W, from: [nobody], missing", "points[0].from[0]", "none of the sources"},
		"no identification":          {"identify: [{address: 0, type: u16, is: [7]}]\n", "", "identify", "wrong profile"},
		"a numbering nobody knows":   {"numbers: one", "numbers: two", "sources[1].numbers", "modicon"},
		"one source for a control":   {"confirmed: true", "confirmed: true\n    from: [a]", "controls[0].from", "two sources"},
		"a control without range":    {"    least: -3000\n    most: 3000\n", "", "controls[0].most", "least and most"},
		"an order for the wrong kind": {
			"quantity: battery_power", "quantity: load_power", "controls[0].quantity", "battery_power",
		},
		"no way back":                     {"release:", "stop:", "controls[0].release", "gives the device back"},
		"a timer after the setpoint":      {"{address: 20, function: 6, takes: seconds}", "{address: 19, function: 16, type: s32, takes: value}\n      - {address: 22, function: 6, takes: seconds}", "controls[0].set", "write it first"},
		"no timer":                        {"      - {address: 20, function: 6, takes: seconds}\n", "", "controls[0].set", "no step takes seconds"},
		"function 6 for two registers":    {"{address: 21, function: 16, type: s32", "{address: 21, function: 6, type: s32", "controls[0].set[1].function", "write 16"},
		"a step that joins far away":      {"address: 23, function: 16", "address: 24, function: 16", "controls[0].set[2].joins", "23"},
		"a write to an input register":    {"- {address: 20, function: 6, takes: seconds}", "- {table: input, address: 20, function: 6, takes: seconds}", "controls[0].set[0].table", "only be read"},
		"a watchdog that nobody feeds":    {"by: timer, least_seconds: 10, most_seconds: 600", "by: watchdog, seconds: 60", "controls[0].refresh_seconds", "before it ends"},
		"a constant that does not fit":    {"constant, value: 4", "constant, value: 70000", "controls[0].set[2].value", "does not fit"},
		"an unconfirmed one without note": {"confirmed: true", "confirmed: false", "controls[0].note", "what is not known"},
		"a firmware nobody reads":         {"unit: W, missing", "unit: W, since: \"2\", missing", "points[0].since", "named firmware"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.old == "scale" {
				c.old, c.new, c.field, c.says = "unit: W, missing", "unit: W, sclae: 2, missing", "sclae", "scale"
			}
			src := strings.Replace(timed, c.old, c.new, 1)
			if src == timed {
				t.Fatal("nothing replaced")
			}
			_, err := profile.Parse("mine.yaml", []byte(src))
			var problems strictyaml.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("loaded: %v", err)
			}
			for _, p := range problems {
				if text := p.Error(); strings.Contains(text, c.field) && strings.Contains(text, c.says) && strings.Contains(text, "mine.yaml:") {
					return
				}
			}
			t.Errorf("no problem of %s that says %q:\n%v", c.field, c.says, err)
		})
	}
}
