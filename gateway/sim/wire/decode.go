// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"fmt"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// DecodeRules reads a file that holds nothing but `faults:` and a list of rules;
// name stands in errors, each of which is "name:line: field: what is wrong".
func DecodeRules(name string, src []byte) ([]Rule, error) {
	var file struct {
		Faults []Rule `yaml:"faults"`
	}
	doc := strictyaml.Read(name, src, &file, strictyaml.Options{Start: "docs/simulation.md shows each rule"})
	for _, p := range Problems(file.Faults) {
		doc.Problemf("faults"+p.Field, "%s", p.Text)
	}
	if err := doc.Err(); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	return file.Faults, nil
}
