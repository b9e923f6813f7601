// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/allmende-energy/allmende/commons/charter"
)

// Bounds of a file, so that a broken or hostile one costs little.
const (
	MaxSize     = 64 << 10 // bytes
	maxLines    = 1000     // the parser's time rises with their square and worse
	maxDepth    = 16       // of nesting; a charter needs four
	maxProblems = 50       // listed at once
)

// Problem is one thing in a charter file that somebody has to change.
type Problem struct {
	Line    int    `json:"line"`            // from 1; 0 where it is about the whole file
	Field   string `json:"field,omitempty"` // such as "sharing.rounds[0].method"
	Message string `json:"message"`         // what is wrong and what to write instead
}

func (p Problem) String() string {
	where := make([]string, 0, 2)
	if p.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", p.Line))
	}
	if p.Field != "" {
		where = append(where, p.Field)
	}
	if len(where) == 0 {
		return p.Message
	}
	return strings.Join(where, ", ") + ": " + p.Message
}

// Problems is the error of [Decode]: all problems of a file, in the order of its lines.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return "charter: " + strings.Join(lines, "\n")
}

// Decode reads a charter from YAML and validates it. It is strict: a field that
// a charter doesn't have, a value of the wrong kind, a name that comes twice,
// anchors, aliases and tags are errors. A failure is a [Problems], whose entries
// name line, field and remedy.
func Decode(src []byte) (charter.Charter, error) {
	d := decoder{lines: map[string]int{}}
	var c charter.Charter
	if root := d.parse(src); root != nil {
		d.lines[""] = lineOf(root)
		d.value(root, reflect.ValueOf(&c).Elem(), "")
		d.validate(&c)
	}
	if len(d.found) > 0 {
		slices.SortStableFunc(d.found, func(a, b Problem) int { return a.Line - b.Line })
		return charter.Charter{}, d.found
	}
	return c, nil
}

// decoder reads one file and collects what is wrong with it.
type decoder struct {
	found Problems
	lines map[string]int // field → its line
	bad   []string       // fields that have a problem already
}

func (d *decoder) add(line int, field, format string, args ...any) {
	d.bad = append(d.bad, field)
	if len(d.found) < maxProblems {
		d.found = append(d.found, Problem{line, field, fmt.Sprintf(format, args...)})
	}
}

// validate adds what the charter itself finds wrong, with the lines of the file.
func (d *decoder) validate(c *charter.Charter) {
	var problems charter.Problems
	if err := c.Validate(); err == nil || !errors.As(err, &problems) {
		return
	}
	for _, p := range problems {
		// A field that could not be read looks missing now; once is enough.
		if !slices.ContainsFunc(d.bad, func(b string) bool { return within(p.Path, b) }) {
			d.add(d.line(p.Path), p.Path, "%s", p.Message)
		}
	}
}

// within says whether path is the field outer or lies in it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && outer != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// line is where a field stands, or what would hold it if it is missing.
func (d *decoder) line(path string) int {
	for {
		if line, ok := d.lines[path]; ok || path == "" {
			return line
		}
		cut := strings.LastIndexAny(path, ".[")
		path = path[:max(cut, 0)]
	}
}

// parse gives the one document in src, or nil and a problem. A parser of
// somebody else's reads what anybody may have written: should it fall over, that is
// this file's problem and not the program's.
func (d *decoder) parse(src []byte) (root ast.Node) {
	defer func() {
		if r := recover(); r != nil {
			d.add(0, "", "is not YAML that can be read; begin again from a template")
			root = nil
		}
	}()
	if len(src) > MaxSize {
		d.add(0, "", "is larger than %d KiB; a charter is a page or two, so check that this is the right file", MaxSize>>10)
		return nil
	}
	if max(bytes.Count(src, []byte("\n")), bytes.Count(src, []byte("\r"))) > maxLines {
		d.add(maxLines, "", "goes on after %d lines; a charter is a page or two, so check that this is the right file", maxLines)
		return nil
	}
	tokens := lexer.Tokenize(string(src))
	if line, deep := tooDeep(tokens); deep {
		d.add(line, "", "is nested too deep; write one field on each line, as the templates do")
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // value says it better
	if err != nil {
		d.syntax(err)
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case root != nil:
			d.add(lineOf(doc.Body), "", "begins a second document; a file holds one charter, so remove the line ---")
			return nil
		default:
			root = doc.Body
		}
	}
	if root == nil {
		d.add(0, "", "is empty; begin from a template")
	}
	return root
}

// syntax adds what goccy's parser says, without its picture of the source.
func (d *decoder) syntax(err error) {
	var e yaml.Error
	if !errors.As(err, &e) {
		d.add(0, "", "is not YAML: %.200s", err)
		return
	}
	line := 0
	if t := e.GetToken(); t != nil && t.Position != nil {
		line = t.Position.Line
	}
	d.add(line, "", "is not YAML: %.200s; check indentation, colons and quotes on this line and the one before", e.GetMessage())
}

// tooDeep looks for nesting that no charter needs, before a recursive parser sees
// it: brackets, and marks that nest within one line ("- - - -"). Nesting by
// indentation is bounded by the file's size.
func tooDeep(tokens token.Tokens) (line int, deep bool) {
	flow, nested, last := 0, 0, 0
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		if t.Position.Line != last {
			last, nested = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			nested++
		}
		if flow > maxDepth || nested > maxDepth {
			return last, true
		}
	}
	return 0, false
}

func lineOf(n ast.Node) int {
	if n == nil {
		return 0
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}
