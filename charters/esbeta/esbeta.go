// SPDX-License-Identifier: AGPL-3.0-or-later

// Package esbeta reads and writes the file of coefficients (β) that a Spanish
// collective self-consumption hands to its distributor: one line for each point
// of supply, or one for each of its hours in the year,
//
//	ES1234123456789012JY0F;0,250000
//	ES1234123456789012JY0F;0001;0,250000
//
// in a file named after the self-consumption's code and the year,
// ES1234123456789012JY0FA000_2027.txt, as Royal Decree 244/2019 has it in annex I,
// 1 (in the version of Order TED/1247/2021). It is strict, as the distributor is:
// six decimals with a comma, UTF-8 without a byte order mark, every hour of the
// year, and coefficients that add up to exactly 1 in each. The decree does not ask
// for zeros before the hour, so a file is read with or without; it is written with.
package esbeta

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a file.
const (
	MaxSize   = 128 << 20 // bytes: some 400 points with hourly coefficients
	MaxPoints = 5000
	MinYear   = 2019 // of Royal Decree 244/2019
	MaxYear   = 2200

	maxProblems = 20
)

// Beta is a coefficient in millionths.
type Beta int32

// One is the coefficient of a whole.
const One Beta = 1_000_000

// ParseBeta reads a coefficient such as "0,250000".
func ParseBeta(s string) (Beta, error) {
	const example = "write it with a comma and six decimals, such as 0,250000"
	if len(s) != 8 || s[1] != ',' || s[0] != '0' && s[0] != '1' {
		return 0, fmt.Errorf("%.20q is no coefficient; %s", s, example)
	}
	v := Beta(s[0]-'0') * One
	scale := One / 10
	for i := 2; i < len(s); i++ {
		if !digit(s[i]) {
			return 0, fmt.Errorf("%.20q is no coefficient; %s", s, example)
		}
		v += Beta(s[i]-'0') * scale
		scale /= 10
	}
	if v > One {
		return 0, fmt.Errorf("%s is more than the whole; a coefficient is at most 1,000000", s)
	}
	return v, nil
}

// String writes b as [ParseBeta] reads it.
func (b Beta) String() string { return fmt.Sprintf("%d,%06d", b/One, b%One) }

// File is what a file of coefficients says. Invariant, once checked: all points
// have one coefficient, or all have one for each hour of the year; in each hour
// they add up to [One].
type File struct {
	CAU    string
	Year   int
	Points []Point // sorted by CUPS
}

// Point is a point of supply and its coefficients.
type Point struct {
	CUPS  string
	Betas []Beta // one that always holds, or one for each hour of the year
}

// Hours are the hours of a year: 8760, or 8784 in a leap year.
func Hours(year int) int {
	if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		return 8784
	}
	return 8760
}

// Name is what the file is to be called.
func (f *File) Name() string { return fmt.Sprintf("%s_%04d.txt", f.CAU, f.Year) }

// Hourly says whether the coefficients differ by the hour.
func (f *File) Hourly() bool { return len(f.Points) > 0 && len(f.Points[0].Betas) > 1 }

// Problem is one thing in a file that somebody has to change.
type Problem struct {
	Line    int    `json:"line"`            // from 1; 0 where it is about the whole file
	Field   string `json:"field,omitempty"` // of the line: CUPS, hour or coefficient
	Message string `json:"message"`
}

func (p Problem) String() string {
	switch {
	case p.Line == 0:
		return p.Message
	case p.Field == "":
		return fmt.Sprintf("line %d: %s", p.Line, p.Message)
	}
	return fmt.Sprintf("line %d, %s: %s", p.Line, p.Field, p.Message)
}

// Problems is the error of this package.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return "file of coefficients: " + strings.Join(lines, "\n")
}

