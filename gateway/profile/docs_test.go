// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway/profile"
)

// The example of docs/profiles.md loads, and the document counts our profiles.
func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile("../../docs/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "```yaml\nprofile: ")
	example, _, found := strings.Cut(example, "```")
	if !found {
		t.Fatal("no example")
	}
	p, err := profile.Parse("docs/profiles.md", []byte("profile: "+example))
	if err != nil || len(p.Points) < 10 || len(p.Controls) != 2 {
		t.Errorf("%v", err)
	}
	if n := len(library(t).All()); !strings.Contains(string(doc), strconv.Itoa(n)+" profiles come with") {
		t.Errorf("docs/profiles.md does not say that there are %d profiles", n)
	}
}
