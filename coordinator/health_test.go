// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// TestTheWorstProblemIsNamed: with both disks full, "the gateway keeps them
// meanwhile" would be false comfort.
func TestTheWorstProblemIsNamed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	g := &gateway{
		enrolled: true, devices: 2, full: true, aside: "1 sample is set aside",
		elder:   true,
		session: &api.Session{Identity: api.Identity{Renew: now.AddDate(0, 0, -6), Ends: now.AddDate(0, 0, 4)}},
		status:  api.Status{SpoolError: "writing the spool: no space", Devices: []api.Device{{Asset: "roof"}, {Asset: "meter", Online: true, SecondMaster: "a second master: 2 kW"}, {Asset: "night", Sleeping: true}}},
	}
	for _, step := range []struct {
		want   string
		mended func()
	}{
		{"writing the spool", func() { g.status.SpoolError = "" }},
		{"cannot be stored here", func() { g.full = false }},
		{"set aside", func() { g.aside = "" }},
		{"roof", func() { g.status.Devices[0].Online = true }},
		{"let one of the two only read", func() { g.status.Devices[1].SecondMaster = "" }},
		{"another computer has its key", func() { g.elder = false }},
		{"does not renew it", func() { g.session.Ends = g.session.Ends.AddDate(0, 0, 6) }},
	} {
		if got := g.health("gw", now).Problem; !strings.Contains(got, step.want) {
			t.Errorf("%q, expected %q", got, step.want)
		}
		step.mended()
	}
	if got := g.health("gw", now).Problem; got != "" {
		t.Errorf("%q with nothing left to mend", got)
	}
	g.enrolled = false
	if got := g.health("gw", now).Problem; !strings.Contains(got, "not enrolled") {
		t.Errorf("never enrolled: %q", got)
	}
	g.revoked = store.Revocation{Before: now, Reason: "stolen from the cellar"}
	if got := g.health("gw", now).Problem; !strings.Contains(got, "revoked on 2027-01-15: stolen from the cellar") {
		t.Errorf("revoked: %q", got)
	}
}
