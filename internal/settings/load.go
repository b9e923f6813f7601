// SPDX-License-Identifier: AGPL-3.0-or-later

package settings

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// Problem is one thing that is wrong, and Problems is everything. The File of a
// problem is a variable's name or a flag where the value comes from there.
type (
	Problem  = strictyaml.Problem
	Problems = strictyaml.Problems
)

// Sources are the layers over the defaults.
type Sources struct {
	File    string   // path of the file, for messages
	Content []byte   // of the file; nil: there is none
	Environ []string // as os.Environ gives it
	Flags   []Flag
}

// Flag is a setting on the command line.
type Flag struct {
	Key   string
	Value string
	Name  string // what somebody typed, such as "--http"
}

// ParseSet reads what follows --set: key=value.
func ParseSet(text string) (Flag, error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return Flag{}, fmt.Errorf("--set %.80q: write it as --set key=value, such as --set log.level=debug", text)
	}
	return Flag{Key: key, Value: value, Name: "--set " + key}, nil
}

// Layer is where a value comes from.
type Layer string

// The layers, from the ground up.
const (
	FromDefault     Layer = "default"
	FromFile        Layer = "file"
	FromEnvironment Layer = "environment"
	FromFlag        Layer = "flag"
)

// Loaded is what all layers together say.
type Loaded struct {
	set    Set
	src    Sources
	doc    *strictyaml.Document
	merged *koanf.Koanf
	from   map[string]Layer
	flags  map[string]string // setting → flag that somebody typed
	found  Problems          // of environment and flags
	bad    map[string]bool   // settings that have a problem already
}

// delim divides groups in a name.
const delim = "."

// Load reads all layers into the values of the set's keys. The error is a
// [Problems] that holds everything that is wrong; what could be read is returned
// beside it, so that a caller may add to it.
func (s Set) Load(src Sources) (*Loaded, error) {
	l := &Loaded{
		set: s, src: src, merged: koanf.New(delim),
		from: map[string]Layer{}, flags: map[string]string{}, bad: map[string]bool{},
	}
	layers := []struct {
		name Layer
		read func() *koanf.Koanf
	}{{FromDefault, l.defaults}, {FromFile, l.file}, {FromEnvironment, l.environment}, {FromFlag, l.commandLine}}
	for _, layer := range layers {
		read := layer.read()
		for _, k := range s.Keys() {
			if !read.Exists(k.Name) {
				continue
			}
			l.from[k.Name] = layer.name
			if k.Value.form != structured {
				l.apply(k, read.Strings(k.Name))
			}
		}
		if err := l.merged.Merge(read); err != nil {
			return nil, fmt.Errorf("joining configuration: %w", err)
		}
	}
	for _, p := range s.Parts {
		if p.Check != nil {
			p.Check(l.Report)
		}
	}
	return l, l.Err()
}

// layer is a koanf of settings and their texts.
func layer(values map[string]any) *koanf.Koanf {
	k := koanf.New(delim)
	_ = k.Load(confmap.Provider(values, delim), nil) // a map is there already: it has no error to give
	return k
}

func (l *Loaded) defaults() *koanf.Koanf {
	values := map[string]any{}
	for _, k := range l.set.Keys() {
		if k.Default != "" {
			values[k.Name] = k.Value.split(k.Default)
		}
	}
	return layer(values)
}

func (l *Loaded) file() *koanf.Koanf {
	values := map[string]any{}
	into := reflect.New(l.set.shape())
	if l.src.Content == nil {
		l.doc = strictyaml.Read(l.src.File, []byte("{}"), into.Interface(), strictyaml.Options{})
		return layer(values)
	}
	l.doc = strictyaml.Read(l.src.File, l.src.Content, into.Interface(), strictyaml.Options{Start: l.set.Start})
	for _, k := range l.set.Keys() {
		at := leaf(into.Elem(), k.Name)
		if at.Kind() == reflect.Pointer && at.IsNil() || at.Kind() == reflect.Slice && at.IsNil() {
			continue
		}
		switch k.Value.form {
		case list:
			values[k.Name] = at.Interface()
		case structured:
			k.Value.take(at)
			values[k.Name] = []string{}
		default:
			values[k.Name] = []string{fmt.Sprint(at.Elem().Interface())}
		}
	}
	return layer(values)
}

