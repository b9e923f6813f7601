// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/canon"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

var (
	drawHash   = rapid.StringMatching(`[0-9a-f]{64}`)
	drawID     = rapid.StringMatching(`[a-z0-9][a-z0-9_-]{0,39}`)
	drawEnergy = rapid.Map(rapid.Int64Range(-1<<62, 1<<62), func(v int64) energy.Energy { return energy.Energy(v) })
	drawInt    = rapid.Int64Range(0, canon.MaxInteger)
	drawSlot   = rapid.Custom(func(t *rapid.T) energy.Interval {
		length := rapid.SampledFrom([]energy.Span{energy.Minute, energy.QuarterHour, energy.Hour, energy.Day}).Draw(t, "length")
		return energy.IntervalAt(energy.Instant(rapid.Int64Range(0, 250_000_000_000_000).Draw(t, "start")), length)
	})
	drawRound = rapid.Custom(func(t *rapid.T) ledger.Round {
		return ledger.Round{
			Round:  rapid.String().Draw(t, "round"),
			Source: rapid.SampledFrom([]ledger.Source{ledger.FromSun, ledger.FromStorage}).Draw(t, "source"),
			Method: charter.Equal, Pool: drawEnergy.Draw(t, "pool"), Shared: drawEnergy.Draw(t, "shared"),
			LevelNum: drawInt.Draw(t, "num"), LevelDen: drawInt.Draw(t, "den"),
		}
	})
	drawPool = rapid.Custom(func(t *rapid.T) ledger.PoolTotals {
		return ledger.PoolTotals{
			Pool:   roll.PoolID(drawID.Draw(t, "pool")),
			Demand: drawEnergy.Draw(t, "demand"), Residual: drawEnergy.Draw(t, "residual"), GridImport: drawEnergy.Draw(t, "import"),
			Rounds: rapid.SliceOfN(drawRound, 0, 3).Draw(t, "rounds"),
			Market: drawMarket.Draw(t, "market"),
		}
	})
)

// drawMarket is a market round's certificate, or none.
var drawMarket = rapid.Custom(func(t *rapid.T) *ledger.Market {
	price := func() energy.Price { return energy.Price{Micro: drawInt.Draw(t, "price"), Currency: "EUR"} }
	margin := rapid.Custom(func(t *rapid.T) *ledger.Margin {
		return &ledger.Margin{Limit: price(), Traded: drawEnergy.Draw(t, "traded"), Num: rapid.Int64().Draw(t, "num"), TieRank: rapid.Uint64().Draw(t, "rank")}
	})
	if rapid.Bool().Draw(t, "none") {
		return nil
	}
	m := &ledger.Market{Price: price(), Volume: drawEnergy.Draw(t, "volume"), Unit: 1, Seed: rapid.Uint64().Draw(t, "seed")}
	if rapid.Bool().Draw(t, "margins") {
		m.Bids, m.Offers = margin.Draw(t, "bids"), margin.Draw(t, "offers")
	}
	return m
})

// drawLeaf makes any leaf that is well formed, true or not.
var drawLeaf = rapid.Custom(func(t *rapid.T) ledger.Leaf {
	l := ledger.Leaf{Community: roll.CommunityID(drawID.Draw(t, "community"))}
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		l.Kind = ledger.KindCharterActivated
		ch := rules()
		ch.Name = rapid.String().Draw(t, "name")
		l.Charter = &ledger.CharterActivated{Hash: drawHash.Draw(t, "hash"), Effective: drawSlot.Draw(t, "effective").Start, DecidedBy: "founding", Charter: ch}
	case 1:
		l.Kind = ledger.KindIntervalSettled
		l.Settled = &ledger.IntervalSettled{
			Interval: drawSlot.Draw(t, "interval"), Revision: rapid.IntRange(0, 1000).Draw(t, "revision"),
			CharterHash: drawHash.Draw(t, "hash"), RulesVersion: 1,
			Quality:     energy.Quality(rapid.IntRange(0, int(energy.NotImplemented)).Draw(t, "quality")),
			Complete:    rapid.Bool().Draw(t, "complete"),
			Pools:       rapid.SliceOfNDistinct(drawPool, 0, 3, func(p ledger.PoolTotals) roll.PoolID { return p.Pool }).Draw(t, "pools"),
			Commitments: rapid.SliceOfN(drawHash, 0, 4).Draw(t, "commitments"),
		}
	default:
		l.Kind = ledger.KindReversal
		l.Reversal = &ledger.Reversal{
			Leaf: drawInt.Draw(t, "leaf"), Interval: drawSlot.Draw(t, "interval"), Reason: rapid.StringN(1, 100, 400).Draw(t, "reason"),
		}
	}
	return l
})

func TestLeafRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLeaf.Draw(t, "leaf")
		b, err := ledger.EncodeLeaf(l)
		if err != nil {
			t.Fatal(err)
		}
		if err := canon.Check(b); err != nil {
			t.Fatal(err)
		}
		again, err := ledger.DecodeLeaf(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, l) {
			t.Fatalf("%+v\nbecame\n%+v", l, again)
		}
	})
}

