// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/allmende-energy/allmende/coordinator/roster"
	"github.com/allmende-energy/allmende/coordinator/sheet"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

type memberImportCmd struct {
	File     string `arg:"" help:"A spreadsheet: .csv or .xlsx."`
	Template bool   `help:"Write a spreadsheet to begin with to FILE, instead of reading it."`
	acting
}

// Help is shown by allmende member import --help.
func (memberImportCmd) Help() string {
	return `Reads members with their sites and meters from a spreadsheet, one row for each
site. What is there already is changed where it differs; nobody is taken out. All
of it is done, or nothing: with --dry-run it only says what would be done and
lists every problem by row and column. A second time there is nothing to do.

  allmende member import --template members.xlsx
  allmende member import members.xlsx --dry-run
  allmende member import members.xlsx --on now

The columns, in any order (an empty cell changes nothing, - takes away):

` + roster.Describe()
}

// Run imports.
func (c *memberImportCmd) Run(ctx context.Context, out *output) error {
	if c.Template {
		return c.template(out)
	}
	content, err := readSheet(c.File)
	if err != nil {
		return err
	}
	client, done, err := c.administration(ctx)
	if err != nil {
		return err
	}
	defer done()
	res, err := client.ImportMembers(ctx, &allmendev1.ImportMembersRequest{
		FileName: filepath.Base(c.File), Content: content, From: c.On, DryRun: c.DryRun, Note: c.Note,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = out.JSON(importAsJSON(res))
	} else {
		err = printImport(out, filepath.Base(c.File), res)
	}
	if err == nil && len(res.GetProblems()) > 0 {
		return errReported
	}
	return err
}

// readSheet reads a file that may be sent.
func readSheet(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, sheet.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(content) > sheet.MaxSize {
		return nil, fmt.Errorf("%s has more than %d MiB: delete pictures and formats, or import it in parts", path, sheet.MaxSize>>20)
	}
	return content, nil
}

func (c *memberImportCmd) template(out *output) error {
	content, err := sheet.Write(c.File, roster.Template())
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already: name a new file", c.File)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", c.File, err)
	}
	out.Printf("Wrote %s. Replace its second row by your members, then: allmende member import %s --dry-run\n", c.File, c.File)
	return nil
}

func printImport(out *output, name string, res *allmendev1.ImportMembersResponse) error {
	if n := len(res.GetProblems()); n > 0 {
		out.Printf("%s: problems: %d. Nothing was done.\n\n", name, n)
		t := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ROW\tCOLUMN\tPROBLEM")
		for _, p := range res.GetProblems() {
			row := "-"
			if p.GetRow() > 0 {
				row = fmt.Sprint(p.GetRow())
			}
			fmt.Fprintf(t, "%s\t%s\t%s\n", row, orDash(p.GetColumn()), oneLine(p.GetMessage()))
		}
		return t.Flush()
	}
	out.Printf("%s: %d rows; %d entries are new, %d are different, %d are the same.\n", name, res.GetRows(), res.GetAdded(), res.GetChanged(), res.GetUnchanged())
	printApplied(out, res.GetApplied())
	return nil
}

// The JSON of an import.
type (
	importJSON struct {
		Rows      int32         `json:"rows"`
		Added     int32         `json:"added"`
		Changed   int32         `json:"changed"`
		Unchanged int32         `json:"unchanged"`
		Problems  []problemJSON `json:"problems"`
		Applied   *appliedJSON  `json:"applied,omitempty"`
	}
	problemJSON struct {
		Row     int32  `json:"row,omitempty"`
		Column  string `json:"column,omitempty"`
		Message string `json:"message"`
	}
)

func importAsJSON(res *allmendev1.ImportMembersResponse) importJSON {
	out := importJSON{Rows: res.GetRows(), Added: res.GetAdded(), Changed: res.GetChanged(), Unchanged: res.GetUnchanged(), Problems: []problemJSON{}}
	for _, p := range res.GetProblems() {
		out.Problems = append(out.Problems, problemJSON{p.GetRow(), p.GetColumn(), p.GetMessage()})
	}
	if a := res.GetApplied(); a != nil {
		applied := appliedAsJSON(a)
		out.Applied = &applied
	}
	return out
}
