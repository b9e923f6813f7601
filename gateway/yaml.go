// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of gateway.yaml, so that a broken one costs little.
const (
	maxFile     = 1 << 20
	maxDepth    = 8
	maxProblems = 100
)

// document reads a YAML file field by field and collects what is wrong with its
// line. Only plain mappings, lists and scalars are known to it: no anchors,
// aliases, tags or merge keys, because a person must be able to check the file.
type document struct {
	file  string
	found Problems
	lines map[string]int // field → line, for checks of the whole
}

// fields says what a mapping may hold and who reads each.
type fields map[string]func(n ast.Node, path string)

func (d *document) addf(line int, field, format string, args ...any) {
	if len(d.found) < maxProblems {
		d.found = append(d.found, Problem{d.file, line, field, fmt.Sprintf(format, args...)})
	}
}

// parse returns the body of the only document, nil after a problem.
func (d *document) parse(src []byte) ast.Node {
	if len(src) > maxFile {
		d.addf(0, "", "larger than %d KiB: this is not a file that a person wrote, check its path", maxFile>>10)
		return nil
	}
	tokens := lexer.Tokenize(string(src))
	if !d.shallow(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			d.addf(e.GetToken().Position.Line, "", "not YAML that can be read: %s", e.GetMessage())
		} else {
			d.addf(0, "", "not YAML that can be read: %.200v", err)
		}
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case body != nil:
			d.addf(lineOf(doc.Body), "", "a second document: put everything in one, without a line ---")
			return nil
		default:
			body = doc.Body
		}
	}
	if body == nil {
		d.addf(0, "", "empty: `allmende gateway enrol TOKEN` writes one to start from")
	}
	return body
}

// shallow refuses nesting that no configuration needs, before a recursive parser sees it.
func (d *document) shallow(tokens token.Tokens) bool {
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			entries++
		}
		const farRight = 200
		if flow > maxDepth || entries > maxDepth || (t.Position.Column > farRight && flow == 0 && t.Type == token.MappingValueType) {
			d.addf(line, "", "nested too deep: write each entry on a line of its own")
			return false
		}
	}
	return true
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// mapping hands each field to its reader. (The parser refuses fields that are written twice.)
func (d *document) mapping(n ast.Node, path string, known fields) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.addf(lineOf(n), path, "write fields here: %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		return
	}
	for _, v := range m.Values {
		key, isName := v.Key.(*ast.StringNode)
		if !isName {
			d.addf(lineOf(v), path, "%.40q is no field name", v.Key.String())
			continue
		}
		name, line := key.Value, lineOf(key)
		field := name
		if path != "" {
			field = path + "." + name
		}
		read, isKnown := known[name]
		if !isKnown {
			d.addf(line, field, "unknown field: remove it, or write one of %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			continue
		}
		d.lines[field] = line
		read(v.Value, field)
	}
}

// list hands each entry to read.
func (d *document) list(n ast.Node, path string, read func(n ast.Node, path string)) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.addf(lineOf(n), path, "write a list here, each entry on a line that begins with a dash")
		return
	}
	for i, v := range s.Values {
		entry := fmt.Sprintf("%s[%d]", path, i)
		d.lines[entry] = lineOf(v)
		if m, ok := v.(*ast.MappingNode); ok && len(m.Values) > 0 {
			d.lines[entry] = lineOf(m.Values[0].Key)
		}
		read(v, entry)
	}
}

// text is the literal text of a scalar; ok is false after a problem.
func (d *document) text(n ast.Node, path string) (s string, ok bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	case *ast.NullNode:
		d.addf(lineOf(n), path, "no value: write one, or remove the line for the default")
	default:
		d.addf(lineOf(n), path, "write a plain value here, without anchors, tags or blocks")
	}
	return "", false
}

// value reads a scalar with scan, whose error says what to write instead.
func (d *document) value(scan func(text string) error) func(n ast.Node, path string) {
	return func(n ast.Node, path string) {
		text, ok := d.text(n, path)
		if !ok {
			return
		}
		if err := scan(text); err != nil {
			d.addf(lineOf(n), path, "%v", err)
		}
	}
}
