// SPDX-License-Identifier: AGPL-3.0-or-later

package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// saveAs is how to get a file that can be read.
const saveAs = `save it as "CSV UTF-8" (Excel) or choose the character set UTF-8 when saving (LibreOffice), or import the .xlsx file itself`

func readCSV(content []byte) (Table, error) {
	switch {
	case bytes.HasPrefix(content, []byte{0xff, 0xfe}), bytes.HasPrefix(content, []byte{0xfe, 0xff}), bytes.IndexByte(content, 0) >= 0:
		return Table{}, whole("it is not UTF-8 (it looks like UTF-16, Excel's \"Unicode text\"): %s", saveAs)
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(content) {
		return Table{}, Problems{{Row: badLine(content), Reason: "here stands a letter that is not UTF-8 (the file looks like Windows-1252): " + saveAs}}
	}
	r := csv.NewReader(bytes.NewReader(content))
	r.Comma = delimiter(content)
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	var t Table
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			return Table{}, Problems{{Row: parse.StartLine, Reason: fmt.Sprintf("it cannot be read as CSV (%v): a quotation mark inside a cell is written twice, and a cell with one is put in quotation marks", parse.Err)}}
		}
		if err != nil {
			return Table{}, whole("it cannot be read as CSV: %v", err)
		}
		line, _ := r.FieldPos(0)
		if err := t.add(line, cells); err != nil {
			return Table{}, err
		}
	}
}

// delimiter is what separates the cells of the first line.
func delimiter(content []byte) rune {
	first := content
	for line := range bytes.Lines(content) {
		if len(bytes.TrimSpace(line)) > 0 {
			first = line
			break
		}
	}
	best, most := ',', 0
	for _, d := range []rune{';', '\t', ','} {
		if n := strings.Count(string(first), string(d)); n > most {
			best, most = d, n
		}
	}
	return best
}

// badLine is the first line that is not UTF-8.
func badLine(content []byte) int {
	n := 0
	for line := range bytes.Lines(content) {
		n++
		if !utf8.Valid(line) {
			break
		}
	}
	return n
}

// writeCSV writes rows as spreadsheet programs everywhere read them.
func writeCSV(rows [][]string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("\xef\xbb\xbf") // Excel reads UTF-8 only behind this
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		return nil, fmt.Errorf("writing CSV: %w", err)
	}
	return b.Bytes(), nil
}
