// SPDX-License-Identifier: AGPL-3.0-or-later

package docs

import (
	"os"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway"
)

// Whoever copies the gateway.yaml of control.md gets one that works.
func TestControlExampleIsValid(t *testing.T) {
	page, err := os.ReadFile("control.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	yaml, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("control.md shows no gateway.yaml")
	}
	if _, err := gateway.Decode("gateway.yaml", []byte(yaml)); err != nil {
		t.Error(err)
	}
}
