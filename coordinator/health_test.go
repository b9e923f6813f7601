// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/coordinator/api"
)

// TestTheWorstProblemIsNamed: with both disks full, "the gateway keeps them
// meanwhile" would be false comfort.
func TestTheWorstProblemIsNamed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	g := &gateway{
		enrolled: true, devices: 2, full: true, aside: "1 sample is set aside",
		session: &api.Session{Ends: now.AddDate(1, 0, 0)},
		status:  api.Status{SpoolError: "writing the spool: no space", Devices: []api.Device{{Asset: "roof"}, {Asset: "meter", Online: true}}},
	}
	for _, step := range []struct {
		want   string
		mended func()
	}{
		{"writing the spool", func() { g.status.SpoolError = "" }},
		{"cannot be stored here", func() { g.full = false }},
		{"set aside", func() { g.aside = "" }},
		{"roof", func() { g.status.Devices[0].Online = true }},
	} {
		if got := g.health("gw", now).Problem; !strings.Contains(got, step.want) {
			t.Errorf("%q, expected %q", got, step.want)
		}
		step.mended()
	}
	if got := g.health("gw", now).Problem; got != "" {
		t.Errorf("%q with nothing left to mend", got)
	}
}
