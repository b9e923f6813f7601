// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
)

// FuzzDecodeChange: what stands in the database may have been edited by hand. It
// is read as it was written, or refused.
func FuzzDecodeChange(f *testing.F) {
	f.Add("member", `{"fields":["name"],"name":"Anna","groups":["families"]}`)
	f.Add("site", `{"member":"anna","connection":"grid","latitude":48.2}`)
	f.Add("asset", `{"kind":"battery","battery":{"capacity":1}}`)
	f.Add("gateway", `{"again":true} {}`)
	f.Add("community", `null`)
	f.Fuzz(func(t *testing.T, kind, text string) {
		ref := roll.Ref{Kind: roll.Kind(kind), ID: "one"}
		c, err := decodeChange(ref, text)
		if err != nil {
			return
		}
		written, err := encodeChange(c)
		if err != nil {
			t.Fatalf("%s is read and cannot be written: %v", text, err)
		}
		again, err := decodeChange(ref, written)
		if err != nil {
			t.Fatalf("%s was written as %s: %v", text, written, err)
		}
		if twice, err := encodeChange(again); err != nil || twice != written {
			t.Fatalf("%s became %s, %v", written, twice, err)
		}
	})
}
