// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/allocation"
)

// question is the input of "allocate", in the order in which it was written.
type question struct {
	sources []sourceIn
	sinks   []sinkIn
	rounds  int // 0: as the scheme says
}

type sourceIn struct {
	name   charter.Name
	energy energy.Energy
	offer  allocation.Order // for the market round; none: zero
}

type sinkIn struct {
	name   roll.MemberID
	demand energy.Energy
	keys   []charter.Key
	weight charter.Weight
	weighs bool // a weight was given
	groups []roll.Group
	bid    allocation.Order // for the market round; none: zero
	facts  expr.Facts       // for expressions
	stated []string         // which of them were given
}

// Bounds of a question.
const (
	maxSources   = 10_000
	maxSinks     = 100_000
	maxSinkKeys  = 1_000
	maxAskRounds = 100
	maxSinkName  = 200
)

// problemAt is a mistake in the input, with the path to it.
func problemAt(path, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if path == "" { // of the whole input
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// member is one field of a JSON object.
type jsonField struct {
	name string
	raw  json.RawMessage
}

// objectFields reads an object in its order, and refuses a name that comes twice.
func objectFields(path string, raw []byte) ([]jsonField, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	open, err := dec.Token()
	if err != nil || open != json.Delim('{') {
		return nil, problemAt(path, "write a JSON object, {…}")
	}
	var fields []jsonField
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, problemAt(path, "is not JSON: %w", err)
		}
		f := jsonField{name: token.(string)}
		if err := dec.Decode(&f.raw); err != nil {
			return nil, problemAt(under(path, f.name), "is not JSON: %w", err)
		}
		switch {
		case seen[f.name]:
			return nil, problemAt(under(path, f.name), "is there twice; remove one")
		case f.name == "" || len(f.name) > maxSinkName || !utf8.ValidString(f.name):
			return nil, problemAt(path, "has an empty or overlong name")
		}
		seen[f.name] = true
		fields = append(fields, f)
	}
	if _, err := dec.Token(); err != nil {
		return nil, problemAt(path, "is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, problemAt(path, "has something behind its end; remove it")
	}
	return fields, nil
}

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// textOf reads a string.
func textOf(path string, raw []byte) (string, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", problemAt(path, `write it as a string, such as "1.50"`)
	}
	return *s, nil
}

func energyOf(path string, raw []byte) (energy.Energy, error) {
	s, err := textOf(path, raw)
	if err != nil {
		return 0, err
	}
	e, err := energy.ParseKWh(s)
	switch {
	case err != nil:
		return 0, problemAt(path, "%w; write kWh with at most 6 decimals, such as \"1.50\"", err)
	case e < 0:
		return 0, problemAt(path, "is negative; write 0 or more")
	}
	return e, nil
}

func readQuestion(text []byte) (*question, error) {
	top, err := objectFields("", text)
	if err != nil {
		return nil, fmt.Errorf("it is not a JSON object with sources and sinks: %w", err)
	}
	q := &question{}
	known := map[string]func([]byte) error{"sources": q.readSources, "sinks": q.readSinks, "rounds": q.readRounds}
	given := map[string]bool{}
	for _, f := range top {
		read := known[f.name]
		if read == nil {
			return nil, problemAt(f.name, "is not a field of the input; there are sources, sinks and rounds")
		}
		if err := read(f.raw); err != nil {
			return nil, err
		}
		given[f.name] = true
	}
	for _, name := range []string{"sources", "sinks"} {
		if !given[name] {
			return nil, problemAt(name, "is missing")
		}
	}
	return q, q.check()
}

func (q *question) readSources(raw []byte) error {
	fields, err := objectFields("sources", raw)
	if err != nil {
		return err
	}
	if len(fields) > maxSources {
		return problemAt("sources", "has %d entries; at most %d are shared at once", len(fields), maxSources)
	}
	var sum energy.Energy
	for _, f := range fields {
		path := under("sources", f.name)
		s, err := readSource(path, f.raw)
		if err != nil {
			return err
		}
		if s.energy > math.MaxInt64-sum {
			return problemAt(path, "is too large: the sources add up to more than 9 billion kWh")
		}
		sum += s.energy
		s.name = charter.Name(f.name)
		q.sources = append(q.sources, s)
	}
	return nil
}

// readSource reads what a source gives, or that with what it is offered for.
func readSource(path string, raw []byte) (s sourceIn, err error) {
	if len(raw) == 0 || raw[0] != '{' {
		s.energy, err = energyOf(path, raw)
		return s, err
	}
	fields, err := objectFields(path, raw)
	if err != nil {
		return s, err
	}
	given := false
	for _, f := range fields {
		at := under(path, f.name)
		switch f.name {
		case "energy":
			given = true
			s.energy, err = energyOf(at, f.raw)
		case "offer":
			s.offer, err = readOrder(at, f.raw)
		default:
			err = problemAt(at, "is not a field of a source; there are energy and offer")
		}
		if err != nil {
			return s, err
		}
	}
	if !given {
		return s, problemAt(under(path, "energy"), "is missing")
	}
	return s, nil
}

func (q *question) readSinks(raw []byte) error {
	fields, err := objectFields("sinks", raw)
	if err != nil {
		return err
	}
	if len(fields) > maxSinks {
		return problemAt("sinks", "has %d entries; at most %d are served at once", len(fields), maxSinks)
	}
	var sum energy.Energy
	for _, f := range fields {
		path := under("sinks", f.name)
		s, err := readSink(path, f.raw)
		if err != nil {
			return err
		}
		if s.demand > math.MaxInt64-sum {
			return problemAt(path+".demand", "is too large: the demands add up to more than 9 billion kWh")
		}
		sum += s.demand
		s.name = roll.MemberID(f.name)
		q.sinks = append(q.sinks, s)
	}
	return nil
}

