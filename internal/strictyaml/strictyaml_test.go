// SPDX-License-Identifier: AGPL-3.0-or-later

package strictyaml_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// exact keeps the text that it is given, so that a test can see it.
type exact string

func (e *exact) UnmarshalText(text []byte) error {
	if string(text) == "bad" {
		return errors.New("write something good")
	}
	*e = exact(text)
	return nil
}

type file struct {
	Name  string   `yaml:"name"`
	Count int      `yaml:"count"`
	Unit  *uint8   `json:"unit,omitempty"`
	Ready bool     `yaml:"ready"`
	Cap   exact    `yaml:"cap"`
	Tags  []string `yaml:"tags"`
	Parts []part   `yaml:"parts"`
	Deep  *part    `yaml:"deep"`
}

type part struct {
	ID    string `yaml:"id"`
	Limit *exact `yaml:"limit_w"`
}

func read(src string) *strictyaml.Document {
	var f file
	return strictyaml.Read("f.yaml", []byte(src), &f, strictyaml.Options{MaxSize: 64 << 10, Start: "begin with the example"})
}

func TestRead(t *testing.T) {
	f := file{Name: "usual", Count: 7}
	doc := strictyaml.Read("f.yaml", []byte(`# a note
cap: 0.50
unit: 255
ready: true
tags: [yes, "5", 12:30, 2026-06-01, '', <<]
parts:
  - id: >-
      on two
      lines
    limit_w: 1e3
  -
    id: "\u00e9"
deep:
  # limit_w: 3
`), &f, strictyaml.Options{})
	if err := doc.Err(); err != nil {
		t.Fatal(err)
	}
	unit, limit := uint8(255), exact("1e3")
	want := file{
		Name: "usual", Count: 7, Unit: &unit, Ready: true, Cap: "0.50",
		Tags:  []string{"yes", "5", "12:30", "2026-06-01", "", "<<"},
		Parts: []part{{ID: "on two lines", Limit: &limit}, {ID: "é"}},
		Deep:  &part{},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v\nwant %+v", f, want)
	}
	for field, want := range map[string]int{
		"cap": 2, "tags[3]": 5, "parts": 6, "parts[0]": 7, "parts[0].limit_w": 10, "parts[1].limit_w": 12, "parts[7].id": 6, "nowhere": 2,
	} {
		if got := doc.Line(field); got != want {
			t.Errorf("%s is on line %d, want %d", field, got, want)
		}
	}
}

// TestScalarsAreTakenAsWritten: whatever other readers make of it.
func TestScalarsAreTakenAsWritten(t *testing.T) {
	for _, text := range []string{"0.5", "0.50", "1_000", "017", "0o17", "0x1F", "1e3", ".5", "+1", "1:30:00", "no", "On", "true", ".inf", "9007199254740993.000001", "2026-06-01", "=", "<<"} {
		var f file
		if err := strictyaml.Read("", []byte("cap: "+text), &f, strictyaml.Options{}).Err(); err != nil || string(f.Cap) != text {
			t.Errorf("%s was read as %q, %v", text, f.Cap, err)
		}
	}
}

const good = `name: x
count: 1
cap: 5
parts:
  - id: a
  - id: b
ready: false
`

