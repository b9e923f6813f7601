// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRealFullDisk fills a real small file system under a spool.
func TestRealFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mounting a small tmpfs needs root and CAP_SYS_ADMIN: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := mustOpen(t, filepath.Join(dir, "spool"), Options{SegmentBytes: 16 << 10})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	o := oracle{}
	var kept int
	for {
		batch := o.next(20)
		_, err := s.Append(batch)
		if errors.Is(err, ErrNoSpace) {
			o.count -= 20
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if kept += 20; kept > 100_000 {
			t.Fatal("the disk never fills")
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if last, err := s.Append(o.next(20)); err != nil || last != uint64(kept)+20 {
		t.Fatalf("with room again: %d after %d, %v", last, kept, err)
	}
	id, last, _ := s.Position()
	for seq := uint64(1); seq <= last; {
		got, err := s.Read(id, seq, 100)
		if err != nil || len(got) == 0 {
			t.Fatalf("reading %d: %v", seq, err)
		}
		for _, sample := range got {
			if sample != sampleNo(int64(seq)) {
				t.Fatalf("sample %d is %+v", seq, sample)
			}
			seq++
		}
	}
}
