// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// oracle is what a spool promises, in memory: seqs[i] is the sample of on-disk
// sequence i+1.
type oracle struct {
	samples []meters.Sample
	count   int64
}

func sampleNo(n int64) meters.Sample {
	return meters.Sample{
		Key: meters.Key{Asset: roll.AssetID([]string{"roof-1", "meter-2", "battery-3"}[n%3]), Register: meters.Import},
		At:  energy.Instant(1_780_000_000_000 + n*60_000), Value: energy.Energy(n * 1_234_567),
		Quality: energy.Quality(n % 3), Reset: n%7 == 0, SoC: n%1002 - 1,
	}
}

func (o *oracle) next(n int) []meters.Sample {
	out := make([]meters.Sample, n)
	for i := range out {
		o.count++
		out[i] = sampleNo(o.count)
	}
	return out
}

// TestSpoolAgainstOracle drives a spool through appends, acknowledgements, full
// disks, failed syncs and power cuts: what was reported as spooled is read back
// with its sequence for ever, and nothing but what was handed in is ever there.
func TestSpoolAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{t: t, disk: newMemDisk(), opt: Options{SegmentBytes: 300, MaxBytes: 1 << 20, Keep: 365 * energy.Day}}
		m.open()
		t.Repeat(map[string]func(*rapid.T){
			"":            m.check,
			"append":      m.append,
			"acknowledge": m.acknowledge,
			"resume":      m.resume,
			"full disk":   func(t *rapid.T) { m.disk.room = rapid.Int64Range(0, 400).Draw(t, "room") },
			"room again":  func(*rapid.T) { m.disk.room = -1 },
			"bad sync":    func(*rapid.T) { m.disk.failSync = 1 },
			"bad cut":     func(*rapid.T) { m.disk.failTrunc = 1 },
			"power cut":   m.crash,
			"close":       m.reopen,
		})
	})
}

type machine struct {
	t       *rapid.T
	disk    *memDisk
	opt     Options
	s       *Spool
	id      string
	oracle  oracle
	acked   uint64
	unsaved uint64
}

func (m *machine) open() {
	s, err := open(m.disk, m.opt)
	if err != nil {
		m.t.Fatalf("open: %v", err)
	}
	m.s = s
	if m.id != "" && s.ID() != m.id {
		m.t.Fatalf("the spool id changed from %s to %s", m.id, s.ID())
	}
	m.id = s.ID()
}

func (m *machine) append(t *rapid.T) {
	samples := m.oracle.next(rapid.IntRange(1, 6).Draw(t, "n"))
	before, syncs := uint64(len(m.oracle.samples)), m.disk.syncs
	last, err := m.s.Append(samples)
	if err != nil {
		if m.disk.room < 0 && !errors.Is(err, errDisk) {
			t.Fatalf("append: %v", err)
		}
		if errors.Is(err, errDisk) == errors.Is(err, ErrNoSpace) {
			t.Fatalf("append: %v is neither a full disk nor a bad one", err)
		}
		return
	}
	if m.disk.syncs != syncs+1 {
		t.Fatalf("an append took %d syncs", m.disk.syncs-syncs)
	}
	if last != before+uint64(len(samples)) {
		t.Fatalf("last %d after %d and %d more", last, before, len(samples))
	}
	m.oracle.samples = append(m.oracle.samples, samples...)
}

func (m *machine) acknowledge(t *rapid.T) {
	seq := rapid.Uint64Range(0, uint64(len(m.oracle.samples))).Draw(t, "seq")
	m.s.Acknowledge(m.id, seq)
	m.acked = max(m.acked, seq)
	m.s.Acknowledge("another", 1<<40)
	m.s.Acknowledge(m.id, 1<<40)
}

func (m *machine) resume(t *rapid.T) {
	seq := rapid.Uint64Range(0, uint64(len(m.oracle.samples))).Draw(t, "seq")
	renewed, err := m.s.Resume(m.id, seq)
	if renewed || err != nil {
		t.Fatalf("resume at %d: %v, %v", seq, renewed, err)
	}
	if seq < m.acked && m.disk.room >= 0 {
		m.unsaved = max(m.unsaved, m.acked) // a full disk can't note the step back
	}
	m.acked = seq
}

func (m *machine) crash(t *rapid.T) {
	m.disk.crash(func(n int) int { return rapid.IntRange(0, n).Draw(t, "bytes that survive") })
	m.open()
	_, last, acked := m.s.Position()
	n := uint64(len(m.oracle.samples))
	if last < n {
		t.Fatalf("after a power cut %d of %d samples are left", last, n)
	}
	// What a failed or unfinished append left whole is true and may stay.
	extra, err := m.s.Read(m.id, n+1, 100)
	if err != nil {
		t.Fatalf("reading what is new: %v", err)
	}
	for _, s := range extra {
		if s != sampleNo(int64(s.Value)/1_234_567) {
			t.Fatalf("a sample that nobody handed in: %+v", s)
		}
	}
	m.oracle.samples = append(m.oracle.samples, extra...)
	if acked > max(m.acked, m.unsaved) {
		t.Fatalf("acknowledged %d after a power cut, %d before", acked, m.acked)
	}
	m.acked = acked
}

func (m *machine) reopen(t *rapid.T) {
	if m.disk.room >= 0 {
		t.Skip("closing writes the state")
	}
	if err := m.s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if _, err := m.s.Append(m.oracle.next(1)); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}
	m.disk.crash(func(int) int { return 0 })
	n := len(m.oracle.samples)
	m.open()
	_, last, acked := m.s.Position()
	if last < uint64(n) || acked != m.acked {
		t.Fatalf("reopened at %d, acknowledged %d; closed at %d, %d", last, acked, n, m.acked)
	}
	extra, _ := m.s.Read(m.id, uint64(n)+1, 100)
	m.oracle.samples = append(m.oracle.samples, extra...)
}

func (m *machine) check(t *rapid.T) {
	_, last, acked := m.s.Position()
	if last != uint64(len(m.oracle.samples)) || acked != m.acked {
		t.Fatalf("position %d, %d; want %d, %d", last, acked, len(m.oracle.samples), m.acked)
	}
	if last == 0 {
		return
	}
	from := rapid.Uint64Range(1, last).Draw(t, "from")
	for from <= last {
		got, err := m.s.Read(m.id, from, rapid.IntRange(1, 10).Draw(t, "read"))
		if err != nil || len(got) == 0 {
			t.Fatalf("read from %d: %d, %v", from, len(got), err)
		}
		if want := m.oracle.samples[from-1 : int(from)-1+len(got)]; !slices.Equal(got, want) {
			t.Fatalf("read from %d: %v, want %v", from, got, want)
		}
		from += uint64(len(got))
	}
}
