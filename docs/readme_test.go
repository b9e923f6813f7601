// SPDX-License-Identifier: AGPL-3.0-or-later

// Package docs holds what is written about the program, and tests of what it claims.
package docs

import (
	"os"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/charters"
)

// Whoever copies the README's charter gets one that works.
func TestReadmeCharterIsValid(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\n")
	yaml, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("README.md shows no charter")
	}
	c, err := charters.Decode([]byte(yaml))
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		t.Error(err)
	}
}
