// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// facts are what a device has to tell of one moment, quirks included, whatever
// registers it tells it with.
type facts struct {
	power   energy.Power
	in, out microjoules // import, charged or consumed; export, discharged or produced
	version string
}

// counts makes a device's counters of what really flowed.
type counts struct {
	start     microjoules
	in, out   microjoules // at the restart
	restarted bool
}

// flows are the true energies, d after the world's last decision.
func (u *unit) flows(d energy.Span) (p energy.Power, in, out microjoules) {
	switch {
	case u.battery != nil:
		u.stored = u.battery.after(d)
		return u.battery.power, u.stored.Charged, u.stored.Discharged
	case u.house == nil && u.binding == nil: // a contact
		return 0, 0, 0
	case u.binding != nil:
		in, out = u.binding.after(d)
		return u.binding.net(), in, out
	case u.load != nil:
		return u.load.power, u.load.taken + during(u.load.power, d), 0
	case u.inverter != nil:
		return u.house.pv, 0, u.house.after(d).Production
	default:
		c := u.house.after(d)
		return u.house.net(), c.Import, c.Export
	}
}

func (u *unit) facts(d energy.Span) facts {
	var f facts
	f.power, f.in, f.out = u.flows(d)
	f.in, f.out = f.in-u.counts.in+u.counts.start, f.out-u.counts.out+u.counts.start
	if u.night(nightZeros) {
		f.in, f.out = 0, 0
	}
	var flipped bool
	if f.version, flipped = u.spec.Quirks.firmware(u.world.at.Add(d).Sub(u.world.begun)); flipped {
		f.power = -f.power
	}
	return f
}

// night says whether an inverter without sun does this.
func (u *unit) night(does string) bool {
	return u.inverter != nil && u.spec.Quirks.AtNight == does && u.inverter.dark
}

// silent is the error of a device that does not answer now.
func (u *unit) silent() error {
	if u.night(nightSilent) {
		return wire.ErrSilent
	}
	return nil
}

// happen lets happen to a device what its quirks have for this moment, to which
// the world was brought.
func (u *unit) happen() {
	q, since := u.spec.Quirks, u.world.at.Sub(u.world.begun)
	if q.CounterRestartAfter > 0 && since >= q.CounterRestartAfter && !u.counts.restarted {
		_, in, out := u.flows(0)
		u.counts = counts{in: in, out: out, restarted: true}
	}
	if q.RivalEvery > 0 && int64(since/q.RivalEvery) > u.rivals {
		u.rivals = int64(since / q.RivalEvery)
		u.steering().command(q.RivalPower, u.world.at)
	}
}

func (u *unit) steering() steering {
	switch {
	case u.battery != nil:
		return u.battery.steer
	case u.inverter != nil:
		return u.inverter.steer
	case u.load != nil:
		return u.load.steer
	}
	return free{}
}

// inverter holds a roof back as it was told.
type inverter struct {
	rated  energy.Power
	steer  steering
	follow follower
	dark   bool // there is no sun
}

func newInverter(rated energy.Power, q Quirks) *inverter {
	return &inverter{rated: rated, steer: free{}, follow: follower{dead: q.DeadTime, constant: q.TimeConstant}}
}

// decide is what the inverter lets through of what the roof could give. It is
// the limit that lags, not the sun.
func (i *inverter) decide(pv energy.Power, now energy.Instant) energy.Power {
	i.steer.revert(now)
	i.dark = pv == 0
	if i.rated == 0 {
		return pv
	}
	_, high := i.steer.bounds()
	return max(min(pv, i.follow.follow(min(high, max(i.rated, pv)), now)), 0)
}
