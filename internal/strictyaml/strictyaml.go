// SPDX-License-Identifier: AGPL-3.0-or-later

// Package strictyaml reads the files that people write (charters,
// configuration, the register, simulated sites) from YAML into Go structs.
//
// It is strict, because YAML has many spellings for one value and a person must
// be able to check what a program will understand. A field that the struct does
// not have, a field that comes twice and a value of the wrong kind are
// problems; so are anchors, aliases, tags, merge keys and a second document.
// All problems of a file are found at once, each with its line, its field and
// what to write instead.
//
// Scalars are taken as they are written: no number passes through a float, and
// no word, time or octal turns into something else. A type that reads itself
// (encoding.TextUnmarshaler) gets that text; its error becomes the problem and
// says what to write.
//
// What a value means is checked by its owner afterwards, who adds to the same
// list with [Document.Problemf], by the path of a field.
package strictyaml

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Options say what is particular to a kind of file.
type Options struct {
	MaxSize int    // bytes; 0: 1 MiB
	Start   string // where to get a file to begin with; said of an empty one
}

const (
	defaultMaxSize = 1 << 20
	maxProblems    = 50 // listed at once
)

func (o Options) maxSize() int {
	if o.MaxSize == 0 {
		return defaultMaxSize
	}
	return o.MaxSize
}

// Document is what was found in a file: where its fields are, and what is wrong.
type Document struct {
	file  string
	read  bool // it has fields, so that checking their meaning makes sense
	found Problems
	lines map[string]int // field → line
	// bad are fields that have a problem. The value is the place in found of a
	// problem that a more telling one may replace, or -1.
	bad map[string]int
}

// ReadFile reads a file's bytes for [Read], at most one byte more than it takes.
func ReadFile(path string, o Options) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, int64(o.maxSize())+1))
}

// Read fills the struct that into points to. Its fields have the names in
// their yaml tags, or in their json tags where there are none. What the file
// leaves out stays as it was. file is the name that problems are reported
// under.
func Read(file string, src []byte, into any, o Options) *Document {
	d := &Document{file: file, lines: map[string]int{}, bad: map[string]int{}}
	if root := d.parse(src, o); root != nil {
		d.read = true
		d.lines[""] = root.Line // of what the file lacks altogether
		d.value(root, reflect.ValueOf(into).Elem(), "")
	}
	return d
}

// Line is where a field is or, where it is absent, what it belongs in; 0 where
// that is the file as a whole.
func (d *Document) Line(field string) int {
	for ; field != ""; field = parent(field) {
		if line, ok := d.lines[field]; ok {
			return line
		}
	}
	return d.lines[""]
}

// Problemf adds what is wrong with the meaning of a field, such as
// "sites[2].member". It adds nothing to a field that could not be read, as that
// has its problem already, nor to a file that could not.
func (d *Document) Problemf(field, format string, args ...any) {
	if !d.read {
		return
	}
	for at := field; at != ""; at = parent(at) {
		blank, known := d.bad[at]
		switch {
		case known && at == field && blank >= 0:
			d.found[blank].Reason = fmt.Sprintf(format, args...)
			d.bad[at] = -1
			return
		case known:
			return
		}
	}
	d.note(d.Line(field), field, fmt.Sprintf(format, args...))
}

// Err is the [Problems] in the order of their lines, or nil if there is none.
func (d *Document) Err() error {
	if len(d.found) == 0 {
		return nil
	}
	slices.SortStableFunc(d.found, func(a, b Problem) int { return a.Line - b.Line })
	return d.found
}

func (d *Document) note(line int, field, reason string) {
	if !d.full() {
		d.found = append(d.found, Problem{d.file, line, field, reason})
	}
}

// full says that nobody will see another problem, so that reading can end.
func (d *Document) full() bool { return len(d.found) >= maxProblems }

// addf reports a field that could not be read.
func (d *Document) addf(line int, field, format string, args ...any) {
	d.bad[field] = -1
	d.note(line, field, fmt.Sprintf(format, args...))
}

// parent is what a field is in: "a[0].b" is in "a[0]", and that in "a".
func parent(field string) string { return field[:max(strings.LastIndexAny(field, ".["), 0)] }

// Problem is one thing that is wrong in a file.
type Problem struct {
	File   string // empty where it comes from no file
	Line   int    // from 1; 0: the file as a whole
	Field  string // a path such as "sites[2].member"; empty for syntax
	Reason string // what is wrong, and what to do about it
}

// Error is "file:line: field: reason", which editors can jump to.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	return b.String() + p.Reason
}

// Problems is everything that is wrong in a file, up to a bound.
type Problems []Problem

// Error lists the problems, one a line.
func (p Problems) Error() string {
	var lines []string
	for _, one := range p {
		lines = append(lines, one.Error())
	}
	if len(p) >= maxProblems {
		lines = append(lines, "… and maybe more; mend these first")
	}
	return strings.Join(lines, "\n")
}
