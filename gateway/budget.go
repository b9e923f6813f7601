// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"time"

	"github.com/allmende-energy/allmende/gateway/plan"
	"github.com/allmende-energy/allmende/gateway/profile"
)

// BusBudget is what one round over the devices of a bus takes, worked out from
// the configuration before anything is connected.
type BusBudget struct {
	URL      string
	Devices  int
	Requests int
	// Guessed are the devices among them that no profile describes: each is
	// counted as a SunSpec device, whose models are known only when it is asked.
	Guessed int
	Cycle   time.Duration
	Poll    time.Duration
	Says    string // the cycle in words, and what to do where it does not fit
}

// Fits says whether a round fits between two polls.
func (b BusBudget) Fits() bool { return b.Cycle <= b.Poll }

// answering is what a device usually takes until it answers.
const answering = 20 * time.Millisecond

// Budgets are the buses of a configuration, in the order in which they appear.
func Budgets(cfg Config) ([]BusBudget, error) {
	library, err := profile.LoadLibrary(cfg.ProfilesDir)
	if err != nil {
		return nil, err
	}
	return budgetsOf(cfg.withDefaults(), library), nil
}

func budgetsOf(cfg Config, library *profile.Library) []BusBudget {
	var out []BusBudget
	at := map[string]int{}
	for _, d := range cfg.Devices {
		if _, there := at[d.URL]; !there {
			at[d.URL] = len(out)
			out = append(out, cfg.budget(d.URL, library))
		}
	}
	return out
}

func (c Config) budget(url string, library *profile.Library) BusBudget {
	bus := c.busOf(url, library)
	line := plan.Line{Delay: answering, RequestGap: bus.RequestGap, UnitGap: bus.UnitGap}
	if serial, is := bus.Line(); is {
		line.Baud, line.CharBits = serial.Baud, 1+serial.DataBits+serial.StopBits
		if serial.Parity != "N" {
			line.CharBits++
		}
	}
	b := BusBudget{URL: url, Poll: c.Poll.Duration()}
	for _, d := range c.Devices {
		if d.URL != url {
			continue
		}
		b.Devices++
		reads := sunspecPass
		if p, err := library.Get(d.Profile); err == nil && p.Reads != profile.SunSpec {
			reads = p.Pass(profile.Kind(d.Kind))
		} else {
			b.Guessed++
		}
		b.Requests += len(reads)
		unit := line
		unit.RequestGap = max(line.RequestGap, bus.Units[d.Unit].RequestGap)
		b.Cycle += plan.Budget(reads, unit)
	}
	if b.Devices > 1 {
		b.Cycle += time.Duration(b.Devices) * max(0, line.UnitGap-line.RequestGap)
	}
	b.Says = plan.Tell(b.Cycle, b.Poll, line)
	return b
}

// sunspecPass is what a snapshot of most SunSpec devices takes: the head of an
// inverter's or a meter's model; a battery's takes one more.
var sunspecPass = []plan.Read{{Span: plan.Span{Table: plan.Holding, Addr: 40_070, Count: 60}}}
