// SPDX-License-Identifier: AGPL-3.0-or-later

package sheet

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/xuri/excelize/v2"
)

func readXLSX(content []byte) (Table, error) {
	if err := unpacks(content); err != nil {
		return Table{}, err
	}
	f, err := excelize.OpenReader(bytes.NewReader(content), excelize.Options{
		RawCellValue: true, // what was entered, not how it is shown
		// Both the same: nothing is unpacked to the disk.
		UnzipSizeLimit: maxUnpack, UnzipXMLSizeLimit: maxUnpack,
	})
	if err != nil {
		return Table{}, whole("it cannot be read as XLSX (%.200v): save it again as an Excel workbook (.xlsx) without a password, or as CSV UTF-8", err)
	}
	defer f.Close() //nolint:errcheck // it was read from memory
	rows, err := f.Rows(f.GetSheetName(f.GetActiveSheetIndex()))
	if err != nil {
		return Table{}, whole("its first sheet cannot be read (%.200v): save it again", err)
	}
	defer rows.Close() //nolint:errcheck // as above
	var t Table
	for n := 1; rows.Next(); n++ {
		cells, err := rows.Columns()
		if err != nil {
			return Table{}, Problems{{Row: n, Reason: fmt.Sprintf("it cannot be read (%.200v): type the row anew", err)}}
		}
		// Far to the right something may stand, and take much to read: the first
		// such row ends the reading.
		if err := t.add(n, cells); err != nil {
			return Table{}, err
		}
	}
	if err := rows.Error(); err != nil {
		return Table{}, whole("it cannot be read to its end (%.200v): save it again", err)
	}
	return t, nil
}

// unpacks says whether an archive stays within bounds when it is unpacked. It
// does so without keeping anything: what an archive says of its own size is not
// believed.
func unpacks(content []byte) error {
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return whole("it is no XLSX file: save it as an Excel workbook (.xlsx) or as CSV UTF-8")
	}
	if len(z.File) > maxParts {
		return whole("it consists of %d parts, at most %d are usual: copy the table alone into a new workbook", len(z.File), maxParts)
	}
	left := int64(maxUnpack)
	for _, part := range z.File {
		n, err := unpack(part, left)
		if left -= n; left < 0 {
			return whole("it unpacks to more than %d MiB: copy the table alone into a new workbook", maxUnpack>>20)
		}
		if err != nil {
			return whole("it is damaged: save it again")
		}
	}
	return nil
}

// unpack counts a part's bytes, at most one more than a limit.
func unpack(part *zip.File, limit int64) (int64, error) {
	r, err := part.Open()
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, limit+1))
	return n, errors.Join(err, r.Close())
}

// writeXLSX writes rows as a workbook with one sheet.
func writeXLSX(rows [][]string) (_ []byte, err error) {
	f := excelize.NewFile()
	defer func() { err = errors.Join(err, f.Close()) }()
	sheet := f.GetSheetName(0)
	for i, row := range rows {
		cell, err := excelize.CoordinatesToCellName(1, i+1)
		if err != nil {
			return nil, fmt.Errorf("writing XLSX: %w", err)
		}
		if err := f.SetSheetRow(sheet, cell, &row); err != nil {
			return nil, fmt.Errorf("writing XLSX: %w", err)
		}
	}
	if err := f.SetColWidth(sheet, "A", "L", 18); err != nil {
		return nil, fmt.Errorf("writing XLSX: %w", err)
	}
	b, err := f.WriteToBuffer()
	if err != nil {
		return nil, fmt.Errorf("writing XLSX: %w", err)
	}
	return b.Bytes(), nil
}

// Write writes rows as the name's ending says.
func Write(name string, rows [][]string) ([]byte, error) {
	if hasXLSX(name) {
		return writeXLSX(rows)
	}
	return writeCSV(rows)
}
