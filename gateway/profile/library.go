// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

//go:embed library/*.yaml
var embedded embed.FS

// Embedded is the Origin of a profile that came with the program.
const Embedded = "embedded"

// mostFiles bounds a folder of profiles.
const mostFiles = 1000

// ErrUnknown says that no profile has a name.
var ErrUnknown = errors.New("no profile of this name")

// Library holds profiles by name. It does not change once it is made.
type Library struct {
	profiles map[string]*Profile
	// Replaced says which embedded profiles a folder replaced, for a person to know.
	Replaced []string
}

// LoadLibrary reads the embedded profiles and, where dir is not empty, those
// in its *.yaml files. A profile of the folder replaces an embedded one of the
// same name; two of one name in the folder are refused.
func LoadLibrary(dir string) (*Library, error) {
	lib := &Library{profiles: map[string]*Profile{}}
	if err := lib.embedded(); err != nil {
		return nil, err
	}
	if dir == "" {
		return lib, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("folder of profiles %q: %w", dir, err)
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("folder of profiles: %w; make it, or leave the setting out", err)
	}
	if len(files) > mostFiles {
		return nil, fmt.Errorf("folder of profiles %s: %d files; at most %d are read, so check the path", dir, len(files), mostFiles)
	}
	var wrong strictyaml.Problems
	for _, file := range files {
		if err := lib.add(file); err != nil {
			if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
				wrong = append(wrong, problems...)
				continue
			}
			return nil, err
		}
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	slices.Sort(lib.Replaced)
	return lib, nil
}

func (l *Library) embedded() error {
	files, err := fs.Glob(embedded, "library/*.yaml")
	if err != nil {
		return fmt.Errorf("embedded profiles: %w", err)
	}
	for _, file := range files {
		src, err := embedded.ReadFile(file)
		if err != nil {
			return fmt.Errorf("embedded profiles: %w", err)
		}
		p, err := Parse(file, src)
		if err != nil {
			return err
		}
		p.Origin = Embedded
		l.profiles[p.Name] = p
	}
	return nil
}

func (l *Library) add(file string) error {
	p, err := ReadFile(file)
	if err != nil {
		return err
	}
	if known := l.profiles[p.Name]; known != nil {
		if known.Origin != Embedded {
			return fmt.Errorf("%s: profile %s is also in %s; give one of them another name", file, p.Name, known.Origin)
		}
		l.Replaced = append(l.Replaced, p.Name)
	}
	l.profiles[p.Name] = p
	return nil
}

// ReadFile reads one profile.
func ReadFile(file string) (*Profile, error) {
	src, err := strictyaml.ReadFile(file, strictyaml.Options{MaxSize: mostBytes})
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return Parse(file, src)
}

// Source is the text of an embedded profile, for a person to begin from.
func (l *Library) Source(name string) ([]byte, error) {
	p, err := l.Get(name)
	if err != nil {
		return nil, err
	}
	if p.Origin != Embedded {
		return os.ReadFile(p.Origin)
	}
	return embedded.ReadFile("library/" + name + ".yaml")
}

// Get finds a profile.
func (l *Library) Get(name string) (*Profile, error) {
	if p := l.profiles[name]; p != nil {
		return p, nil
	}
	names := make([]string, 0, len(l.profiles))
	for _, p := range l.All() {
		names = append(names, p.Name)
	}
	hint := ""
	if s := strictyaml.Suggest(name, names); s != "" {
		hint = "; did you mean " + s + "?"
	}
	return nil, fmt.Errorf("%w: %.60q%s \"allmende gateway profiles list\" shows them all", ErrUnknown, name, cmp.Or(hint, ";"))
}

// All lists the profiles by name.
func (l *Library) All() []*Profile {
	all := make([]*Profile, 0, len(l.profiles))
	for _, p := range l.profiles {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *Profile) int { return strings.Compare(a.Name, b.Name) })
	return all
}
