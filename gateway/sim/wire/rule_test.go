// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"encoding/hex"
	"strings"
	"sync"
	"testing"

	"github.com/allmende-energy/allmende/energy"
)

const everyField = `faults:
  - when: {unit: 1, function: write, addresses: 40000-40010, more_than: 1, at_most: 9, from: 1s, until: 1m,
      connected_less_than: 1s, gap_less_than: 50ms, nth: 1, every: 1, times: 3, percent: 100}
    do: {exception: 2, ignore_writes: true, freeze: true, shift: -1, set: [{address: 1, value: 2}], negate: [{address: 1, words: 2}],
      delay: 1ms, late: 1ms, silence: true, cut: 3, transaction: 1, unit: 9, function: 4, bad_crc: true,
      noise: "00 ff", send: "4854", hang_up: true, reset: true}
  - do: {hold: true}
`

func TestEveryFieldIsRead(t *testing.T) {
	r, err := DecodeRules("faults.yaml", []byte(everyField))
	if err != nil || len(r) != 2 || *r[0].When.Unit != 1 || *r[0].When.Addresses != (Range{40000, 40010}) || string(r[0].Do.Send) != "HT" ||
		!r[0].When.Function.Writes || r[0].Do.Late != energy.Millisecond || !r[1].Do.Hold {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMistakesInRules(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"unit: 1,", "unit: 300,", "f:2: faults[0].when.unit: "},
		{"unit: 1,", "units: 1,", "did you mean unit?"},
		{"function: write", "function: erase", "f:2: faults[0].when.function: \"erase\" is no function"},
		{"40000-40010", "40010-40000", "f:2: faults[0].when.addresses: \"40010-40000\" are no addresses"},
		{"at_most: 9", "at_most: 1", "nothing is more than 1 and at most 1"},
		{"until: 1m", "until: 1s", "f:2: faults[0].when.until: a span of time"},
		{"gap_less_than: 50ms", "gap_less_than: 50", "write it as 15m"},
		{"gap_less_than: 50ms", "gap_less_than: 2h", "when.gap_less_than: 2h0m0s is not between"},
		{"nth: 1", "nth: -1", "when.nth: -1 is negative"},
		{"percent: 100", "percent: 101", "101 is not between 0 and 100"},
		{"exception: 2", "exception: 200", "f:4: faults[0].do.exception: 200 is not between"},
		{"shift: -1", "shift: 70000", "70000 is not between"},
		{"words: 2", "words: 3", "do.negate[0].words: 3 is neither 1 nor 2"},
		{"delay: 1ms", "delay: 2h", "do.delay: 2h0m0s is not between"},
		{"cut: 3", "cut: 300", "300 bytes are not between"},
		{"noise: \"00 ff\"", "noise: \"00 f\"", "are no bytes"},
		{"late: 1ms", "late: 1ms, hold: true", "delete late or hold"},
		{"do: {hold: true}", "when: {unit: 1}", "f:7: faults[1].do: nothing happens"},
		{everyField, "", "docs/simulation.md"},
	} {
		src := strings.Replace(everyField, c.old, c.new, 1)
		if src == everyField {
			t.Fatalf("%q is not in the rules", c.old)
		}
		if _, err := DecodeRules("f", []byte(src)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q:\n%v\nwant %s", c.new, err, c.want)
		}
	}
	if err := Validate(make([]Rule, MostRules+1)); err == nil {
		t.Error("more rules than anybody writes")
	}
}

// Each effect as the client sees it; ask is unit 1, register 100, twice.
func TestEffects(t *testing.T) {
	const (
		ask   = "0001 0000 0006 01 03 0064 0001"
		again = "0002 0000 0006 01 03 0065 0001"
		first = "0001 0000 0005 01 03 02 1064"
		next  = "0002 0000 0005 01 03 02 1065"
	)
	for name, x := range map[string]struct{ rule, want string }{
		"exception":       {"do: {exception: 6}", "0001 0000 0003 01 83 06" + next},
		"exception once":  {"{when: {times: 1}, do: {exception: 6}}", "0001 0000 0003 01 83 06" + next},
		"silence":         {"do: {silence: true}", next},
		"delay":           {"do: {delay: 1ms}", first + next},
		"hold":            {"do: {hold: true}", first + next},
		"cut":             {"do: {cut: 4}", "0001 0000" + next},
		"transaction":     {"do: {transaction: -2}", "ffff 0000 0005 01 03 02 1064" + next},
		"unit":            {"do: {unit: 9}", "0001 0000 0005 09 03 02 1064" + next},
		"function":        {"do: {function: 4}", "0001 0000 0005 01 04 02 1064" + next},
		"noise":           {"do: {noise: ffff}", "ffff" + first + next},
		"send":            {"do: {send: 48 54 54 50}", "48545450" + next},
		"shift":           {"do: {shift: 2}", "0001 0000 0005 01 03 02 1066" + next},
		"shift away":      {"do: {shift: -101}", "0001 0000 0003 01 83 02" + next},
		"set":             {"do: {set: [{address: 100, value: 32768}]}", "0001 0000 0005 01 03 02 8000" + next},
		"negate":          {"do: {negate: [{address: 100}]}", "0001 0000 0005 01 03 02 ef9c" + next},
		"another unit":    {"{when: {unit: 2}, do: {silence: true}}", first + next},
		"another time":    {"{when: {from: 1h}, do: {silence: true}}", first + next},
		"other registers": {"{when: {addresses: 102-110}, do: {silence: true}}", first + next},
		"bigger reads":    {"{when: {more_than: 1}, do: {silence: true}}", first + next},
		"writes only":     {"{when: {function: write}, do: {silence: true}}", first + next},
		"one code":        {"{when: {function: 4}, do: {silence: true}}", first + next},
		"never":           {"{when: {nth: 3}, do: {silence: true}}", first + next},
		"the second":      {"{when: {every: 2}, do: {unit: 9}}", first + "0002 0000 0005 09 03 02 1065"},
		"hang up":         {"do: {hang_up: true}", ""},
		"reset":           {"do: {reset: true}", ""},
		"cut and hang up": {"do: {cut: 9, hang_up: true}", "0001 0000 0005 01 03 02"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := x.rule
			if strings.HasPrefix(rule, "do:") {
				rule = "{when: {nth: 1}, " + rule + "}"
			}
			c := dial(t, serve(t, "127.0.0.1:0", image(t), Options{Faults: rules(t, "  - "+strings.ReplaceAll(rule, "48 54 54 50", `"48 54 54 50"`)+"\n")}))
			c.send(ask)
			if strings.HasSuffix(rule, "hang_up: true}}") || strings.Contains(rule, "reset") {
				c.gets(x.want)
				c.ends()
				return
			}
			c.send(again)
			c.gets(x.want)
		})
	}
}

