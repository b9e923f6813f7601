// SPDX-License-Identifier: AGPL-3.0-or-later

package endtoend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/meters/citylearn"
)

// TestBackupDestroyRestoreRefill lives through the same ten hours of six homes
// twice: once the coordinator is killed and started again, once its folder is
// destroyed as well and brought back from a backup that is four hours old, while
// a gateway has enrolled since. The two ledgers must end as the same bytes.
func TestBackupDestroyRestoreRefill(t *testing.T) {
	needsHomes(t)
	rec, err := citylearn.Read(os.DirFS(recordedHomes))
	if err != nil {
		t.Fatal(err)
	}
	rec.Buildings = rec.Buildings[:6]
	founded := newAccident(t, rec)
	founded.found()
	founded.coordinator.interrupt()
	without := newAccident(t, rec)
	without.cloneOf(founded)
	want := without.live(without.restart)
	with := newAccident(t, rec)
	with.cloneOf(founded)
	have := with.live(func() { with.destroyAndRestore() })
	if len(want) < 40 {
		t.Fatalf("%d leaves in ten hours say nothing", len(want))
	}
	same(t, have, want)
}

// TestRestoreWithBatteries is the same with batteries, which do not live the same
// life twice: the leaves that were destroyed must come back as they were.
func TestRestoreWithBatteries(t *testing.T) {
	needsHomes(t)
	rec, err := citylearn.Read(os.DirFS(recordedHomes))
	if err != nil {
		t.Fatal(err)
	}
	rec.Buildings = rec.Buildings[:6]
	n := &accident{neighbourhood: newNeighbourhood(t, rec, plain, "")}
	var destroyed [][]byte
	n.found()
	leaves := n.live(func() {
		destroyed = n.destroyAndRestore()
		n.awaitGateways(gateways...)
		n.until("7:00") // they bring what is missing; nothing of it is reversed
	})
	if len(destroyed) < 20 {
		t.Fatalf("%d leaves were destroyed, which says nothing", len(destroyed))
	}
	same(t, leaves[:len(destroyed)], destroyed)
}

func same(t *testing.T, have, want [][]byte) {
	t.Helper()
	for i := range min(len(have), len(want)) {
		if !bytes.Equal(have[i], want[i]) {
			from := 0
			for from < min(len(have[i]), len(want[i])) && have[i][from] == want[i][from] {
				from++
			}
			t.Fatalf("leaf %d of %d and %d differs from byte %d on: it is\n%s\nand was\n%s", i, len(have), len(want), from, around(have[i], from), around(want[i], from))
		}
	}
	if len(have) != len(want) {
		t.Fatalf("%d leaves, expected %d", len(have), len(want))
	}
}

// around is a leaf where it begins to differ; a whole one is long.
func around(leaf []byte, at int) []byte {
	const before, after = 400, 200
	return leaf[max(0, at-before):min(len(leaf), at+after)]
}

// accident is a neighbourhood to which something happens.
type accident struct {
	*neighbourhood
	backup, paper string // the file, and the key that opens it
}

// newAccident is a neighbourhood without batteries, which is not founded yet.
func newAccident(t *testing.T, rec *citylearn.Recording) *accident {
	t.Helper()
	n := &accident{neighbourhood: newNeighbourhood(t, rec, plain, "")}
	n.batteryless = true
	for _, gw := range gateways {
		n.writeSite(t, gw)
	}
	return n
}

// cloneOf begins with the keys, the seed and the first leaf of another.
func (n *accident) cloneOf(founded *accident) {
	n.t.Helper()
	if err := os.CopyFS(n.coordinatorDir(), os.DirFS(founded.coordinatorDir())); err != nil {
		n.t.Fatal(err)
	}
	err := filepath.WalkDir(n.coordinatorDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.writeCoordinator(n.t)
	n.startCoordinator()
}

// live is ten hours in which something happens at seven minutes past six. It
// returns the leaves at the end, which hold.
func (n *accident) live(happens func()) [][]byte {
	n.t.Helper()
	join := func(gw string) {
		n.sims[gw] = start(n.t, "sim "+gw, n.bin, "sim", "--site", n.siteFile(gw), "--world", n.world.addr)
		n.writeGateway(gw)
		n.startGateway(gw)
		n.awaitGateways(gw)
	}
	join("gw-1")
	join("gw-2")
	n.until("2:10")
	n.takeBackup() // nothing is settled yet: a third of the homes is missing
	n.until("2:20")
	join("gw-3")
	n.until("6:07")
	happens()
	n.awaitGateways(gateways...)
	n.until("10:03")
	n.untilSettledAt("10:00")
	for _, gw := range gateways {
		n.gateways[gw].interrupt()
	}
	n.coordinator.interrupt()
	var report struct {
		Holds bool `json:"holds"`
	}
	if err := json.Unmarshal(run(n.t, n.bin, "ledger", "verify", n.coordinatorDir(), "--json"), &report); err != nil || !report.Holds {
		n.t.Errorf("the ledger does not hold: %v", err)
	}
	return n.leaves()
}

// takeBackup makes a backup while everything runs, for a key on paper.
func (n *accident) takeBackup() {
	n.t.Helper()
	var key struct{ Recipient, Identity string }
	if err := json.Unmarshal(run(n.t, n.bin, "backup", "key", "--json"), &key); err != nil {
		n.t.Fatal(err)
	}
	n.paper = filepath.Join(n.dir, "paper")
	write(n.t, n.paper, "%s\n", key.Identity)
	elsewhere := filepath.Join(n.dir, "elsewhere")
	if err := os.MkdirAll(elsewhere, 0o700); err != nil {
		n.t.Fatal(err)
	}
	n.backup = strings.TrimSpace(string(run(n.t, n.bin, "backup", "--dir", n.coordinatorDir(), "--to", elsewhere, "--recipients", key.Recipient)))
}

func (n *accident) restart() {
	n.coordinator.kill()
	n.startCoordinator()
}

// destroyAndRestore returns the leaves that were destroyed.
func (n *accident) destroyAndRestore() [][]byte {
	n.t.Helper()
	n.coordinator.kill()
	destroyed := n.leaves()
	if err := os.RemoveAll(n.coordinatorDir()); err != nil {
		n.t.Fatal(err)
	}
	run(n.t, n.bin, "restore", n.backup, "--to", n.coordinatorDir(), "--identity", n.paper)
	if left := n.leaves(); len(left) >= len(destroyed) {
		n.t.Fatalf("%d leaves are in the backup, %d were destroyed: nothing is missing", len(left), len(destroyed))
	}
	n.startCoordinator()
	return destroyed
}

func (n *accident) leaves() (out [][]byte) {
	n.t.Helper()
	db, err := store.OpenReader(context.Background(), filepath.Join(n.coordinatorDir(), "data", "ledger.db"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	err = db.Leaves(context.Background(), 0, func(_ int64, leaf []byte) error {
		out = append(out, bytes.Clone(leaf))
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}
