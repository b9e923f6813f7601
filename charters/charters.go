// SPDX-License-Identifier: AGPL-3.0-or-later

// Package charters holds the charter templates that a community begins with, and
// reads charters from YAML. What a charter means is said in commons/charter,
// which knows nothing of files.
package charters

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

// Template is a charter that a community can take as it is, or change.
type Template struct {
	Name string // also the file's name, without .yaml
	YAML []byte
}

//go:embed *.yaml
var files embed.FS

// Ours are the templates that follow no law, in the order in which to recommend them.
func Ours() []string {
	return []string{"equal-shares", "proportional", "needs-first", "contribution-weighted"}
}

// Templates are all templates, the one to recommend first: our own, then those
// of jurisdictions by name. The bytes are the caller's own.
func Templates() []Template {
	names := Ours()
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(fmt.Sprintf("the embedded templates cannot be listed: %v", err)) // they are part of the program
	}
	for _, e := range entries { // sorted by name
		if name := strings.TrimSuffix(e.Name(), ".yaml"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	all := make([]Template, len(names))
	for i, name := range names {
		text, err := files.ReadFile(name + ".yaml")
		if err != nil {
			panic(fmt.Sprintf("the embedded template %s cannot be read: %v", name, err))
		}
		all[i] = Template{Name: name, YAML: text}
	}
	return all
}