// TestProblems: each has its line, its field, what is wrong and what to write.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"name: x", "nam: x", "f.yaml:1: nam: unknown field (did you mean name?); known here: name, count, unit, ready, cap, tags, parts, deep"},
		{"name: x", "colour: x", "f.yaml:1: colour: unknown field; known here: "},
		{"id: b", "ident: b", "f.yaml:6: parts[1].ident: unknown field; known here: id, limit_w"},
		{"count: 1", "name: y", "f.yaml:2: name: comes a second time (first in line 1); remove one"},
		{"name: x", "name: 5", `f.yaml:1: name: "5" stands where text belongs; put it in quotes: "5"`},
		{"name: x", "name: true", `put it in quotes: "true"`},
		{"name: x", "name: 0x1F", `put it in quotes: "0x1F"`},
		{"name: x", "name: [x]", "f.yaml:1: name: a list stands where text belongs; write text behind the colon"},
		{"name: x", "name:", "f.yaml:1: name: nothing is written; write a value, or remove the line"},
		{"name: x", "name: ~", "f.yaml:1: name: nothing is written"},
		{"count: 1", `count: "1"`, `f.yaml:2: count: "1" stands where a whole number belongs; write one without quotes`},
		{"count: 1", "count: 1.0", "whole number"},
		{"count: 1", "count: 1e3", "whole number"},
		{"count: 1", "count: 0x10", "whole number"},
		{"count: 1", "count: 9223372036854775808", "whole number"},
		{"count: 1", "unit: 256", `f.yaml:2: unit: "256" stands where a whole number from 0 to 255 belongs`},
		{"count: 1", "unit: -1", "from 0 to 255"},
		{"ready: false", "ready: yes", `f.yaml:7: ready: "yes" stands where true or false belongs`},
		{"ready: false", "ready: 'true'", "true or false"},
		{"cap: 5", "cap: bad", "f.yaml:3: cap: write something good"},
		{"cap: 5", "cap: {a: 1}", "f.yaml:3: cap: a group of fields stands where one value belongs"},
		{"cap: 5", "cap:", "f.yaml:3: cap: nothing is written"},
		{"cap: 5", "deep: x", `f.yaml:3: deep: "x" stands where fields belong; write id, limit_w`},
		{"cap: 5", "tags: x", `f.yaml:3: tags: "x" stands where a list belongs; begin each entry on a line of its own with "- "`},
		{"  - id: b", "  -", "f.yaml:6: parts[1]: empty; write a value behind the dash, or remove the line"},
		{"cap: 5", "5: 5", `f.yaml:3: "5" is no field name; known here: name`},
		{"cap: 5", "? [a]\n: 5", "f.yaml:3: a list is no field name"},
		{"cap: 5", "cap: &a 5", "f.yaml:3: cap: anchors, aliases, tags and merge keys are not read here; write the value out"},
		{"cap: 5", "&a cap: 5", "f.yaml:3: anchors"},
		{"cap: 5", "cap: *a", "f.yaml:3: anchors"},
		{"cap: 5", "cap: !!str 5", "f.yaml:3: cap: anchors"},
		{"cap: 5", "<<: {cap: 5}", "f.yaml:3: anchors"},
		{"- id: b", "- &x {id: b}", "f.yaml:6: parts[1]: anchors"},
		{"ready: false", "...\n---\nready: true", "f.yaml:8: a second document begins; a file holds one, so remove the line ---"},
		// What the parser says, with a line to look at.
		{"cap: 5", "\tcap: 5", "f.yaml:3: not YAML that can be read: found a tab character that violates indentation in what begins on line 2; check indentation"},
		{"cap: 5", "cap 5", "f.yaml:3: not YAML that can be read: could not find expected ':'"},
		{"cap: 5", "cap: 5: 6", "f.yaml:3: not YAML that can be read: a value on this line, or the one before it, has a colon with a space behind it; put the value in quotes"},
		{"cap: 5", `cap: "5`, "f.yaml:3: not YAML that can be read: found unexpected end of stream"},
		{"cap: 5", "cap: [5", "did not find expected ',' or ']' in what begins on line 3"},
		{"cap: 5", `cap: "\q"`, "f.yaml:3: not YAML that can be read: found unknown escape character"},
		{"cap: 5", "cap: \x01", "f.yaml:3: not YAML that can be read: control characters"},
		{"cap: 5", "cap: \xff", "f.yaml: not text in UTF-8"},
		{good, "%TAG ! x\n---\n" + good, "f.yaml: has a line %TAG"},
		{good, "", "f.yaml: empty; begin with the example"},
		{good, "# notes only\n", "f.yaml: empty"},
		{good, "---\n", "f.yaml: empty"},
		{good, "hello", `f.yaml:1: "hello" stands where fields belong`},
		{good, "- a\n", "f.yaml:1: a list stands where fields belong"},
		{good, strings.Repeat("#", 64<<10+1), "f.yaml: larger than 64 KiB; nobody writes such a file by hand"},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("the file does not hold %q", c.old)
		}
		doc := read(strings.Replace(good, c.old, c.new, 1))
		problems, ok := errors.AsType[strictyaml.Problems](doc.Err())
		if !ok || len(problems) != 1 || !strings.Contains(problems[0].Error(), c.want) {
			t.Errorf("%q: %v\nwant %s", c.new, doc.Err(), c.want)
		}
	}
}

