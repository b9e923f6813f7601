// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/sun"
	"github.com/allmende-energy/allmende/meters"
)

// Place is where the devices stand, in degrees.
type Place struct{ Latitude, Longitude float64 }

const (
	// An inverter may sleep while the sun stands lower than this, in degrees:
	// hills and haze take their part, and it takes a while to wake up.
	lowSun = 6
	// Below this no roof yields anything: it is dark.
	noSun = -6
	// frozenAfter is how long the same power may be shown in the dark.
	frozenAfter = 10 * energy.Minute
)

// night is what is remembered of an inverter that may sleep.
type night struct {
	asleep bool
	power  energy.Power // the latest that it showed
	since  energy.Instant
}

// sleeps says whether a device that does not answer is excused: it is an
// inverter, and the sun is low.
func (p *poller) sleeps() bool {
	kind := roll.AssetKind(p.cfg.Kind)
	if p.dev != nil {
		kind = p.dev.Kind()
	}
	if kind != roll.Inverter || p.env.cfg.Place == nil {
		return false
	}
	return sun.Elevation(p.env.now(), p.env.cfg.Place.Latitude, p.env.cfg.Place.Longitude) < lowSun
}

// asleep is the reading of an inverter that does not answer at night: nothing
// is made, which is no fault. It is asked less often, so that the wait for it
// does not slow its neighbours down, and nobody is alarmed.
func (p *poller) asleep(err error) ([]meters.Sample, meters.Reading, bool) {
	if !p.night.asleep {
		p.log.Info("the inverter sleeps until the sun is up", "answer", err)
	}
	p.night.asleep = true
	p.failures, p.skips = 0, maxSkips
	const reason = "the sun is down: the inverter sleeps"
	p.mu.Lock()
	p.report.Online, p.report.Error, p.report.Sleeping = false, "", true
	p.mu.Unlock()
	p.last = meters.Reading{Asset: p.cfg.Asset, At: p.env.now(), SoC: -1, Quality: energy.Sleeping, Reason: reason}
	p.have = true
	return nil, p.last, true
}

// doubt marks a power that cannot be true: an inverter whose value does not
// move in the dark shows the last one of the day.
func (p *poller) doubt(s *device.Snapshot, at energy.Instant) {
	n := &p.night
	if s.Power != n.power || s.Quality != energy.Good {
		n.power, n.since = s.Power, at
		return
	}
	place := p.env.cfg.Place
	if s.Power == 0 || place == nil || p.dev.Kind() != roll.Inverter || at.Sub(n.since) < frozenAfter {
		return
	}
	if sun.Elevation(at, place.Latitude, place.Longitude) < noSun {
		s.Quality = energy.Stale
		s.Reason = fmt.Sprintf("it has shown %s for %s, and it is dark: a value that froze", s.Power, ageInWords(at.Sub(n.since)))
	}
}
