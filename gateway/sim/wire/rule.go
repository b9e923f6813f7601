// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// Rule is one way to misbehave, and when. A request meets rules from the top;
// every one whose condition it meets adds its effect, and where two say
// different things the first holds.
type Rule struct {
	When Condition `yaml:"when"`
	Do   Effect    `yaml:"do"`
}

// Condition says which requests a rule concerns. What is left out holds for all.
//
// Nth, Every, Times and Percent count the requests that meet everything else.
type Condition struct {
	Unit      *uint8    `yaml:"unit"`
	Function  *Function `yaml:"function"`
	Addresses *Range    `yaml:"addresses"` // the request touches one of them
	MoreThan  uint16    `yaml:"more_than"` // it asks for more registers than this
	AtMost    uint16    `yaml:"at_most"`   // it asks for no more registers than this

	// From and Until bound a span of time since the listener began, in the time
	// of the simulated world.
	From  energy.Span `yaml:"from"`
	Until energy.Span `yaml:"until"`
	// ConnectedLess and GapLess concern a hurry, in wall time: how long ago the
	// connection was made, and the last answer sent.
	ConnectedLess energy.Span `yaml:"connected_less_than"`
	GapLess       energy.Span `yaml:"gap_less_than"`

	Nth     int `yaml:"nth"`     // only this one, from 1
	Every   int `yaml:"every"`   // each so many-th
	Times   int `yaml:"times"`   // not more often than this
	Percent int `yaml:"percent"` // so many of a hundred, drawn from the seed
}

// Effect is what happens to a request. Several may be given together.
type Effect struct {
	// What the device says instead of the truth.
	Exception    uint8      `yaml:"exception"`     // it refuses; nothing is read or written
	IgnoreWrites bool       `yaml:"ignore_writes"` // it says yes and writes nothing
	Freeze       bool       `yaml:"freeze"`        // registers keep the value that was first read under this rule
	Shift        int        `yaml:"shift"`         // it answers with the registers so many addresses on
	Set          []Override `yaml:"set"`           // registers that hold something else
	Negate       []Signed   `yaml:"negate"`        // numbers whose sign is turned

	// When it says so.
	Delay energy.Span `yaml:"delay"` // it answers so much later, and takes nothing else meanwhile
	Late  energy.Span `yaml:"late"`  // the answer comes so much later, while others are answered: also those of the same unit
	Hold  bool        `yaml:"hold"`  // the answer comes when the next request does, before that one's

	// What becomes of the frame.
	Silence     bool   `yaml:"silence"`     // nothing is sent
	Cut         int    `yaml:"cut"`         // only so many bytes are sent
	Transaction int    `yaml:"transaction"` // added to the transaction id
	Unit        *uint8 `yaml:"unit"`        // it answers in another's name
	Function    *uint8 `yaml:"function"`    // it answers with another function code
	BadCRC      bool   `yaml:"bad_crc"`     // the checksum is wrong (RTU)
	Noise       Bytes  `yaml:"noise"`       // bytes that come before the answer
	Send        Bytes  `yaml:"send"`        // bytes that come instead of it
	HangUp      bool   `yaml:"hang_up"`     // the connection ends instead; after the bytes of cut or send
	Reset       bool   `yaml:"reset"`       // as hang_up, and rudely
}

// Override is a register that holds something else.
type Override struct {
	Address uint16 `yaml:"address"`
	Value   uint16 `yaml:"value"`
}

// Signed is a number of one or two registers, high word first.
type Signed struct {
	Address uint16 `yaml:"address"`
	Words   int    `yaml:"words"` // 1 or 2; 0: 1
}

// Function is a function code, or all that read, or all that write.
type Function struct {
	Code   uint8 // 0: a group
	Writes bool  // of a group
}

// UnmarshalText reads "3", "read" or "write".
func (f *Function) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "read", "write":
		*f = Function{Writes: s == "write"}
	default:
		n, err := strconv.ParseUint(s, 10, 7)
		if err != nil || n == 0 {
			return fmt.Errorf("%.40q is no function: write read, write, or a code such as 16", s)
		}
		*f = Function{Code: uint8(n)}
	}
	return nil
}

func (f Function) holds(r Request) bool {
	if f.Code != 0 {
		return f.Code == r.Function
	}
	return f.Writes == r.Writes()
}

// Range is addresses from First to Last, both included.
type Range struct{ First, Last uint16 }

// UnmarshalText reads "40070" or "40070-40080".
func (r *Range) UnmarshalText(text []byte) error {
	first, last, many := strings.Cut(string(text), "-")
	if !many {
		last = first
	}
	a, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err = errors.Join(err, err2); err != nil || b < a {
		return fmt.Errorf("%.40q are no addresses: write one, or two such as 40070-40080, up to 65535", text)
	}
	*r = Range{uint16(a), uint16(b)}
	return nil
}

