// SPDX-License-Identifier: AGPL-3.0-or-later

package influx

import (
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
)

// tier is a length of sums. Two are written; see the package comment.
type tier struct {
	suffix string
	length energy.Span
}

func tiers() [2]tier {
	return [2]tier{{"_1m", energy.Minute}, {"_15m", energy.QuarterHour}}
}

// subject is what was measured, with the beginnings of its lines.
type subject struct {
	of        series.Subject
	community string
	prefix    []byte
	curves    []*curve // few
}

// curve is what is known of a series.
type curve struct {
	quantity series.Quantity
	known    bool
	newest   energy.Instant
	parts    [2]part // as tiers
}

// part is the sum of what came since the start of a bucket, or since the program's.
type part struct {
	prefix []byte
	first  energy.Instant // the time it is written at
	sum    series.Bucket
	dirty  bool // there is more in it than was emitted
}

func newSubject(community string, of series.Subject) *subject {
	s := &subject{of: of, community: community}
	s.prefix = s.begin("", "")
	return s
}

// begin is a line as far as its fields: measurement and tags.
func (s *subject) begin(suffix string, quantity series.Quantity) []byte {
	out := escape(nil, string(s.of.Kind)+suffix)
	out = append(out, ",community="...)
	out = escape(out, s.community)
	if s.of.Kind != series.Community {
		out = append(out, ',')
		out = escape(out, string(s.of.Kind))
		out = append(out, '=')
		out = escape(out, s.of.Name)
	}
	if quantity != "" {
		out = append(out, ",quantity="...)
		out = escape(out, string(quantity))
	}
	return append(out, ' ')
}

func (s *subject) curve(q series.Quantity) *curve {
	for _, c := range s.curves {
		if c.quantity == q {
			return c
		}
	}
	c := &curve{quantity: q}
	for i, t := range tiers() {
		c.parts[i].prefix = s.begin(t.suffix, q)
	}
	s.curves = append(s.curves, c)
	return c
}

// sum adds a point to its series' sums, after what they were has been emitted
// where the minute is over.
func (s *Store) sum(c *curve, at energy.Instant, value int64, q energy.Quality) {
	span := series.SpanOf(c.newest, c.known, at)
	c.newest, c.known = at, true
	for i, t := range tiers() {
		start := energy.IntervalAt(at, t.length).Start
		p := &c.parts[i]
		if p.sum.Count > 0 && p.sum.Start != start {
			if i == 0 {
				s.emitParts(c) // the quarter-hour's too: it is written anew each minute
			}
			p.sum = series.Bucket{}
		}
		if p.sum.Count == 0 {
			p.sum.Start, p.first = start, at
		}
		p.sum.Add(value, q, span)
		p.dirty = true
	}
}

// emitParts emits a series' sums as they are. Written again they take the
// place of what was written before.
func (s *Store) emitParts(c *curve) {
	for i := range c.parts {
		p := &c.parts[i]
		if !p.dirty || p.sum.Count == 0 {
			continue
		}
		p.dirty = false
		b := &p.sum
		line := append([]byte(nil), p.prefix...)
		for _, f := range [...]struct {
			name  string
			value int64
		}{
			{"count", b.Count}, {"sum", b.Sum}, {"min", b.Min}, {"max", b.Max}, {"mean", b.Mean()},
			{"work", b.Work}, {"covered_ms", int64(b.Covered)}, {"quality", int64(b.Quality)},
		} {
			line = appendField(line, f.name, f.value)
		}
		s.emit(appendEnd(line, p.first), 0)
	}
}

// emitIdle emits the sums of series that have had no point for a while.
func (s *Store) emitIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subjects {
		for _, c := range sub.curves {
			if c.parts[0].dirty && c.parts[0].sum.Start.Add(energy.Minute+idle) <= s.newest {
				s.emitParts(c)
			}
		}
	}
}

// appendField appends a field, behind the prefix or another field.
func appendField(line []byte, name string, value int64) []byte {
	if line[len(line)-1] != ' ' {
		line = append(line, ',')
	}
	line = escape(line, name)
	line = append(line, '=')
	line = strconv.AppendInt(line, value, 10)
	return append(line, 'i')
}

func appendEnd(line []byte, at energy.Instant) []byte {
	line = append(line, ' ')
	line = strconv.AppendInt(line, int64(at), 10)
	return append(line, '\n')
}

// escape appends a name or a tag in line protocol. Ids are slugs and need
// none of it; what else a caller brings must not become a line of its own.
func escape(line []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c == ',' || c == '=' || c == ' ':
			line = append(line, '\\', c)
		case c < ' ' || c == '\\':
			line = append(line, '_')
		default:
			line = append(line, c)
		}
	}
	return line
}

// quote is a string literal of Flux. Everything but letters, digits and a few
// signs is written as bytes, so that nothing ends the literal or is computed in it.
func quote(text string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_./ ", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString(`\x`)
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	b.WriteByte('"')
	return b.String()
}
