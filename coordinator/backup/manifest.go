// SPDX-License-Identifier: AGPL-3.0-or-later

package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Format names this layout of a backup. A program reads the formats it knows.
const Format = "allmende-backup/1"

// Manifest is the first entry of a backup, manifest.json.
type Manifest struct {
	Format    string    `json:"format"`
	Program   string    `json:"program"`
	Created   time.Time `json:"created"`
	Community Community `json:"community"`
	Schema    int64     `json:"schema"` // of the database; 0: there is none
	Ledger    Ledger    `json:"ledger"`
	// Moved are paths of the configuration that lay outside the folder; in the
	// backup they lie inside, by the paths given here.
	Moved map[string]string `json:"moved,omitempty"`
	// Elsewhere are other settings that name files outside the folder, with where
	// those lay; they are in the folder elsewhere, by the settings' names.
	Elsewhere map[string]string `json:"elsewhere,omitempty"`
	// Files are all other entries, in their order.
	Files []File `json:"files"`
}

// Community says whose backup it is.
type Community struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Verifier string `json:"verifier"` // of the ledger's checkpoints
}

// Ledger is what the database holds.
type Ledger struct {
	Leaves     int64  `json:"leaves"`
	Root       string `json:"root,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"` // signed
	Simulated  bool   `json:"simulated,omitempty"`
}

// File is one entry.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Names of entries. What lay in the community's folder lies under folder/.
const (
	nameManifest = "manifest.json"
	nameReadme   = "README.txt"
	nameDatabase = "ledger.db"
	nameSeries   = "series.db"
	prefixFolder = "folder/"
)

// Bounds of what is taken in and of what is taken back.
const (
	maxManifest = 4 << 20
	maxFile     = 1 << 20 // of one file of the folder
	maxFiles    = 2_000
	maxDepth    = 8
	maxName     = 240
	maxDatabase = 1 << 44
)

// describe adds the files with their sizes and hashes.
func (m Manifest) describe(entries []entry) (Manifest, error) {
	m.Program = trimVersion(m.Program)
	m.Moved, m.Elsewhere = map[string]string{}, map[string]string{}
	for i := range entries {
		e := &entries[i]
		f, err := e.describe()
		if err != nil {
			return Manifest{}, err
		}
		m.Files = append(m.Files, f)
		if e.key != "" {
			m.Moved[e.key] = strings.TrimPrefix(e.moved, prefixFolder)
		}
		if e.setting != "" {
			m.Elsewhere[e.setting] = e.from
		}
	}
	return m, m.check()
}

func (m Manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

func (m Manifest) digest() [sha256.Size]byte {
	b, _ := m.encode() // it was encoded before
	return sha256.Sum256(b)
}

// decodeManifest reads a manifest and refuses what this program could not keep
// its promises for.
func decodeManifest(b []byte) (Manifest, error) {
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Manifest{}, fmt.Errorf("%w: its manifest: %w", ErrNoBackup, err)
	}
	switch {
	case head.Format == Format:
	case strings.HasPrefix(head.Format, "allmende-backup/"):
		return Manifest{}, fmt.Errorf("%w: it has the format %q, this program knows %q: restore it with the program that made it, or a newer one", ErrNoBackup, head.Format, Format)
	default:
		return Manifest{}, fmt.Errorf("%w: its format is %.60q", ErrNoBackup, head.Format)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("%w: its manifest: %w", ErrNoBackup, err)
	}
	return m, m.check()
}

// check holds the manifest to its bounds: only names there may be, each once.
func (m Manifest) check() error {
	if len(m.Files) > maxFiles {
		return fmt.Errorf("%w: %d files, at most %d", ErrNoBackup, len(m.Files), maxFiles)
	}
	if m.Schema < 0 || m.Ledger.Leaves < 0 {
		return fmt.Errorf("%w: its manifest counts below zero", ErrNoBackup)
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if err := f.check(); err != nil {
			return err
		}
		// Not every file system tells A from a.
		fold := strings.ToLower(f.Name)
		if seen[fold] {
			return fmt.Errorf("%w: it holds %.80q twice", ErrNoBackup, f.Name)
		}
		seen[fold] = true
	}
	for key, to := range m.Moved {
		if !movable(key) || checkName(to) != nil {
			return fmt.Errorf("%w: it says that %.40q lies at %.80q", ErrNoBackup, key, to)
		}
	}
	return nil
}

func (f File) check() error {
	if b, err := hex.DecodeString(f.SHA256); err != nil || len(b) != sha256.Size || f.Size < 0 || f.Size > maxDatabase {
		return fmt.Errorf("%w: size or hash of %.80q is none", ErrNoBackup, f.Name)
	}
	switch f.Name {
	case nameDatabase, nameSeries:
		return nil
	case nameReadme:
	default:
		rel, ok := strings.CutPrefix(f.Name, prefixFolder)
		if !ok {
			return fmt.Errorf("%w: there is no place for a file named %.80q", ErrNoBackup, f.Name)
		}
		if err := checkName(rel); err != nil {
			return err
		}
	}
	if f.Size > maxFile {
		return fmt.Errorf("%w: %.80q has %d bytes, at most %d", ErrNoBackup, f.Name, f.Size, maxFile)
	}
	return nil
}

// checkName refuses every path that could lead out of a folder, hide in it, or
// mean something else on another computer.
func checkName(name string) error {
	bad := fmt.Errorf("%w: %.80q is no name for a file in a community's folder", ErrNoBackup, name)
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || path.Clean(name) != name {
		return bad
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return bad
	}
	for _, part := range parts {
		if part == "" || part[0] == '.' || strings.ContainsAny(part, `\:`) || strings.ContainsFunc(part, unicode.IsControl) {
			return bad
		}
	}
	return nil
}

// describe reads a file for its size and hash.
func (e *entry) describe() (File, error) {
	if e.content != nil {
		sum := sha256.Sum256(e.content)
		return File{e.name, int64(len(e.content)), hex.EncodeToString(sum[:])}, nil
	}
	f, err := os.Open(e.path)
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return File{}, err
	}
	return File{e.name, n, hex.EncodeToString(sum.Sum(nil))}, nil
}
