// SPDX-License-Identifier: AGPL-3.0-or-later

package backup_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/coordinator/backup"
	"github.com/allmende-energy/allmende/coordinator/store"
)

func TestWhatIsBackedUpComesBack(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	c.measure(500)
	disk := t.TempDir()
	r := c.backup(backup.Options{}, disk)
	if want := filepath.Join(disk, "allmende-lane-20261121T140000Z.tar.gz"); r.File != want {
		t.Errorf("it is at %s, not at %s", r.File, want)
	}
	if info, err := os.Stat(r.File); err != nil || info.Mode().Perm() != 0o600 || info.Size() != r.Bytes {
		t.Errorf("%v, %v", info, err)
	}
	to := filepath.Join(t.TempDir(), "deep", "again")
	back, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: to})
	if err != nil {
		t.Fatal(err)
	}
	if back.Manifest.Ledger.Leaves != 1 || back.Manifest.Community.Name != "Sunny Lane" {
		t.Errorf("%+v", back.Manifest)
	}
	c.same(to)
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v %v", info, err)
	}
	empty(t, filepath.Join(to, "..", "nothing"))
	if names, _ := os.ReadDir(filepath.Dir(to)); len(names) != 1 {
		t.Errorf("beside the folder: %v", names)
	}
	if _, err := coordinator.Load(to); err != nil {
		t.Error(err)
	}
	last, ok, err := backup.ReadLast(c.cfg.Data)
	if err != nil || !ok || !last.At.Equal(at) || last.File != r.File || last.Encrypted {
		t.Errorf("remembered: %+v, %v, %v", last, ok, err)
	}
}

func TestEachRecipientOpensIt(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	c.measure(50)
	one, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	sshPublic, sshPrivate := sshKey(t)
	keys := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(keys, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	to, err := backup.ReadRecipients(file("recipients", "# the treasurer\n"+one.Recipient+"\n\n"+sshPublic+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := c.backup(backup.Options{Recipients: to}, filepath.Join(t.TempDir(), "lane.age"))
	content, err := os.ReadFile(r.File)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Encrypted || !strings.HasPrefix(string(content), "age-encryption.org/v1\n") {
		t.Errorf("it begins with %.40q", content)
	}
	typed := strings.ToLower(one.Identity[:20]) + " " + one.Identity[20:] + "  "
	for name, key := range map[string]string{"age": one.Identity, "typed from paper": typed, "as printed": "Make backups for:  " + one.Recipient + "\nOpen them with:    " + one.Identity + "\n", "ssh": sshPrivate} {
		ids, err := backup.ReadIdentities(file("identity", key))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		to := filepath.Join(t.TempDir(), "again")
		if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: to, Identities: ids}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.same(to)
	}
	ids, err := backup.ReadIdentities(file("identity", stranger.Identity))
	if err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "again")
	if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: nowhere, Identities: ids}); !errors.Is(err, backup.ErrEncrypted) {
		t.Errorf("a stranger's key: %v", err)
	}
	if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: nowhere}); !errors.Is(err, backup.ErrEncrypted) {
		t.Errorf("no key: %v", err)
	}
	empty(t, filepath.Dir(nowhere))
	if _, err := backup.ParseRecipient(one.Identity); err == nil || strings.Contains(err.Error(), one.Identity[:30]) {
		t.Errorf("a secret key as a recipient: %v", err)
	}
}

func sshKey(t *testing.T) (public, private string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(p)), string(pem.EncodeToMemory(block))
}

