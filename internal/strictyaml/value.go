// SPDX-License-Identifier: AGPL-3.0-or-later

package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	noMarks   = "anchors, aliases, tags and merge keys are not read here; write the value out"
	unwritten = "nothing is written; write a value, or remove the line"
)

// value fills v from n. The struct says what may stand where, so that there is
// no second list of fields to keep in step. Pointers are made where something is
// written, so that absence stays visible.
func (d *Document) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		d.addf(n.Line, path, noMarks)
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	reads, readsItself := v.Addr().Interface().(encoding.TextUnmarshaler)
	holds := !readsItself && (v.Kind() == reflect.Struct || v.Kind() == reflect.Slice)
	switch {
	case blank(n) && holds: // as if everything in it were commented out
	case blank(n):
		d.addf(d.lines[path], path, unwritten)
		if last := len(d.found) - 1; d.found[last].Field == path {
			d.bad[path] = last // its owner may know better what it needs
		}
	case readsItself:
		d.scalar(n, reads, path)
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.plain(n, v, path)
	}
}

func (d *Document) mapping(n *yaml.Node, v reflect.Value, path string) {
	names := fieldNames(v.Type())
	list := strings.Join(names, ", ")
	if n.Kind != yaml.MappingNode {
		d.addf(n.Line, path, "%s stands where fields belong; write %s, each on a line with a colon and its value", describe(n), list)
		return
	}
	for i := 0; i+1 < len(n.Content) && !d.full(); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Tag == "!!merge" || key.Kind == yaml.AliasNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
			d.note(key.Line, path, noMarks)
			continue
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			d.note(key.Line, path, fmt.Sprintf("%s is no field name; known here: %s", describe(key), list))
			continue
		}
		at := join(path, key.Value)
		f := index(names, key.Value)
		first, twice := d.lines[at]
		switch {
		case f < 0:
			meant := Suggest(key.Value, names)
			if meant != "" {
				d.bad[join(path, meant)] = -1 // it isn't missing, then
				meant = " (did you mean " + meant + "?)"
			}
			d.addf(key.Line, join(path, clip(key.Value)), "unknown field%s; known here: %s", meant, list)
		case twice:
			d.addf(key.Line, at, "comes a second time (first in line %d); remove one", first)
		default:
			d.lines[at] = key.Line
			d.value(value, v.Field(f), at)
		}
	}
}

func (d *Document) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.addf(n.Line, path, "%s stands where a list belongs; begin each entry on a line of its own with \"- \"", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		if d.full() {
			return
		}
		at := path + "[" + strconv.Itoa(i) + "]"
		d.lines[at] = entry.Line
		if blank(entry) {
			d.addf(entry.Line, at, "empty; write a value behind the dash, or remove the line")
			continue
		}
		d.value(entry, v.Index(i), at)
	}
}

func (d *Document) scalar(n *yaml.Node, to encoding.TextUnmarshaler, path string) {
	if n.Kind != yaml.ScalarNode {
		d.addf(n.Line, path, "%s stands where one value belongs; write the value behind the colon", describe(n))
		return
	}
	if err := to.UnmarshalText([]byte(n.Value)); err != nil {
		d.addf(n.Line, path, "%v", err)
	}
}

// plain fills text, booleans and whole numbers.
func (d *Document) plain(n *yaml.Node, v reflect.Value, path string) {
	bare := n.Kind == yaml.ScalarNode && n.Style == 0
	switch {
	case v.Kind() == reflect.String:
		if n.Kind == yaml.ScalarNode && !looksOtherwise(n) {
			v.SetString(n.Value)
			return
		}
		hint := "write text behind the colon"
		if n.Kind == yaml.ScalarNode {
			hint = fmt.Sprintf("put it in quotes: %.40q", n.Value)
		}
		d.addf(n.Line, path, "%s stands where text belongs; %s", describe(n), hint)
	case v.Kind() == reflect.Bool:
		if !bare || n.Value != "true" && n.Value != "false" {
			d.addf(n.Line, path, "%s stands where true or false belongs; write one of them without quotes", describe(n))
			return
		}
		v.SetBool(n.Value == "true")
	case v.CanInt():
		whole, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if !bare || err != nil {
			d.addf(n.Line, path, "%s stands where a whole number belongs; write one without quotes, such as 1", describe(n))
			return
		}
		v.SetInt(whole)
	case v.CanUint():
		whole, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		if !bare || err != nil {
			most := uint64(math.MaxUint64) >> (64 - v.Type().Bits())
			d.addf(n.Line, path, "%s stands where a whole number from 0 to %d belongs; write one without quotes", describe(n), most)
			return
		}
		v.SetUint(whole)
	default:
		d.addf(n.Line, path, "this program has no way to read a %s; report it as a bug", v.Type())
	}
}

// blank says whether nothing is written where n stands.
func blank(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style == 0 && n.Anchor == ""
}

// looksOtherwise says whether other readers of YAML would not see text in a scalar.
func looksOtherwise(n *yaml.Node) bool {
	return n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool"
}

// describe says what stands at n, in the words of who wrote it.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of fields"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%.40q", n.Value)
	}
}