// Check says whether f can be written.
func (f *File) Check() error {
	var p Problems
	add := func(format string, args ...any) {
		if len(p) < maxProblems {
			p = append(p, Problem{Message: fmt.Sprintf(format, args...)})
		}
	}
	if err := CheckCAU(f.CAU); err != nil {
		add("the code of the self-consumption (CAU): %v", err)
	}
	if f.Year < MinYear || f.Year > MaxYear {
		add("the year %d is not from %d to %d", f.Year, MinYear, MaxYear)
	}
	switch n := len(f.Points); {
	case n == 0:
		add("it has no points of supply; write at least one")
	case n > MaxPoints:
		add("it has %d points of supply; at most %d are read", n, MaxPoints)
	}
	if len(p) > 0 {
		return p
	}
	f.checkPoints(add)
	if len(p) == 0 {
		f.checkSums(add)
	}
	if len(p) > 0 {
		return p
	}
	return nil
}

func (f *File) checkPoints(add func(string, ...any)) {
	count := len(f.Points[0].Betas)
	if count != 1 && count != Hours(f.Year) {
		add("%s has %d coefficients; it needs one, or one for each of the %d hours of %d", f.Points[0].CUPS, count, Hours(f.Year), f.Year)
		return
	}
	for i := range f.Points {
		pt := &f.Points[i]
		if err := CheckCUPS(pt.CUPS); err != nil {
			add("%v", err)
		}
		if i > 0 && f.Points[i-1].CUPS >= pt.CUPS {
			add("%s stands twice, or the points are not sorted", pt.CUPS)
		}
		if len(pt.Betas) != count {
			add("%s has %d coefficients, and %s has %d; all have one, or all have one for each of the %d hours of %d",
				pt.CUPS, len(pt.Betas), f.Points[0].CUPS, count, Hours(f.Year), f.Year)
		}
		for _, b := range pt.Betas {
			if b < 0 || b > One {
				add("%s has the coefficient %d millionths; it is from 0 to %d", pt.CUPS, b, One)
				break
			}
		}
	}
}

// checkSums says for which hours the coefficients don't add up to one.
func (f *File) checkSums(add func(string, ...any)) {
	for h := range f.Points[0].Betas {
		var sum int64
		for i := range f.Points {
			sum += int64(f.Points[i].Betas[h])
		}
		if sum == int64(One) {
			continue
		}
		when := "all coefficients"
		if f.Hourly() {
			when = fmt.Sprintf("the coefficients of hour %04d", h+1)
		}
		add("%s add up to %d,%06d; they must add up to exactly 1,000000, so change some", when, sum/int64(One), sum%int64(One))
	}
}

// Encode is the file's text; [Decode] reads it back. It refuses what the
// distributor would refuse.
func (f *File) Encode() ([]byte, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for i := range f.Points {
		pt := &f.Points[i]
		if !f.Hourly() {
			fmt.Fprintf(&b, "%s;%s\n", pt.CUPS, pt.Betas[0])
			continue
		}
		for h, beta := range pt.Betas {
			fmt.Fprintf(&b, "%s;%04d;%s\n", pt.CUPS, h+1, beta)
		}
	}
	return b.Bytes(), nil
}

// ParseName takes a file's name apart.
func ParseName(name string) (cau string, year int, err error) {
	stem, isText := strings.CutSuffix(name, ".txt")
	cau, digits, found := strings.Cut(stem, "_")
	year, bad := strconv.Atoi(digits)
	if !isText || !found || len(digits) != 4 || bad != nil || year < MinYear || year > MaxYear {
		return "", 0, Problems{{Message: fmt.Sprintf("%.80q is no name of such a file; call it by its CAU and year, such as ES1234123456789012JY0FA000_2027.txt", name)}}
	}
	if err := CheckCAU(cau); err != nil {
		return "", 0, Problems{{Message: fmt.Sprintf("the file's name: %v", err)}}
	}
	return cau, year, nil
}

// Decode reads a file by its name and text. Its error is a [Problems].
func Decode(name string, text []byte) (*File, error) {
	cau, year, err := ParseName(name)
	if err != nil {
		return nil, err
	}
	d := decoder{file: File{CAU: cau, Year: year}, at: map[string]int{}}
	d.lines(text)
	if len(d.found) > 0 {
		return nil, d.found
	}
	slices.SortFunc(d.file.Points, func(a, b Point) int { return cmp.Compare(a.CUPS, b.CUPS) })
	if err := d.file.Check(); err != nil {
		return nil, err
	}
	return &d.file, nil
}
