// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import (
	"errors"
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// MaxSize bounds a file in bytes; a charter is a page or two, and one with the
// keys of a thousand members some sixty.
const MaxSize = 256 << 10

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
func Decode(src []byte) (charter.Charter, error) { return decode(src, nil) }

// DecodeFor is [Decode] for a community: what the charter names must be in its
// register as well (see [Against]).
func DecodeFor(src []byte, r *roll.Community) (charter.Charter, error) { return decode(src, r) }

func decode(src []byte, r *roll.Community) (charter.Charter, error) {
	var c charter.Charter
	doc := strictyaml.Read("", src, &c, strictyaml.Options{MaxSize: MaxSize, Start: "begin from a template"})
	invalid, _ := errors.AsType[charter.Problems](c.Validate())
	invalid = append(invalid, expr.Check(&c)...)
	if r != nil {
		invalid = append(invalid, Against(&c, r)...)
	}
	for _, p := range invalid {
		doc.Problemf(p.Path, "%s", p.Message)
	}
	found, wrong := errors.AsType[strictyaml.Problems](doc.Err())
	if !wrong {
		return c, nil
	}
	problems := make(Problems, len(found))
	for i, p := range found {
		problems[i] = Problem{p.Line, p.Field, p.Reason}
	}
	return charter.Charter{}, problems
}
