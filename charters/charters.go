// SPDX-License-Identifier: AGPL-3.0-or-later

// Package charters holds the charter templates that a community begins with, and
// reads charters from YAML. What a charter means is said in commons/charter,
// which knows nothing of files.
package charters

import (
	_ "embed"
	"slices"
)

// Template is a charter that a community can take as it is, or change.
type Template struct {
	Name string // also the file's name, without .yaml
	YAML []byte
}

//go:embed equal-shares.yaml
var equalShares []byte

//go:embed proportional.yaml
var proportional []byte

// Templates are all templates, the one to recommend first. The bytes are the caller's own.
func Templates() []Template {
	return []Template{
		{Name: "equal-shares", YAML: slices.Clone(equalShares)},
		{Name: "proportional", YAML: slices.Clone(proportional)},
	}
}