// environment is read by koanf. Every variable with the prefix is a setting's,
// or somebody else's whom we know, or a mistake.
func (l *Loaded) environment() *koanf.Koanf {
	byVariable := map[string]Key{}
	var variables []string
	for _, k := range l.set.Keys() {
		if v := l.set.Variable(k); v != "" {
			byVariable[v] = k
			variables = append(variables, v)
		}
	}
	transform := func(name, value string) (string, any) {
		k, known := byVariable[name]
		if !known {
			if !l.set.others(name) {
				l.note(name, "", unknown("variable", name, variables))
			}
			return "", nil
		}
		return k.Name, k.Value.split(value)
	}
	k := koanf.New(delim)
	_ = k.Load(env.Provider(delim, env.Opt{
		Prefix: l.set.Prefix, TransformFunc: transform, EnvironFunc: func() []string { return l.src.Environ },
	}), nil) // what it reads is in memory: it has no error to give
	return k
}

// others says whether a variable is known to be somebody else's.
func (s Set) others(name string) bool {
	return slices.ContainsFunc(s.Others, func(other string) bool {
		stem, all := strings.CutSuffix(other, "*")
		return name == other || all && strings.HasPrefix(name, stem)
	})
}

func (l *Loaded) commandLine() *koanf.Koanf {
	values := map[string]any{}
	var names []string
	for _, k := range l.set.Keys() {
		if k.Value.form != structured {
			names = append(names, k.Name)
		}
	}
	for _, f := range l.src.Flags {
		k, known := l.set.Find(f.Key)
		if !known || k.Value.form == structured {
			l.note(f.Name, "", unknown("setting", f.Key, names))
			continue
		}
		l.flags[k.Name] = f.Name
		values[k.Name] = k.Value.split(f.Value)
	}
	return layer(values)
}

func unknown(what, name string, known []string) string {
	if meant := strictyaml.Suggest(name, known); meant != "" {
		return fmt.Sprintf("unknown %s (did you mean %s?); `allmende config explain` lists all", what, meant)
	}
	return fmt.Sprintf("unknown %s; `allmende config explain` lists all", what)
}

// apply sets a value from the layer that was read last.
func (l *Loaded) apply(k Key, texts []string) {
	err := k.Value.set(texts)
	if err == nil {
		return
	}
	name := k.Name
	if entry, ok := errors.AsType[entryError](err); ok {
		name, err = name+"["+strconv.Itoa(entry.index)+"]", entry.error
	}
	l.Report(name, "%v", err)
}

// Report adds what is wrong with a setting, or with a field of one such as
// "devices[0].unit", at the place where the setting has its value from.
func (l *Loaded) Report(name, format string, args ...any) {
	key, _, _ := strings.Cut(name, "[")
	switch l.from[key] {
	case FromEnvironment, FromFlag:
		if l.bad[key] {
			return
		}
		l.note(l.Place(key), name, fmt.Sprintf(format, args...))
	default:
		l.doc.Problemf(name, format, args...)
	}
	l.bad[key] = true
}

func (l *Loaded) note(place, name, reason string) {
	const most = 50
	if len(l.found) < most {
		l.found = append(l.found, Problem{File: place, Field: name, Reason: reason})
	}
}

// Err is the [Problems] that there are, those of the file first, or nil.
func (l *Loaded) Err() error {
	slices.SortStableFunc(l.found, func(a, b Problem) int { return strings.Compare(a.File, b.File) })
	all, _ := errors.AsType[Problems](l.doc.Err())
	if all = append(slices.Clone(all), l.found...); len(all) > 0 {
		return all
	}
	return nil
}

// From is the layer that a setting has its value from.
func (l *Loaded) From(name string) Layer {
	if from, ok := l.from[name]; ok {
		return from
	}
	return FromDefault
}

// Place is where to change a setting: "allmende.yaml, http.listen", a
// variable's name or a flag.
func (l *Loaded) Place(name string) string {
	switch l.from[name] {
	case FromEnvironment:
		k, _ := l.set.Find(name)
		return l.set.Variable(k)
	case FromFlag:
		return l.flags[name]
	default:
		return l.src.File + ", " + name
	}
}

// Line is the line of the file where a setting is, 0 where it is not there.
func (l *Loaded) Line(name string) int {
	if l.from[name] != FromFile {
		return 0
	}
	return l.doc.Line(name)
}

// LineOf is where a field of the file is, or what it would belong in.
func (l *Loaded) LineOf(field string) int { return l.doc.Line(field) }

// Text is a setting's value as somebody would write it; of a secret, what may
// be seen.
func (l *Loaded) Text(name string) string {
	k, known := l.set.Find(name)
	switch {
	case !known:
		return ""
	case k.Value.secret:
		return k.Value.show()
	case k.Value.form == structured && l.From(name) == FromFile:
		return fmt.Sprintf("what stands in %s, line %d", l.src.File, l.Line(name))
	}
	return strings.Join(l.merged.Strings(name), ", ")
}

// Set is what was loaded.
func (l *Loaded) Set() Set { return l.set }
