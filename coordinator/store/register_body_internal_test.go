// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
)

// TestMembersBefore: what databases hold of members who bid for nothing is what it
// was before there were bids.
func TestMembersBefore(t *testing.T) {
	const text = `{"fields":["name"],"name":"Anna","groups":["families"]}`
	c, err := decodeChange(roll.Ref{Kind: roll.KindMember, ID: "anna"}, text)
	if err != nil || c.Entry.Member.Bid != nil || c.Entry.Member.Offer != nil {
		t.Fatalf("%+v, %v", c, err)
	}
	if again, err := encodeChange(c); err != nil || again != text {
		t.Errorf("%s became %s, %v", text, again, err)
	}
}

// FuzzDecodeChange: what stands in the database may have been edited by hand. It
// is read as it was written, or refused.
func FuzzDecodeChange(f *testing.F) {
	f.Add("member", `{"fields":["name"],"name":"Anna","groups":["families"]}`)
	f.Add("member", `{"fields":["bid"],"bid":{"price":"18 ct/kWh EUR","most_kwh":"0.5"},"offer":{"price":"0.08 EUR/kWh"}}`)
	f.Add("member", `{"fields":["offer"],"offer":{"price":"8 ct"}}`)
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
