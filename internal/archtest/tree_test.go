// SPDX-License-Identifier: AGPL-3.0-or-later

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is a Go file of the tree.
type source struct {
	name    string // path from the root, with slashes
	pkg     string // the package's path below the module
	test    bool
	made    bool // generated code
	file    *ast.File
	fileset *token.FileSet
}

// at names a place in the file for a message.
func (s source) at(n ast.Node) string {
	p := s.fileset.Position(n.Pos())
	p.Filename = s.name
	return p.String()
}

// imports lists what the file imports.
func (s source) imports() []string {
	var paths []string
	for _, i := range s.file.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// root finds the folder that holds go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// files lists the files of the tree with one of the given endings, in order.
// Folders that are not ours (or not sources) are left out.
func files(t *testing.T, endings ...string) []string {
	t.Helper()
	skip := []string{".git", ".cache", "bin", "dist", "node_modules", "paraglide", "playwright-report", "test-results", "testdata"}
	top := root(t)
	var found []string
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skip, d.Name()):
			return filepath.SkipDir
		case d.Type().IsRegular() && slices.Contains(endings, filepath.Ext(name)):
			rel, err := filepath.Rel(top, name)
			if err != nil {
				return err
			}
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no files ending in %v: the walk looks in the wrong place", endings)
	}
	return found
}

// sources parses every Go file of the tree, whatever its build tags.
func sources(t *testing.T) []source {
	t.Helper()
	top := root(t)
	fileset := token.NewFileSet()
	var all []source
	for _, name := range files(t, ".go") {
		f, err := parser.ParseFile(fileset, filepath.Join(top, filepath.FromSlash(name)), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{
			name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			made: ast.IsGenerated(f), file: f, fileset: fileset,
		})
	}
	return all
}
