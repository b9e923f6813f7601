// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// value fills v, a part of a charter, from n. The charter's own types say what may
// stand where, so that there is no second list of fields to keep in step.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	switch n.Type() {
	case ast.NullType:
		return // as if the field were missing; Validate says what it needs
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.MergeKeyType:
		d.add(lineOf(n), path, "anchors, aliases and tags are not read here; write the value out")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.quantity(n, u, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.String:
		d.text(n, v, path)
	default:
		d.integer(n, v, path)
	}
}

// quantity reads an energy, a price or a span from a number or from text.
func (d *decoder) quantity(n ast.Node, u encoding.TextUnmarshaler, path string) {
	text, ok := scalarText(n)
	if !ok {
		d.add(lineOf(n), path, "%s stands where one value belongs; write the value behind the colon", describe(n))
		return
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		d.add(lineOf(n), path, "%s%s", err, quantityHint(u))
	}
}

// quantityHint adds an example where the type's own error has none.
func quantityHint(u encoding.TextUnmarshaler) string {
	if strings.HasSuffix(fmt.Sprintf("%T", u), ".Energy") {
		return "; write a plain number of kWh, such as 1.5"
	}
	return ""
}

func (d *decoder) text(n ast.Node, v reflect.Value, path string) {
	switch s := n.(type) {
	case *ast.StringNode:
		v.SetString(s.Value)
	case *ast.LiteralNode:
		v.SetString(s.Value.Value)
	default:
		hint := "write text behind the colon"
		if raw, ok := scalarText(n); ok {
			hint = fmt.Sprintf("put it in quotes: %.40q", raw)
		}
		d.add(lineOf(n), path, "%s stands where text belongs; %s", describe(n), hint)
	}
}

func (d *decoder) integer(n ast.Node, v reflect.Value, path string) {
	text, _ := scalarText(n)
	i, err := strconv.ParseInt(text, 10, 32)
	if _, isNumber := n.(*ast.IntegerNode); !isNumber || err != nil {
		d.add(lineOf(n), path, "%s stands where a whole number belongs; write one without quotes, such as 1", describe(n))
		return
	}
	v.SetInt(i)
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.add(lineOf(n), path, "%s stands where a list belongs; begin each entry on a line of its own with \"- \"", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, entry := range s.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = lineOf(entry)
		if first, ok := entry.(*ast.MappingNode); ok && len(first.Values) > 0 {
			d.lines[at] = lineOf(first.Values[0].Key) // a mapping's own token is its colon
		}
		d.value(entry, v.Index(i), at)
	}
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	var entries []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		entries = m.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{m}
	default:
		d.add(lineOf(n), path, "%s stands where fields belong; write %s, each with a colon and its value", describe(n), strings.Join(fieldNames(v.Type()), ", "))
		return
	}
	names := fieldNames(v.Type())
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		key := e.Key.GetToken().Value
		if _, plain := e.Key.(*ast.StringNode); !plain {
			d.add(lineOf(e.Key), path, "%.40q is no field name; known here: %s", key, strings.Join(names, ", "))
			continue
		}
		at := key
		if path != "" {
			at = path + "." + key
		}
		i := indexOf(names, key)
		switch {
		case i < 0:
			meant := suggest(key, names)
			if meant != "" {
				d.bad = append(d.bad, strings.TrimSuffix(at, key)+meant) // it isn't missing, then
				meant = " (did you mean " + meant + "?)"
			}
			d.add(lineOf(e.Key), clip(at), "unknown field%s; known here: %s", meant, strings.Join(names, ", "))
		case seen[key]:
			d.add(lineOf(e.Key), at, "comes a second time (first in line %d); remove one", d.lines[at])
		default:
			seen[key] = true
			d.lines[at] = lineOf(e.Key)
			d.value(e.Value, v.Field(i), at)
		}
	}
}

// fieldNames are the names of t's fields, in their order.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// scalarText is a scalar as it was written, so that 1.50 never passes through a float.
func scalarText(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a group of fields"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		return fmt.Sprintf("%.40q", n.GetToken().Value)
	}
	return "something else"
}

// suggest is the field that was probably meant, two typing errors away at most, or empty.
func suggest(key string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		if dist := typos(clip(key), n); dist < least {
			best, least = n, dist
		}
	}
	return best
}

// typos is the edit distance of a and b.
func typos(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// clip bounds what a message repeats of its input.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
