// SPDX-License-Identifier: AGPL-3.0-or-later

package settings

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// Key is one setting.
type Key struct {
	Name    string // its path in the file, such as "http.listen"
	Value   Value  // where it goes, and what may stand there
	Default string // as somebody would write it; entries of a list are divided by commas
	// Help is one paragraph. Its first sentence says what the setting is, and
	// stands alone in the file that a new folder begins with.
	Help    string
	Example string // as somebody would write it
	Written bool   // a new file has it, instead of only showing its default
}

// Part is a group of settings that belong together.
type Part struct {
	Title string // a heading
	Intro string // a paragraph above the group's settings
	Keys  []Key
	// Check finds what single values cannot know, once all are read. It may be nil.
	Check func(Report)
}

// Report adds what is wrong with a setting, such as "http.names[0]".
type Report func(name, format string, args ...any)

// Set is all settings of one file.
type Set struct {
	File   string   // its usual name
	Prefix string   // of environment variables, such as "ALLMENDE_"
	Others []string // variables with that prefix that are somebody else's; "X_*" is all that begin with X_
	Start  string   // where to get a file to begin with; said of an empty one
	Parts  []Part
}

// Keys are all settings in the order of the parts.
func (s Set) Keys() []Key {
	var keys []Key
	for _, p := range s.Parts {
		keys = append(keys, p.Keys...)
	}
	return keys
}

// Find is the setting of that name.
func (s Set) Find(name string) (Key, bool) {
	for _, k := range s.Keys() {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// Variable is the environment variable of a setting: http.listen is
// ALLMENDE_HTTP_LISTEN. It is empty for what only the file can say.
func (s Set) Variable(k Key) string {
	if k.Value.form == structured {
		return ""
	}
	return s.Prefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Validate finds faults of the declarations themselves; a test calls it.
func (s Set) Validate() error {
	names, variables := map[string]bool{}, map[string]bool{}
	for _, k := range s.Keys() {
		switch v := s.Variable(k); {
		case k.Name == "" || k.Name != strings.ToLower(k.Name) || strings.ContainsAny(k.Name, " -"):
			return fmt.Errorf("%q: a name is written in small letters, with _ between words and . between groups", k.Name)
		case names[k.Name]:
			return fmt.Errorf("%s is declared twice", k.Name)
		case v != "" && variables[v]:
			return fmt.Errorf("%s: another setting has the variable %s too", k.Name, v)
		case k.Value.set == nil && k.Value.form != structured:
			return fmt.Errorf("%s has no value to go to", k.Name)
		case !strings.HasSuffix(k.Help, "."):
			return fmt.Errorf("%s: the explanation is a paragraph that ends with a full stop", k.Name)
		default:
			names[k.Name], variables[v] = true, true
		}
		for _, text := range []string{k.Default, k.Example} {
			if text == "" || k.Value.form == structured {
				continue
			}
			if err := k.Value.set(k.Value.split(text)); err != nil {
				return fmt.Errorf("%s: its own default or example is refused: %w", k.Name, err)
			}
		}
	}
	for name := range names {
		for group := name; strings.Contains(group, "."); {
			group = group[:strings.LastIndex(group, ".")]
			if names[group] {
				return fmt.Errorf("%s is a setting and a group (%s)", group, name)
			}
		}
	}
	return nil
}

// tree is a group of fields on its way to become a struct.
type tree struct {
	names  []string
	groups map[string]*tree
	leaves map[string]reflect.Type
}

// shape is a struct type with all settings of the set, so that strictyaml can
// read the file. Leaves are pointers, so that absence stays visible.
func (s Set) shape() reflect.Type {
	root := &tree{groups: map[string]*tree{}, leaves: map[string]reflect.Type{}}
	for _, k := range s.Keys() {
		at, rest := root, k.Name
		for {
			first, more, deeper := strings.Cut(rest, ".")
			if !deeper {
				at.names = append(at.names, rest)
				at.leaves[rest] = k.Value.fileType()
				break
			}
			next := at.groups[first]
			if next == nil {
				next = &tree{groups: map[string]*tree{}, leaves: map[string]reflect.Type{}}
				at.groups[first] = next
				at.names = append(at.names, first)
			}
			at, rest = next, more
		}
	}
	return root.structType()
}

func (t *tree) structType() reflect.Type {
	fields := make([]reflect.StructField, len(t.names))
	for i, name := range t.names {
		typ := t.leaves[name]
		if group := t.groups[name]; group != nil {
			typ = group.structType()
		}
		fields[i] = reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: typ, Tag: reflect.StructTag(fmt.Sprintf("yaml:%q", name))}
	}
	return reflect.StructOf(fields)
}

// leaf is what the file says of a setting in a struct of the set's shape.
func leaf(v reflect.Value, name string) reflect.Value {
	for part := range strings.SplitSeq(name, ".") {
		t := v.Type()
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("yaml") == part {
				v = v.Field(i)
				break
			}
		}
	}
	return v
}

// Suggest is the setting, or the group of some, whose name was probably meant;
// or empty.
func (s Set) Suggest(name string) string {
	var names []string
	for _, k := range s.Keys() {
		for at := k.Name; at != ""; at = at[:max(strings.LastIndex(at, delim), 0)] {
			names = append(names, at)
		}
	}
	return strictyaml.Suggest(name, names)
}
