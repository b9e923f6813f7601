// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/energy"
)

// Leaves that are well formed, committed, booked and signed, but do not follow
// from those before them.
func TestChainFaults(t *testing.T) {
	ch := rules()
	put := func(m *memory, n, revision int, opening ledger.Stock, change func(*ledger.Leaf)) int64 {
		l, rows := m.settledLeaf(ch, quarter(n), revision, homes(max(n, 0)), 70_000, opening)
		if change != nil {
			change(&l)
		}
		return m.append(l, rows, nil)
	}
	cases := map[string]struct {
		leaf   int64
		reason string
		write  func(m *memory)
	}{
		"settled twice": {2, "settled by leaf 1 already", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, nil)
			put(m, 0, 0, ledger.Stock{}, nil)
		}},
		"overlapping by another length": {2, "settled by leaf 1 already", func(m *memory) {
			put(m, 2, 0, ledger.Stock{}, nil)
			put(m, 0, 0, ledger.Stock{}, func(l *ledger.Leaf) { l.Settled.Interval.Length = energy.Hour })
		}},
		"revision left out": {1, "revision 1, the next is 0", func(m *memory) {
			put(m, 0, 1, ledger.Stock{}, nil)
		}},
		"revision not raised": {3, "revision 0, the next is 1", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, nil)
			m.takeBack(1, quarter(0))
			put(m, 0, 0, ledger.Stock{}, nil)
		}},
		"before any charter took effect": {1, "not in force", func(m *memory) {
			put(m, -1, 0, ledger.Stock{}, nil)
		}},
		"under the charter before": {2, "not in force", func(m *memory) {
			later := ch
			later.Name = "Another"
			m.activate(later, day0.Add(energy.Hour))
			put(m, 4, 0, ledger.Stock{}, nil)
		}},
		"another rules version": {1, "rules version 2", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, func(l *ledger.Leaf) { l.Settled.RulesVersion = 2 })
		}},
		"a charter for the past": {2, "settled until", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, nil)
			later := ch
			later.Name = "Another"
			m.activate(later, day0)
		}},
		"a charter under another's hash": {1, "hash", func(m *memory) {
			hash, err := ch.Hash()
			later := ch
			later.Name = "Another"
			m.append(ledger.Leaf{Kind: ledger.KindCharterActivated, Community: village, Charter: &ledger.CharterActivated{
				Hash: must(m.t, hash, err), Effective: day0, DecidedBy: "nobody", Charter: later,
			}}, nil, nil)
		}},
		"another community": {1, "of community", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, func(l *ledger.Leaf) { l.Community = "ulme" })
		}},
		"a reversal of nothing": {1, "does not settle", func(m *memory) {
			m.takeBack(0, quarter(0))
		}},
		"a reversal twice": {3, "taken back already", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, nil)
			m.takeBack(1, quarter(0))
			m.takeBack(1, quarter(0))
		}},
		"a reversal without successor": {2, "not settled again", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, nil)
			m.takeBack(1, quarter(0))
			put(m, 1, 0, ledger.Stock{}, nil)
		}},
		"a reversal that books half": {2, "instead of", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, nil)
			m.takeBack(1, quarter(0))
			m.entries[2] = m.entries[2][1:]
		}},
		"a battery that opens with more": {2, "opens with", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, nil)
			put(m, 1, 0, ledger.Stock{Own: 1_000_000}, nil)
		}},
		"totals that are not the sums": {1, "production", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, func(l *ledger.Leaf) { l.Settled.Pools[0].Production++ })
		}},
		"a certificate for nobody": {1, "rounds", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, func(l *ledger.Leaf) { l.Settled.Pools[0].Rounds[0].Remainder++ })
		}},
		"a round that the charter does not have": {1, "not one of its charter", func(m *memory) {
			put(m, 0, 0, ledger.Stock{}, func(l *ledger.Leaf) { l.Settled.Pools[0].Rounds[0].Method = charter.Equal })
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t)
			m.activate(ch, day0)
			c.write(m)
			wantFault(t, m.verify(t), c.leaf, c.reason)
		})
	}
}

// A correction that stops half way is not a fault: the interval whose battery
// opens differently now waits for its turn.
func TestPendingCorrection(t *testing.T) {
	m := newMemory(t)
	ch := rules()
	m.activate(ch, day0)
	var stock ledger.Stock
	for n := range 3 {
		l, rows := m.settledLeaf(ch, quarter(n), 0, homes(n), 70_000, stock)
		stock = m.closing(m.append(l, rows, nil))
	}
	m.takeBack(1, quarter(0))
	l, rows := m.settledLeaf(ch, quarter(0), 1, homes(0), 80_000, ledger.Stock{})
	m.append(l, rows, nil)
	r := m.verify(t)
	want := []ledger.State{ledger.StateReversed, ledger.StatePending, ledger.StateHolds, ledger.StateHolds}
	if got := states(r); !r.Holds() || len(got) != 4 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("%v, %v", got, r.Fault)
	}
}
