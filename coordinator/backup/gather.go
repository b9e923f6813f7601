// SPDX-License-Identifier: AGPL-3.0-or-later

package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/settings"
)

// maxFolder bounds all files of a folder together, which are held in memory so
// that what is hashed is what is packed.
const maxFolder = 32 << 20

// entry is a file to pack.
type entry struct {
	name    string
	path    string // where it lies, if it is not held as
	content []byte
	key     string // of the configuration, whose path lay outside the folder
	moved   string // where it lies in the backup
	setting string // that names it elsewhere
	from    string // where that is
}

// list is what goes into a backup.
type list struct {
	entries []entry
	bytes   int64
	remarks []string
}

func (l *list) add(e entry) { l.entries = append(l.entries, e) }

func (l *list) remark(format string, args ...any) {
	l.remarks = append(l.remarks, fmt.Sprintf(format, args...))
}

// gather takes every small file of the folder, so that nothing is forgotten that
// a later version keeps there, and what the configuration names elsewhere.
func gather(dir string, serve config.Serve, loaded *settings.Loaded) (*list, error) {
	l := &list{}
	l.add(entry{name: nameReadme, content: []byte(readme)})
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := l.walk(root, prefixFolder, serve); err != nil {
		return nil, err
	}
	for _, o := range outside(serve) {
		if err := l.outside(root, o, serve); err != nil {
			return nil, err
		}
	}
	if err := l.elsewhere(root, loaded); err != nil {
		return nil, err
	}
	for _, need := range []string{config.ServeFile} {
		if !l.has(prefixFolder + need) {
			return nil, fmt.Errorf("%s is not in %s, or cannot be read", need, dir)
		}
	}
	return l, nil
}

func (l *list) has(name string) bool {
	for _, e := range l.entries {
		if e.name == name {
			return true
		}
	}
	return false
}

// walk takes the files below a folder.
func (l *list) walk(root, prefix string, serve config.Serve) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			switch {
			case strings.HasPrefix(d.Name(), "."), d.Name() == SchemaFolder:
				return filepath.SkipDir
			case isGateway(name):
				l.remark("%s is left out: it is a gateway's; after its loss a gateway enrols anew", name)
				return filepath.SkipDir
			}
			return nil
		}
		if passedOver(name, d, serve) {
			return nil
		}
		return l.take(name, prefix+rel)
	})
}

