// SPDX-License-Identifier: AGPL-3.0-or-later

package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/backup"
)

// A disk that fills up while a backup or a restore is written: there is no half
// file, and what was there before is as it was.
func TestFullDisk(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	c.measure(3000)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system can't be mounted here (%v); run as root to test a full disk", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(disk, "b.tar.gz")
	if err := os.WriteFile(file, []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(backup.Options{Replace: true}, file); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "an older one" {
		t.Errorf("the older one is %q", b)
	}
	if names, _ := os.ReadDir(disk); len(names) != 1 {
		t.Errorf("left on the disk: %v", names)
	}
	r := c.backup(backup.Options{}, t.TempDir())
	if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: filepath.Join(disk, "again")}); err == nil {
		t.Error("it was restored onto a disk that is too small")
	}
	if names, _ := os.ReadDir(disk); len(names) != 1 {
		t.Errorf("left on the disk: %v", names)
	}
}
