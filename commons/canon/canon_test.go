// SPDX-License-Identifier: AGPL-3.0-or-later

package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// TestSamples are the samples of RFC 8785 and of its authors' test suite, with
// the fractions left out, which this package refuses.
func TestSamples(t *testing.T) {
	for name, s := range map[string]struct{ in, want string }{
		"RFC 8785, 3.2.2 without fractions": {
			`{
  "numbers": [333333333, 4, 0, -27],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}`,
			`{"literals":[null,true,false],"numbers":[333333333,4,0,-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		},
		"RFC 8785, 3.2.3: order of names": {
			`{
  "\u20ac": "Euro Sign",
  "\r": "Carriage Return",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face",
  "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\"," +
				"\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		},
		"french.json": {
			`{
  "peach": "This sorting order",
  "péché": "is wrong according to French",
  "pêche": "but canonicalization MUST",
  "sin":   "ignore locale"
}`,
			`{"peach":"This sorting order","péché":"is wrong according to French","pêche":"but canonicalization MUST","sin":"ignore locale"}`,
		},
		"arrays.json": {
			`[
  56,
  {
    "d": true,
    "10": null,
    "1": [ ]
  }
]`,
			`[56,{"1":[],"10":null,"d":true}]`,
		},
		"structures.json": {
			`{
  "1": {"f": {"f": "hi","F": 5} ,"\n": 56},
  "10": { },
  "": "empty",
  "a": { },
  "111": [ {"e": "yes","E": "no" } ],
  "A": { }
}`,
			`{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}`,
		},
		"unicode.json": {`{"Unnormalized Unicode":"A\u030a"}`, "{\"Unnormalized Unicode\":\"A\u030a\"}"},
		"weird.json, shortened": {
			`{"</script>":"Browser Challenge","\u007f":"Control\u007f","\b\f\t":"\u2028"}`,
			"{\"\\b\\f\\t\":\"\u2028\",\"</script>\":\"Browser Challenge\",\"\u007f\":\"Control\u007f\"}",
		},
	} {
		got, err := Marshal(json.RawMessage(s.in))
		if err != nil || string(got) != s.want {
			t.Errorf("%s:\n got %s %v\nwant %s", name, got, err, s.want)
		}
		if err := Check([]byte(s.want)); err != nil {
			t.Errorf("%s: Check: %v", name, err)
		}
		if err := Check([]byte(s.in)); s.in != s.want && !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: Check of the input: %v", name, err)
		}
	}
}

func TestGoValues(t *testing.T) {
	type inner struct {
		Z int64  `json:"z"`
		A string `json:"a"`
	}
	got, err := Marshal(map[string]any{"b": inner{-MaxInteger, "<&>\u2028"}, "a": []int{1, MaxInteger}, "é": nil})
	want := "{\"a\":[1,9007199254740991],\"b\":{\"a\":\"<&>\u2028\",\"z\":-9007199254740991},\"é\":null}"
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestRefusals(t *testing.T) {
	for name, v := range map[string]any{
		"a fraction":        1.5,
		"an exponent":       1e300,
		"negative zero":     json.RawMessage(`-0`),
		"decimals":          json.RawMessage(`1.0`),
		"over 2^53":         int64(MaxInteger + 1),
		"under -2^53":       int64(-MaxInteger - 1),
		"a huge number":     json.RawMessage(`123456789012345678901234567890`),
		"no UTF-8":          "a\xff",
		"raw no UTF-8":      json.RawMessage("\"a\xff\""),
		"half a pair":       json.RawMessage(`"\ud83d"`),
		"the wrong half":    json.RawMessage(`"\ude00\ud83d"`),
		"half a pair, then": json.RawMessage(`"\ud83dx"`),
		"a name twice":      json.RawMessage(`{"a":1,"b":2,"\u0061":3}`),
		"too deep":          json.RawMessage(strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)),
		"a channel":         make(chan int),
	} {
		if got, err := Marshal(v); err == nil {
			t.Errorf("%s is accepted as %s", name, got)
		}
	}
	if _, err := Marshal(0.25); !errors.Is(err, ErrNumber) {
		t.Errorf("a fraction: %v is no ErrNumber", err)
	}
	for _, text := range []string{"", " ", "nul", "[1,]", "{,}", `{"a"}`, `{"a":1,}`, `{a:1}`, "[1 2]", "1 2", "01", "-", `"a`, `"\x"`, `"\u00g0"`, "\"\n\"", `"\`, "[", "]", "\x00"} {
		var syntax *SyntaxError
		if err := Check([]byte(text)); !errors.As(err, &syntax) {
			t.Errorf("Check(%q): %v", text, err)
		}
	}
	deep := []byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))
	if err := Check(deep); err != nil {
		t.Errorf("depth %d: %v", MaxDepth, err)
	}
}

func TestUTF16Order(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.RuneFrom([]rune{'a', 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF, 0x1F600})
		a := rapid.StringOf(edge).Draw(t, "a")
		b := rapid.StringOf(edge).Draw(t, "b")
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		if got := compareUTF16(a, b); got < 0 != (want < 0) || got > 0 != (want > 0) {
			t.Fatalf("%q and %q: %d, as arrays of units %d", a, b, got, want)
		}
	})
}

// drawJSON is a random value as encoding/json decodes it.
func drawJSON(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case kind == 0:
		return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "word")
	case kind == 1:
		return json.Number(rapid.Custom(func(t *rapid.T) string {
			b, _ := json.Marshal(rapid.Int64Range(-MaxInteger, MaxInteger).Draw(t, "n"))
			return string(b)
		}).Draw(t, "number"))
	case kind < 4 || depth == 0:
		return rapid.String().Draw(t, "text")
	case kind == 4:
		list := []any{}
		for range rapid.IntRange(0, 4).Draw(t, "length") {
			list = append(list, drawJSON(t, depth-1))
		}
		return list
	default:
		m := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			m[rapid.String().Draw(t, "name")] = drawJSON(t, depth-1)
		}
		return m
	}
}

// TestMeansTheSame: canonical JSON reads back as the value it was made from,
// whatever the layout of the text it was made from.
func TestMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawJSON(t, 3)
		b, err := Marshal(v)
		if err != nil {
			if strings.Contains(err.Error(), errUTF8.Error()) {
				t.Skip("not UTF-8")
			}
			t.Fatal(err)
		}
		var back any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := dec.Decode(&back); err != nil || !reflect.DeepEqual(v, back) {
			t.Fatalf("%#v became %s, read as %#v, %v", v, b, back, err)
		}
		loose, err := json.MarshalIndent(v, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Marshal(json.RawMessage(loose))
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("%s from a value, %s from its text, %v", b, again, err)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1,"\u20ac"],"b":{}}`, `[-1,0,null,true]`, `"\ud83d\ude00"`, `{"":{"":""}}`, "1e5", "[[[[", `{"b":1,"a":2}`, `"\ufffd"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := transform(b)
		if err != nil {
			if Check(b) == nil {
				t.Fatal("Check accepts what cannot be read")
			}
			return
		}
		if !json.Valid(b) || !json.Valid(out) {
			t.Fatalf("accepts %q as %q, encoding/json does not", b, out)
		}
		if err := Check(out); err != nil {
			t.Fatalf("%q → %q: %v", b, out, err)
		}
		if (Check(b) == nil) != bytes.Equal(b, out) {
			t.Fatalf("Check of %q disagrees", b)
		}
		var x, y any
		if json.Unmarshal(b, &x) != nil || json.Unmarshal(out, &y) != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("%q and %q differ in meaning", b, out)
		}
	})
}

func BenchmarkMarshal(b *testing.B) {
	type row struct {
		Member string `json:"member"`
		Demand string `json:"demand"`
		Share  string `json:"share"`
		Round  int64  `json:"round"`
	}
	rows := slices.Repeat([]row{{"anna", "1.234567", "0.400000", 1}}, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Marshal(rows); err != nil {
			b.Fatal(err)
		}
	}
}
