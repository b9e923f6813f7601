// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/charters/esbeta"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// charterBetaCmd is Spain's file of coefficients.
type charterBetaCmd struct {
	Read  charterBetaReadCmd  `cmd:"" help:"Check a file of coefficients and say what it holds."`
	Write charterBetaWriteCmd `cmd:"" help:"Write a charter's coefficients as the distributor takes them."`
}

type charterBetaReadCmd struct {
	File string `arg:"" help:"The file, called by its CAU and year, such as ES1234123456789012JY0FA000_2027.txt."`
	JSON bool   `help:"Print as JSON, with all coefficients."`
}

// Help is what "allmende charter beta read --help" adds.
func (*charterBetaReadCmd) Help() string {
	return `Reads the file as strictly as the distributor does: UTF-8 without a byte order mark;
in each line CUPS;0,250000 or CUPS;0001;0,250000, with a comma and six decimals (the
hour may do without its zeros); the check letters of every CUPS; all hours of the
year (8784 in a leap year); and sums of exactly 1 in each. What is wrong is said with
its line and field.

  allmende charter beta read ES1234123456789012JY0FA000_2027.txt`
}

// betaResult is the JSON of "charter beta read".
type betaResult struct {
	CAU    string      `json:"cau"`
	Year   int         `json:"year"`
	Hourly bool        `json:"hourly"`
	Points []betaPoint `json:"points"`
}

type betaPoint struct {
	CUPS  string   `json:"cups"`
	Betas []string `json:"betas"` // one, or one for each hour of the year; with a point, unlike in the file
}

// Run reads the file.
func (c *charterBetaReadCmd) Run(_ context.Context, out *output) error {
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	text, err := io.ReadAll(io.LimitReader(file, esbeta.MaxSize+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.File, err)
	}
	f, err := esbeta.Decode(filepath.Base(c.File), text)
	if problems, ok := errors.AsType[esbeta.Problems](err); ok {
		for _, p := range problems {
			out.Remark("%s: %s\n", c.File, p)
		}
		return errReported
	} else if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(betaJSON(f))
	}
	out.Printf("%s, %d: %d points of supply, the coefficients add up to 1\n\n", f.CAU, f.Year, len(f.Points))
	table := peopleTable{{"CUPS", "COEFFICIENT"}}
	for _, p := range f.Points {
		says := p.Betas[0].String()
		if f.Hourly() {
			says = fmt.Sprintf("%s to %s, by the hour", slices.Min(p.Betas), slices.Max(p.Betas))
		}
		table = append(table, []string{p.CUPS, says})
	}
	table.print(out)
	return nil
}

func betaJSON(f *esbeta.File) betaResult {
	res := betaResult{CAU: f.CAU, Year: f.Year, Hourly: f.Hourly(), Points: make([]betaPoint, len(f.Points))}
	for i, p := range f.Points {
		res.Points[i] = betaPoint{p.CUPS, make([]string, len(p.Betas))}
		for j, b := range p.Betas {
			res.Points[i].Betas[j] = strings.Replace(b.String(), ",", ".", 1)
		}
	}
	return res
}

type charterBetaWriteCmd struct {
	Charter string            `arg:"" help:"The charter, a YAML file, or - for standard input. Its first round is static, with keys that add up to 100."`
	CAU     string            `required:"" help:"The code of the self-consumption, 26 characters."`
	Year    int               `required:"" help:"The year in which the coefficients hold."`
	CUPS    map[string]string `required:"" help:"A member's point of supply, such as anna=ES1234123456789012JY0F; once for each." mapsep:","`
	Dir     string            `help:"The folder to write into." default:"." type:"path"`
}

// Help is what "allmende charter beta write --help" adds.
func (*charterBetaWriteCmd) Help() string {
	return `Writes the file under the name that the distributor asks for. Nothing is overwritten.

  allmende charter beta write charter.yaml --cau ES1234123456789012JY0FA000 --year 2027 \
    --cups anna=ES1234123456789012JY0F,ben=ES0000000000000001TR0F`
}

// Run writes the file.
func (c *charterBetaWriteCmd) Run(_ context.Context, out *output) error {
	ch, _, err := (&charterFile{File: c.Charter}).valid(out)
	if err != nil {
		return err
	}
	f, err := c.file(&ch)
	if err != nil {
		return err
	}
	text, err := f.Encode()
	if err != nil {
		return err
	}
	path := filepath.Join(c.Dir, f.Name())
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // made to be handed on
	if err != nil {
		return fmt.Errorf("%w; nothing is overwritten, so name another folder with --dir, or move the old file away", err)
	}
	if _, err = file.Write(text); err == nil {
		err = file.Close()
	} else {
		_ = file.Close() // the write's error says more
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	out.Printf("%s\n", path)
	return nil
}

// file puts the charter's keys and the members' points of supply together.
func (c *charterBetaWriteCmd) file(ch *charter.Charter) (*esbeta.File, error) {
	r := &ch.Sharing.Rounds[0]
	if r.Method != charter.Static || len(r.Keys) == 0 {
		return nil, fmt.Errorf("the first round of %s shares by %s; coefficients are static keys, as in: allmende charter templates es-beta", c.Charter, r.Method)
	}
	f := &esbeta.File{CAU: c.CAU, Year: c.Year}
	points := maps.Clone(c.CUPS)
	for _, k := range r.Keys {
		cups, known := points[string(k.Member)]
		if !known {
			return nil, fmt.Errorf("member %q has a key, but no point of supply; add --cups %s=ES…", k.Member, k.Member)
		}
		delete(points, string(k.Member))
		f.Points = append(f.Points, esbeta.Point{CUPS: cups, Betas: []esbeta.Beta{esbeta.Beta(k.Keys[0].Percent)}}) // both are millionths
	}
	for member := range points {
		return nil, fmt.Errorf("member %q has a point of supply, but no key in the charter; remove her --cups, or give her a key", roll.MemberID(member))
	}
	slices.SortFunc(f.Points, func(a, b esbeta.Point) int { return strings.Compare(a.CUPS, b.CUPS) })
	return f, nil
}
