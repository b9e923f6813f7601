// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func TestSampleHolds(t *testing.T) {
	var done []int64
	m := sample(t)
	r, err := ledger.Verify(context.Background(), m, m.verifiers, resettle, func(d, total int64) {
		if total != 7 {
			t.Errorf("progress of %d", total)
		}
		done = append(done, d)
	})
	if err != nil || !r.Holds() {
		t.Fatalf("%+v, %v", r.Fault, err)
	}
	if r.Leaves != 7 || r.Charters != 1 || r.Intervals != 5 || r.Reversals != 1 || r.Rows != 20 || r.Erased != 0 {
		t.Errorf("%+v", r)
	}
	want := []ledger.State{ledger.StateHolds, ledger.StateHolds, ledger.StateReversed, ledger.StateHolds, ledger.StateHolds}
	if got := states(r); !slices.Equal(got, want) {
		t.Errorf("states %v, not %v", got, want)
	}
	if len(done) != 7 || done[6] != 7 {
		t.Errorf("progress %v", done)
	}
}

func TestEmptyLedgerHolds(t *testing.T) {
	if r := newMemory(t).verify(t); !r.Holds() {
		t.Error(r.Fault)
	}
}

func states(r ledger.Report) (s []ledger.State) {
	for _, i := range r.States {
		s = append(s, i.State)
	}
	return s
}

// wantFault says that a changed ledger does not hold, and where first.
func wantFault(t fatal, r ledger.Report, leaf int64, reason string) {
	t.Helper()
	switch {
	case r.Fault == nil:
		t.Fatalf("it holds, though leaf %d was changed", leaf)
	case r.Fault.Leaf != leaf || !strings.Contains(r.Fault.Reason, reason):
		t.Fatalf("leaf %d: %q; expected leaf %d: %q", r.Fault.Leaf, r.Fault.Reason, leaf, reason)
	}
}

// Any byte of a leaf, of a row, of its salt, of an entry, of a tree hash or of
// the checkpoint, changed in any way, is found, and the first leaf named.
func TestAnyChangedByteIsFound(t *testing.T) {
	good := sample(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := good.clone()
		leaf := int64(rapid.IntRange(0, len(m.leaves)-1).Draw(rt, "leaf"))
		settled := rapid.SampledFrom([]int64{1, 2, 3, 5, 6}).Draw(rt, "settled")
		flip := func(b []byte) {
			b[rapid.IntRange(0, len(b)-1).Draw(rt, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "xor"))
		}
		flipText := func(s string) string {
			b := []byte(s)
			flip(b)
			return string(b)
		}
		row := &m.rows[settled][rapid.IntRange(0, 3).Draw(rt, "row")]
		entry := &m.entries[settled][rapid.IntRange(0, len(m.entries[settled])-1).Draw(rt, "entry")]
		switch rapid.IntRange(0, 10).Draw(rt, "what") {
		case 0:
			flip(m.leaves[leaf])
			wantFault(rt, m.verify(rt), leaf, "bytes are not those")
		case 1:
			row.Row.Body = bytes.Clone(row.Row.Body)
			flip(row.Row.Body)
			wantFault(rt, m.verify(rt), settled, "annex row")
		case 2:
			flip(row.Salt[:])
			wantFault(rt, m.verify(rt), settled, "annex row")
		case 3:
			row.Row.Key = flipText(row.Row.Key)
			wantFault(rt, m.verify(rt), settled, "annex row")
		case 4:
			row.Row.Subject += "x"
			wantFault(rt, m.verify(rt), settled, "annex row")
		case 5:
			entry.Amount ^= 1 << rapid.IntRange(0, 63).Draw(rt, "bit")
			wantFault(rt, m.verify(rt), settled, "entry")
		case 6:
			entry.Account = flipText(entry.Account)
			wantFault(rt, m.verify(rt), settled, "entry")
		case 7:
			m.entries[settled] = m.entries[settled][:len(m.entries[settled])-1]
			wantFault(rt, m.verify(rt), settled, "missing")
		case 8:
			m.entries[leaf] = append(m.entries[leaf], ledger.Entry{Pool: roll.GridPool, Account: "x", Amount: 1})
			if r := m.verify(rt); leaf == 0 {
				// nothing is booked by a charter, and nobody reads what is
			} else {
				wantFault(rt, r, leaf, "stands for nothing")
			}
		case 9:
			at := rapid.IntRange(0, len(m.hashes)-1).Draw(rt, "hash")
			flip(m.hashes[at][:])
			level, n := tlog.SplitStoredHashIndex(int64(at))
			wantFault(rt, m.verify(rt), n<<level, "")
		case 10:
			m.head = bytes.Clone(m.head)
			flip(m.head)
			wantFault(rt, m.verify(rt), ledger.NoLeaf, "checkpoint")
		}
	})
}

