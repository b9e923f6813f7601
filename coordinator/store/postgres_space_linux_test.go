// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/allmende-energy/allmende/internal/pgtest"
)

// The server's disk is full: as with a file, everything is refused, nothing of
// it is stored, and with more room the same store goes on.
func TestFullServer(t *testing.T) {
	s := own(t, &pgtest.Server{})
	elsewhere := s.Database(t)
	owner, err := os.Stat(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	id := owner.Sys().(*syscall.Stat_t)
	dir := filepath.Join(s.Dir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=14m,mode=0700,uid=%d,gid=%d", id.Uid, id.Gid)); err != nil {
		t.Skipf("a small file system can't be mounted here (%v); run as root to test a full disk", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.Exec(t, elsewhere, `CREATE TABLESPACE small LOCATION '`+dir+`'`)
	database := s.Database(t)
	s.Exec(t, elsewhere, `ALTER DATABASE `+filepath.Base(pathOf(t, database))+` SET TABLESPACE small`)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	st := open(t, database)
	f := filler{t: t, s: st, epoch: raise(t, st), v: newVillage(t, 2)}
	commit(t, st, f.epoch, f.v.founding())
	f.leaves = 1
	f.fill()
	f.check(database)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.goOn() // the same store, without a restart
	f.check(database)
}
