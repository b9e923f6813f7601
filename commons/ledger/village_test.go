// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

const (
	village roll.CommunityID = "linden"
	day0    energy.Instant   = 1_780_272_000_000 // 2026-06-01T00:00Z
)

// fatal is what tests and rapid's checks have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must[T any](t fatal, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// rules is a charter of one proportional round.
func rules() charter.Charter {
	return charter.Charter{
		Charter: charter.Format, Name: "By need", RulesVersion: 1,
		Currency: "EUR", Price: energy.Price{Micro: 1, Currency: "EUR"},
		Interval: energy.QuarterHour, SettleAfter: energy.Day,
		Sharing: charter.Sharing{
			ExportingSites: charter.ExportersReceive,
			Rounds:         []charter.Round{{Name: "everybody", Method: charter.Proportional}},
		},
		Residual: charter.Residual{By: charter.ResidualEqual},
		Storage:  charter.Storage{Use: charter.StorageShared},
	}
}

// home is what a member's meters say in an interval.
type home struct{ imp, exp, prod energy.Energy }

// settle is a settlement for these tests: one proportional round over the sun
// (single units to the first who can take them), one battery that is charged
// from the rest and gives nothing. It is slow, obvious and not the scheduler's.
func settle(ch charter.Charter, set ledger.IntervalSettled, homes []home, charged energy.Energy, opening ledger.Stock) ([]ledger.PoolTotals, []ledger.Row, error) {
	p := ledger.PoolTotals{Pool: roll.GridPool, Charged: charged}
	for _, h := range homes {
		p.Supply += h.exp
		p.Demand += h.imp
		p.Production += h.prod
		p.OwnUse += h.prod - h.exp
	}
	p.Consumption = p.OwnUse + p.Demand
	p.Shared = min(p.Supply, p.Demand)
	p.ChargedGrid = charged - min(charged, p.Supply-p.Shared)
	shares := proportional(p.Shared, p.Demand, homes, func(h home) energy.Energy { return h.imp })
	sold := proportional(p.Shared, p.Supply, homes, func(h home) energy.Energy { return h.exp })
	round := ledger.Round{
		Round: ch.Sharing.Rounds[0].Name, Source: ledger.FromSun, Method: ch.Sharing.Rounds[0].Method,
		Pool: p.Supply, Demand: p.Demand, Shared: p.Shared,
	}
	if p.Demand > 0 {
		round.LevelNum, round.LevelDen, round.Remainder = int64(p.Shared), int64(p.Demand), int64(len(homes))
	}
	var rows []ledger.Row
	add := func(r ledger.Row, err error) error {
		rows = append(rows, r)
		return err
	}
	stored := p.Charged - p.ChargedGrid
	for i, h := range homes {
		m := ledger.MemberRow{
			Member: memberID(i), Pool: p.Pool,
			Sites:  []ledger.SiteInput{{Site: roll.SiteID(memberID(i)), Import: h.imp, Export: h.exp, Production: h.prod, Metered: true}},
			Demand: h.imp, Supply: h.exp, OwnUse: h.prod - h.exp,
			Share: shares[i], Sold: sold[i], Stored: min(stored, h.exp-sold[i]),
		}
		stored -= m.Stored
		m.GridImport, m.GridExport = m.Demand-m.Share, m.Supply-m.Sold-m.Stored
		if err := add(ledger.NewMemberRow(m)); err != nil {
			return nil, nil, err
		}
	}
	b := ledger.StorageRow{
		Asset: "cellar", Pool: p.Pool, Site: "home-0", Placement: roll.OwnMeter, Charged: charged,
		SoC: -1, ChargeEff: 900_000, DischargeEff: 1_000_000, Opening: opening,
		In: ledger.Stock{Commons: p.Charged - p.ChargedGrid, Grid: p.ChargedGrid},
	}
	b.Loss = ledger.Stock{Commons: b.In.Commons / 10, Grid: b.In.Grid / 10}
	b.Closing = ledger.Stock{Own: opening.Own, Commons: opening.Commons + b.In.Commons - b.Loss.Commons, Grid: opening.Grid + b.In.Grid - b.Loss.Grid}
	if err := add(ledger.NewStorageRow(b, "")); err != nil {
		return nil, nil, err
	}
	p.StorageLoss = b.Loss.Commons + b.Loss.Grid
	inside := p.Shared + p.Charged - p.ChargedGrid
	p.GridImport, p.GridExport = p.Demand+p.Charged-inside, p.Supply-inside
	p.Rounds = []ledger.Round{round}
	ledger.SortRows(rows)
	return []ledger.PoolTotals{p}, rows, nil
}