// Somebody changes a leaf and makes every stored hash fit, but can't sign: the
// checkpoints that were signed before name the place.
func TestRewrittenTreeIsLocated(t *testing.T) {
	for leaf := range int64(7) {
		m := sample(t)
		signed := m.checkpoints
		l := must(t, m.decode(leaf), nil)
		switch l.Kind {
		case ledger.KindCharterActivated:
			l.Charter.DecidedBy = "the operator"
		case ledger.KindIntervalSettled:
			l.Settled.Quality = energy.Corrected
		case ledger.KindReversal:
			l.Reversal.Reason = "no reason"
		}
		m.rewrite(leaf, l)
		m.checkpoints, m.head = signed, signed[7]
		wantFault(t, m.verify(t), leaf, "signed")
	}
}

func (m *memory) decode(leaf int64) ledger.Leaf {
	l, err := ledger.DecodeLeaf(m.leaves[leaf])
	return must(m.t, l, err)
}

// rewrite replaces a leaf and makes everything after it fit, signed anew.
func (m *memory) rewrite(leaf int64, l ledger.Leaf) {
	b, err := ledger.EncodeLeaf(l)
	m.leaves[leaf] = must(m.t, b, err)
	m.hashes, m.checkpoints = nil, map[int64][]byte{}
	for i, b := range m.leaves {
		m.grow(int64(i), b)
	}
}

// An operator who holds the key can rewrite the ledger so that it holds, but
// nobody who has an older checkpoint takes it for the same.
func TestRewritingShowsAgainstAnOlderCheckpoint(t *testing.T) {
	m := sample(t)
	old, err := ledger.OpenCheckpoint(m.checkpoints[4], m.verifiers)
	if err != nil {
		t.Fatal(err)
	}
	growth := func() error {
		head, err := ledger.OpenCheckpoint(m.head, m.verifiers)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := ledger.ProveGrowth(head.Size, old.Size, m)
		if err != nil {
			t.Fatal(err)
		}
		return ledger.CheckGrowth(proof, head.Size, head.Root, old.Size, old.Root)
	}
	if err := growth(); err != nil {
		t.Fatal(err)
	}
	l := m.decode(0)
	l.Charter.DecidedBy = "the operator"
	m.rewrite(0, l)
	if r := m.verify(t); !r.Holds() {
		t.Fatal(r.Fault)
	}
	if growth() == nil {
		t.Error("the old checkpoint fits a ledger that was rewritten")
	}
}

func TestCutLeavesAreMissed(t *testing.T) {
	m := sample(t)
	m.leaves[2] = nil
	wantFault(t, m.verify(t), 2, "missing")

	m = sample(t)
	m.leaves = m.leaves[:5]
	wantFault(t, m.verify(t), 5, "missing")

	m = sample(t)
	m.head = m.checkpoints[5]
	wantFault(t, m.verify(t), 5, "checkpoint ends before")

	m = sample(t)
	m.head = nil
	wantFault(t, m.verify(t), ledger.NoLeaf, "there is none")
}

