// SPDX-License-Identifier: AGPL-3.0-or-later

package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/backup"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// A backup that was damaged or cut off is refused as a whole, or the damage lies
// where nothing depends on it.
func TestDamagedBackupIsRefused(t *testing.T) {
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	c.measure(100)
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	to, err := backup.ParseRecipient(key.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key.Identity), 0o600); err != nil {
		t.Fatal(err)
	}
	ids, err := backup.ReadIdentities(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, o := range map[string]backup.Options{"plain": {}, "encrypted": {Recipients: backup.Recipients{to}}} {
		r := c.backup(o, filepath.Join(t.TempDir(), "b"))
		sound, err := os.ReadFile(r.File)
		if err != nil {
			t.Fatal(err)
		}
		for range 25 {
			broken, what := bytes.Clone(sound), "cut off"
			at := rng.IntN(len(sound))
			if rng.IntN(2) == 0 {
				broken = broken[:at]
			} else {
				broken[at] ^= byte(1 << rng.IntN(8))
				what = "flipped"
			}
			again := filepath.Join(t.TempDir(), "again")
			if err := os.WriteFile(r.File, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := backup.Restore(t.Context(), r.File, backup.RestoreOptions{To: again, Identities: ids})
			switch {
			case err == nil && name == "plain" && what == "flipped":
				c.same(again) // in gzip's own header, which says nothing of the content
			case err == nil:
				t.Errorf("%s, %s at %d of %d: it was restored", name, what, at, len(sound))
			default:
				empty(t, filepath.Dir(again))
			}
		}
	}
}

// packed is an archive as somebody makes it who means no good.
type packed struct {
	manifest map[string]any
	entries  []tar.Header
	content  map[string][]byte
}

func (p *packed) file(name string, content []byte) {
	p.declare(name, int64(len(content)), content)
}

// declare lists a file in the manifest and packs it.
func (p *packed) declare(name string, size int64, content []byte) {
	sum := sha256.Sum256(content)
	files, _ := p.manifest["files"].([]any)
	p.manifest["files"] = append(files, map[string]any{"name": name, "size": size, "sha256": hex.EncodeToString(sum[:])})
	p.pack(tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600}, content)
}

func (p *packed) pack(h tar.Header, content []byte) {
	p.entries = append(p.entries, h)
	p.content[h.Name] = content
}

