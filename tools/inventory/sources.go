// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// goModules are those whose packages are compiled in, on any kind of computer.
func goModules(ctx context.Context, root string) ([]part, error) {
	found := map[string]part{}
	var toolchain, goroot string
	for _, arch := range []string{"amd64", "arm64", "arm"} {
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Module", "./cmd/allmende")
		cmd.Dir = root
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		b, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w\n%s", err, complaint.String())
		}
		for dec := json.NewDecoder(bytes.NewReader(b)); dec.More(); {
			var p struct {
				Module *struct {
					Path, Version, Dir, Sum string
					Main                    bool
				}
			}
			if err := dec.Decode(&p); err != nil {
				return nil, fmt.Errorf("go list: %w", err)
			}
			m := p.Module
			if m == nil || m.Main || found[m.Path].Name != "" {
				continue
			}
			licences, err := licencesIn(m.Dir)
			if err != nil {
				return nil, err
			}
			found[m.Path] = part{Kind: "golang", Name: m.Path, Version: m.Version, Licences: licences, Shipped: true, Sum: m.Sum}
		}
	}
	b, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	toolchain, goroot, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
	licences, err := licencesIn(goroot)
	if err != nil || len(licences) == 0 {
		licences = []string{"BSD-3-Clause"} // some distributions keep the text elsewhere
	}
	parts := []part{{Kind: "golang", Name: "std", Version: strings.TrimPrefix(toolchain, "go"), Licences: licences, Shipped: true}}
	for _, p := range found {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.Name, b.Name) })
	return parts, nil
}

// npmPackages are those of the page. What package.json lists under dependencies,
// with what that needs, is shipped; the rest builds and tests it.
func npmPackages(root string) ([]part, error) {
	b, err := os.ReadFile(filepath.Join(root, "dashboards", "web", "package-lock.json"))
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct {
			Version, License, Integrity string
			Dev, DevOptional, Optional  bool
		} `json:"packages"`
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		return nil, fmt.Errorf("package-lock.json: %w", err)
	}
	var parts []part
	for path, p := range lock.Packages {
		at := strings.LastIndex(path, "node_modules/")
		if at < 0 {
			continue // the page itself
		}
		part := part{Kind: "npm", Name: path[at+len("node_modules/"):], Version: p.Version, Shipped: !p.Dev && !p.DevOptional && !p.Optional, Sum: p.Integrity}
		if p.License != "" {
			part.Licences = []string{p.License}
		}
		parts = append(parts, part)
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	parts = slices.CompactFunc(parts, func(a, b part) bool { return a.Name == b.Name && a.Version == b.Version })
	if !slices.ContainsFunc(parts, func(p part) bool { return p.Shipped }) {
		return nil, errors.New("package-lock.json: nothing is shipped with the page, which cannot be: is it still listed under dependencies in package.json?")
	}
	return parts, nil
}

// file is a program that the bill is for.
type file struct{ Name, SHA256 string }

// readPrograms compares the bill with what the linker wrote into programs.
func readPrograms(paths []string, parts []part) ([]file, error) {
	var out []file
	for _, path := range paths {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			same := func(p part) bool { return p.Kind == "golang" && p.Name == d.Path && p.Version == d.Version }
			if !slices.ContainsFunc(parts, same) {
				return nil, fmt.Errorf("%s holds %s %s, and the bill does not: it was built from another tree; make packages builds it anew", path, d.Path, d.Version)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		out = append(out, file{Name: filepath.Base(path), SHA256: hex.EncodeToString(sum[:])})
	}
	return out, nil
}
