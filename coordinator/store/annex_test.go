// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// A member is forgotten: in the database, in its log, in the inbox, and the
// ledger still holds.
func TestErase(t *testing.T) { onEach(t, testErase) }

func testErase(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, epoch, v := history(t, on, 4, 6)
	mine := meters.Sample{Key: meters.Key{Asset: "meter-home-02", Register: meters.Import}, At: day0}
	other := meters.Sample{Key: meters.Key{Asset: "meter-home-03", Register: meters.Import}, At: day0}
	if _, err := s.AppendInbox(ctx, "gw-1", "a", 1, []meters.Sample{mine, other}); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Rows(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	var secret []byte
	for _, r := range rows {
		if r.Row.Subject == "home-02" && r.Row.Kind == ledger.RowMember {
			secret = r.Salt[:]
		}
	}
	if on == sqlite && !onDisk(t, path, secret) {
		t.Fatal("the salt was not there before")
	}
	n, err := s.Erase(ctx, "home-02", "meter-home-02")
	if err != nil || n != 12 { // a member's and a battery's row in each of six
		t.Fatalf("%d rows erased, %v", n, err)
	}
	if on == sqlite && onDisk(t, path, secret) {
		t.Error("the erased salt is still on the disk")
	}
	r := holds(t, path)
	if r.Erased != 12 || len(r.States) != 6 || r.States[0].State != ledger.StateErased || r.States[0].Erased != 2 {
		t.Errorf("%+v", r)
	}
	entries, err := s.Entries(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Account, "home-02") {
			t.Errorf("an entry remains: %+v", e)
		}
	}
	if sums, err := s.MemberSums(ctx, day0, day0.Add(energy.Day)); err != nil || len(sums) != 3 {
		t.Errorf("%v, %v", sums, err)
	}
	var left []meters.Sample
	err = s.InboxSince(ctx, day0, func(_ roll.GatewayID, m meters.Sample) error { left = append(left, m); return nil })
	if err != nil || len(left) != 1 || left[0] != other {
		t.Errorf("%v, %v", left, err)
	}
	if ack, err := s.Acknowledged(ctx, "gw-1", "a"); err != nil || ack != 2 {
		t.Errorf("acknowledged %d, %v", ack, err)
	}
	commit(t, s, epoch, v.interval(t, 6, 0)) // and life goes on
	holds(t, path)
	if _, err := s.Erase(ctx, ""); err == nil {
		t.Error("the community's own records were erased")
	}
}

// A reversal after an erasure takes back what is still there.
func TestReversalAfterErasure(t *testing.T) { onEach(t, testReversalAfterErasure) }

func testReversalAfterErasure(t *testing.T, on engine) {
	ctx := context.Background()
	s, path, epoch, v := history(t, on, 3, 0)
	old := v.interval(t, 0, 0)
	commit(t, s, epoch, old)
	if _, err := s.Erase(ctx, "home-01"); err != nil {
		t.Fatal(err)
	}
	v.stock = map[roll.AssetID]ledger.Stock{}
	commit(t, s, epoch, reversal(1, old), v.interval(t, 0, 1))
	if r := holds(t, path); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
	if _, err := s.Erase(ctx, "home-02"); err != nil {
		t.Fatal(err)
	}
	holds(t, path)
}

func onDisk(tb testing.TB, path string, what []byte) bool {
	tb.Helper()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			tb.Fatal(err)
		}
		if len(what) > 0 && bytes.Contains(b, what) {
			return true
		}
	}
	return false
}

// Somebody changes the database by hand. The verifier names the leaf.
func TestTamperedDatabaseIsNamed(t *testing.T) { onEach(t, testTamperedDatabaseIsNamed) }

func testTamperedDatabaseIsNamed(t *testing.T, on engine) {
	s, original, _, _ := history(t, on, 4, 6)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	copied := on.copier(t, original)
	changes := []string{
		`UPDATE leaf SET body = CAST(REPLACE(CAST(body AS TEXT), '"revision":0', '"revision":1') AS BLOB) WHERE idx = ?`,
		`UPDATE leaf SET body = CAST(CAST(body AS TEXT) || ' ' AS BLOB) WHERE idx = ?`,
		`UPDATE leaf SET body = x'' WHERE idx = ?`,
		`UPDATE annex_row SET body = CAST(REPLACE(CAST(body AS TEXT), '"share":"', '"share":"1') AS BLOB) WHERE leaf = ? AND kind = 'member'`,
		`UPDATE annex_row SET salt = x'00' WHERE leaf = ? AND idx = 2`,
		`UPDATE annex_row SET subject = 'home-99' WHERE leaf = ? AND idx = 1`,
		`UPDATE annex_row SET idx = idx + 100 WHERE leaf = ? AND idx = 5`,
		`UPDATE entry SET amount_mwh = amount_mwh + 1 WHERE leaf = ? AND idx = 0`,
		`UPDATE entry SET account = 'member:home-99:shared' WHERE leaf = ? AND idx = 0`,
		`DELETE FROM entry WHERE leaf = ? AND idx = 1`,
		`DELETE FROM tree_hash`,
	}
	if on == sqlite { // elsewhere a number can't be a word
		changes = append(changes, `UPDATE entry SET amount_mwh = 'much' WHERE leaf = ? AND idx = 0`)
	}
	words := strings.NewReplacer("CAST(CAST(body AS TEXT)", "convert_to(convert_from(body, 'UTF8')",
		"CAST(REPLACE(CAST(body AS TEXT)", "convert_to(REPLACE(convert_from(body, 'UTF8')", " AS BLOB)", ", 'UTF8')", "x''", "''", "x'00'", `'\x00'`)
	tamper := func(t rapid.TB, tb testing.TB, change string, leaf int64) {
		if strings.Contains(change, "tree_hash") {
			leaf = 1 // its hash has index 1
			change = `DELETE FROM tree_hash WHERE idx = ?`
		}
		path, drop := copied()
		defer drop()
		if n := execSQL(tb, path, change, leaf); n == 0 {
			t.Fatalf("%s changed nothing", change)
		}
		r := verify(tb, path)
		if r.Fault == nil || r.Fault.Leaf != leaf {
			t.Fatalf("after %s: %v", change, r.Fault)
		}
	}
	if on == postgres { // each once: copies take a while
		for i, change := range changes {
			tamper(t, t, words.Replace(change), int64(1+i*5%6))
		}
		return
	}
	rapid.Check(t, func(rt *rapid.T) {
		leaf := int64(rapid.IntRange(1, 6).Draw(rt, "leaf"))
		tamper(rt, t, rapid.SampledFrom(changes).Draw(rt, "change"), leaf)
	})
}

// copier makes copies of a database that nobody uses, one at a time.
func (on engine) copier(tb testing.TB, original string) func() (database string, drop func()) {
	tb.Helper()
	if on == postgres {
		return func() (string, func()) {
			database := server.Copy(tb, original)
			return database, func() { server.Drop(tb, database) }
		}
	}
	content, err := os.ReadFile(original)
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "copy.db")
	return func() (string, func()) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			tb.Fatal(err)
		}
		return path, func() {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + suffix)
			}
		}
	}
}
