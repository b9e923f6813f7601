// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"testing"

	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/scheduler"
)

// TestNoSetpointOfAnEarlierStream: a gateway that connected anew may have been
// started anew, with another clock. What echoes the old one is not sent.
func TestNoSetpointOfAnEarlierStream(t *testing.T) {
	f := newFleet("c")
	s := api.NewSession(api.Identity{Gateway: "gw"}, api.Hello{})
	s.Number = 2
	f.gateways["gw"] = &gateway{session: s}
	f.command("gw", []scheduler.Setpoint{{Asset: "old", Session: 1}, {Asset: "new", Session: 2}})
	f.command("gw", []scheduler.Setpoint{{Asset: "older", Session: 1}})
	if got := s.Waiting(); len(got) != 1 || got[0].Asset != "new" {
		t.Errorf("%+v", got)
	}
}
