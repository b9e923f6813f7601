// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// peopleTable is a table for people, its first row the headings.
type peopleTable [][]string

// print writes it with aligned columns.
func (t peopleTable) print(out *output) {
	w := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	for _, row := range t {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	w.Flush() //nolint:errcheck // output for a person; when the terminal is gone there is nobody to tell
}
