// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"strings"
	"sync"

	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Offset is this gateway's clock minus the coordinator's.
type Offset struct {
	Offset    energy.Span
	RoundTrip energy.Span
	Known     bool
}

// clockWindow is how many of the latest probes are looked at. The least delayed
// one is believed, because its error is at most half of its delay (as in NTP,
// RFC 5905, section 10).
const clockWindow = 8

type clockEstimate struct {
	mu     sync.Mutex
	probes [clockWindow]Offset
	n      int
}

// add takes the answer to a probe that came at now.
func (c *clockEstimate) add(r *allmendev1.ClockReply, now energy.Instant) {
	sent, received, replied := energy.Instant(r.GetSentUnixMs()), energy.Instant(r.GetReceivedUnixMs()), energy.Instant(r.GetRepliedUnixMs())
	if sent > now || received > replied {
		return
	}
	p := Offset{
		Offset:    (sent.Sub(received) + now.Sub(replied)) / 2,
		RoundTrip: max(now.Sub(sent)-replied.Sub(received), 0),
		Known:     true,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes[c.n%clockWindow] = p
	c.n++
}

// best is the least delayed of the latest probes.
func (c *clockEstimate) best() Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best Offset
	for _, p := range c.probes {
		if p.Known && (!best.Known || p.RoundTrip < best.RoundTrip) {
			best = p
		}
	}
	return best
}

func toValid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
