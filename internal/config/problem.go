// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a file.
type Problem struct {
	File   string
	Line   int    // 0: the file as a whole
	Field  string // a path such as "sites[2].member"; empty for syntax
	Reason string // what is wrong, and what to do about it
}

// Error is "file:line: field: reason", which editors can jump to.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Reason)
	return b.String()
}

// Problems is everything that is wrong, by file and line.
type Problems []Problem

// shownProblems bounds what an error message lists.
const shownProblems = 50

// Error lists the problems, one a line.
func (p Problems) Error() string {
	var lines []string
	for i, one := range p {
		if i == shownProblems {
			lines = append(lines, fmt.Sprintf("… and %d more", len(p)-i))
			break
		}
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// orNil is p as an error, sorted, or nil where there is no problem.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return p
}
