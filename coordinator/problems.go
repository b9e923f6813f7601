// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// Kinds of problem that the coordinator itself may have; each is there or not.
const (
	problemInbox  = "inbox"
	problemLedger = "ledger"
	problemState  = "state"
	problemSeries = "series"
	problemTerms  = "terms"
	problemBooks  = "settlement"
)

// problems are what is wrong now. Each is logged when it begins and when it
// ends, not each time it is met.
type problems struct {
	log *slog.Logger

	mu   sync.Mutex
	what map[string]string
}

func newProblems(log *slog.Logger) *problems {
	return &problems{log: log, what: map[string]string{}}
}

func (p *problems) set(kind string, err error) {
	p.mu.Lock()
	_, known := p.what[kind]
	p.what[kind] = err.Error()
	p.mu.Unlock()
	if !known {
		p.log.Error("storing fails; nothing is lost, the gateways keep what is not acknowledged", "what", kind, "error", err)
	}
}

// warn notes what is wrong with something that may be lost.
func (p *problems) warn(kind, what string) {
	p.mu.Lock()
	_, known := p.what[kind]
	p.what[kind] = what
	p.mu.Unlock()
	if !known {
		p.log.Warn("something needs attention; the ledger is not touched by it", "what", kind, "problem", what)
	}
}

func (p *problems) clear(kind string) {
	p.mu.Lock()
	_, known := p.what[kind]
	delete(p.what, kind)
	p.mu.Unlock()
	if known {
		p.log.Info("works again", "what", kind)
	}
}

// kinds are the kinds of what is wrong.
func (p *problems) kinds() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.what))
}

// list is what is wrong, in one order.
func (p *problems) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(p.what)) {
		out = append(out, kind+": "+p.what[kind])
	}
	return out
}
