// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/settings"
)

func livePart(s *Serve) settings.Part {
	const least, most = 100 * energy.Millisecond, 15 * energy.Minute
	return settings.Part{
		Title: "The live loop",
		Intro: "The live loop. Energy is booked from meters, whatever stands here.",
		Keys: []settings.Key{
			{
				Name: "live.tick", Value: settings.Span(&s.Tick, least, most), Default: "1s", Example: "5s",
				Help: "How often indicative shares and batteries are decided. A second is usual; a small computer with hundreds of devices may take five.",
			},
			{
				Name: "live.stale_after", Value: settings.Span(&s.StaleAfter, 0, energy.Hour), Default: "15s",
				Help: "A value this old is no longer the present. At least two ticks.",
			},
			{
				Name: "live.setpoint_ttl", Value: settings.Span(&s.SetpointTTL, 0, energy.Hour), Default: "30s",
				Help: "How long a battery follows a command that is not renewed. At least two ticks, so that it drops none between two of them; when coordinator or network fail, it rests after this time.",
			},
		},
		// Readings are renewed before they are stale, setpoints before they expire.
		Check: func(report settings.Report) {
			if s.Tick == 0 {
				return // has its problem already
			}
			if s.StaleAfter < 2*s.Tick {
				report("live.stale_after", "%s: write at least two ticks (%s) and at most 1h", s.StaleAfter, 2*s.Tick)
			}
			if s.SetpointTTL < 2*s.Tick {
				report("live.setpoint_ttl", "%s: write at least two ticks (%s) and at most 1h, so that a battery neither drops a command between two ticks nor follows an old one for long", s.SetpointTTL, 2*s.Tick)
			}
		},
	}
}
