// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sheet reads spreadsheets, CSV and XLSX, into plain tables of text.
//
// A spreadsheet is a file from outside. What it may cost is bounded before
// anything of it is believed: an XLSX is a ZIP archive, and a small one can
// unpack to gigabytes, so each part is unpacked against a limit first.
package sheet

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Bounds of a spreadsheet.
const (
	MaxSize    = 2 << 20  // of the file
	MaxRows    = 20_000   // with something in them
	MaxColumns = 64       // as far as something stands
	MaxCell    = 1_000    // bytes of one cell
	maxUnpack  = 32 << 20 // of an XLSX, all parts together
	maxParts   = 500      // of an XLSX
)

// Problem is something that is wrong, where, and what to do about it.
type Problem struct {
	Row    int    // as spreadsheet programs count, from 1; 0: the whole file
	Column string // its name in the header; "": the whole row
	Reason string
}

// Error says where and what.
func (p Problem) Error() string {
	var at []string
	if p.Row > 0 {
		at = append(at, fmt.Sprintf("row %d", p.Row))
	}
	if p.Column != "" {
		at = append(at, fmt.Sprintf("column %q", p.Column))
	}
	if len(at) == 0 {
		return p.Reason
	}
	return strings.Join(at, ", ") + ": " + p.Reason
}

// Problems are all that is wrong.
type Problems []Problem

// Error lists them, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Row is a row with something in it.
type Row struct {
	Number int // as spreadsheet programs count, from 1
	Cells  []string
}

// Table is a spreadsheet: rows without the empty ones, cells without spaces
// around them. The first row is the header.
type Table struct {
	Header Row
	Rows   []Row
}

// Read reads a spreadsheet by its name's ending. The error is a [Problems].
func Read(name string, content []byte) (Table, error) {
	if len(content) > MaxSize {
		return Table{}, whole("it has more than %d MiB: delete pictures, formats and sheets that are not needed, or import it in parts", MaxSize>>20)
	}
	var t Table
	var err error
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case hasXLSX(name):
		t, err = readXLSX(content)
	case strings.HasPrefix(string(content), "PK\x03\x04"):
		return Table{}, whole("it is an Excel or ZIP file by its content, but is not called .xlsx: give it its right name")
	case ext == ".csv" || ext == ".txt" || ext == ".tsv":
		t, err = readCSV(content)
	default:
		return Table{}, whole("%.60q is no kind of file that can be read: save it as .csv or .xlsx", filepath.Base(name))
	}
	if err != nil {
		return Table{}, err
	}
	if len(t.Header.Cells) == 0 {
		return Table{}, whole("it is empty: the first row names the columns (allmende member import --template members.csv writes one to begin with)")
	}
	return t, nil
}

func hasXLSX(name string) bool { return strings.EqualFold(filepath.Ext(name), ".xlsx") }

func whole(format string, args ...any) Problems {
	return Problems{{Reason: fmt.Sprintf(format, args...)}}
}

// add takes a row in, unless it is empty.
func (t *Table) add(number int, cells []string) error {
	last := -1
	for i, c := range cells {
		c = strings.TrimSpace(c)
		if len(c) > MaxCell {
			return Problems{{Row: number, Reason: fmt.Sprintf("column %d has more than %d characters: shorten it", i+1, MaxCell)}}
		}
		if c != "" {
			last = i
		}
	}
	if last < 0 {
		return nil
	}
	if last >= MaxColumns {
		return Problems{{Row: number, Reason: fmt.Sprintf("something stands in column %d, at most %d columns are read: delete what is not needed", last+1, MaxColumns)}}
	}
	row := Row{number, make([]string, last+1)}
	for i := range row.Cells {
		row.Cells[i] = strings.TrimSpace(cells[i])
	}
	if len(t.Header.Cells) == 0 {
		t.Header = row
		return nil
	}
	if len(t.Rows) == MaxRows {
		return Problems{{Row: number, Reason: fmt.Sprintf("more than %d rows: import it in parts", MaxRows)}}
	}
	t.Rows = append(t.Rows, row)
	return nil
}
