// SPDX-License-Identifier: AGPL-3.0-or-later

package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/coordinator/backup"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// A community on a server is backed up like any other, and comes back in a file
// or on another server.
func TestACommunityMovesBetweenEngines(t *testing.T) {
	c := found(t, fmt.Sprintf("# where it is\ndatabase: %q\nlive: {tick: 2s}\n", server.Database(t)))
	c.open()
	c.measure(700)
	r := c.backup(backup.Options{}, t.TempDir())
	if r.Manifest.Ledger.Leaves != 1 {
		t.Errorf("%+v", r.Manifest)
	}
	again := filepath.Join(t.TempDir(), "again")
	back, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: again})
	if err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(back.Remarks, "\n"); !strings.Contains(said, "--database") {
		t.Errorf("it does not say that it was on a server: %s", said)
	}
	cfg, err := coordinator.Load(again)
	if err != nil || cfg.Database.Reveal() != cfg.LedgerFile() || cfg.Tick != 2000 {
		t.Fatalf("%+v %v", cfg.Serve, err)
	}
	origin := filepath.Join(t.TempDir(), "origin.db")
	if err := store.Copy(t.Context(), c.cfg.Database.Reveal(), origin, nil); err != nil {
		t.Fatal(err)
	}
	want := dump(t, origin)
	if have := dump(t, cfg.LedgerFile()); have != want {
		t.Errorf("in a file it is\n%.3000s\nand was\n%.3000s", have, want)
	}

	other := server.Database(t)
	onServer := filepath.Join(t.TempDir(), "server")
	if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: onServer, Database: other, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if there, err := store.Exists(t.Context(), other); err != nil || there {
		t.Errorf("a rehearsal filled the server: %v", err)
	}
	if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: onServer, Database: other}); err != nil {
		t.Fatal(err)
	}
	if cfg, err = coordinator.Load(onServer); err != nil || cfg.Database.Reveal() != other {
		t.Fatalf("%s %v", cfg.Database, err)
	}
	if _, err := os.Stat(cfg.LedgerFile()); err == nil {
		t.Error("there is a second ledger in the folder")
	}
	moved := filepath.Join(t.TempDir(), "moved.db")
	if err := store.Copy(t.Context(), other, moved, nil); err != nil {
		t.Fatal(err)
	}
	if have := dump(t, moved); have != want {
		t.Errorf("on the other server it is\n%.3000s\nand was\n%.3000s", have, want)
	}
	beside := t.TempDir()
	if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: filepath.Join(beside, "x"), Database: other}); err == nil {
		t.Error("a database that is in use was filled")
	}
	empty(t, beside)
}
