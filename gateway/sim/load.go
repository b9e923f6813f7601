// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"fmt"

	"github.com/allmende-energy/allmende/energy"
)

// FlexLoad is a charger or a heat pump: a load that can be told to take less, and
// that protects itself from being switched too often.
type FlexLoad struct {
	Wants    energy.Power // what it takes when nobody holds it back
	Least    energy.Power // below this it pauses
	MinRun   energy.Span
	MinPause energy.Span
}

// flexLoad is one that lives.
type flexLoad struct {
	spec   FlexLoad
	steer  steering
	follow follower
	power  energy.Power // since the world's last decision
	since  energy.Instant
	runs   bool
	known  bool
	taken  microjoules
}

func newFlexLoad(spec FlexLoad, q Quirks) *flexLoad {
	return &flexLoad{spec: spec, steer: free{}, follow: follower{dead: q.DeadTime, constant: q.TimeConstant}}
}

// decide sets the power: what it wants, as far as it may, and no start or stop
// before its time.
func (l *flexLoad) decide(now energy.Instant) {
	l.steer.revert(now)
	_, high := l.steer.bounds()
	allowed := max(min(l.spec.Wants, high), 0)
	should := allowed >= l.spec.Least && allowed > 0
	if !l.known {
		l.runs, l.known = should, true
		l.since = now.Add(-max(l.spec.MinRun, l.spec.MinPause)) // it has been so for long
	}
	rest := l.spec.MinPause
	if l.runs {
		rest = l.spec.MinRun
	}
	if should != l.runs && now.Sub(l.since) >= rest {
		l.runs, l.since = should, now
	}
	to := energy.Power(0)
	if l.runs {
		to = max(allowed, l.spec.Least)
	}
	l.power = max(l.follow.follow(to, now), 0)
}

// contact is what a grid operator's contact says now.
func (u *unit) contact() string {
	since := u.world.now().Sub(u.world.begun)
	for _, p := range u.spec.Limited {
		if since >= p.From && since < p.Until {
			return "limit"
		}
	}
	return "free"
}

func (c *checker) contact(at string, d Device) {
	if d.Profile == "" {
		c.addf(at+".profile", "a contact does not speak SunSpec: name a profile, such as modbus-contact")
	}
	if d.House != "" {
		c.addf(at+".house", "a contact belongs to no house: delete it")
	}
	for i, p := range d.Limited {
		if p.From < 0 || p.Until <= p.From {
			c.addf(fmt.Sprintf("%s.limited[%d]", at, i), "a period begins at 0 or later and ends after it began: from %s until %s", p.From, p.Until)
		}
	}
}

func (c *checker) load(at string, d Device) {
	loads := d.Kind == kindCharger || d.Kind == kindHeatPump
	if loads != (d.Load != nil) {
		c.addf(at+".load", "a charger or heat pump, and only such a device, has a section load")
	}
	if d.Load == nil {
		return
	}
	l := d.Load
	if l.Wants <= 0 || l.Wants > mostPower {
		c.addf(at+".load.wants_w", "%s is not above 0 and at most %s", l.Wants, mostPower)
	}
	if l.Least < 0 || l.Least > l.Wants {
		c.addf(at+".load.least_w", "%s is not between 0 and what it wants", l.Least)
	}
	for name, s := range map[string]energy.Span{"min_run": l.MinRun, "min_pause": l.MinPause} {
		if s < 0 || s > energy.Day {
			c.addf(at+".load."+name, "%s is not between 0 and a day", s)
		}
	}
}