func (r Range) touches(q Request) bool {
	return int(q.Addr) <= int(r.Last) && int(q.Addr)+int(q.Count) > int(r.First)
}

// Bytes are written as hexadecimal digits.
type Bytes []byte

// UnmarshalText reads "48 54 54 50".
func (b *Bytes) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || len(raw) == 0 || len(raw) > mostSend {
		return fmt.Errorf("%.40q are no bytes: write 1 to %d of them in hexadecimal, such as \"48 54 54 50\"", text, mostSend)
	}
	*b = raw
	return nil
}

// Bounds of rules.
const (
	MostRules  = 1000
	mostSend   = 1024
	mostListed = 1000 // registers of set and negate
	mostWait   = energy.Hour
)

// Problem is what is wrong with a rule, at a field such as "[2].do.delay".
type Problem struct{ Field, Text string }

// Problems says what is wrong with rules, everything at once.
func Problems(rules []Rule) []Problem {
	var all []Problem
	if len(rules) > MostRules {
		return []Problem{{"", fmt.Sprintf("there are %d rules: at most %d", len(rules), MostRules)}}
	}
	for i, r := range rules {
		addf := func(field, format string, args ...any) {
			all = append(all, Problem{fmt.Sprintf("[%d].%s", i, field), fmt.Sprintf(format, args...)})
		}
		r.When.problems(addf)
		r.Do.problems(addf)
	}
	return all
}

// Validate is Problems as one error, nil if there are none.
func Validate(rules []Rule) error {
	var errs []error
	for _, p := range Problems(rules) {
		errs = append(errs, fmt.Errorf("faults%s: %s", p.Field, p.Text))
	}
	return errors.Join(errs...)
}

type addProblem func(field, format string, args ...any)

func (c Condition) problems(addf addProblem) {
	for name, s := range map[string]energy.Span{"connected_less_than": c.ConnectedLess, "gap_less_than": c.GapLess} {
		if s < 0 || s > mostWait {
			addf("when."+name, "%s is not between 0 and %s", s, mostWait)
		}
	}
	for name, n := range map[string]int{"nth": c.Nth, "every": c.Every, "times": c.Times} {
		if n < 0 {
			addf("when."+name, "%d is negative: write how many, from 1", n)
		}
	}
	if c.From < 0 || c.Until < 0 || c.Until > 0 && c.Until <= c.From {
		addf("when.until", "a span of time begins at 0 or later and ends after it began: from %s until %s", c.From, c.Until)
	}
	if c.Percent < 0 || c.Percent > 100 {
		addf("when.percent", "%d is not between 0 and 100", c.Percent)
	}
	if c.AtMost > 0 && c.AtMost <= c.MoreThan {
		addf("when.at_most", "nothing is more than %d and at most %d", c.MoreThan, c.AtMost)
	}
}

func (e Effect) problems(addf addProblem) {
	if e.nothing() {
		addf("do", "nothing happens: write what, such as silence: true or delay: 2s")
	}
	for name, s := range map[string]energy.Span{"delay": e.Delay, "late": e.Late} {
		if s < 0 || s > mostWait {
			addf("do."+name, "%s is not between 0 and %s", s, mostWait)
		}
	}
	if e.Late > 0 && e.Hold {
		addf("do.late", "an answer that is held has no time of its own: delete late or hold")
	}
	if e.Cut < 0 || e.Cut > mostFrame+mbapHeader {
		addf("do.cut", "%d bytes are not between 1 and %d", e.Cut, mostFrame+mbapHeader)
	}
	if e.Exception > 127 {
		addf("do.exception", "%d is not between 1 and 127", e.Exception)
	}
	if e.Shift < -65535 || e.Shift > 65535 {
		addf("do.shift", "%d is not between -65535 and 65535", e.Shift)
	}
	if e.Transaction < -65535 || e.Transaction > 65535 {
		addf("do.transaction", "%d is not between -65535 and 65535", e.Transaction)
	}
	if len(e.Set) > mostListed || len(e.Negate) > mostListed {
		addf("do", "more than %d registers in set or negate", mostListed)
	}
	for i, s := range e.Negate {
		if s.Words < 0 || s.Words > 2 {
			addf(fmt.Sprintf("do.negate[%d].words", i), "%d is neither 1 nor 2", s.Words)
		}
	}
}

func (e Effect) nothing() bool {
	return e.Exception == 0 && !e.IgnoreWrites && !e.Freeze && e.Shift == 0 && len(e.Set) == 0 && len(e.Negate) == 0 &&
		e.Delay == 0 && e.Late == 0 && !e.Hold && !e.Silence && e.Cut == 0 && e.Transaction == 0 && e.Unit == nil &&
		e.Function == nil && !e.BadCRC && len(e.Noise) == 0 && len(e.Send) == 0 && !e.HangUp && !e.Reset
}