// TestAllAtOnce: problems of form and of meaning in one list, by line, and none twice.
func TestAllAtOnce(t *testing.T) {
	doc := read("nam: x\ncount: y\ncap:\nready:\nparts:\n  - idd: a\n  - id: b\n  - 3\n")
	doc.Problemf("name", "is missing")        // the misspelt field is meant
	doc.Problemf("count", "is too small")     // it could not be read
	doc.Problemf("cap", "write 5 or 6")       // knows better what to write
	doc.Problemf("cap", "once is enough")     // has its problem now
	doc.Problemf("parts[0].id", "is missing") // misspelt again
	doc.Problemf("parts[1].id", "is taken")
	doc.Problemf("parts[2].id", "is missing") // in an entry that could not be read
	doc.Problemf("tags", "are missing")
	var lines []string
	problems, _ := errors.AsType[strictyaml.Problems](doc.Err())
	for _, p := range problems {
		reason, _, _ := strings.Cut(p.Reason, ";")
		lines = append(lines, fmt.Sprintf("%d %s %s", p.Line, p.Field, reason))
	}
	want := []string{
		`1 nam unknown field (did you mean name?)`, `1 tags are missing`, `2 count "y" stands where a whole number belongs`, `3 cap write 5 or 6`,
		`4 ready nothing is written`, `6 parts[0].idd unknown field (did you mean id?)`, `7 parts[1].id is taken`, `8 parts[2] "3" stands where fields belong`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	broken := read("a: [\n")
	broken.Problemf("name", "is missing")
	if problems, _ := errors.AsType[strictyaml.Problems](broken.Err()); len(problems) != 1 {
		t.Errorf("what is missing is said of a file that could not be read: %v", broken.Err())
	}
	if p := (strictyaml.Problem{Field: "name", Reason: "is missing"}); p.Error() != "name: is missing" {
		t.Errorf("without a file: %s", p.Error())
	}
}

// hostile shapes are repeated until they fill a file. Some took the parser that
// we had before a minute, and others could exhaust a stack or the memory.
func hostile() map[string]func(size int) string {
	fill := func(head, body string) func(int) string {
		return func(size int) string { return head + strings.Repeat(body, max(0, size-len(head))/len(body)) }
	}
	return map[string]func(int) string{
		"blank lines in a block": fill("name: |\n ", "\n"),
		"returns in a block":     fill("name: |\n ", "\r"),
		"fields":                 fill("", "a:\n"),
		"long unknown fields":    fill("", strings.Repeat("colour", 10)+": 1\n"),
		"the same field":         fill("", "name: x\n"),
		"entries":                fill("parts:\n", "- 1\n"),
		"entries of fields":      fill("parts:\n", "- id: a\n"),
		"empty entries":          fill("tags: [", "'',"),
		"notes":                  fill("", "# x\n"),
		"notes between":          fill("", "a:\n  b: 1 # x\n # y\n\n# z\n"),
		"brackets":               fill("tags: ", "["),
		"braces":                 fill("", "{a: "),
		"dashes":                 fill("", "- "),
		"questions":              fill("", "? "),
		"questions on lines":     fill("", "? a\n"),
		"stairs":                 fill("", "a:\n b:\n  c:\n   d:\n    e:\n     f: 1\n"),
		"documents":              fill("", "---\n"),
		"ends":                   fill("", "...\n"),
		"directives":             fill("", "%TAG !a! b\n"),
		"anchors":                fill("", "- &a b\n"),
		"aliases":                fill("- &a b\n", "- *a\n"),
		"a bomb":                 fill("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "d: *c\n"),
		"merge keys":             fill("", "<<: {name: x}\n"),
		"tags":                   fill("", "- !!binary aGk=\n"),
		"an endless line":        fill("name: ", "x"),
		"an endless number":      fill("count: ", "1"),
		"an endless quote":       fill(`name: "`, "\n"),
		"zeros":                  fill("", "\x00"),
		"bytes":                  fill("", "\xff"),
	}
}

func TestHostileFiles(t *testing.T) {
	odd := []string{"an endless line", "blank lines in a block", "returns in a block", "entries of fields"} // but readable
	for name, shape := range hostile() {
		doc := read(shape(64 << 10))
		err := doc.Err()
		problems, _ := errors.AsType[strictyaml.Problems](err)
		switch {
		case slices.Contains(odd, name) != (err == nil):
			t.Errorf("%s: %v", name, err)
		case len(problems) > 50 || err != nil && len(err.Error()) > 50_000:
			t.Errorf("%s: %d problems, which take %d bytes", name, len(problems), len(err.Error()))
		case slices.Contains([]string{"brackets", "braces", "dashes", "questions"}, name) && !strings.Contains(err.Error(), "nested too deep"):
			t.Errorf("%s: %v", name, err)
		}
	}
	doc := strictyaml.Read("", []byte(hostile()["fields"](8<<20)), &file{}, strictyaml.Options{MaxSize: 8 << 20})
	if err := doc.Err(); err == nil || !strings.Contains(err.Error(), "more than 1048576 values") {
		t.Errorf("nodes without end: %v", err)
	}
}

// Throughput must not fall with the size: go test -bench Hostile ./internal/strictyaml
func BenchmarkHostile(b *testing.B) {
	for _, name := range []string{"blank lines in a block", "fields", "questions on lines", "notes between", "entries of fields"} {
		for _, size := range []int{64 << 10, 512 << 10} {
			src := []byte(hostile()[name](size))
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					var f file
					_ = strictyaml.Read("", src, &f, strictyaml.Options{}).Err()
				}
			})
		}
	}
}