func (p *packed) write(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	head, err := json.Marshal(p.manifest)
	if err != nil {
		t.Fatal(err)
	}
	put := func(h tar.Header, content []byte) {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	put(tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json", Size: int64(len(head))}, head)
	for _, h := range p.entries {
		put(h, p.content[h.Name])
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sound is a backup taken apart, to be put together otherwise.
func sound(t *testing.T) *packed {
	t.Helper()
	c := found(t, "http: {listen: 127.0.0.1:0}\n")
	c.open()
	c.measure(10)
	f, err := os.Open(c.backup(backup.Options{}, t.TempDir()).File)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	p := &packed{content: map[string][]byte{}}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "manifest.json" {
			if err := json.Unmarshal(content, &p.manifest); err != nil {
				t.Fatal(err)
			}
			continue
		}
		p.pack(*h, content)
	}
}

func (p *packed) clone() *packed {
	c := &packed{entries: slices.Clone(p.entries), content: map[string][]byte{}}
	for name, content := range p.content {
		c.content[name] = bytes.Clone(content)
	}
	head, err := json.Marshal(p.manifest)
	if err == nil {
		err = json.Unmarshal(head, &c.manifest)
	}
	if err != nil {
		panic(err)
	}
	return c
}

func TestHostileArchives(t *testing.T) {
	restore := func(t *testing.T, p *packed) error {
		t.Helper()
		beside := t.TempDir()
		_, err := backup.Restore(t.Context(), p.write(t), backup.RestoreOptions{To: filepath.Join(beside, "again")})
		if err != nil {
			empty(t, beside)
		}
		return err
	}
	template := sound(t)
	if err := restore(t, template.clone()); err != nil {
		t.Fatal(err) // the others are refused for what is done to them
	}
	for name, change := range map[string]func(*packed){
		"out of the folder":       func(p *packed) { p.file("folder/../../evil", []byte("x")) },
		"an absolute path":        func(p *packed) { p.file("/etc/cron.d/evil", []byte("x")) },
		"an absolute path within": func(p *packed) { p.file("folder//etc/evil", []byte("x")) },
		"a backslash":             func(p *packed) { p.file(`folder/..\evil`, []byte("x")) },
		"a hidden file":           func(p *packed) { p.file("folder/.bashrc", []byte("x")) },
		"a drive":                 func(p *packed) { p.file("folder/C:evil", []byte("x")) },
		"a line break":            func(p *packed) { p.file("folder/a\nb", []byte("x")) },
		"deep":                    func(p *packed) { p.file("folder/"+strings.Repeat("a/", 40)+"a", []byte("x")) },
		"another name":            func(p *packed) { p.file("evil", []byte("x")) },
		"twice":                   func(p *packed) { p.file("folder/Charter.yaml", []byte("x")) },
		"a file as a folder":      func(p *packed) { p.file("folder/charter.yaml/x", []byte("x")) },
		"a link": func(p *packed) {
			p.file("folder/link", []byte(""))
			p.entries[len(p.entries)-1] = tar.Header{Typeflag: tar.TypeSymlink, Name: "folder/link", Linkname: "/etc"}
		},
		"a device": func(p *packed) {
			p.file("folder/device", []byte(""))
			p.entries[len(p.entries)-1] = tar.Header{Typeflag: tar.TypeBlock, Name: "folder/device"}
		},
		"not in the manifest": func(p *packed) {
			p.pack(tar.Header{Typeflag: tar.TypeReg, Name: "folder/more", Size: 1}, []byte("x"))
		},
		"only in the manifest": func(p *packed) {
			p.file("folder/less", []byte("x"))
			p.entries = p.entries[:len(p.entries)-1]
		},
		"another size":          func(p *packed) { p.declare("folder/size", 2, []byte("x")) },
		"a large file":          func(p *packed) { p.file("folder/large", make([]byte, 2<<20)) },
		"larger than any disk":  func(p *packed) { p.declare("series.db", 1<<60, []byte("x")) },
		"too many":              func(p *packed) { p.manifest["files"] = make([]any, 3000) },
		"another format":        func(p *packed) { p.manifest["format"] = "allmende-backup/2" },
		"a newer schema":        func(p *packed) { p.manifest["schema"] = 9999 },
		"other contents":        func(p *packed) { p.content["folder/charter.yaml"][0] ^= 1 },
		"another key":           func(p *packed) { p.manifest["community"].(map[string]any)["verifier"] = "lane+00000000+AAAA" },
		"another ledger":        func(p *packed) { p.manifest["ledger"].(map[string]any)["leaves"] = 7 },
		"a path out of reach":   func(p *packed) { p.manifest["moved"] = map[string]any{"authority": "../../etc"} },
		"a key that is no path": func(p *packed) { p.manifest["moved"] = map[string]any{"http": "x"} },
	} {
		t.Run(name, func(t *testing.T) {
			p := template.clone()
			change(p)
			if err := restore(t, p); err == nil {
				t.Error("it was restored")
			} else if name == "a newer schema" && !errors.Is(err, store.ErrNewerSchema) {
				t.Error(err)
			} else {
				t.Log(err)
			}
		})
	}
}

// A few bytes that unpack to gigabytes take neither memory nor disk.
func TestPackedBomb(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bomb.tar.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	w := tar.NewWriter(z)
	const size = 64 << 20
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json", Size: size}); err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 1<<20); ; {
		if _, err := w.Write(chunk); err != nil {
			break // it is full
		}
	}
	if err := errors.Join(w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	to := filepath.Join(t.TempDir(), "again")
	if _, err := backup.Restore(t.Context(), path, backup.RestoreOptions{To: to}); !errors.Is(err, backup.ErrNoBackup) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("it took %d MiB", took>>20)
	}
	empty(t, filepath.Dir(to))
}