// proportional divides total by what the homes have of whole.
func proportional(total, whole energy.Energy, homes []home, of func(home) energy.Energy) []energy.Energy {
	out := make([]energy.Energy, len(homes))
	if whole == 0 {
		return out
	}
	left := total
	for i, h := range homes {
		out[i] = energy.Energy(energy.MulDiv(int64(of(h)), int64(total), int64(whole)))
		left -= out[i]
	}
	for i := 0; left > 0; i++ {
		if out[i] < of(homes[i]) {
			out[i]++
			left--
		}
	}
	return out
}

func memberID(i int) roll.MemberID { return roll.MemberID(fmt.Sprintf("home-%d", i)) }

// resettle is a ledger.Recompute for settle.
func resettle(ch charter.Charter, set ledger.IntervalSettled, rows []ledger.Row) ([]ledger.PoolTotals, []ledger.Row, error) {
	var homes []home
	var battery ledger.StorageRow
	for _, r := range rows {
		switch r.Kind {
		case ledger.RowMember:
			m, err := r.Member()
			if err != nil {
				return nil, nil, err
			}
			homes = append(homes, home{m.Sites[0].Import, m.Sites[0].Export, m.Sites[0].Production})
		case ledger.RowStorage:
			var err error
			if battery, err = r.Storage(); err != nil {
				return nil, nil, err
			}
		case ledger.RowConnection:
		}
	}
	return settle(ch, set, homes, battery.Charged, battery.Opening)
}

// memory is a ledger in memory that believes everything it is told.
type memory struct {
	t           fatal
	signer      note.Signer
	verifiers   note.Verifiers
	leaves      [][]byte
	rows        map[int64][]ledger.StoredRow
	entries     map[int64][]ledger.Entry
	hashes      []tlog.Hash
	checkpoints map[int64][]byte
	head        []byte
}

func newMemory(t fatal) *memory {
	key := must2(t)(ledger.NewKey(bytes.NewReader(make([]byte, 64)), village))
	return &memory{
		t: t, signer: must2s(t)(note.NewSigner(key.Signer)),
		verifiers: note.VerifierList(must2v(t)(note.NewVerifier(key.Verifier))),
		rows:      map[int64][]ledger.StoredRow{}, entries: map[int64][]ledger.Entry{}, checkpoints: map[int64][]byte{},
	}
}

// must2, must2s and must2v take a call with two results.
func must2(t fatal) func(ledger.Key, error) ledger.Key {
	return func(k ledger.Key, err error) ledger.Key { return must(t, k, err) }
}

func must2s(t fatal) func(note.Signer, error) note.Signer {
	return func(k note.Signer, err error) note.Signer { return must(t, k, err) }
}

func must2v(t fatal) func(note.Verifier, error) note.Verifier {
	return func(k note.Verifier, err error) note.Verifier { return must(t, k, err) }
}

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	return m.TreeHashes(context.Background(), indexes)
}

