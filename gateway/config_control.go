// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
)

// Bounds of what a configuration may say about commands.
const (
	mostPower    = 1_000_000_000 * energy.Watt
	mostCapacity = 1_000_000 * energy.KilowattHour
	mostContacts = 50
	mostCycle    = energy.Day
)

// checkDevice says what is wrong with how a device is commanded.
func (c Config) checkDevice(field string, d Device) []problem {
	var found []problem
	addf := func(at, format string, args ...any) {
		found = append(found, problem{field: field + at, reason: fmt.Sprintf(format, args...)})
	}
	if d.Kind != "" && !slices.Contains(profile.Kinds(), profile.Kind(d.Kind)) {
		addf(".kind", "%.40q: write one of %v", d.Kind, profile.Kinds())
	}
	if t := d.Timing; t.ConnectDelay > time.Minute || t.RequestGap > 10*time.Second || t.MaxRegisters > modbus.MaxRead {
		addf("", "write connect_delay up to 1m, request_gap up to 10s and max_registers from 1 to %d", modbus.MaxRead)
	}
	switch d.Fallback {
	case "", guard.ReleaseIt, guard.Rest:
	default:
		addf(".fallback", "%.40q: write release (the same as self_consumption: the battery follows itself) or zero (the same as hold: it rests at 0 W)", d.Fallback)
	}
	if d.Waiver != "" {
		if _, err := guard.CheckWaiver(d.Waiver, d.Asset, c.WaiverKeys); err != nil {
			addf(".waiver", "%v", err)
		}
	}
	return append(found, checkLimits(field+".limits", d.Limits)...)
}

func checkLimits(field string, l *guard.Limits) []problem {
	var found []problem
	if l == nil {
		return nil
	}
	addf := func(at, format string, args ...any) {
		found = append(found, problem{field: field + at, reason: fmt.Sprintf(format, args...)})
	}
	for _, p := range []energy.Power{
		l.MaxCharge, l.MaxDischarge, l.MaxFeedIn, l.MaxLoad, l.OfflineFeedIn, l.OfflineLoad, l.Rated, l.LeastLoad, l.Ramp,
	} {
		if p < 0 || p > mostPower && p != guard.NoLimit {
			addf("", "a power limit is negative or more than any device has: write what the device may take and give as positive watts")
			break
		}
	}
	if l.MinSoC < 0 || l.MaxSoC > 1000 || l.MinSoC >= l.MaxSoC {
		addf("", "write min_soc_percent below max_soc_percent, both from 0 to 100")
	}
	if l.Hysteresis < 0 || 2*l.Hysteresis > l.MaxSoC-l.MinSoC {
		addf(".soc_hysteresis_percent", "write at most half of what lies between min_soc_percent and max_soc_percent")
	}
	if l.Capacity < 0 || l.Capacity > mostCapacity {
		addf(".capacity_kwh", "write what the battery holds, or leave it out")
	}
	if l.MinRun < 0 || l.MinRun > mostCycle || l.MinPause < 0 || l.MinPause > mostCycle {
		addf("", "write min_run and min_pause from 0s to 24h")
	}
	if l.MaxLoad < l.LeastLoad {
		addf(".max_load_w", "%s is below min_load_w: the load would never run; raise it, or take the device out", l.MaxLoad)
	}
	if l.MaxFeedIn == 0 || l.OfflineFeedIn == 0 {
		addf("", "max_feed_in_w and offline_feed_in_w are above 0: some inverters go into standby at 0 and stay there; to forbid feeding in switch the device off")
	}
	return found
}

func (c Config) checkContacts() []problem {
	var found []problem
	if n := len(c.Contacts); n > mostContacts {
		return append(found, problem{field: "grid_operator", reason: fmt.Sprintf("%d contacts: at most %d", n, mostContacts)})
	}
	kinds := map[roll.AssetID]string{}
	for _, d := range c.Devices {
		kinds[d.Asset] = d.Kind
	}
	for i, g := range c.Contacts {
		field := fmt.Sprintf("grid_operator[%d]", i)
		addf := func(at, format string, args ...any) {
			found = append(found, problem{field: field + at, reason: fmt.Sprintf(format, args...)})
		}
		if _, ok := kinds[g.Contact]; !ok {
			addf(".contact", "%.40q is none of the devices: write the asset of the device that the contact is read from", g.Contact)
		}
		if g.Limited == "" || g.Free == "" || g.Limited == g.Free {
			addf(".limited", "write limited and free: the two states of the contact, which differ, such as closed and open")
		}
		if len(g.Devices) == 0 {
			addf(".devices", "write the assets that the limit holds for")
		}
		for _, d := range g.Devices {
			if _, ok := kinds[d]; !ok || d == g.Contact {
				addf(".devices", "%.40q is none of the devices that can be limited", d)
			}
		}
		if g.Limit.Draw == guard.NoLimit && g.Limit.FeedPermille >= 1000 {
			addf("", "it limits nothing: write draw_w, feed_in_percent, or both")
		}
		if g.Limit.Draw < 0 || g.Failsafe.Draw < 0 || g.Limit.FeedPermille < 0 {
			addf("", "a limit is negative")
		}
		if g.Heartbeat < energy.Second || g.Heartbeat > energy.Hour || g.Hold < 0 || g.Hold > 7*energy.Day {
			addf("", "write a heartbeat from 1s to 1h, and hold up to 168h")
		}
	}
	return found
}

// Offline says in words what the devices of this gateway may feed in and take
// while no coordinator looks after their connection.
func (c Config) Offline() (feed, load string) {
	var feeds, loads energy.Power
	fed, loaded := 0, 0
	for _, d := range c.Devices {
		if d.Limits == nil {
			continue
		}
		if p := min(d.Limits.OfflineFeedIn, d.Limits.MaxFeedIn); p != guard.NoLimit {
			feeds, fed = feeds+p, fed+1
		}
		if p := min(d.Limits.OfflineLoad, d.Limits.MaxLoad); p != guard.NoLimit {
			loads, loaded = loads+p, loaded+1
		}
	}
	say := func(what string, n int, sum energy.Power) string {
		if n == 0 {
			return "no device has a limit of " + what
		}
		return fmt.Sprintf("%d of %d devices have a limit of %s, %s together", n, len(c.Devices), what, sum)
	}
	return say("feeding in", fed, feeds), say("taking", loaded, loads)
}
