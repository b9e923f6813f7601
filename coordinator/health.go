// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
)

// Bounds beyond which a gateway's page entry says that something is wrong.
const maxOffset = 2 * energy.Second

func (g *gateway) health(id roll.GatewayID, wall time.Time) api.GatewayHealth {
	h := api.GatewayHealth{
		Gateway: id, Name: g.name, Connected: g.session != nil, Enrolled: g.enrolled, LastSeen: g.lastSeen,
		ClockOffset: g.status.ClockOffset, ClockKnown: g.status.ClockKnown, SpoolPending: g.status.SpoolPending,
		DevicesTotal: g.devices,
	}
	if g.session != nil {
		for _, d := range g.status.Devices {
			if d.Online || d.Sleeping { // an inverter at night is where it should be
				h.DevicesOnline++
			}
		}
	}
	h.Problem = g.problem(id, h, wall)
	return h
}

// problem is the worst that is wrong with a gateway, and what to do about it.
func (g *gateway) problem(id roll.GatewayID, h api.GatewayHealth, wall time.Time) string {
	switch {
	case !g.enrolled && !g.revoked.Before.IsZero():
		return g.shutOut(id)
	case !g.enrolled:
		return fmt.Sprintf("not enrolled: make a token for %s here, and run `allmende gateway enrol TOKEN` on the gateway", id)
	case g.refused != "":
		return g.refused
	case g.session == nil:
		return "not connected: check that the gateway has power and network and that `allmende gateway run` runs there; it keeps its samples meanwhile"
	case g.status.SpoolError != "": // it keeps nothing then but what is in its memory
		return g.status.SpoolError
	case g.full:
		return "its samples cannot be stored here: free space under the coordinator's data folder; the gateway keeps them meanwhile"
	case g.aside != "":
		return g.aside
	case h.ClockKnown && (h.ClockOffset > maxOffset || h.ClockOffset < -maxOffset):
		return fmt.Sprintf("its clock is off by %s: set it (timedatectl set-ntp true)", h.ClockOffset)
	case h.DevicesOnline < len(g.status.Devices):
		return g.offline()
	case g.contested() != "":
		return g.contested()
	case g.elder:
		return fmt.Sprintf("it uses an older certificate than it did before: if it was not set back to an old copy, another computer has its key, so revoke it: allmende gateway revoke %s", id)
	case overdue(g.session.Identity, wall):
		return fmt.Sprintf("its certificate ends on %s and it does not renew it: see its log, and that its software is not older than the coordinator's", g.session.Ends.Format(time.DateOnly))
	}
	return ""
}

// contested names the first device that somebody else commands as well.
func (g *gateway) contested() string {
	for _, d := range g.status.Devices {
		if d.SecondMaster != "" {
			return fmt.Sprintf("%s: %s; find out who (another energy manager, the maker's portal, a home automation) and let one of the two only read", d.Asset, d.SecondMaster)
		}
	}
	return ""
}

// offline names the first device that does not answer.
func (g *gateway) offline() string {
	missing, first := 0, api.Device{}
	for _, d := range g.status.Devices {
		if !d.Online && !d.Sleeping {
			if missing == 0 {
				first = d
			}
			missing++
		}
	}
	more := ""
	if missing > 1 {
		more = fmt.Sprintf(" and %d more", missing-1)
	}
	why := first.Error
	if why == "" {
		why = "no answer"
	}
	return fmt.Sprintf("%s%s: %s: check the device's power, cable and address", first.Asset, more, why)
}

// shutOut says that a gateway was revoked, and how it comes back.
func (g *gateway) shutOut(id roll.GatewayID) string {
	why := ""
	if g.revoked.Reason != "" {
		why = ": " + g.revoked.Reason
	}
	return fmt.Sprintf("revoked on %s%s. If it is to come back, make a token for %s here, and run `allmende gateway enrol TOKEN` on the gateway", g.revoked.Before.Format(time.DateOnly), why, id)
}

// overdue says that half of the time in which a certificate should have been
// renewed has passed.
func overdue(id api.Identity, wall time.Time) bool {
	return wall.After(id.Renew.Add(id.Ends.Sub(id.Renew) / 2))
}
