// SPDX-License-Identifier: AGPL-3.0-or-later

package sheet_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/sheet"
)

func TestCSV(t *testing.T) {
	want := sheet.Table{
		Header: sheet.Row{Number: 1, Cells: []string{"member", "name"}},
		Rows:   []sheet.Row{{2, []string{"anna", "Anna; the \"first\""}}, {4, []string{"ben"}}, {5, []string{"", "x\ny"}}},
	}
	for name, text := range map[string]string{
		"commas":     "member,name\nanna,\"Anna; the \"\"first\"\"\"\n,\nben\n,\"x\ny\"\n",
		"semicolons": "member;name\r\n anna ;\"Anna; the \"\"first\"\"\"\r\n;;;\r\nben;\r\n;\"x\ny\"",
		"tabs":       "\xef\xbb\xbfmember\tname\nanna\t\"Anna; the \"\"first\"\"\"\n\nben\n\t\"x\ny\"\n",
	} {
		got, err := sheet.Read("Members.CSV", []byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	wide := "a" + strings.Repeat(",b", sheet.MaxColumns)
	for _, c := range []struct {
		name, file, content, want string
		row                       int
	}{
		{"nothing", "a.csv", "", "first row names the columns", 0},
		{"empty rows", "a.csv", "\n,,\n", "first row names the columns", 0},
		{"Windows-1252", "a.csv", "member\nanna\nJ\xf6rg\n", "CSV UTF-8", 3},
		{"UTF-16", "a.csv", "\xff\xfem\x00", "UTF-16", 0},
		{"a quotation mark", "a.csv", "member\nan\"na\n", "quotation mark", 2},
		{"too wide", "a.csv", "member\n" + wide, "at most 64 columns", 2},
		{"a long cell", "a.csv", "member\n" + strings.Repeat("a", sheet.MaxCell+1), "shorten it", 2},
		{"too many rows", "a.csv", "member\n" + strings.Repeat("a\n", sheet.MaxRows+1), "in parts", sheet.MaxRows + 2},
		{"too large", "a.csv", strings.Repeat("a", sheet.MaxSize+1), "2 MiB", 0},
		{"a picture", "a.png", "x", ".csv or .xlsx", 0},
		{"a wrong name", "a.csv", "PK\x03\x04", "not called .xlsx", 0},
		{"no workbook", "a.xlsx", "member,name", "no XLSX file", 0},
	} {
		_, err := sheet.Read(c.file, []byte(c.content))
		found, ok := errors.AsType[sheet.Problems](err)
		if !ok || len(found) != 1 || found[0].Row != c.row || !strings.Contains(found[0].Reason, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestWrittenIsRead(t *testing.T) {
	rows := [][]string{{"member", "name"}, {"anna", "Anna \"A\" Ü;,\t"}, {"007", "1,5"}}
	for _, file := range []string{"m.csv", "m.xlsx"} {
		content, err := sheet.Write(file, rows)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sheet.Read(file, content)
		if err != nil || len(got.Rows) != 2 || got.Header.Number != 1 {
			t.Fatalf("%s: %+v, %v", file, got, err)
		}
		for i, want := range rows[1:] {
			if got.Rows[i].Number != i+2 || got.Rows[i].Cells[0] != want[0] || got.Rows[i].Cells[1] != strings.TrimSpace(want[1]) {
				t.Errorf("%s: row %+v", file, got.Rows[i])
			}
		}
	}
}

// workbook is an XLSX whose sheet and shared strings are as given.
func workbook(tb testing.TB, sheetXML, stringsXML func(io.Writer)) []byte {
	tb.Helper()
	return archive(tb, zip.Deflate, sheetXML, stringsXML)
}

func archive(tb testing.TB, method uint16, sheetXML, stringsXML func(io.Writer)) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	part := func(name string, write func(io.Writer)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			tb.Fatal(err)
		}
		write(w)
	}
	text := func(s string) func(io.Writer) { return func(w io.Writer) { io.WriteString(w, s) } }
	const xml = `<?xml version="1.0" encoding="UTF-8"?>`
	part("[Content_Types].xml", text(xml+`<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/><Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>`))
	part("_rels/.rels", text(xml+`<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`))
	part("xl/workbook.xml", text(xml+`<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>`))
	part("xl/_rels/workbook.xml.rels", text(xml+`<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/></Relationships>`))
	part("xl/worksheets/sheet1.xml", func(w io.Writer) {
		io.WriteString(w, xml+`<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`)
		sheetXML(w)
		io.WriteString(w, `</sheetData></worksheet>`)
	})
	part("xl/sharedStrings.xml", func(w io.Writer) {
		io.WriteString(w, xml+`<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">`)
		stringsXML(w)
		io.WriteString(w, `</sst>`)
	})
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func nothing(io.Writer) {}

// TestBombs: small files that would take much memory, minutes or the disk. Each is
// refused, and none of them takes much memory. They are only as large as shows
// it: under the race detector each megabyte takes its time.
func TestBombs(t *testing.T) {
	repeat := func(s string, n int) func(io.Writer) {
		return func(w io.Writer) {
			for range n {
				io.WriteString(w, s)
			}
		}
	}
	inline := func(r, c, v string) string {
		return fmt.Sprintf(`<row r="%s"><c r="%s%s" t="inlineStr"><is><t>%s</t></is></c></row>`, r, c, r, v)
	}
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"a bomb of nothing in the sheet", workbook(t, repeat(strings.Repeat(" ", 1<<20), 64), nothing), "unpacks to more than"},
		{"a bomb of shared strings", workbook(t, nothing, repeat(strings.Repeat("<si><t>a</t></si>", 1<<16), 40)), "unpacks to more than"},
		{"columns far to the right", workbook(t, repeat(inline("1", "XFD", "x"), 1), nothing), "at most 64 columns"},
		{"rows without end", workbook(t, func(w io.Writer) {
			for i := range sheet.MaxRows + 100 {
				io.WriteString(w, inline(fmt.Sprint(i+1), "A", "x"))
			}
		}, nothing), "import it in parts"},
		{"a cell as large as a book", workbook(t, repeat(inline("1", "A", strings.Repeat("x", 1<<20)), 1), nothing), "shorten it"},
		{"a shared string as large as a book", workbook(t, func(w io.Writer) {
			io.WriteString(w, `<row r="1"><c r="A1" t="s"><v>0</v></c></row>`)
		}, repeat("<si><t>"+strings.Repeat("y", 1<<20)+"</t></si>", 1)), "shorten it"},
		{"an entity that grows", workbook(t, repeat(`<row r="1"><c r="A1" t="inlineStr"><is><t>&lol;</t></is></c></row>`, 1), nothing), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.content) > sheet.MaxSize {
				t.Fatalf("the bomb has %d bytes", len(c.content))
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, err := sheet.Read("m.xlsx", c.content)
			runtime.ReadMemStats(&after)
			if _, ok := errors.AsType[sheet.Problems](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.300v", err)
			}
			if grown := int64(after.Sys) - int64(before.Sys); grown > 300<<20 {
				t.Errorf("it took %d MiB", grown>>20)
			}
		})
	}
	var parts bytes.Buffer
	z := zip.NewWriter(&parts)
	for i := range 1_000 {
		if _, err := z.Create(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	z.Close()
	if _, err := sheet.Read("m.xlsx", parts.Bytes()); err == nil || !strings.Contains(err.Error(), "parts") {
		t.Errorf("a thousand parts: %v", err)
	}
}

// within says that a table keeps to the bounds.
func within(t *testing.T, table sheet.Table, err error) {
	t.Helper()
	if err != nil {
		if _, ok := errors.AsType[sheet.Problems](err); !ok {
			t.Fatalf("refused with %T %v", err, err)
		}
		return
	}
	if len(table.Header.Cells) == 0 || len(table.Rows) > sheet.MaxRows {
		t.Fatalf("%d rows under %v", len(table.Rows), table.Header)
	}
	last := table.Header.Number
	for _, row := range table.Rows {
		if row.Number <= last || len(row.Cells) > sheet.MaxColumns || len(row.Cells) == 0 {
			t.Fatalf("row %d behind %d: %d cells", row.Number, last, len(row.Cells))
		}
		last = row.Number
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, s := range []string{"member;name\nanna;A\n", "a\tb\n\"x\"\"y\"\t1\n", "\xef\xbb\xbfm,n\n", "m\n\"", "PK\x03\x04", "\xff\xfe", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		table, err := sheet.Read("m.csv", content)
		within(t, table, err)
	})
}

// FuzzReadXLSX begins from what a workbook says in its sheet and its strings:
// bytes changed in the archive around them would be refused by their checksum.
func FuzzReadXLSX(f *testing.F) {
	f.Add("", "")
	f.Add(`<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1"><v>1.5</v></c></row><row r="9"><c t="b"><v>1</v></c></row>`, "<si><t>member</t></si>")
	f.Add(`<row r="1"><c r="A1" t="inlineStr"><is><t>member</t></is></c></row><row r="2"><c r="A2" t="e"><v>#N/A</v></c></row>`, "<si><r><t>a</t></r></si>")
	f.Add(`<row r="1048577"><c r="XFE1" s="9"><f>A1*2</f><v>1e400</v></c></row></sheetData>`, `<si/><!-- -->`)
	f.Fuzz(func(t *testing.T, rows, texts string) {
		content := archive(t, zip.Store, func(w io.Writer) { io.WriteString(w, rows) }, func(w io.Writer) { io.WriteString(w, texts) })
		table, err := sheet.Read("m.xlsx", content)
		within(t, table, err)
	})
}

// FuzzReadArchive: bytes that call themselves a workbook.
func FuzzReadArchive(f *testing.F) {
	good, err := sheet.Write("m.xlsx", [][]string{{"member", "name"}, {"anna", "Anna"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, content []byte) {
		table, err := sheet.Read("m.xlsx", content)
		within(t, table, err)
	})
}
