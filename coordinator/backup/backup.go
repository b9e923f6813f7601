// SPDX-License-Identifier: AGPL-3.0-or-later

// Package backup makes one file of everything that brings a community back: the
// ledger database, the authority and the ledger's key, the configuration and
// the community's files. And it makes a community's folder of such a file again.
//
// The file is a tar in gzip, encrypted with age where somebody is named who may
// read it. Its first entry is a manifest that names every other with its size
// and SHA-256; see [Manifest]. The database in it is a SQLite file, whatever the
// coordinator stores in, so that the file is also the way from one engine to the
// other, and the way out.
//
// [Create] works while the coordinator runs. It says done only after it has read
// the file back. [Restore] checks everything before anything is visible.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/config"
)

// Progress hears how far a stage has come. It may be called often.
type Progress func(stage string, done, total int64)

// Options say what to back up, and for whom.
type Options struct {
	Dir        string     // the community's folder
	Recipients Recipients // none: the file is not encrypted
	Series     bool       // with the time series
	Program    string     // this program's version, for the manifest
	Replace    bool       // a file that is there already
	Now        time.Time
	Progress   Progress
}

// Result is what was made.
type Result struct {
	File      string   `json:"file"`
	Bytes     int64    `json:"bytes"`
	SHA256    string   `json:"sha256"`
	Encrypted bool     `json:"encrypted"`
	Remarks   []string `json:"remarks,omitempty"`
	Manifest  Manifest `json:"manifest"`
}

// Extension is behind the names that Create gives.
const Extension = ".tar.gz"

// Create makes a backup at to: a file, or a folder in which it gets a name of
// its own. It returns when the file is on the disk and was read back. After an
// error there is no file, and one that was there before is as it was.
func Create(ctx context.Context, o Options, to string) (Result, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	serve, loaded, err := config.Load(o.Dir, os.Environ())
	if err != nil {
		return Result{}, err
	}
	verifierText, verifiers, err := store.LoadVerifier(serve.LedgerKey)
	if err != nil {
		return Result{}, err
	}
	whose, err := whose(serve, verifierText)
	if err != nil {
		return Result{}, err
	}
	if to, err = o.target(to, whose.ID); err != nil {
		return Result{}, err
	}
	work, done, err := workFolder(serve.Data)
	if err != nil {
		return Result{}, err
	}
	defer done()
	m := Manifest{
		Format: Format, Program: o.Program, Created: o.Now.UTC().Truncate(time.Second),
		Community: whose,
	}
	list, err := gather(o.Dir, serve, loaded)
	if err != nil {
		return Result{}, err
	}
	if err := copyDatabases(ctx, o, serve, work, &m, list, verifiers); err != nil {
		return Result{}, err
	}
	r := Result{File: to, Encrypted: len(o.Recipients) > 0, Remarks: list.remarks}
	if r.Manifest, err = m.describe(list.entries); err != nil {
		return Result{}, err
	}
	err = writeAside(to, func(f *os.File) error { return pack(ctx, f, r.Manifest, list.entries, o, &r) })
	if err != nil {
		return Result{}, err
	}
	remember(serve.Data, r)
	return r, nil
}

// whose community it is: its key knows its id. The name is from the file that it
// was founded with, which may be gone.
func whose(serve config.Serve, verifier string) (Community, error) {
	signer, err := store.LoadSigner(serve.LedgerKey)
	if err != nil {
		return Community{}, err
	}
	c := Community{ID: signer.Name(), Name: signer.Name(), Verifier: verifier}
	if community, err := config.LoadCommunity(serve.Community); err == nil {
		c.Name = community.Name
	}
	return c, nil
}

// target is the file to write: a name of its own in a folder. It refuses one
// that is there.
func (o Options) target(to, community string) (string, error) {
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		name := fmt.Sprintf("allmende-%s-%s%s", community, o.Now.UTC().Format("20060102T150405Z"), Extension)
		if len(o.Recipients) > 0 {
			name += ".age"
		}
		to = filepath.Join(to, name)
	}
	if _, err := os.Lstat(to); err == nil && !o.Replace {
		return "", fmt.Errorf("%s is there already, and a backup is not overwritten: name another file or a folder, or pass --replace", to)
	}
	if info, err := os.Stat(filepath.Dir(to)); err != nil || !info.IsDir() {
		return "", fmt.Errorf("there is no folder %s to put the backup into: make it, or plug in the disk that it is on", filepath.Dir(to))
	}
	return to, nil
}