// On a line a held or late answer reaches whoever listens then.
func TestLateAnswersOnALine(t *testing.T) {
	for _, address := range []string{"pty:", "rtuovertcp://127.0.0.1:0"} {
		asked := make(chan Exchange, 10)
		s := serve(t, address, image(t), Options{
			Faults:  rules(t, "  - {when: {nth: 1}, do: {hold: true}}\n  - {when: {nth: 3}, do: {bad_crc: true}}\n  - {when: {nth: 4}, do: {late: 20ms}}\n"),
			Observe: func(x Exchange) { asked <- x },
		})
		c := dial(t, s)
		c.send(rtu("01 03 0064 0001"))
		<-asked
		c.conn.Close()
		c = dial(t, s)
		c.send(rtu("01 03 0065 0001"))
		c.gets(rtu("01 03 02 1064") + rtu("01 03 02 1065"))
		c.send(rtu("01 03 0065 0001"))
		wrong := unhex(rtu("01 03 02 1065"))
		wrong[len(wrong)-1] ^= 0x55
		c.gets(hex.EncodeToString(wrong))
		c.send(rtu("01 03 0066 0001"))
		c.send(rtu("01 03 0067 0001"))
		c.gets(rtu("01 03 02 1067") + rtu("01 03 02 1066"))
	}
}

// Frozen registers keep what they were, writes that are ignored change nothing,
// and a unit that hurries its client is told apart by time since the connection.
func TestFrozenIgnoredAndHurried(t *testing.T) {
	m := image(t)
	var mu sync.Mutex
	var seen []Exchange
	s := serve(t, "127.0.0.1:0", m, Options{
		Faults: rules(t, "  - {when: {addresses: 100}, do: {freeze: true}}\n  - {when: {addresses: 105}, do: {ignore_writes: true}}\n"+
			"  - {when: {connected_less_than: 1h, nth: 6}, do: {exception: 6}}\n"),
		Since: func() energy.Span { return 0 },
		Observe: func(x Exchange) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, x)
		},
	})
	c := dial(t, s)
	c.send("0001 0000 0006 01 03 0064 0001")
	c.gets("0001 0000 0005 01 03 02 1064")
	c.send("0002 0000 0006 01 06 0064 0001")
	c.gets("0002 0000 0006 01 06 0064 0001")
	c.send("0003 0000 0006 01 03 0064 0002")
	c.gets("0003 0000 0007 01 03 04 1064 1065")
	c.send("0004 0000 0006 01 06 0069 0001")
	c.gets("0004 0000 0006 01 06 0069 0001")
	if now, _ := m.Get(1, Holding, 100); now != 1 {
		t.Errorf("a frozen register's device has %d behind it, want 1", now)
	}
	if now, _ := m.Get(1, Holding, 105); now != 0x1069 {
		t.Errorf("an ignored write wrote %#x", now)
	}
	c.send("0005 0000 0006 01 03 0066 0001")
	c.gets("0005 0000 0005 01 03 02 1066")
	c.send("0006 0000 0006 01 03 0066 0001")
	c.gets("0006 0000 0003 01 83 06")
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 6 || seen[1].Request.Values[0] != 1 || seen[5].Effect.Exception != 6 || seen[5].Connected < seen[5].Gap {
		t.Errorf("observed %+v", seen)
	}
}

// The same seed draws the same faults.
func TestChanceIsSeeded(t *testing.T) {
	draw := func(seed uint64) string {
		s := newScript(seed, []Rule{{When: Condition{Percent: 30}, Do: Effect{Silence: true}}})
		var b strings.Builder
		for range 200 {
			if s.effect(Request{Count: 1}, moment{}).Silence {
				b.WriteByte('x')
			} else {
				b.WriteByte('.')
			}
		}
		return b.String()
	}
	a := draw(7)
	if n := strings.Count(a, "x"); a != draw(7) || a == draw(8) || n < 30 || n > 90 {
		t.Errorf("%d of 200 at 30 %%: %s", n, a)
	}
}