func readSink(path string, raw []byte) (sinkIn, error) {
	var s sinkIn
	fields, err := objectFields(path, raw)
	if err != nil {
		return s, err
	}
	demanded := false
	for _, f := range fields {
		at := under(path, f.name)
		switch f.name {
		case "demand":
			demanded = true
			s.demand, err = energyOf(at, f.raw)
		case "keys":
			err = s.readKeys(at, f.raw)
		case "weight":
			s.weighs = true
			s.weight, err = parsedAs(at, f.raw, charter.ParseWeight)
		case "groups":
			if json.Unmarshal(f.raw, &s.groups) != nil {
				err = problemAt(at, `write a list of names, such as ["school"]`)
			}
		case "bid":
			s.bid, err = readOrder(at, f.raw)
		case "facts":
			err = s.readFacts(at, f.raw)
		default:
			err = problemAt(at, "is not a field of a sink; there are demand, keys, weight, groups, facts and bid")
		}
		if err != nil {
			return s, err
		}
	}
	if !demanded {
		return s, problemAt(path+".demand", "is missing")
	}
	return s, nil
}

func parsedAs[T any](path string, raw []byte, parse func(string) (T, error)) (T, error) {
	s, err := textOf(path, raw)
	if err != nil {
		var none T
		return none, err
	}
	v, err := parse(s)
	if err != nil {
		return v, problemAt(path, "%w", err)
	}
	return v, nil
}

func (s *sinkIn) readKeys(path string, raw []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return problemAt(path, `write a list of keys, [{"source": "roof", "percent": "40"}]`)
	}
	if len(list) > maxSinkKeys {
		return problemAt(path, "has %d keys; at most %d are allowed", len(list), maxSinkKeys)
	}
	for i, raw := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		fields, err := objectFields(at, raw)
		if err != nil {
			return err
		}
		var k charter.Key
		given := 0
		for _, f := range fields {
			switch f.name {
			case "source":
				var name string
				name, err = textOf(at+".source", f.raw)
				k.Source = charter.Name(name)
			case "percent":
				k.Percent, err = parsedAs(at+".percent", f.raw, charter.ParsePercent)
			default:
				err = problemAt(under(at, f.name), "is not a field of a key; there are source and percent")
			}
			if err != nil {
				return err
			}
			given++
		}
		if given != 2 {
			return problemAt(at, "needs source and percent")
		}
		s.keys = append(s.keys, k)
	}
	return nil
}

func (q *question) readRounds(raw []byte) error {
	if err := json.Unmarshal(raw, &q.rounds); err != nil || q.rounds < 1 || q.rounds > maxAskRounds {
		return problemAt("rounds", "write a whole number from 1 to %d, or leave it out", maxAskRounds)
	}
	return nil
}

// mostPairs bounds the flows of an answer, of which there may be one for each
// source and sink.
const mostPairs = 2_000_000

// check looks at what fields mean together.
func (q *question) check() error {
	if n := len(q.sources) * len(q.sinks); n > mostPairs {
		return problemAt("sources", "%d of them and %d sinks make more than %d pairs; ask for fewer at a time", len(q.sources), len(q.sinks), mostPairs)
	}
	known := make(map[charter.Name]charter.Percent, len(q.sources))
	for _, s := range q.sources {
		known[s.name] = 0
	}
	for _, s := range q.sinks {
		mine := make(map[charter.Name]bool, len(s.keys))
		for i, k := range s.keys {
			path := fmt.Sprintf("sinks.%s.keys[%d]", s.name, i)
			sum, ok := known[k.Source]
			switch {
			case !ok:
				return problemAt(path+".source", "there is no source %q; name one of sources", k.Source)
			case mine[k.Source]:
				return problemAt(path+".source", "%q is keyed twice; add the keys up", k.Source)
			case sum+k.Percent > charter.Whole:
				return problemAt(path+".percent", "brings the keys to source %q over 100 percent; lower one", k.Source)
			}
			mine[k.Source] = true
			known[k.Source] = sum + k.Percent
		}
		if s.weighs && len(s.keys) > 0 {
			return problemAt(fmt.Sprintf("sinks.%s", s.name), "has keys and a weight; leave one of them out")
		}
	}
	return nil
}

// suits says whether the input has what a scheme needs.
func (q *question) suits(scheme string, rules *charter.Sharing) error {
	for _, r := range rules.Rounds {
		needsWeight := r.Method == charter.Weighted || r.Method == charter.Static && len(r.Keys) == 0
		if !needsWeight || len(q.sources) == 1 && r.Weights != nil && slices.ContainsFunc(q.sinks, func(s sinkIn) bool { return len(s.keys) > 0 }) {
			continue
		}
		some := len(q.sinks) == 0
		for _, s := range q.sinks {
			if !s.weighs {
				return problemAt(fmt.Sprintf("sinks.%s.weight", s.name), "is missing; scheme %s divides by it", scheme)
			}
			some = some || s.weight > 0
		}
		if !some {
			return problemAt("sinks", "every weight is 0, so nobody could get anything; give at least one sink a weight")
		}
	}
	return nil
}
