// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a configuration.
type Problem struct {
	File   string // empty where it comes from no file
	Line   int    // 0: the file as a whole
	Field  string // such as "devices[2].unit"; empty for syntax
	Reason string // what is wrong, and what to do about it
}

// Error is "file:line: field: reason".
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
	b.WriteString(p.Reason)
	return b.String()
}

// Problems is everything that is wrong.
type Problems []Problem

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

func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return p
}