// Erased rows say "erased", whatever subjects are chosen, and everything that
// remains is still checked.
func TestErasedRowsAreErasedNotWrong(t *testing.T) {
	good := sample(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := good.clone()
		erased := map[roll.MemberID]bool{}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 1, 3, rapid.ID).Draw(rt, "erased") {
			erased[memberID(i)] = true
		}
		for leaf := range m.rows {
			m.rows[leaf] = slices.DeleteFunc(slices.Clone(m.rows[leaf]), func(r ledger.StoredRow) bool { return erased[r.Row.Subject] })
		}
		for leaf := range m.entries {
			m.entries[leaf] = slices.DeleteFunc(slices.Clone(m.entries[leaf]), func(e ledger.Entry) bool {
				part := strings.Split(e.Account, ":")
				return part[0] == "member" && erased[roll.MemberID(part[1])]
			})
		}
		r := m.verify(rt)
		if !r.Holds() {
			rt.Fatal(r.Fault)
		}
		if r.Erased != int64(5*len(erased)) {
			rt.Fatalf("%d rows erased, reported %d", 5*len(erased), r.Erased)
		}
		for _, s := range r.States {
			if s.State != ledger.StateErased && s.State != ledger.StateReversed {
				rt.Fatalf("interval %s: %s", s.Interval, s.State)
			}
		}
		leaf := rapid.SampledFrom([]int64{1, 2, 3, 5, 6}).Draw(rt, "changed")
		m.rows[leaf][0].Salt[0]++
		wantFault(rt, m.verify(rt), leaf, "annex row")
	})
}

// An operator with every key who shifts a share from one to the other, with
// commitments, entries, hashes and signatures to match, is found by settling
// again; and, after one of the two was erased, by the other's certificate.
func TestWrongShareIsFound(t *testing.T) {
	m := newMemory(t)
	m.activate(rules(), day0)
	l, rows := m.settledLeaf(rules(), quarter(0), 0, homes(0), 0, ledger.Stock{})
	shift := func(i int, by energy.Energy) {
		r, err := rows[i].Member()
		row := must(t, r, err)
		row.Share += by
		row.GridImport -= by
		again, err := ledger.NewMemberRow(row)
		rows[i] = must(t, again, err)
	}
	shift(0, 500)
	shift(1, -500)
	m.append(l, rows, nil)
	r, err := ledger.Verify(context.Background(), m, m.verifiers, nil, nil)
	wantFault(t, must(t, r, err), 1, "certificates")

	m.rows[1] = m.rows[1][1:]
	m.entries[1] = slices.DeleteFunc(m.entries[1], func(e ledger.Entry) bool { return strings.HasPrefix(e.Account, "member:home-0:") })
	wantFault(t, m.verify(t), 1, "certificates")

	// One milliwatt-hour is within what a division may leave: only settling again tells.
	m = newMemory(t)
	m.activate(rules(), day0)
	l, rows = m.settledLeaf(rules(), quarter(0), 0, homes(0), 0, ledger.Stock{})
	shift(0, -1)
	shift(1, 1)
	m.append(l, rows, nil)
	wantFault(t, m.verify(t), 1, "settled again")
}

func TestUnreadableLogGivesNoVerdict(t *testing.T) {
	m := sample(t)
	broken := errors.New("the disk is gone")
	_, err := ledger.Verify(context.Background(), unreadable{m, broken}, m.verifiers, resettle, nil)
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ledger.Verify(ctx, m, m.verifiers, resettle, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	r, err := ledger.Verify(context.Background(), m, m.verifiers, func(charter.Charter, ledger.IntervalSettled, []ledger.Row) ([]ledger.PoolTotals, []ledger.Row, error) {
		return nil, nil, broken
	}, nil)
	wantFault(t, must(t, r, err), 1, "can't be settled again")
}

type unreadable struct {
	*memory
	err error
}

func (u unreadable) Rows(context.Context, int64) ([]ledger.StoredRow, error) { return nil, u.err }
