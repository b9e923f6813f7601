// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file, so that a hostile or broken one costs little.
const (
	maxFile     = 8 << 20
	maxDepth    = 16
	maxProblems = 200
)

// scalar is a value that is read from the text of a YAML scalar, a number or a string.
type scalar interface{ scan(text string) error }

// decoder fills Go values from YAML nodes by reflection over struct tags, and
// collects every problem instead of stopping at the first.
type decoder struct {
	file  string
	found Problems
	lines map[string]int // field path → line
}

// decode reads src into the struct that `into` points to. The lines it returns
// say where each field was, for checks that come later.
func decode(file string, src []byte, into any) (map[string]int, Problems) {
	d := &decoder{file: file, lines: map[string]int{}}
	root := d.parse(src)
	if root != nil {
		d.value(root, reflect.ValueOf(into).Elem(), "")
	}
	return d.lines, d.found
}

func (d *decoder) addf(line int, field, format string, args ...any) {
	if len(d.found) < maxProblems {
		d.found = append(d.found, Problem{d.file, line, field, fmt.Sprintf(format, args...)})
	}
}

// parse returns the body of the only document in src, or nil after a problem.
func (d *decoder) parse(src []byte) ast.Node {
	if len(src) > maxFile {
		d.addf(0, "", "larger than %d MiB: this is not a file that a person wrote, check its path", maxFile>>20)
		return nil
	}
	tokens := lexer.Tokenize(string(src))
	if !d.shallow(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		line, reason := syntax(err)
		d.addf(line, "", "not YAML that can be read: %s", reason)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			d.addf(lineOf(doc.Body), "", "a second document: put everything in one, without a line ---")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		d.addf(0, "", "empty: run `allmende init` in a new folder to get one to start from")
	}
	return body
}

// shallow refuses nesting that no register needs, before a recursive parser sees it.
func (d *decoder) shallow(tokens token.Tokens) bool {
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
		if flow > maxDepth || entries > maxDepth || (t.Position.Column > 1000 && flow == 0 && t.Type == token.MappingValueType) {
			d.addf(line, "", "nested too deep: write each entry on a line of its own")
			return false
		}
	}
	return true
}

// syntax takes the line and the reason out of goccy's error.
func syntax(err error) (int, string) {
	if e, ok := errors.AsType[yaml.Error](err); ok {
		line := 0
		if t := e.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		return line, clip(e.GetMessage())
	}
	return 0, clip(err.Error())
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// value fills v from n. Nil pointers are made, so that absence stays visible.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	if path != "" {
		if _, known := d.lines[path]; !known {
			d.lines[path] = lineOf(n)
		}
	}
	switch n.Type() {
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.MergeKeyType:
		d.addf(lineOf(n), path, "anchors, aliases, tags and merge keys are not read here: write the value out")
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	if s, ok := v.Addr().Interface().(scalar); ok {
		d.scalar(n, s, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	default:
		d.plain(n, v, path)
	}
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.NullNode:
		return
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.addf(lineOf(n), path, "%s, but fields belong here: write one \"field: value\" a line", describe(n))
		return
	}
	fields := fieldsOf(v.Type())
	for _, kv := range values {
		key, ok := kv.Key.(*ast.StringNode)
		if !ok {
			d.addf(lineOf(kv.Key), path, "%s is no field name: write a plain word", describe(kv.Key))
			continue
		}
		at := join(path, key.Value)
		i, known := fields[key.Value]
		if !known {
			d.addf(lineOf(key), clip(at), "unknown field; %s", suggest(key.Value, v.Type()))
			continue
		}
		d.lines[at] = lineOf(key)
		if kv.Value == nil {
			continue
		}
		d.value(kv.Value, v.Field(i), at)
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string) {
	switch s := n.(type) {
	case *ast.NullNode: // every entry commented out
	case *ast.SequenceNode:
		out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
		for i, item := range s.Values {
			at := path + "[" + strconv.Itoa(i) + "]"
			if item == nil || item.Type() == ast.NullType {
				d.addf(lineOf(n), at, "empty: write a value behind the dash, or delete the line")
				continue
			}
			d.value(item, out.Index(i), at)
		}
		v.Set(out)
	default:
		d.addf(lineOf(n), path, "%s, but a list belongs here: write one \"- entry\" a line", describe(n))
	}
}

// plain fills strings, booleans and integers.
func (d *decoder) plain(n ast.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		switch s := n.(type) {
		case *ast.StringNode:
			v.SetString(s.Value)
		case *ast.LiteralNode:
			v.SetString(s.Value.Value)
		default:
			d.addf(lineOf(n), path, "%s, but a text belongs here: put it in quotes", describe(n))
		}
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return
		}
		d.addf(lineOf(n), path, "%s, but true or false belongs here", describe(n))
	default:
		d.addf(lineOf(n), path, "this program has no way to read a %s: report it as a bug", v.Kind())
	}
}

func (d *decoder) scalar(n ast.Node, s scalar, path string) {
	var text string
	switch t := n.(type) {
	case *ast.StringNode:
		text = t.Value
	case *ast.IntegerNode:
		text = t.Token.Value
	case *ast.FloatNode:
		text = t.Token.Value
	default:
		d.addf(lineOf(n), path, "%s, but a single value belongs here", describe(n))
		return
	}
	if err := s.scan(text); err != nil {
		d.addf(lineOf(n), path, "%v", err)
	}
}

// describe says what a node is, in the words of who wrote it.
func describe(n ast.Node) string {
	switch n.Type() {
	case ast.NullType:
		return "nothing is written"
	case ast.MappingType, ast.MappingValueType:
		return "there are fields"
	case ast.SequenceType:
		return "there is a list"
	case ast.BoolType:
		return "true or false is written"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "there is a number"
	}
	return "there is a text"
}

func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		fields[t.Field(i).Tag.Get("yaml")] = i
	}
	return fields
}

// suggest names the field that was probably meant, or all there are.
func suggest(got string, t reflect.Type) string {
	var names []string
	best, least := "", 3
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		names = append(names, name)
		if dist := distance(got, name, least); dist < least {
			best, least = name, dist
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "the fields here are " + strings.Join(names, ", ")
}

// distance is the number of edits from a to b, or a number ≥ most where it is at least that.
func distance(a, b string, most int) int {
	if len(a) > 64 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// clip bounds what a message repeats of its input.
func clip(s string) string {
	const most = 120
	s = strings.ToValidUTF8(s, "�")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
