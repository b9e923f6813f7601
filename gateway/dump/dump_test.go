// SPDX-License-Identifier: AGPL-3.0-or-later

package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawImage is any image: blocks anywhere, none of which overlap.
func drawImage(t *rapid.T) *Image {
	i := &Image{Header: Header{Version: Version, URL: "tcp://a:502", Software: "test", Taken: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "taken"), 0).UTC()}}
	all := tables{}
	for range rapid.IntRange(1, 12).Draw(t, "blocks") {
		b := Block{
			Unit: rapid.Uint8Range(1, 3).Draw(t, "unit"), Table: rapid.SampledFrom([]Table{Holding, Input, Coil, Discrete}).Draw(t, "table"),
			Address: rapid.OneOf(rapid.Uint16Max(80), rapid.Uint16Min(65450), rapid.Uint16()).Draw(t, "address"),
		}
		n := min(rapid.IntRange(1, 40).Draw(t, "n"), 1<<16-int(b.Address))
		if rapid.Bool().Draw(t, "refused") {
			b.Count, b.Exception = n, rapid.Uint8Range(1, 11).Draw(t, "code")
		} else {
			for range n {
				v := rapid.Uint16().Draw(t, "value")
				if b.Table.Bits() {
					v &= 1
				}
				b.Values = append(b.Values, v)
			}
		}
		if all.add(b) == nil {
			i.Blocks = append(i.Blocks, b)
		}
	}
	return i
}

// What is written is read again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawImage(t)
		var b bytes.Buffer
		if err := Encode(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := Decode(&b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%+v\n%+v", err, got, want)
		}
	})
}

// recorded answers from an image as a bus would. gateway/sim serves one over
// sockets; its tests are there.
type recorded struct {
	tables tables
	most   int // registers in one request; more is refused
	asked  int
	silent bool
}

func answering(t interface{ Fatal(args ...any) }, i *Image) *recorded {
	r := &recorded{tables: tables{}}
	for _, b := range i.Blocks {
		if err := r.tables.add(b); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

type refusal uint8

func (r refusal) Error() string        { return fmt.Sprintf("exception %d", r) }
func (r refusal) ExceptionCode() uint8 { return uint8(r) }

func (s *recorded) read(unit uint8, t Table, addr, n uint16) ([]uint16, error) {
	s.asked++
	if s.silent {
		return nil, errors.New("no answer in time")
	}
	if s.most > 0 && int(n) > s.most {
		return nil, refusal(3)
	}
	var values []uint16
	for at := int(addr); at < int(addr)+int(n); at++ {
		b, ok := s.tables.find(space{unit, t}, at)
		switch {
		case !ok:
			return nil, refusal(2)
		case b.Exception != 0:
			return nil, refusal(b.Exception)
		}
		values = append(values, b.Values[at-int(b.Address)])
	}
	return values, nil
}

func (s *recorded) ReadHolding(_ context.Context, unit uint8, addr, n uint16) ([]uint16, error) {
	return s.read(unit, Holding, addr, n)
}

func (s *recorded) ReadInput(_ context.Context, unit uint8, addr, n uint16) ([]uint16, error) {
	return s.read(unit, Input, addr, n)
}

func (s *recorded) ReadCoils(_ context.Context, unit uint8, addr, n uint16) ([]bool, error) {
	return bits(s.read(unit, Coil, addr, n))
}

func (s *recorded) ReadDiscrete(_ context.Context, unit uint8, addr, n uint16) ([]bool, error) {
	return bits(s.read(unit, Discrete, addr, n))
}

func bits(values []uint16, err error) ([]bool, error) {
	out := make([]bool, len(values))
	for i, v := range values {
		out[i] = v != 0
	}
	return out, err
}

// A dump of a served dump has the same values at the same addresses, whatever
// the device's limit of a block; nothing is invented, and what it asks is bounded.
func TestADumpOfADump(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawImage(t)
		from := answering(t, want)
		from.most = rapid.IntRange(1, 125).Draw(t, "limit")
		for _, unit := range want.Units() {
			var ranges []Range
			whole := 0
			for _, b := range want.Blocks {
				if b.Unit == unit {
					ranges = append(ranges, Range{b.Table, b.Address, b.Len()})
					whole += b.Len()
				}
			}
			from.asked = 0
			found := tables{}
			err := Take(t.Context(), from, unit, ranges, Options{}, func(b Block) error { return found.add(b) })
			if err != nil {
				t.Fatal(err)
			}
			if most := 8*whole + 8*len(ranges); from.asked > most {
				t.Fatalf("%d requests for %d addresses", from.asked, whole)
			}
			for _, b := range want.Blocks {
				for k := range b.Len() {
					got, ok := found.find(space{unit, b.Table}, int(b.Address)+k)
					if b.Unit != unit {
						break
					}
					if !ok || b.Exception == 0 && (got.Exception != 0 || got.Values[int(b.Address)+k-int(got.Address)] != b.Values[k]) {
						t.Fatalf("%s %d: %+v, want %+v", b.Table, int(b.Address)+k, got, b)
					}
				}
			}
		}
	})
}

