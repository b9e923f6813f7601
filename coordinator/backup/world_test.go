// SPDX-License-Identifier: AGPL-3.0-or-later

package backup_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/coordinator/backup"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/pgtest"
	"github.com/allmende-energy/allmende/meters"
)

// server is the PostgreSQL server of the tests that want one.
var server = &pgtest.Server{}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// at is when the tests' backups are made.
var at = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

// community is a community's folder with a little history.
type community struct {
	t     testing.TB
	dir   string
	cfg   coordinator.Config
	store *store.Store
	seq   uint64
}

func found(t testing.TB, allmendeYAML string) *community {
	t.Helper()
	c := &community{t: t, dir: filepath.Join(t.TempDir(), "lane")}
	template := charters.Templates()[0]
	c.write(config.ServeFile, []byte(allmendeYAML))
	c.write("community.yaml", config.ExampleCommunity("lane", "Sunny Lane", "Europe/Vienna"))
	c.write("charter.yaml", template.YAML)
	c.write("tls/page.pem", []byte("a certificate"))
	c.write("Grüße an alle.txt", []byte("hello"))
	var err error
	if c.cfg, err = coordinator.Load(c.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := coordinator.Prepare(c.cfg); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *community) write(name string, content []byte) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// open starts the ledger with its charter.
func (c *community) open() {
	c.t.Helper()
	ctx := context.Background()
	signer, err := store.LoadSigner(c.cfg.LedgerKey)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.MkdirAll(c.cfg.Data, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if c.store, err = store.Open(ctx, c.cfg.Database.Reveal(), store.Options{Community: c.cfg.Roll.ID, Signer: signer}); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.store.Close() })
	epoch, err := c.store.RaiseEpoch(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	hash, err := c.cfg.Rules.Hash()
	if err != nil {
		c.t.Fatal(err)
	}
	leaf := ledger.Leaf{Kind: ledger.KindCharterActivated, Community: c.cfg.Roll.ID, Charter: &ledger.CharterActivated{
		Hash: hash, Effective: energy.InstantOf(at), DecidedBy: "founding", Charter: c.cfg.Rules,
	}}
	if _, _, err := c.store.Commit(ctx, epoch, []store.NewLeaf{{Leaf: leaf}}); err != nil {
		c.t.Fatal(err)
	}
}

// measure stores so many samples more.
func (c *community) measure(n int) {
	c.t.Helper()
	var batch []meters.Sample
	for i := range n {
		batch = append(batch, meters.Sample{
			Key: meters.Key{Asset: "meter", Register: meters.Import},
			At:  energy.InstantOf(at).Add(energy.Span(c.seq+uint64(i)) * energy.Minute), Value: energy.Energy(c.seq) + energy.Energy(i), SoC: -1,
		})
	}
	if _, err := c.store.AppendInbox(context.Background(), "gw", "spool", c.seq+1, batch); err != nil {
		c.t.Fatal(err)
	}
	c.seq += uint64(n)
}

func (c *community) backup(o backup.Options, to string) backup.Result {
	c.t.Helper()
	r, err := c.try(o, to)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *community) try(o backup.Options, to string) (backup.Result, error) {
	o.Dir, o.Program = c.dir, "allmende test"
	if o.Now.IsZero() {
		o.Now = at
	}
	return backup.Create(context.Background(), o, to)
}

// same fails unless a restored folder holds what the community's does.
func (c *community) same(restored string) {
	c.t.Helper()
	want, have := tree(c.t, c.dir), tree(c.t, restored)
	for name, content := range want {
		if !bytes.Equal(have[name], content) {
			c.t.Errorf("%s came back as %.100q", name, have[name])
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			c.t.Errorf("%s came back, but was not there", name)
		}
	}
	if want, have := dump(c.t, c.cfg.LedgerFile()), dump(c.t, filepath.Join(restored, "data", "ledger.db")); want != have {
		c.t.Errorf("the database came back as\n%.3000s\nit was\n%.3000s", have, want)
	}
}

// tree is every file of a folder but databases and what a coordinator leaves.
func tree(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if base := d.Name(); strings.HasPrefix(base, "ledger.db") || base == backup.LastFile {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		out[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// dump is every row of every table there is, so that one that is added later is
// compared as well.
func dump(t testing.TB, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	for _, table := range column(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('goose_db_version', 'sqlite_sequence') ORDER BY name`) {
		fmt.Fprintf(&out, "== %s\n", table)
		names := column(t, db, `SELECT name FROM pragma_table_info('`+table+`')`)
		quoted := "quote(" + strings.Join(names, ") || ' ' || quote(") + ")"
		for _, row := range column(t, db, `SELECT `+quoted+` AS line FROM `+table+` ORDER BY line`) {
			if row != "'restored' 'true'" {
				out.WriteString(row + "\n")
			}
		}
	}
	return out.String()
}

func column(t testing.TB, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// empty fails unless a folder is empty or not there.
func empty(t testing.TB, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, n := range names {
		t.Errorf("%s is left in %s", n.Name(), dir)
	}
}
