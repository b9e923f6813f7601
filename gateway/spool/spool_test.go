// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

func TestReopenGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	if _, err := Open(dir, Options{}); err == nil {
		t.Fatal("a second writer got the folder")
	}
	o := oracle{}
	for range 3 {
		if _, err := s.Append(o.next(2)); err != nil {
			t.Fatal(err)
		}
	}
	id := s.ID()
	s.Acknowledge(id, 4)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{})
	gotID, last, acked := s.Position()
	if gotID != id || last != 6 || acked != 4 {
		t.Fatalf("reopened as %s at %d, acknowledged %d", gotID, last, acked)
	}
	if last, err := s.Append(o.next(1)); last != 7 || err != nil {
		t.Fatalf("went on with %d, %v", last, err)
	}
	got, err := s.Read(id, 5, 10)
	if want := []meters.Sample{sampleNo(5), sampleNo(6), sampleNo(7)}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("read %v, %v", got, err)
	}
}

func mustOpen(t *testing.T, dir string, opt Options) *Spool {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTornTailIsCutOff(t *testing.T) {
	for cut := 1; cut < 60; cut += 7 {
		d := newMemDisk()
		s, _ := open(d, Options{})
		o := oracle{}
		s.Append(o.next(5))
		name := segmentName(1)
		b := d.files[name].now
		d.files[name].now = b[:len(b)-cut]
		s, err := open(d, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, last, _ := s.Position()
		if last >= 5 || last < 3 {
			t.Fatalf("cut by %d: %d samples are left", cut, last)
		}
		if n, err := s.Append(o.next(1)); n != last+1 || err != nil {
			t.Fatalf("append after the cut: %d, %v", n, err)
		}
		if got, _ := s.Read(s.ID(), 1, 10); len(got) != int(last)+1 || got[last] != sampleNo(6) {
			t.Fatalf("cut by %d: read %v", cut, got)
		}
	}
}

// TestRot flips every byte of a spool in turn: the sequence stays whole, and
// every sample is one that was handed in.
func TestRot(t *testing.T) {
	build := func() *memDisk {
		d := newMemDisk()
		s, _ := open(d, Options{SegmentBytes: 200})
		o := oracle{}
		for range 6 {
			if _, err := s.Append(o.next(2)); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	for _, name := range mustSegments(t, build()) {
		size := len(build().files[name].now)
		for i := range size {
			d := build()
			d.files[name].now[i] ^= 0x41
			s, err := open(d, Options{SegmentBytes: 200})
			if err != nil {
				t.Fatalf("%s byte %d: %v", name, i, err)
			}
			id, last, _ := s.Position()
			// Rot in the very last record looks like a torn tail.
			if last < 11 {
				t.Fatalf("%s byte %d: %d samples are left", name, i, last)
			}
			got, err := s.Read(id, 1, 100)
			for from := uint64(len(got)) + 1; err == nil && from <= last; from = uint64(len(got)) + 1 {
				var more []meters.Sample
				more, err = s.Read(id, from, 100)
				got = append(got, more...)
			}
			if err != nil {
				t.Fatalf("%s byte %d: %v", name, i, err)
			}
			wrong := 0
			for k, sample := range got {
				if sample != sampleNo(int64(sample.Value)/1_234_567) {
					t.Fatalf("%s byte %d: an invented sample %+v", name, i, sample)
				}
				if sample != sampleNo(int64(k)+1) {
					wrong++
				}
			}
			if wrong > 1 {
				t.Fatalf("%s byte %d: %d samples were replaced", name, i, wrong)
			}
		}
	}
}

func mustSegments(t *testing.T, d *memDisk) []string {
	t.Helper()
	names, err := (&Spool{disk: d}).segmentNames()
	if err != nil || len(names) < 2 {
		t.Fatalf("segments %v, %v", names, err)
	}
	return names
}

func TestMissingSegmentIsStoodInFor(t *testing.T) {
	d := newMemDisk()
	s, _ := open(d, Options{SegmentBytes: 100})
	o := oracle{}
	for range 6 {
		s.Append(o.next(2))
	}
	names := mustSegments(t, d)
	gone, _ := parseSegmentName(names[1])
	next, _ := parseSegmentName(names[2])
	delete(d.files, names[1])
	s, err := open(d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, last, _ := s.Position(); last != 12 {
		t.Fatalf("%d of 12 sequences", last)
	}
	for seq := gone; seq < next; seq++ {
		if got, err := s.Read(s.ID(), seq, 1); err != nil || got[0] != sampleNo(int64(gone)-1) {
			t.Fatalf("sample %d: %v, %v", seq, got, err)
		}
	}
}

func TestForeignSegmentIsAnError(t *testing.T) {
	d := newMemDisk()
	s, _ := open(d, Options{})
	o := oracle{}
	s.Append(o.next(2))
	d.replace(segmentName(1<<40), appendSegmentHead(nil, 1<<40))
	if _, err := open(d, Options{}); !errors.Is(err, ErrBroken) {
		t.Fatalf("opened: %v", err)
	}
}

func TestRetention(t *testing.T) {
	d := newMemDisk()
	s, _ := open(d, Options{SegmentBytes: 200, Keep: 10 * energy.Minute})
	o := oracle{}
	for range 100 { // a sample a minute
		s.Append(o.next(1))
	}
	id := s.ID()
	if got, err := s.Read(id, 1, 1); err != nil || len(got) != 1 {
		t.Fatalf("an unacknowledged sample is gone: %v", err)
	}
	s.Acknowledge(id, 100)
	if _, err := s.Read(id, 1, 1); !errors.Is(err, ErrGone) {
		t.Fatalf("sample 1 after its retention: %v", err)
	}
	if got, err := s.Read(id, 90, 100); err != nil || len(got) == 0 {
		t.Fatalf("a sample within the retention is gone: %v", err)
	}
	// A coordinator that needs what is gone: a new id, with what there is.
	renewed, err := s.Resume(id, 5)
	if !renewed || err != nil {
		t.Fatalf("resume: %v, %v", renewed, err)
	}
	id2, last, acked := s.Position()
	if id2 == id || last == 0 || last >= 100 || acked != 0 {
		t.Fatalf("renewed as %s at %d, acknowledged %d", id2, last, acked)
	}
	got, err := s.Read(id2, last, 1)
	if err != nil || len(got) != 1 || got[0] != sampleNo(100) {
		t.Fatalf("the newest under the new id: %v, %v", got, err)
	}
}

func TestBoundRefusesAndRecovers(t *testing.T) {
	d := newMemDisk()
	s, _ := open(d, Options{SegmentBytes: 300, MaxBytes: 1200})
	o := oracle{}
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, err = s.Append(o.next(1))
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d samples: %v", n, err)
	}
	id, last, _ := s.Position()
	if got, err := s.Read(id, 1, 1); err != nil || got[0] != sampleNo(1) {
		t.Fatalf("the oldest unacknowledged sample: %v, %v", got, err)
	}
	s.Acknowledge(id, last)
	if _, err := s.Append(o.next(1)); err != nil {
		t.Fatalf("with everything acknowledged: %v", err)
	}
	if s.Bytes() > 1200 {
		t.Fatalf("%d bytes", s.Bytes())
	}
}

// TestCoordinatorHasMore: this disk was restored from an old copy. Numbers that
// the coordinator knows already must not be given to new samples.
func TestCoordinatorHasMore(t *testing.T) {
	d := newMemDisk()
	s, _ := open(d, Options{})
	o := oracle{}
	s.Append(o.next(4))
	id := s.ID()
	s.Acknowledge(id, 2)
	renewed, err := s.Resume(id, 9)
	if !renewed || err != nil {
		t.Fatalf("resume: %v, %v", renewed, err)
	}
	id2, last, _ := s.Position()
	got, err := s.Read(id2, 1, 10)
	if last != 2 || err != nil || !slices.Equal(got, []meters.Sample{sampleNo(3), sampleNo(4)}) {
		t.Fatalf("under the new id: %v, %v", got, err)
	}
	if again, err := s.Resume(id, 9); !again || err != nil {
		t.Fatalf("resuming the old id: %v, %v", again, err)
	}
	s, _ = open(d, Options{})
	if s.ID() != id2 {
		t.Fatal("the new id was forgotten")
	}
}

func TestLostStateOrSegments(t *testing.T) {
	d := newMemDisk()
	s, _ := open(d, Options{})
	o := oracle{}
	s.Append(o.next(4))
	id := s.ID()
	d.files[stateName].now = []byte("{")
	s, err := open(d, Options{})
	if err != nil || s.ID() == id {
		t.Fatalf("a lost state kept the id, or: %v", err)
	}
	if _, last, _ := s.Position(); last != 4 {
		t.Fatalf("%d samples", last)
	}
	id = s.ID()
	s.Acknowledge(id, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	delete(d.files, segmentName(1))
	s, err = open(d, Options{})
	if err != nil || s.ID() == id {
		t.Fatalf("lost segments kept the id, or: %v", err)
	}
	if n, err := s.Append(o.next(1)); err != nil || n != 1 {
		t.Fatalf("first sample of the new id: %d, %v", n, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{SegmentBytes: 4 << 10})
	id := s.ID()
	var wg sync.WaitGroup
	const writers, rounds = 4, 25
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				if _, err := s.Append([]meters.Sample{{Key: meters.Key{Asset: "a", Register: meters.Import}, At: energy.Instant(i), Value: energy.Energy(w)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := uint64(1)
	for next <= writers*rounds {
		got, err := s.Read(id, next, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			<-s.Changed()
			continue
		}
		next += uint64(len(got))
		s.Acknowledge(id, next-1)
	}
	wg.Wait()
	if p := s.Pending(); p != 0 {
		t.Fatalf("%d pending", p)
	}
}

func TestOversizedNames(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	long := meters.Sample{Key: meters.Key{Asset: "x", Register: meters.Register(bytes.Repeat([]byte{'r'}, 33))}}
	if _, err := s.Append([]meters.Sample{long}); err == nil {
		t.Fatal("a register of 33 bytes was taken")
	}
	if n, err := s.Append([]meters.Sample{sampleNo(1)}); n != 1 || err != nil {
		t.Fatalf("after a refusal: %d, %v", n, err)
	}
	if entries, err := filepath.Glob(filepath.Join(t.TempDir(), "*")); err != nil || len(entries) != 0 {
		t.Fatal(entries, err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for i := range int64(5) {
		b, _ := appendRecord(nil, uint64(i)+1, sampleNo(i))
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, s, size, err := decodeRecord(b)
		if err != nil {
			return
		}
		again, err := appendRecord(nil, seq, s)
		if err != nil {
			t.Fatal(err)
		}
		if seq2, s2, _, err := decodeRecord(again); err != nil || seq2 != seq || s2 != s || size > len(b) {
			t.Fatalf("%+v became %+v, %v", s, s2, err)
		}
	})
}

// FuzzScan: whatever is on the disk, a scan ends, stays within its bounds, and
// what it calls intact is read again the same.
func FuzzScan(f *testing.F) {
	b := appendSegmentHead(nil, 3)
	for i := range int64(4) {
		b, _ = appendRecord(b, uint64(i)+3, sampleNo(i))
	}
	f.Add(b, uint64(3), uint64(0))
	f.Add(b, uint64(3), uint64(6))
	f.Add(b[5:], uint64(3), uint64(6))
	f.Fuzz(func(t *testing.T, b []byte, first, limit uint64) {
		if first == 0 || first > 1<<40 || (limit != 0 && (limit < first || limit > first+1000)) {
			return
		}
		got := scan(b, first, limit, nil)
		if got.end > int64(max(len(b), segmentHead)) || got.damaged > len(got.samples) {
			t.Fatalf("%+v of %d bytes", got, len(b))
		}
		if limit != 0 && uint64(len(got.samples)) > limit-first+1 {
			t.Fatalf("%d samples for %d to %d", len(got.samples), first, limit)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 40, 500} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{MaxBytes: 8 << 30})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			o := oracle{}
			batch := o.next(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Append(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}