func (m *memory) Leaves(_ context.Context, from int64, fn func(int64, []byte) error) error {
	for i := from; i < int64(len(m.leaves)); i++ {
		if m.leaves[i] == nil {
			continue // it was cut out
		}
		if err := fn(i, m.leaves[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Rows(_ context.Context, leaf int64) ([]ledger.StoredRow, error) {
	return m.rows[leaf], nil
}

func (m *memory) Entries(_ context.Context, leaf int64) ([]ledger.Entry, error) {
	return m.entries[leaf], nil
}

func (m *memory) TreeHashes(_ context.Context, indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(m.hashes)) {
			return nil, fmt.Errorf("tree hash %d: %w", x, ledger.ErrDamaged)
		}
		out[i] = m.hashes[x]
	}
	return out, nil
}

func (m *memory) Checkpoint(context.Context) ([]byte, error) { return m.head, nil }

func (m *memory) CheckpointAt(_ context.Context, size int64) ([]byte, error) {
	return m.checkpoints[size], nil
}

// append writes a leaf with its rows, without asking whether it is true.
func (m *memory) append(l ledger.Leaf, rows []ledger.Row, entries []ledger.Entry) int64 {
	m.t.Helper()
	n := int64(len(m.leaves))
	if l.Settled != nil {
		set := *l.Settled
		l.Settled = &set
		set.Commitments = nil
		for i, r := range rows {
			salt := ledger.Salt([32]byte{1}, ledger.SaltKey(set, r))
			c, err := ledger.Commit(salt, r)
			set.Commitments = append(set.Commitments, must(m.t, c, err))
			m.rows[n] = append(m.rows[n], ledger.StoredRow{Index: i, Row: r, Salt: salt})
		}
		if entries == nil {
			var err error
			if entries, err = ledger.Postings(rows); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	m.entries[n] = entries
	b, err := ledger.EncodeLeaf(l)
	m.leaves = append(m.leaves, must(m.t, b, err))
	m.grow(n, m.leaves[n])
	return n
}

// grow stores the tree's hashes and signs a checkpoint.
func (m *memory) grow(n int64, leaf []byte) {
	h, err := ledger.TreeHashes(n, leaf, m)
	m.hashes = append(m.hashes, must(m.t, h, err)...)
	root, err := tlog.TreeHash(n+1, m)
	m.sign(ledger.Checkpoint{Origin: village, Size: n + 1, Root: must(m.t, root, err)})
}

func (m *memory) sign(c ledger.Checkpoint) {
	signed, err := ledger.SignCheckpoint(c, m.signer)
	m.head = must(m.t, signed, err)
	m.checkpoints[c.Size] = m.head
}

func (m *memory) verify(t fatal) ledger.Report {
	t.Helper()
	r, err := ledger.Verify(context.Background(), m, m.verifiers, resettle, nil)
	return must(t, r, err)
}

// activate appends the founding charter.
func (m *memory) activate(ch charter.Charter, effective energy.Instant) int64 {
	hash, err := ch.Hash()
	return m.append(ledger.Leaf{Kind: ledger.KindCharterActivated, Community: village, Charter: &ledger.CharterActivated{
		Hash: must(m.t, hash, err), Effective: effective, DecidedBy: "founding", Charter: ch,
	}}, nil, nil)
}

// quarter is the n-th quarter-hour of the world.
func quarter(n int) energy.Interval {
	return energy.IntervalAt(day0.Add(energy.Span(n)*energy.QuarterHour), energy.QuarterHour)
}

// settledLeaf settles an interval under the charter.
func (m *memory) settledLeaf(ch charter.Charter, iv energy.Interval, revision int, homes []home, charged energy.Energy, opening ledger.Stock) (ledger.Leaf, []ledger.Row) {
	hash, err := ch.Hash()
	set := ledger.IntervalSettled{
		Interval: iv, Revision: revision, CharterHash: must(m.t, hash, err), RulesVersion: ch.RulesVersion, Complete: true,
	}
	pools, rows, err := settle(ch, set, homes, charged, opening)
	if err != nil {
		m.t.Fatal(err)
	}
	set.Pools = pools
	return ledger.Leaf{Kind: ledger.KindIntervalSettled, Community: village, Settled: &set}, rows
}

// closing is the battery's stock after a settled leaf.
func (m *memory) closing(leaf int64) ledger.Stock {
	for _, r := range m.rows[leaf] {
		if r.Row.Kind == ledger.RowStorage {
			s, err := r.Row.Storage()
			return must(m.t, s, err).Closing
		}
	}
	return ledger.Stock{}
}

// sample is a ledger of a charter, four intervals, of which the third was
// settled again. Leaves: 0 charter, 1–3 intervals 0–2, 4 reversal of 3, 5 its
// successor, 6 interval 3.
func sample(t *testing.T) *memory {
	t.Helper()
	m := newMemory(t)
	ch := rules()
	m.activate(ch, day0)
	var stock ledger.Stock
	for n := range 3 {
		l, rows := m.settledLeaf(ch, quarter(n), 0, homes(n), 70_000, stock)
		stock = m.closing(m.append(l, rows, nil))
	}
	m.takeBack(3, quarter(2))
	l, rows := m.settledLeaf(ch, quarter(2), 1, homes(9), 80_000, m.closing(2))
	stock = m.closing(m.append(l, rows, nil))
	l, rows = m.settledLeaf(ch, quarter(3), 0, homes(3), 0, stock)
	m.append(l, rows, nil)
	return m
}

// clone is a copy of a ledger that can be changed.
func (m *memory) clone() *memory {
	c := *m
	c.leaves = slices.Clone(m.leaves)
	for i := range c.leaves {
		c.leaves[i] = bytes.Clone(c.leaves[i])
	}
	c.rows, c.entries, c.checkpoints = maps.Clone(m.rows), maps.Clone(m.entries), maps.Clone(m.checkpoints)
	for i := range c.rows {
		c.rows[i] = slices.Clone(c.rows[i])
	}
	for i := range c.entries {
		c.entries[i] = slices.Clone(c.entries[i])
	}
	c.hashes = slices.Clone(m.hashes)
	return &c
}

func (m *memory) takeBack(leaf int64, iv energy.Interval) int64 {
	return m.append(ledger.Leaf{Kind: ledger.KindReversal, Community: village, Reversal: &ledger.Reversal{
		Leaf: leaf, Interval: iv, Reason: "late meter data",
	}}, nil, ledger.Negate(m.entries[leaf]))
}

// homes are three homes whose figures differ from interval to interval.
func homes(n int) []home {
	k := energy.Energy(n)
	return []home{
		{imp: 210_001 + k, exp: 0, prod: 0},
		{imp: 99_999, exp: 130_007 + 3*k, prod: 180_000 + 3*k},
		{imp: 0, exp: 100_000 * (k % 3), prod: 100_000*(k%3) + 5},
	}
}