// Backups are made while the store is written, one after the other. Each is one
// state of it, from between its beginning and its end.
func TestBackupWhileTheCoordinatorWrites(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	var stored sync.Mutex
	writer.Go(func() {
		for ctx.Err() == nil {
			stored.Lock()
			c.measure(100)
			stored.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
	})
	defer writer.Wait()
	defer stop()
	for i := range 3 {
		stored.Lock()
		before := c.seq
		stored.Unlock()
		r := c.backup(backup.Options{Now: at.Add(time.Duration(i) * time.Second)}, t.TempDir())
		to := filepath.Join(t.TempDir(), "again")
		if _, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: to}); err != nil {
			t.Fatal(err)
		}
		db, err := store.OpenReader(t.Context(), filepath.Join(to, "data", "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		have, err := db.Acknowledged(t.Context(), "gw", "spool")
		if err != nil || have < before || have%100 != 0 {
			t.Errorf("backup %d has %d samples, %d were stored before it; %v", i, have, before, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	r := c.backup(backup.Options{}, file)
	c.measure(10)
	if _, err := c.try(backup.Options{}, file); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("a second time: %v", err)
	}
	if again := c.backup(backup.Options{Replace: true}, file); again.SHA256 == r.SHA256 {
		t.Error("it was not replaced")
	}
	if _, err := c.try(backup.Options{}, filepath.Join(t.TempDir(), "no", "b.tar.gz")); err == nil {
		t.Error("a folder was made up")
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), file, backup.RestoreOptions{To: full}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a folder with something in it: %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(full, "thesis.txt")); string(b) != "dear" {
		t.Error("it is gone")
	}
	// An empty folder may be where a disk is mounted: it stays the one it is.
	mounted := t.TempDir()
	before, _ := os.Stat(mounted)
	if _, err := backup.Restore(t.Context(), file, backup.RestoreOptions{To: mounted}); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(mounted); !os.SameFile(before, after) {
		t.Error("the folder was replaced by another")
	}
	c.same(mounted)
	dry := filepath.Join(t.TempDir(), "dry")
	if _, err := backup.Restore(t.Context(), file, backup.RestoreOptions{To: dry, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	empty(t, filepath.Dir(dry))
}

// What allmende.yaml names outside of the folder comes along, and is found again
// on another computer.
func TestWhatLiesElsewhereComesAlong(t *testing.T) {
	etc := t.TempDir()
	c := found(t, fmt.Sprintf("# where things are\nauthority: %s/ca\nledger_key: %s/lk\ndata: %s/var\nlive: {tick: 2s}\nseries: {store: influxdb, influxdb: {url: 'http://127.0.0.1:1', bucket: b, token_file: %s/token}}\n", etc, etc, etc, etc))
	if err := os.WriteFile(filepath.Join(etc, "token"), []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.open()
	c.measure(20)
	if err := os.WriteFile(filepath.Join(etc, "unrelated"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := c.backup(backup.Options{}, t.TempDir())
	to := filepath.Join(t.TempDir(), "again")
	back, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: to})
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Remarks) != 4 {
		t.Errorf("it says: %q", back.Remarks)
	}
	cfg, err := coordinator.Load(to)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Authority != filepath.Join(to, "authority") || cfg.LedgerKey != filepath.Join(to, "ledger.key") ||
		cfg.LedgerFile() != filepath.Join(to, "data", "ledger.db") || cfg.Tick != 2000 {
		t.Errorf("%+v", cfg.Serve)
	}
	for was, is := range map[string]string{"token": "elsewhere/series.influxdb.token_file", "ca/ca.key": "authority/ca.key", "ca/ca.crt": "authority/ca.crt", "lk": "ledger.key", "lk.pub": "ledger.key.pub"} {
		a, _ := os.ReadFile(filepath.Join(etc, was))
		b, err := os.ReadFile(filepath.Join(to, is))
		if err != nil || string(a) != string(b) || len(a) == 0 {
			t.Errorf("%s: %v", is, err)
		}
	}
	if dump(t, c.cfg.LedgerFile()) != dump(t, cfg.LedgerFile()) {
		t.Error("the database differs")
	}
	if _, ok := tree(t, to)["unrelated"]; ok {
		t.Error("more came along than was named")
	}
}

// What is no part of a community stays behind, and it is said.
func TestWhatStaysBehind(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	old := c.backup(backup.Options{}, c.dir)
	c.write("lane-gw/gateway.yaml", []byte("x"))
	c.write("lane-gw/identity/gateway.key", []byte("x"))
	c.write("paper.txt", []byte("AGE-SECRET-KEY-1QQQQ"))
	c.write("film.mp4", make([]byte, 2<<20))
	c.write("data/backups/before-schema-2.db", []byte("x"))
	c.write(".hidden", []byte("x"))
	if err := os.Mkdir(filepath.Join(c.dir, "data", ".backup-123"), 0o700); err != nil { // of one that was killed
		t.Fatal(err)
	}
	r := c.backup(backup.Options{Now: at.Add(time.Hour)}, t.TempDir())
	for _, f := range r.Manifest.Files {
		for _, no := range []string{"gw", "paper", "film", "backups", "hidden", ".tar.gz", "lock", ".backup"} {
			if strings.Contains(f.Name, no) {
				t.Errorf("%s is in it", f.Name)
			}
		}
	}
	said := strings.Join(r.Remarks, "\n")
	for _, want := range []string{"lane-gw", "paper.txt", "film.mp4", filepath.Base(old.File)} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing is said of %s: %s", want, said)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(c.dir, "data", ".backup-*")); len(left) > 0 {
		t.Errorf("%s is left", left)
	}
}

// A database that is not sound is not backed up over one that is.
func TestDamageIsNoticed(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	c.measure(3000)
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(c.cfg.LedgerFile())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	good := c.backup(backup.Options{}, file)
	rotten := append([]byte(nil), sound...)
	for i := 20 * 4096; i < 20*4096+2000; i++ {
		rotten[i] ^= 0x55
	}
	if err := os.WriteFile(c.cfg.LedgerFile(), rotten, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(backup.Options{Replace: true}, file); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a rotten page: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != good.Bytes {
		t.Errorf("the sound backup: %v %v", info, err)
	}
	// Pages that are sound, with a leaf that is not what was signed.
	forged := strings.Replace(string(sound), `"decided_by":"founding"`, `"decided_by":"the king"`, 1)
	if forged == string(sound) {
		t.Fatal("the leaf was not found")
	}
	if err := os.WriteFile(c.cfg.LedgerFile(), []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(backup.Options{Replace: true}, file); err == nil || !strings.Contains(err.Error(), "does not hold") {
		t.Errorf("a forged leaf: %v", err)
	}
	if names, _ := os.ReadDir(filepath.Dir(file)); len(names) != 1 {
		t.Errorf("beside the backup: %v", names)
	}
}