// TestRoundTrip: whatever is written, in whatever layout, is read, and found on its line.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		at := map[string]int{}
		line := func(field, format string, args ...any) {
			b.WriteString(strings.Repeat("\n", rapid.IntRange(0, 2).Draw(t, "blank")))
			b.WriteString(rapid.SampledFrom([]string{"", "# a note: [\n", "   # another\n"}).Draw(t, "note"))
			at[field] = strings.Count(b.String(), "\n") + 1
			fmt.Fprintf(&b, format+rapid.SampledFrom([]string{"\n", "  # why\n", "\r\n"}).Draw(t, "end"), args...)
		}
		text := func(label string) string { // as JSON writes it, which YAML reads
			return rapid.StringOf(rapid.RuneFrom([]rune("aé: #-[]{}&*!'\"\\\n\t5~|>%@`☀"))).Draw(t, label)
		}
		want := file{Name: text("name"), Count: rapid.Int().Draw(t, "count"), Cap: exact(rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,9})?`).Draw(t, "cap"))}
		line("name", "name: %s", quoted(want.Name))
		line("count", "count: %d", want.Count)
		line("cap", "cap: %s", want.Cap)
		line("parts", "parts:")
		for i := range rapid.IntRange(1, 5).Draw(t, "parts") {
			p := part{ID: text("id")}
			field := fmt.Sprintf("parts[%d]", i)
			line(field, "- id: %s", quoted(p.ID))
			if rapid.Bool().Draw(t, "limited") {
				limit := exact(text("limit"))
				p.Limit = &limit
				line(field+".limit_w", "  limit_w: %s", quoted(string(limit)))
			}
			want.Parts = append(want.Parts, p)
		}
		var got file
		doc := strictyaml.Read("f", []byte(b.String()), &got, strictyaml.Options{})
		if err := doc.Err(); err != nil || !reflect.DeepEqual(got, want) {
			if !slices.ContainsFunc(append(want.Parts, part{}), func(p part) bool { return p.Limit != nil && *p.Limit == "bad" }) {
				t.Fatalf("%s\nread as %+v, %v", b.String(), got, err)
			}
		}
		for field, line := range at {
			if doc.Line(field) != line {
				t.Fatalf("%s\n%s is on line %d, not %d", b.String(), field, line, doc.Line(field))
			}
		}
	})
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	if _, err := strictyaml.ReadFile(path, strictyaml.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if src, err := strictyaml.ReadFile(path, strictyaml.Options{MaxSize: 10}); len(src) != 11 || err != nil {
		t.Errorf("%d bytes were read, %v", len(src), err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	for _, shape := range hostile() {
		f.Add([]byte(shape(60)))
	}
	for _, s := range []string{"- ? a\n  : b", "name: |\n  x\n b", "{a: [}", "&a *a: !!x y", "? - a", "name: \"\\x", "parts: [{id: a}, null, 3]", "\ufeffname: x", "name: x\u2028cap: 5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		doc := read(string(src))
		doc.Problemf("name", "is missing")
		problems, ok := errors.AsType[strictyaml.Problems](doc.Err())
		if !ok || len(problems) == 0 || len(problems) > 50 {
			t.Fatalf("%v", doc.Err())
		}
		last := 0
		for _, p := range problems {
			// Lines end with more than \n, but none without at least a byte.
			if p.Reason == "" || p.Line < last || p.Line > len(src)+1 || len(p.Error()) > 1000 {
				t.Fatalf("after line %d: %+v", last, p)
			}
			last = p.Line
		}
	})
}

func quoted(s string) string { return strconv.Quote(s) }