// No list and an empty list are one and the same, in one spelling.
func TestEmptyListsHaveOneSpelling(t *testing.T) {
	leaf := func(s ledger.IntervalSettled) []byte {
		s.Interval, s.CharterHash = quarter(0), strings.Repeat("0", 64)
		b, err := ledger.EncodeLeaf(ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: village, Settled: &s})
		return must(t, b, err)
	}
	none := leaf(ledger.IntervalSettled{})
	if !bytes.Equal(none, leaf(ledger.IntervalSettled{Pools: []ledger.PoolTotals{}, Commitments: []string{}})) {
		t.Error("no pools and none encode differently")
	}
	null := bytes.Replace(none, []byte(`"pools":[]`), []byte(`"pools":null`), 1)
	if _, err := ledger.DecodeLeaf(null); !errors.Is(err, ledger.ErrLeaf) {
		t.Errorf("a null list: %v", err)
	}
}

func TestDecodeLeafRefuses(t *testing.T) {
	good := string(sample(t).leaves[4])
	cases := map[string]string{
		"nothing":           "",
		"no JSON":           "leaf",
		"another leaf":      good + good,
		"white space":       good + "\n",
		"another order":     `{"kind":"reversal","community":"linden",` + good[len(`{"community":"linden","kind":"reversal",`):],
		"unknown field":     strings.Replace(good, `{"community"`, `{"Community":"linden","community"`, 1),
		"a kind not its":    strings.Replace(good, `"reversal","`, `"interval_settled","`, 1),
		"a fraction":        strings.Replace(good, `"leaf":3`, `"leaf":3.0`, 1),
		"a negative":        strings.Replace(good, `"leaf":3`, `"leaf":-3`, 1),
		"too large a whole": strings.Replace(good, `"leaf":3`, `"leaf":9007199254740993`, 1),
		"no reason":         strings.Replace(good, `"late meter data"`, `""`, 1),
		"a time unaligned":  strings.Replace(good, `T00:30:00Z`, `T00:31:00Z`, 1),
		"a local time":      strings.Replace(good, `T00:30:00Z`, `T02:30:00+02:00`, 1),
		"an odd length":     strings.Replace(good, `15m0s`, `7m0s`, 1),
		"too long":          good + strings.Repeat(" ", ledger.MaxLeafBytes),
	}
	for name, text := range cases {
		if text == good {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		if _, err := ledger.DecodeLeaf([]byte(text)); !errors.Is(err, ledger.ErrLeaf) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ledger.DecodeLeaf([]byte(good)); err != nil {
		t.Error(err)
	}
}

func TestEncodeLeafRefuses(t *testing.T) {
	set := func(change func(*ledger.IntervalSettled)) ledger.Leaf {
		s := ledger.IntervalSettled{Interval: quarter(0), CharterHash: strings.Repeat("0", 64)}
		change(&s)
		return ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: village, Settled: &s}
	}
	for name, l := range map[string]ledger.Leaf{
		"nothing":         {},
		"two bodies":      {Kind: ledger.KindReversal, Community: village, Reversal: &ledger.Reversal{}, Settled: &ledger.IntervalSettled{}},
		"no community":    {Kind: ledger.KindReversal, Reversal: &ledger.Reversal{Interval: quarter(0), Reason: "x"}},
		"year 10000":      set(func(s *ledger.IntervalSettled) { s.Interval.Start = 253_402_300_800_000 }),
		"unknown quality": set(func(s *ledger.IntervalSettled) { s.Quality = 99 }),
		"pool twice":      set(func(s *ledger.IntervalSettled) { s.Pools = make([]ledger.PoolTotals, 2) }),
		"no hash":         set(func(s *ledger.IntervalSettled) { s.CharterHash = "x" }),
		"no commitment":   set(func(s *ledger.IntervalSettled) { s.Commitments = []string{"x"} }),
	} {
		if b, err := ledger.EncodeLeaf(l); !errors.Is(err, ledger.ErrLeaf) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

func FuzzDecodeLeaf(f *testing.F) {
	m := newMemory(f)
	m.activate(rules(), day0)
	l, rows := m.settledLeaf(rules(), quarter(0), 0, homes(0), 10, ledger.Stock{})
	m.append(l, rows, nil)
	m.takeBack(1, quarter(0))
	for _, b := range m.leaves {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ledger.DecodeLeaf(b)
		if err != nil {
			if !errors.Is(err, ledger.ErrLeaf) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		again, err := ledger.EncodeLeaf(l)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q came back as %q, %v", b, again, err)
		}
	})
}

// Rows are read by the verifier, from an annex that somebody may have prepared.
func FuzzRow(f *testing.F) {
	_, rows, err := settle(rules(), ledger.IntervalSettled{}, homes(0), 10, ledger.Stock{})
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range rows {
		f.Add(string(r.Kind), r.Key, string(r.Subject), []byte(r.Body))
	}
	f.Fuzz(func(t *testing.T, kind, key, subject string, body []byte) {
		r := ledger.Row{Kind: ledger.RowKind(kind), Key: key, Subject: roll.MemberID(subject), Body: json.RawMessage(body)}
		entries, err := ledger.Postings([]ledger.Row{r})
		if err == nil && ledger.CheckBalance(entries) != nil {
			t.Fatal("postings that don't balance")
		}
		if _, err := ledger.Commit([32]byte{}, r); err != nil && !errors.Is(err, ledger.ErrRow) {
			t.Fatalf("an error of another kind: %v", err)
		}
	})
}
