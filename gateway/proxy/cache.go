// SPDX-License-Identifier: AGPL-3.0-or-later

package proxy

import (
	"sync"
	"time"
)

// mostCached bounds the cache; it begins anew when it is full.
const mostCached = 1024

type key struct {
	unit, function uint8
	addr, count    uint16
}

// cache keeps answers for a short time. An answer's age counts from before its
// question was asked, so that it is never older than it says.
type cache struct {
	age     time.Duration // 0: nothing is kept
	mu      sync.Mutex
	answers map[key]cached
	// written is when each unit was last written to: an answer whose question was
	// asked before one is not kept.
	written [256]time.Time
}

type cached struct {
	pdu   []byte
	asked time.Time
}

func (c *cache) get(k key, now time.Time) []byte {
	if c.age == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[k]
	if !ok || now.Sub(a.asked) > c.age {
		return nil
	}
	return a.pdu
}

func (c *cache) put(k key, pdu []byte, asked time.Time) {
	if c.age == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !asked.After(c.written[k.unit]) {
		return
	}
	if c.answers == nil || len(c.answers) >= mostCached {
		c.answers = map[key]cached{}
	}
	c.answers[k] = cached{pdu, asked}
}

// forget drops what is known of a unit, because somebody writes to it.
func (c *cache) forget(unit uint8) {
	if c.age == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written[unit] = time.Now()
	for k := range c.answers {
		if k.unit == unit {
			delete(c.answers, k)
		}
	}
}
