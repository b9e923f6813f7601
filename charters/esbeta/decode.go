// SPDX-License-Identifier: AGPL-3.0-or-later

package esbeta

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// decoder reads the lines of a file.
type decoder struct {
	file   File
	at     map[string]int // CUPS → its place among the points
	hourly bool
	found  Problems
}

// Fields of a line.
const (
	fieldCUPS = "CUPS"
	fieldHour = "hour"
	fieldBeta = "coefficient"
)

func (d *decoder) add(line int, format string, args ...any) { d.field(line, "", format, args...) }

func (d *decoder) field(line int, field, format string, args ...any) {
	if len(d.found) < maxProblems {
		d.found = append(d.found, Problem{line, field, fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) lines(text []byte) {
	switch {
	case len(text) > MaxSize:
		d.add(0, "it is larger than %d MiB; split the self-consumption, or check the file", MaxSize>>20)
		return
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		d.add(1, "it begins with a byte order mark, which distributors refuse; save it as UTF-8 without BOM")
		return
	case len(bytes.TrimSpace(text)) == 0:
		d.add(0, "it is empty; write a line for each point of supply")
		return
	}
	end := "\n"
	if first := bytes.IndexByte(text, '\n'); first > 0 && text[first-1] == '\r' {
		end = "\r\n"
	}
	text = bytes.TrimSuffix(text, []byte(end))
	for n := 1; len(d.found) < maxProblems; n++ {
		line, rest, more := bytes.Cut(text, []byte(end))
		d.line(n, string(line))
		if !more {
			return
		}
		text = rest
	}
}

// line reads CUPS;β or CUPS;hour;β.
func (d *decoder) line(n int, line string) {
	parts := strings.Split(line, ";")
	if len(parts) != 2 && len(parts) != 3 {
		d.add(n, "%.60q is not CUPS;coefficient or CUPS;hour;coefficient, with semicolons and nothing else", line)
		return
	}
	if hourly := len(parts) == 3; n == 1 {
		d.hourly = hourly
	} else if hourly != d.hourly {
		d.add(n, "it is written in another way than the first line; write an hour in every line, or in none")
		return
	}
	beta, err := ParseBeta(parts[len(parts)-1])
	if err != nil {
		d.field(n, fieldBeta, "%v", err)
		return
	}
	place, known := d.at[parts[0]]
	if !known {
		if err := CheckCUPS(parts[0]); err != nil {
			d.field(n, fieldCUPS, "%v", err)
			return
		}
		if len(d.file.Points) == MaxPoints {
			d.add(n, "it has more than %d points of supply", MaxPoints)
			return
		}
		place = len(d.file.Points)
		d.at[parts[0]] = place
		d.file.Points = append(d.file.Points, Point{CUPS: parts[0]})
	}
	pt := &d.file.Points[place]
	if !d.hourly {
		if known {
			d.field(n, fieldCUPS, "%s stands here a second time; remove one", pt.CUPS)
			return
		}
	} else if !d.hour(n, parts[1], len(pt.Betas)+1) {
		return
	}
	pt.Betas = append(pt.Betas, beta)
}

// hour checks that an hour follows the one before. It is a whole number of up to
// four digits, which may have zeros before it.
func (d *decoder) hour(n int, text string, want int) bool {
	if most := Hours(d.file.Year); want > most {
		d.field(n, fieldHour, "there is an hour too many; %d has %d", d.file.Year, most)
		return false
	}
	got, err := strconv.ParseUint(text, 10, 16) // takes no sign
	if len(text) > 4 || err != nil || got != uint64(want) {
		d.field(n, fieldHour, "%.20q stands where hour %04d belongs; write all hours of the year in their order, from 0001 to %d", text, want, Hours(d.file.Year))
		return false
	}
	return true
}