// isGateway knows the folder of a gateway that runs on the same computer. Its
// spool has to outlive the community's database, not to be set back with it, and
// its key is its own.
func isGateway(dir string) bool {
	for _, name := range []string{"gateway.yaml", "spool"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// passedOver says what is never taken: what is packed from a copy, what only
// lives while the coordinator runs, and what is no file.
func passedOver(name string, d fs.DirEntry, serve config.Serve) bool {
	if strings.HasPrefix(d.Name(), ".") || (!d.Type().IsRegular() && d.Type()&fs.ModeSymlink == 0) {
		return true
	}
	for _, database := range []string{serve.LedgerFile(), seriesFile(serve)} {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if same(name, database+suffix) {
				return true
			}
		}
	}
	base := d.Name()
	return base == "lock" || base == LastFile || strings.HasSuffix(base, ".partial")
}

func same(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// take holds one file, or says why it stays behind.
func (l *list) take(name, as string) error {
	info, err := os.Stat(name) // through a link, if it is one
	if err != nil || !info.Mode().IsRegular() {
		l.remark("%s is left out: it is no file that can be read", name)
		return nil //nolint:nilerr // a link that leads nowhere is nothing to keep, and that was said
	}
	if !nameable(strings.TrimPrefix(as, prefixFolder)) {
		l.remark("%s is left out: its name would not do on another computer", name)
		return nil
	}
	if info.Size() > maxFile {
		l.remark("%s is left out: with %d KiB it is no file that a community needs to run", name, info.Size()>>10)
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading the community's files: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("reading the community's files: %w", err)
	}
	switch {
	case isArchive(content):
		l.remark("%s is left out: it looks like a backup itself; keep those on another disk", name)
		return nil
	case bytes.Contains(content, []byte("AGE-SECRET-KEY-")):
		l.remark("%s is left out: it is a key that opens backups; keep it on paper, not here", name)
		return nil
	}
	if l.bytes += int64(len(content)); l.bytes > maxFolder || len(l.entries) >= maxFiles {
		return fmt.Errorf("the folder holds more than %d MiB or %d files besides its databases: move what does not belong to the community elsewhere", maxFolder>>20, maxFiles)
	}
	if content == nil {
		content = []byte{}
	}
	l.add(entry{name: as, content: content})
	return nil
}

func nameable(rel string) bool { return checkName(rel) == nil }

// isArchive knows a backup by its first bytes.
func isArchive(content []byte) bool {
	return bytes.HasPrefix(content, gzipMagic) || bytes.HasPrefix(content, []byte(ageMagic))
}

// place is a path that the configuration names, and where it lies by default.
type place struct {
	key   string
	path  string
	usual string
	names []string // of what lies there; empty: a folder
}

func outside(serve config.Serve) []place {
	return []place{
		{"community", serve.Community, "community.yaml", []string{""}},
		{"charter", serve.Charter, "charter.yaml", []string{""}},
		{"ledger_key", serve.LedgerKey, "ledger.key", []string{"", store.PublicSuffix}},
		{"authority", serve.Authority, "authority", nil},
	}
}

// movable are the keys of paths that a restore may change, with their defaults.
func movable(key string) bool {
	if key == "data" {
		return true
	}
	for _, p := range outside(config.Serve{}) {
		if p.key == key {
			return true
		}
	}
	return false
}

// outside takes what lies outside the folder, under the name that it has by default.
func (l *list) outside(root string, p place, serve config.Serve) error {
	abs, err := filepath.Abs(p.path)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) {
		return nil // taken with the folder
	}
	before := len(l.entries)
	for _, suffix := range p.names {
		as := prefixFolder + p.usual + suffix
		if l.has(as) {
			return fmt.Errorf("%s says that %s lies at %s, but there is also %s in the folder: move that away, so that a restore cannot take one for the other", config.ServeFile, p.key, p.path, p.usual+suffix)
		}
		if err := l.take(abs+suffix, as); err != nil {
			return err
		}
	}
	if p.names == nil {
		if err := l.walk(abs, path.Join(prefixFolder, p.usual)+"/", serve); err != nil {
			return err
		}
	}
	if len(l.entries) == before && p.key == "community" {
		return nil // it was for the founding
	}
	if len(l.entries) == before {
		return fmt.Errorf("%s: nothing is there to back up, but %s names it as %s", p.path, config.ServeFile, p.key)
	}
	l.entries[before].key, l.entries[before].moved = p.key, prefixFolder+p.usual
	return nil
}

// elsewhere takes what any other setting names outside the folder, such as
// certificates and files of tokens. A restore cannot know where such things lie
// on another computer: it puts them into a folder of their own, and says so.
func (l *list) elsewhere(root string, loaded *settings.Loaded) error {
	known := append(outside(config.Serve{}), place{key: "data"})
	for _, k := range loaded.Set().Keys() {
		path := loaded.Text(k.Name)
		if k.Value.Kind != "path" || !filepath.IsAbs(path) || slices.ContainsFunc(known, func(p place) bool { return p.key == k.Name }) {
			continue
		}
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			continue // taken with the folder
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			l.remark("%s names %s as %s, which is no file that can be read, and is left out", config.ServeFile, path, k.Name)
			continue
		}
		before := len(l.entries)
		if err := l.take(path, prefixFolder+elsewhereFolder+"/"+k.Name); err != nil {
			return err
		}
		if len(l.entries) > before {
			l.entries[before].setting, l.entries[before].from = k.Name, path
		}
	}
	return nil
}

// elsewhereFolder is where a restore puts what lay outside of the folder.
const elsewhereFolder = "elsewhere"

// seriesFile is where the time series are kept.
func seriesFile(serve config.Serve) string {
	return filepath.Join(serve.Data, nameSeries)
}

const readme = `This is a backup of a community that runs on Allmende (https://allmende.energy).

To bring it back, on any computer with the program:

    allmende restore THIS-FILE --to our-street

manifest.json says what is in here, when it was made and by which version.
ledger.db is a SQLite database with everything that was measured, decided and
settled; the sqlite3 program opens it. folder/ holds the configuration, the
community's files and its secret keys: whoever has them can speak for it.
`
