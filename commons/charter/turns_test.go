// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Each pass over each source is a line in the record of every interval: a
// charter with too many could not be stored.
func TestRecordIsBounded(t *testing.T) {
	c := sample()
	c.RulesVersion = 2
	for i := range 60 {
		c.Sharing.Sources = append(c.Sharing.Sources, Source{Name: Name(fmt.Sprint("s", i)), Member: roll.MemberID(fmt.Sprint("m", i))})
	}
	c.Sharing.Rounds = nil
	for i := range 3 {
		c.Sharing.Rounds = append(c.Sharing.Rounds, Round{
			Name: fmt.Sprint("round ", i), Method: Passes, Passes: 20, Keys: []MemberKeys{{Member: "anna", Keys: []Key{{Percent: 10_000}}}},
		})
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Sharing.Rounds = append(c.Sharing.Rounds, c.Sharing.Rounds[0])
	c.Sharing.Rounds[3].Name = "one more"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "fewer passes") {
		t.Errorf("a record of 4,880 lines is accepted: %v", err)
	}
	c.Sharing.Rounds = c.Sharing.Rounds[:1]
	c.Sharing.Rounds[0].Name = SolidarityRound
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("a round is called like a reserve: %v", err)
	}
}
