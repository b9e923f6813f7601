// SPDX-License-Identifier: AGPL-3.0-or-later

package archtest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	links := 0
	for _, name := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(string(read(t, name)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			target := path.Join(path.Dir(name), m[1])
			if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
	if links == 0 {
		t.Fatal("no link was looked at")
	}
}
