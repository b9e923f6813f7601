// SPDX-License-Identifier: AGPL-3.0-or-later

package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// RestoreOptions say where a community comes back.
type RestoreOptions struct {
	To         string         // a folder that is empty or not there
	Identities []age.Identity // that may open the backup
	Database   string         // an empty database on a PostgreSQL server; without: a file in the folder
	DryRun     bool           // check everything, leave nothing
	Progress   Progress
}

// Restored is what came back.
type Restored struct {
	Folder   string   `json:"folder"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Remarks  []string `json:"remarks,omitempty"`
	Manifest Manifest `json:"manifest"`
}

// Restore makes a community's folder of a backup. It unpacks beside the place
// that the folder gets, checks the manifest, every hash, the database's pages
// and the whole ledger, and only then gives the folder its name.
func Restore(ctx context.Context, file string, o RestoreOptions) (_ Restored, err error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if err := vacant(o.To); err != nil {
		return Restored{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return Restored{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	a, err := openArchive(f, o.Identities)
	if err != nil {
		return Restored{}, fmt.Errorf("%s: %w", file, err)
	}
	aside, err := o.aside(a.manifest)
	if err != nil {
		return Restored{}, err
	}
	defer os.RemoveAll(aside) //nolint:errcheck // after the renaming it is gone
	u := unpacking{o: o, archive: a, root: aside}
	if err := u.run(ctx); err != nil {
		return Restored{}, fmt.Errorf("%s: %w", file, explain(err))
	}
	r := Restored{Folder: o.To, DryRun: o.DryRun, Remarks: u.remarks, Manifest: a.manifest}
	if o.DryRun {
		return r, nil
	}
	if err := u.serveFrom(ctx); err != nil {
		return Restored{}, err
	}
	return r, settle(aside, o.To)
}

// vacant refuses a folder with anything in it.
func vacant(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("--to: %w", err)
	}
	if len(names) > 0 {
		return fmt.Errorf("%s is not empty, and nothing is overwritten: name another folder, or move that one away", dir)
	}
	return nil
}

// aside makes the folder to unpack in, on the disk where everything will stay.
func (o RestoreOptions) aside(m Manifest) (string, error) {
	// A folder that is there stays, for it may be where a disk is mounted.
	parent := filepath.Clean(o.To)
	if _, err := os.Stat(parent); err != nil {
		parent = filepath.Dir(parent)
		if err := os.MkdirAll(parent, 0o750); err != nil {
			return "", fmt.Errorf("--to: %w", err)
		}
	}
	var need int64
	for _, f := range m.Files {
		need += f.Size
	}
	have, err := free(parent)
	if err != nil {
		return "", err
	}
	if need > have {
		return "", fmt.Errorf("the community needs %d MiB, and the disk under %s has %d MiB left: free some, or restore to another", need>>20, parent, have>>20)
	}
	var random [4]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	name := filepath.Join(parent, "."+filepath.Base(filepath.Clean(o.To))+".restoring-"+hex.EncodeToString(random[:]))
	if err := os.Mkdir(name, 0o700); err != nil {
		return "", fmt.Errorf("--to: %w", explain(err))
	}
	return name, nil
}

// unpacking is one restore under way.
type unpacking struct {
	o       RestoreOptions
	archive *archive
	root    string
	serve   config.Serve // of the unpacked folder
	remarks []string
}

func (u *unpacking) remark(format string, args ...any) {
	u.remarks = append(u.remarks, fmt.Sprintf(format, args...))
}

func (u *unpacking) run(ctx context.Context) error {
	m := u.archive.manifest
	known, err := store.SchemaVersion()
	if err != nil {
		return err
	}
	if m.Schema > known {
		return fmt.Errorf("%w: its schema is %d, this program knows up to %d: install the allmende that made the backup (%s), or a newer one", store.ErrNewerSchema, m.Schema, known, m.Program)
	}
	// The databases come last, when the configuration is there that says where they lie.
	err = u.archive.each(ctx, func(done, total int64) { u.o.Progress("unpacking", done, total) }, u.open)
	if err != nil {
		return err
	}
	if err := u.home(); err != nil {
		return err
	}
	if err := u.database(ctx); err != nil {
		return err
	}
	return syncTree(u.root)
}

// open is where an entry goes. The name was checked with the manifest; the
// folder itself refuses what would lead out of it.
func (u *unpacking) open(f File) (io.WriteCloser, error) {
	rel, mode := filepath.FromSlash(f.Name), os.FileMode(0o600)
	switch f.Name {
	case nameReadme:
		return nopCloser{io.Discard}, nil
	case nameDatabase, nameSeries:
		rel = "." + f.Name // until the configuration says where
	default:
		rel = strings.TrimPrefix(rel, filepath.FromSlash(prefixFolder))
		if strings.HasSuffix(rel, store.PublicSuffix) {
			mode = 0o644
		}
	}
	root, err := os.OpenRoot(u.root)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // what was opened stays open
	if dir := filepath.Dir(rel); dir != "." {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	out, err := root.OpenFile(rel, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return syncing{out}, nil
}

// syncing is a file that is on the disk when it was closed.
type syncing struct{ *os.File }

func (s syncing) Close() error { return errors.Join(s.Sync(), s.File.Close()) }

// home reads the unpacked configuration, moves to their default places what lay
// outside the folder, and puts the databases where it says.
func (u *unpacking) home() error {
	path := filepath.Join(u.root, config.ServeFile)
	src, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: there is no %s in it", ErrNoBackup, config.ServeFile)
	}
	changed := src
	for key, to := range u.archive.manifest.Moved {
		changed = setKey(changed, key, to)
		u.remark("%s named %s outside of the folder; it is at %s in it now, and %s says so", config.ServeFile, key, to, config.ServeFile)
	}
	for setting, from := range u.archive.manifest.Elsewhere {
		u.remark("%.60q was at %.200q on the old computer; it is %s/%.60s now: put it back there, or change the setting", setting, from, elsewhereFolder, setting)
	}
	if u.serve, err = config.DecodeServe(path, changed); err != nil {
		return fmt.Errorf("%s in the backup: %w", config.ServeFile, err)
	}
	if !within(u.root, u.serve.Data) {
		changed = setKey(changed, "data", "data")
		if u.serve, err = config.DecodeServe(path, changed); err != nil {
			return fmt.Errorf("%s in the backup: %w", config.ServeFile, err)
		}
		u.remark("%s named a data folder outside of the folder; it is at data in it now, and %s says so", config.ServeFile, config.ServeFile)
	}
	for _, p := range append(outside(u.serve), place{key: "data", path: u.serve.Data}) {
		if !within(u.root, p.path) {
			return fmt.Errorf("%w: %s in it names %s at %s, outside of the folder", ErrNoBackup, config.ServeFile, p.key, p.path)
		}
	}
	if !u.serve.Server.URL.IsZero() {
		if u.o.Database == "" {
			u.remark("the community kept its ledger at %s; it is in a file of its folder now, and %s says so: pass --database to have it on a server again", u.serve.Server.URL, config.ServeFile)
		}
		changed = dropKey(dropKey(changed, "database"), "database_password_file")
	}
	if u.o.Database != "" {
		changed = setKey(changed, "database", u.o.Database)
	}
	if u.serve, err = config.DecodeServe(path, changed); err != nil {
		return fmt.Errorf("%s in the backup: %w", config.ServeFile, err)
	}
	if string(changed) != string(src) {
		if err := replaceFile(path, changed); err != nil {
			return err
		}
	}
	return u.moveDatabases()
}

// serveFrom moves the database to where the community will be served from, if
// that is not the file that was checked.
func (u *unpacking) serveFrom(ctx context.Context) error {
	file := u.serve.LedgerFile()
	if _, err := os.Stat(file); u.o.Database == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := store.Load(ctx, file, u.serve.Database.Reveal(), func(done, total int64) { u.o.Progress("filling the server's database", done, total) })
	if err != nil {
		return err
	}
	return os.Remove(file)
}

func (u *unpacking) moveDatabases() error {
	data := u.serve.Data
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	for name, to := range map[string]string{nameDatabase: u.serve.LedgerFile(), nameSeries: seriesFile(u.serve)} {
		err := os.Rename(filepath.Join(u.root, "."+name), to)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func within(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

// setKey gives a key at the top of a YAML file a path as its value.
func setKey(src []byte, key, value string) []byte {
	var out strings.Builder
	found := false
	for line := range strings.Lines(string(src)) {
		if strings.HasPrefix(line, key+":") {
			found = true
			fmt.Fprintf(&out, "%s: %q\n", key, value)
			continue
		}
		out.WriteString(line)
	}
	if !found {
		if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%s: %q\n", key, value)
	}
	return []byte(out.String())
}

// dropKey makes a comment of a key at the top of a YAML file.
func dropKey(src []byte, key string) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(src)) {
		if strings.HasPrefix(line, key+":") {
			out.WriteString("# ")
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}

func replaceFile(path string, content []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o600); err != nil { //nolint:gosec // the path is ours; what is in it was read strictly
		return err
	}
	return os.Rename(next, path)
}

// database checks the unpacked database, upgrades it and verifies the ledger as
// a member would: everything is computed again.
func (u *unpacking) database(ctx context.Context) error {
	m := u.archive.manifest
	text, verifiers, err := store.LoadVerifier(u.serve.LedgerKey)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	signer, err := store.LoadSigner(u.serve.LedgerKey)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	if text != m.Community.Verifier || signer.Name() != m.Community.ID {
		return fmt.Errorf("%w: the ledger's key in it is not the one that its manifest names", ErrNoBackup)
	}
	path := u.serve.LedgerFile()
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		u.remark("there is no ledger in this backup: the coordinator had never run")
		return nil
	}
	u.o.Progress("checking the database", 0, 1)
	if err := store.CheckFile(ctx, path); err != nil {
		return err
	}
	if err := store.Upgrade(ctx, path); err != nil {
		return err
	}
	if err := u.verify(ctx, path, verifiers); err != nil {
		return err
	}
	return store.MarkRestored(ctx, path)
}

func (u *unpacking) verify(ctx context.Context, path string, verifiers note.Verifiers) error {
	m := u.archive.manifest
	db, err := store.OpenReader(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	leaves, err := db.Size(ctx)
	if err != nil {
		return err
	}
	if leaves == 0 && m.Ledger.Leaves == 0 {
		return nil
	}
	report, err := ledger.Verify(ctx, db, verifiers, settlement.Recompute, func(done, total int64) { u.o.Progress("verifying the ledger", done, total) })
	switch {
	case err != nil:
		return err
	case !report.Holds():
		return fmt.Errorf("%w: its ledger does not hold: %w", ErrNoBackup, report.Fault)
	case report.Checkpoint.Size != m.Ledger.Leaves || report.Checkpoint.Root.String() != m.Ledger.Root:
		return fmt.Errorf("%w: its ledger has %d leaves and the root %s, its manifest says %d and %s", ErrNoBackup,
			report.Checkpoint.Size, report.Checkpoint.Root, m.Ledger.Leaves, m.Ledger.Root)
	}
	if report.Erased > 0 {
		u.remark("%d rows of members who were erased are gone for good, as they should be", report.Erased)
	}
	return nil
}

// syncTree makes the names below a folder durable; the files are already.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

// settle gives the unpacked folder its name. Where the folder was there already,
// its entries are moved into it, the configuration last: without that nothing
// starts.
func settle(aside, to string) error {
	to = filepath.Clean(to)
	if filepath.Dir(aside) != to {
		if err := os.Rename(aside, to); err != nil {
			return err
		}
		return syncFolder(filepath.Dir(to))
	}
	names, err := os.ReadDir(aside)
	if err != nil {
		return err
	}
	for _, last := range []bool{false, true} {
		for _, n := range names {
			if (n.Name() == config.ServeFile) != last {
				continue
			}
			if err := os.Rename(filepath.Join(aside, n.Name()), filepath.Join(to, n.Name())); err != nil {
				return err
			}
		}
	}
	return syncFolder(to)
}