// copyDatabases copies what a coordinator may be writing, checks the copies and
// adds them to the list.
func copyDatabases(ctx context.Context, o Options, serve config.Serve, work string, m *Manifest, list *list, verifiers note.Verifiers) error {
	if there, err := store.Exists(ctx, serve.Database.Reveal()); err != nil {
		return err
	} else if !there {
		list.remark("there is no ledger yet: the coordinator never ran")
		return nil
	}
	ledgerCopy := filepath.Join(work, nameDatabase)
	if err := store.Copy(ctx, serve.Database.Reveal(), ledgerCopy, o.stage("copying the ledger")); err != nil {
		return err
	}
	o.Progress("checking the copy", 0, 1)
	if err := inspect(ctx, ledgerCopy, m, verifiers, o.stage("checking the copy")); err != nil {
		return fmt.Errorf("%w; no backup was made, and those made before are as they were", err)
	}
	list.add(entry{name: nameDatabase, path: ledgerCopy})
	series := seriesFile(serve)
	if _, err := os.Stat(series); !o.Series || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	seriesCopy := filepath.Join(work, nameSeries)
	if err := store.Copy(ctx, series, seriesCopy, o.stage("copying the time series")); err != nil {
		return err
	}
	if err := store.CheckFile(ctx, seriesCopy); err != nil {
		return err
	}
	list.add(entry{name: nameSeries, path: seriesCopy})
	return nil
}

func (o Options) stage(name string) func(done, total int64) {
	return func(done, total int64) { o.Progress(name, done, total) }
}

// inspect checks a copy of the ledger database, pages, tree, commitments and
// signature, and writes into the manifest what it is.
func inspect(ctx context.Context, path string, m *Manifest, verifiers note.Verifiers, progress func(done, total int64)) error {
	if err := store.CheckFile(ctx, path); err != nil {
		return err
	}
	var err error
	if m.Schema, err = store.FileSchema(ctx, path); err != nil {
		return err
	}
	db, err := store.OpenCopy(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	if m.Ledger.Leaves, err = db.Size(ctx); err != nil || m.Ledger.Leaves == 0 {
		return err
	}
	report, err := ledger.Verify(ctx, db, verifiers, nil, progress)
	if err != nil {
		return err
	}
	if !report.Holds() {
		return fmt.Errorf("the ledger does not hold: %w: run `allmende ledger verify`", report.Fault)
	}
	m.Ledger.Root, m.Ledger.Simulated = report.Checkpoint.Root.String(), report.Checkpoint.Simulated
	signed, err := db.Checkpoint(ctx)
	m.Ledger.Checkpoint = string(signed)
	return err
}

// pack writes the archive, then reads it back from the disk.
func pack(ctx context.Context, f *os.File, m Manifest, entries []entry, o Options, r *Result) error {
	sum := sha256.New()
	key, err := writeArchive(ctx, io.MultiWriter(f, sum), m, entries, o.Recipients, o.stage("packing"))
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if r.Bytes, err = f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	r.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := readBack(ctx, f, r, key, o.stage("reading it back")); err != nil {
		return fmt.Errorf("the backup was written but does not read back: %w; look at the disk under %s", err, filepath.Dir(r.File))
	}
	return nil
}

// readBack reads an archive as a restore would, and compares every byte's hash.
func readBack(ctx context.Context, f io.Reader, r *Result, key fileKey, progress func(done, total int64)) error {
	sum := sha256.New()
	in := io.TeeReader(f, sum)
	a, err := openArchive(in, key.identities())
	if err != nil {
		return err
	}
	if a.manifest.digest() != r.Manifest.digest() {
		return errors.New("its manifest is another")
	}
	if err := a.each(ctx, progress, func(File) (io.WriteCloser, error) { return nopCloser{io.Discard}, nil }); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != r.SHA256 {
		return errors.New("its bytes are others than were written")
	}
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// writeAside gives fn a file beside path, and gives it its name when fn is done
// and everything is on the disk.
func writeAside(path string, fn func(*os.File) error) (err error) {
	aside := path + ".partial"
	f, err := os.OpenFile(aside, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(aside) // half a backup is none
			err = fmt.Errorf("writing the backup: %w", explain(err))
		}
	}()
	if err := errors.Join(f.Chmod(0o600), fn(f)); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(aside, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, errors.ErrUnsupported) || isInvalid(err) {
		err = nil // some file systems of memory sticks have nothing to synchronise there
	}
	return errors.Join(err, f.Close())
}

// trimVersion keeps what people write into the manifest to one short line.
func trimVersion(s string) string {
	const most = 200
	s, _, _ = strings.Cut(s, "\n")
	return s[:min(len(s), most)]
}