// A gap in the middle is found to the address, and costs few requests.
func TestGaps(t *testing.T) {
	i := &Image{Blocks: []Block{
		{Unit: 1, Table: Holding, Address: 0, Values: make([]uint16, 37)},
		{Unit: 1, Table: Holding, Address: 900, Values: []uint16{1, 2, 3}},
	}}
	from := answering(t, i)
	var got []string
	err := Take(t.Context(), from, 1, []Range{{Holding, 0, 1000}}, Options{}, func(b Block) error {
		got = append(got, fmt.Sprintf("%d+%d %d", b.Address, b.Len(), b.Exception))
		return nil
	})
	want := "0+25 0; 25+12 0; 37+863 2; 900+3 0; 903+97 2"
	if text := strings.Join(got, "; "); err != nil || !strings.Contains(text, "37+863 2; 900") {
		t.Errorf("%v: %s, want like %s", err, text, want)
	}
	if from.asked > 90 {
		t.Errorf("%d requests", from.asked)
	}
}

// A device that goes silent ends it soon, with what was read handed over.
func TestSilence(t *testing.T) {
	from := answering(t, &Image{Blocks: []Block{{Unit: 1, Table: Holding, Values: make([]uint16, 500)}}})
	n := 0
	err := Take(t.Context(), from, 1, []Range{{Holding, 0, 500}}, Options{}, func(b Block) error {
		n += b.Len()
		from.silent = n >= 200
		return nil
	})
	if !errors.Is(err, ErrSilent) || n != 200 || from.asked != 2+mostSilent {
		t.Errorf("%v after %d addresses and %d requests", err, n, from.asked)
	}
}

// A serial number leaves no trace, and nothing else changes.
func TestMask(t *testing.T) {
	text := func(s string) (out []uint16) {
		for i := 0; i+1 < len(s); i += 2 {
			out = append(out, uint16(s[i])<<8|uint16(s[i+1]))
		}
		return out
	}
	for _, c := range []struct {
		serial     string
		have, want []uint16
	}{
		{"AB-1234", text("..AB-1234x"), text("..XXXXXXXx")},
		{"AB-1234", text(".AB-1234xx"), text(".XXXXXXXxx")},
		{"2100123456", []uint16{7, 0x7d2d, 0x5740, 7}, []uint16{7, 0, 1, 7}},
		{"2100123456", []uint16{7, 0x5740, 0x7d2d, 7}, []uint16{7, 1, 0, 7}},
		{"7", []uint16{0, 7}, []uint16{0, 7}},
		{"", []uint16{0, 7}, []uint16{0, 7}},
	} {
		b := Block{Table: Holding, Values: c.have}
		b.Mask(c.serial)
		if !reflect.DeepEqual(b.Values, c.want) {
			t.Errorf("%s: %x, want %x", c.serial, b.Values, c.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const head = `{"allmende_dump":1,"url":"tcp://a:502","taken":"2026-06-01T12:00:00Z","software":"x"}` + "\n"
	for name, c := range map[string]struct{ file, want string }{
		"nothing":       {"", "the file is empty"},
		"something":     {"hello\n", "no register image"},
		"newer":         {`{"allmende_dump":2}`, "use the newest allmende"},
		"only a header": {head, "holds no block"},
		"unknown field": {head + `{"unit":1,"table":"holding","address":1,"values":[1],"more":1}`, `line 2: this is no line of it: json: unknown field "more"`},
		"table":         {head + `{"unit":1,"table":"files","address":1,"values":[1]}`, "holding, input, coil or discrete"},
		"both":          {head + `{"unit":1,"table":"coil","address":1,"values":[1],"exception":2}`, "answered or refused"},
		"neither":       {head + `{"unit":1,"table":"coil","address":1}`, "neither values"},
		"a bit of 2":    {head + `{"unit":1,"table":"coil","address":1,"values":[2]}`, "0 or 1"},
		"past the end":  {head + `{"unit":1,"table":"holding","address":65535,"values":[1,2]}`, "the last address is 65535"},
		"no register":   {head + `{"unit":1,"table":"holding","address":1,"values":[65536]}`, "line 2"},
		"twice":         {head + `{"unit":1,"table":"holding","address":1,"values":[1,2]}` + "\n" + `{"unit":1,"table":"holding","address":2,"count":9,"exception":2}`, "line 3: holding 2 of unit 1 is there twice"},
		"two objects":   {head + `{"unit":1,"table":"holding","address":1,"values":[1]} {}`, "second object"},
		"a long line":   {head + strings.Repeat(" ", maxLine) + "x", "line 2: longer than"},
	} {
		if _, err := Decode(strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestRanges(t *testing.T) {
	for s, want := range map[string]Range{
		"holding:40000+125": {Holding, 40000, 125}, "input:0-99": {Input, 0, 100}, "7": {Holding, 7, 1},
		"coils:1+2": {Coil, 1, 2}, "discrete:0x10-0x1F": {Discrete, 16, 16}, "0+65536": {Holding, 0, 65536},
	} {
		var got Range
		if err := got.UnmarshalText([]byte(s)); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "files:1", "1+0", "65535+2", "9-8", "a-b", "1+", "-1", "holding:1-99999"} {
		var got Range
		if err := got.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q was taken as %v", s, got)
		}
	}
}

// Whatever is in a file: it is refused, or it is an image whose blocks do not
// overlap, and which can be written again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"allmende_dump":1,"url":"tcp://a:502","taken":"2026-06-01T12:00:00Z","software":"x"}` + "\n" +
		`{"unit":1,"table":"holding","address":40000,"values":[21365,28243]}` + "\n" + `{"unit":1,"table":"coil","address":0,"count":65536,"exception":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Decode(bytes.NewReader(b))
		if err != nil {
			return
		}
		answering(t, i)
		var again bytes.Buffer
		if err := Encode(&again, i); err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(&again); err != nil {
			t.Fatal(err)
		}
	})
}
