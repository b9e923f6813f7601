// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A real file system that is full: not the database's own limit, but the
// kernel's refusal while the write-ahead log grows.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("a small file system can't be mounted here (%v); run as root to test a full disk", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path, ballast := filepath.Join(dir, "ledger.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	t.Cleanup(func() { _ = s.Close() }) // before the unmount
	f := filler{t: t, s: s, epoch: raise(t, s), v: newVillage(t, 2)}
	commit(t, s, f.epoch, f.v.founding())
	f.leaves = 1
	f.fill()
	if _, err := os.Stat(ballast); err != nil {
		t.Fatal(err)
	}
	f.check(path)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.goOn() // the same store, without a restart
	f.check(path)

	f.fill()
	if err := s.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	f.s = open(t, path) // a restart on a disk that is still full
	t.Cleanup(func() { _ = f.s.Close() })
	f.check(path)
}
