// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

func allocateRun(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"allocate"}, args...), &output{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// allocateOK is the answer to a question that must not be refused.
func allocateOK(t *testing.T, stdin string, args ...string) (a answered) {
	t.Helper()
	code, said, errs := allocateRun(t, stdin, args...)
	if code != 0 {
		t.Fatalf("allocate %v: %d %s\nof %s", args, code, errs, stdin)
	}
	if err := json.Unmarshal([]byte(said), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

type answered struct {
	Flows []struct {
		Source, Sink, Energy string
	}
	Shares, Left, Unmet map[string]string
}

const village = `{"sources":{"roof":"3.00","mill":"1.00"},"sinks":{
 "anna":{"demand":"1.50","keys":[{"source":"roof","percent":"40"},{"source":"mill","percent":"50"}]},
 "ben":{"demand":"4.00","keys":[{"source":"roof","percent":"60"}]}},"rounds":1}`

func TestAllocateAsTheIssueSays(t *testing.T) {
	_, said, _ := allocateRun(t, village, "--scheme", "cz-edc")
	want := `{"flows":[{"source":"roof","sink":"anna","energy":"1.20"},{"source":"mill","sink":"anna","energy":"0.30"},{"source":"roof","sink":"ben","energy":"1.80"}],"shares":{"anna":"1.50","ben":"1.80"},"left":{"roof":"0.00","mill":"0.70"},"unmet":{"anna":"0.00","ben":"2.20"}}`
	var a, b any
	if json.Unmarshal([]byte(said), &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("got %s\nwant %s", said, want)
	}
}

// decimal reads a decimal string exactly.
func decimal(t *testing.T, s string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return r
}

func within(t *testing.T, what, got string, want, tolerance string) {
	t.Helper()
	diff := new(big.Rat).Sub(decimal(t, got), decimal(t, want))
	if diff.Abs(diff).Cmp(decimal(t, tolerance)) > 0 {
		t.Errorf("%s: %s, published is %s", what, got, want)
	}
}

// TestPublishedAllocations holds every figure of the shared examples.
func TestPublishedAllocations(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "vectors", "allocation.json"))
	if err != nil {
		t.Skipf("the shared test data is not there: %v", err)
	}
	var file struct {
		EDC []struct {
			Name   string
			Iter   bool
			Supply map[string]json.Number
			Demand map[string]json.Number
			Keys   map[string][][2]any
			Shared map[string]json.Number
			Left   map[string]json.Number `json:"supply_left"`
		}
		Equal []struct {
			Pool int64               `json:"pool_wh"`
			Rows map[string][3]int64 // demand, proportional, equal
		} `json:"proportional_and_equal"`
		Weighted []struct {
			P     json.Number
			Keys  []json.Number
			D     []json.Number
			Exact []json.Number
			EDC5  []json.Number `json:"edc5"`
		}
		Meter map[string]int64 `json:"summation_meter_de"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.EDC) == 0 || len(file.Equal) == 0 || len(file.Weighted) == 0 || len(file.Meter) == 0 {
		t.Fatal("the shared examples are not those that this test knows")
	}
	for _, e := range file.EDC {
		sinks := map[string]any{}
		for name, d := range e.Demand {
			var keys []map[string]string
			for _, k := range e.Keys[name] {
				keys = append(keys, map[string]string{"source": fmt.Sprint(k[0]), "percent": fmt.Sprint(k[1])})
			}
			sinks[name] = map[string]any{"demand": d.String(), "keys": keys}
		}
		q := map[string]any{"sources": texts(e.Supply), "sinks": sinks}
		if !e.Iter {
			q["rounds"] = 1
		}
		a := allocateOK(t, asJSON(t, q), "--scheme", "cz-edc")
		for name, want := range e.Shared {
			_, sink, found := strings.Cut(name, "->")
			if !found {
				sink = name
			}
			within(t, e.Name+" "+name, a.Shares[sink], want.String(), "0")
		}
		for name, want := range e.Left {
			within(t, e.Name+" left "+name, a.Left[name], want.String(), "0")
		}
	}
	for _, e := range file.Equal {
		sinks := map[string]any{}
		for name, row := range e.Rows {
			sinks[name] = map[string]string{"demand": wh(row[0])}
		}
		q := asJSON(t, map[string]any{"sources": map[string]string{"pool": wh(e.Pool)}, "sinks": sinks})
		for column, scheme := range []string{"proportional", "equal", "at-dynamic", "equal-shares"} {
			column %= 2
			a := allocateOK(t, q, "--scheme", scheme)
			sum := new(big.Rat)
			for name, row := range e.Rows {
				within(t, scheme+" "+name, a.Shares[name], wh(row[1+column]), "0.001")
				sum.Add(sum, decimal(t, a.Shares[name]))
			}
			if sum.Cmp(decimal(t, wh(e.Pool))) != 0 {
				t.Errorf("%s: shares sum to %s of %s", scheme, sum.FloatString(6), wh(e.Pool))
			}
		}
	}
	for _, e := range file.Weighted {
		weighted, keyed := map[string]any{}, map[string]any{}
		for i, d := range e.D {
			percent := new(big.Rat).Mul(decimal(t, e.Keys[i].String()), big.NewRat(100, 1)).FloatString(2)
			weighted[fmt.Sprint(i)] = map[string]string{"demand": d.String(), "weight": e.Keys[i].String()}
			keyed[fmt.Sprint(i)] = map[string]any{"demand": d.String(), "keys": []map[string]string{{"source": "P", "percent": percent}}}
		}
		sources := map[string]string{"P": e.P.String()}
		exact := allocateOK(t, asJSON(t, map[string]any{"sources": sources, "sinks": weighted}), "--scheme", "weighted")
		five := allocateOK(t, asJSON(t, map[string]any{"sources": sources, "sinks": keyed, "rounds": 5}), "--scheme", "cz-edc")
		for i := range e.D {
			within(t, fmt.Sprint("weighted ", i), exact.Shares[fmt.Sprint(i)], e.Exact[i].String(), "0")
			within(t, fmt.Sprint("five rounds ", i), five.Shares[fmt.Sprint(i)], e.EDC5[i].String(), "0")
		}
	}
	// A house behind one meter: what is used on site is what the tenants' shares sum to.
	m := file.Meter
	a := allocateOK(t, asJSON(t, map[string]any{
		"sources": map[string]string{"roof": fmt.Sprint(m["generation_kwh"])},
		"sinks": map[string]any{
			"house": map[string]string{"demand": fmt.Sprint(m["tenants_total_kwh"] - m["residual_kwh"])},
		},
	}), "--scheme", "proportional")
	within(t, "used on site", a.Shares["house"], fmt.Sprint(m["used_on_site_kwh"]), "0")
	within(t, "fed in", a.Left["roof"], fmt.Sprint(m["feed_in_kwh"]), "0")
	if m["grid_import_kwh"]+m["generation_kwh"]-m["feed_in_kwh"]-m["tenants_total_kwh"] != m["grid_import_kwh"]-m["residual_kwh"] {
		t.Error("the summation meter's figures don't close")
	}
}

func texts(in map[string]json.Number) map[string]string {
	out := map[string]string{}
	for k, v := range in {
		out[k] = v.String()
	}
	return out
}

func wh(v int64) string { return fmt.Sprintf("%d.%03d", v/1000, v%1000) }

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAllocateConserves: by every scheme there is, nothing is lost between
// sources, flows and sinks.
func TestAllocateConserves(t *testing.T) {
	questions := []string{
		village,
		`{"sources":{"roof":"7.123457","mill":"0"},"sinks":{"anna":{"demand":"3.3","weight":"0.5","groups":["flats"]},"ben":{"demand":"9","weight":"0.25"},"carl":{"demand":"0","weight":"3"}}}`,
		`{"sources":{"roof":"7"},"sinks":{"anna":{"demand":"3.3","keys":[{"source":"roof","percent":"33.3333"}]},"ben":{"demand":"9","keys":[{"source":"roof","percent":"66.6667"}]}}}`,
		`{"sources":{"roof":"7"},"sinks":{"anna":{"demand":"3.3","facts":{"last.gave_wh":5}},"ben":{"demand":"9","facts":{"last.gave_wh":900000}}}}`,
		`{"sources":{"roof":"7"},"sinks":{}}`,
	}
	for _, scheme := range schemeNames() {
		answers := 0
		for i, q := range questions {
			for _, reserve := range [][]string{{"0", "100"}, {"12.5"}, {"3.25"}, {"2"}, {"1"}}[i] {
				code, said, errs := allocateRun(t, q, "--scheme", scheme, "--reserve", reserve)
				if code != 0 {
					if !strings.Contains(errs, "weight") && !strings.Contains(errs, "facts") {
						t.Errorf("%s: %s", scheme, errs)
					}
					continue
				}
				answers++
				var a answered
				if err := json.Unmarshal([]byte(said), &a); err != nil {
					t.Fatal(err)
				}
				conserves(t, scheme, q, a)
				if reserve == "100" && len(a.Flows) > 0 {
					t.Errorf("%s shares what is all in reserve: %s", scheme, said)
				}
			}
		}
		if answers == 0 {
			t.Errorf("%s answers none of the questions", scheme)
		}
	}
	if len(charters.Templates()) == 0 {
		t.Error("no templates found")
	}
}

// TestAllocateOwnSun: nobody receives what she fed in where the charter says that
// only others' is received, whether her source has her name or the charter's.
func TestAllocateOwnSun(t *testing.T) {
	a := allocateOK(t, `{"sources":{"anna":"3.00"},"sinks":{"anna":{"demand":"2.00"}}}`, "--scheme", "be-flanders")
	if a.Shares["anna"] != "0.00" || a.Left["anna"] != "3.00" || a.Unmet["anna"] != "2.00" {
		t.Errorf("Flanders: %+v", a)
	}
	q := &question{
		sources: []sourceIn{{name: "roof", energy: 3000}, {name: "mill", energy: 1000}},
		sinks:   []sinkIn{{name: "anna", demand: 2000}, {name: "ben", demand: 2000}},
	}
	for _, c := range []struct {
		exporters charter.ExportRule
		half      bool // of Anna's meters count here
		anna, ben decimalKWh
	}{
		{charter.ExportersWait, false, 0, 2000}, {charter.ExportersOthers, false, 1000, 2000}, {charter.ExportersReceive, false, 2000, 2000},
		{charter.ExportersWait, true, 0, 2000}, {charter.ExportersReceive, true, 1000, 1500},
	} {
		rules := &charter.Sharing{
			ExportingSites: c.exporters, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}},
			Sources: []charter.Source{{Name: "roof", Member: "anna"}},
		}
		if c.half {
			rules.Participation = []charter.Participation{{Member: "anna", Percent: charter.Whole / 2}}
		}
		a, err := q.allocate(rules, nil)
		if err != nil || a.Shares["anna"] != c.anna || a.Shares["ben"] != c.ben || a.Left["roof"]+a.Left["mill"] != 4000-c.anna-c.ben {
			t.Errorf("%s, half %v: %+v, %v", c.exporters, c.half, a, err)
		}
	}
}

// energyText is a source's energy, alone or beside an offer.
type energyText string

func (e *energyText) UnmarshalJSON(b []byte) error {
	var with struct{ Energy string }
	if json.Unmarshal(b, &with) == nil {
		*e = energyText(with.Energy)
		return nil
	}
	return json.Unmarshal(b, (*string)(e))
}

func conserves(t *testing.T, scheme, question string, a answered) {
	t.Helper()
	var q struct {
		Sources map[string]energyText
		Sinks   map[string]struct{ Demand string }
	}
	if err := json.Unmarshal([]byte(question), &q); err != nil {
		t.Fatal(err)
	}
	given, taken := map[string]*big.Rat{}, map[string]*big.Rat{}
	for name := range q.Sources {
		given[name] = decimal(t, a.Left[name])
	}
	for name := range q.Sinks {
		taken[name] = new(big.Rat)
	}
	for _, f := range a.Flows {
		given[f.Source].Add(given[f.Source], decimal(t, f.Energy))
		taken[f.Sink].Add(taken[f.Sink], decimal(t, f.Energy))
	}
	for name, e := range q.Sources {
		if given[name].Cmp(decimal(t, string(e))) != 0 {
			t.Errorf("%s: source %s had %s, flows and left are %s", scheme, name, e, given[name].FloatString(6))
		}
	}
	for name, s := range q.Sinks {
		if taken[name].Cmp(decimal(t, a.Shares[name])) != 0 {
			t.Errorf("%s: sink %s has a share of %s, flows are %s", scheme, name, a.Shares[name], taken[name].FloatString(6))
		}
		if all := new(big.Rat).Add(taken[name], decimal(t, a.Unmet[name])); all.Cmp(decimal(t, s.Demand)) != 0 {
			t.Errorf("%s: sink %s needs %s, got and unmet are %s", scheme, name, s.Demand, all.FloatString(6))
		}
	}
}

func TestAllocateRefuses(t *testing.T) {
	for what, path := range map[string]string{
		``:               "sources and sinks",
		`[]`:             "sources and sinks",
		`{"sources":{}}`: "sinks: is missing",
		village + `x`:    "sources and sinks",
		`{"sources":{"a":"1","a":"2"},"sinks":{}}`:                                                     "sources.a: is there twice",
		`{"sources":{"a":"-1"},"sinks":{}}`:                                                            "sources.a: is negative",
		`{"sources":{"a":1},"sinks":{}}`:                                                               "sources.a: write it as a string",
		`{"sources":{"a":"1e3"},"sinks":{}}`:                                                           "sources.a: ",
		`{"sources":{"a":"9999999999999"},"sinks":{}}`:                                                 "sources.a: ",
		`{"sources":{"a":"9000000000000","b":"9000000000000"},"sinks":{}}`:                             "sources.b: is too large",
		`{"sources":{},"sinks":{"x":{"demand":"9000000000000"},"y":{"demand":"9000000000000"}}}`:       "sinks.y.demand: is too large",
		`{"sources":{},"sinks":{"x":{}}}`:                                                              "sinks.x.demand: is missing",
		`{"sources":{},"sinks":{"x":{"demand":"1","size":"2"}}}`:                                       "sinks.x.size: is not a field",
		`{"sources":{},"sinks":{"x":{"demand":"1","keys":[{"source":"a","percent":"1"}]}}}`:            "sinks.x.keys[0].source: there is no source",
		`{"sources":{"a":"1"},"sinks":{"x":{"demand":"1","keys":[{"source":"a","percent":"100.1"}]}}}`: "sinks.x.keys[0].percent",
		`{"sources":{"a":"1"},"sinks":{"x":{"demand":"1","keys":[{"source":"a","percent":"60"}]},"y":{"demand":"1","keys":[{"source":"a","percent":"40.01"}]}}}`: "sinks.y.keys[0].percent: brings",
		`{"sources":{"a":"1"},"sinks":{"x":{"demand":"1","keys":[{"source":"a"}]}}}`:                                                                             "sinks.x.keys[0]: needs",
		`{"sources":{},"sinks":{"x":{"demand":"1","weight":"-2"}}}`:                                                                                              "sinks.x.weight",
		`{"sources":{},"sinks":{},"rounds":0}`:                                                                                                                   "rounds: ",
		`{"sources":{},"sinks":{},"bids":{}}`:                                                                                                                    "bids: is not a field",
	} {
		code, _, errs := allocateRun(t, what, "--scheme", "cz-edc")
		if code != 1 || !strings.Contains(errs, path) {
			t.Errorf("%s: %d %s, want %q", what, code, errs, path)
		}
	}
	for _, args := range [][]string{{"--scheme", "lottery"}, {"--scheme", "equal", "--reserve", "101"}, {"--charter", "nowhere.yaml"}} {
		if code, _, errs := allocateRun(t, village, args...); code == 0 || errs == "" {
			t.Errorf("%v is not refused", args)
		}
	}
}

// FuzzQuestion: whatever the input, it is refused or conserves.
func FuzzQuestion(f *testing.F) {
	f.Add(village)
	f.Add(`{"sources":{"a":"1"},"sinks":{"x":{"demand":"1","weight":"2"}}}`)
	f.Add(`{"sources":{"a":{"energy":"3","offer":"8"}},"sinks":{"a":{"demand":"1","bid":"9"},"x":{"demand":"4","weight":"2","bid":{"price":"9.5","energy":"2"}}}}`)
	f.Add(`{"sources":{"a":"3"},"sinks":{"x":{"demand":"1","groups":["g"],"facts":{"last.gave_wh":1000,"member.since_days":7}}}}`)
	asking, err := charterNamed("contribution-weighted")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := readQuestion([]byte(text))
		if err != nil {
			return
		}
		for name, make := range schemes() {
			rules := q.into(make())
			if q.suits(name, rules) != nil {
				continue
			}
			if _, any := q.orders(); any {
				rules.Market = &charter.Market{Highest: energy.Price{Micro: 100_000_000, Currency: "EUR"}}
			}
			a, err := q.allocate(rules, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			var out answered
			if err := json.Unmarshal(b, &out); err != nil {
				t.Fatal(err)
			}
			conserves(t, name, text, out)
		}
		if terms, err := q.terms(&asking, &asking.Sharing); err == nil && len(q.sinks) > 0 {
			if _, err := q.allocate(&asking.Sharing, terms); err != nil {
				t.Fatalf("with expressions: %v", err)
			}
		}
	})
}
